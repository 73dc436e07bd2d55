// link.h - keeps one connection to the other site: dial or accept, handshake, heartbeats, again.
//
// The site with the lower SiteId accepts, the other dials: there are never two connections that cross. A new connection
// whose HELLO is right replaces the one there is (the other side knows better that the old one is dead).
//
// A session is given to its user when both HELLOs are accepted, and ended when
//   - nothing was received for peer_timeout, or the other side's pings do not echo ours for as long (a link that carries
//     one way only is as good as cut),
//   - bytes arrive that break the protocol: one line of log,
//   - the user returns.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "peer/session.h"
#include "runtime/world.h"

namespace lockstep::peer {

struct LinkOptions {
  std::string listen_address;  ///< empty: this site dials
  std::string dial_address;    ///< empty: this site accepts
  std::string peer;            ///< name of the other site
  Duration heartbeat{};
  Duration peer_timeout{};
  Duration connect_timeout{};
  Duration reconnect_first{};
  Duration reconnect_max{};
};

class Link;

/// What a ping says beside its numbers; see wire::Ping.
struct Pulse {
  Seq stable;
  std::uint64_t waits_from = 0;
  bool urgent = false;
  bool short_of_room = false;
};

/// What a site does with its link.
class LinkUser {
 public:
  /// What this site says of itself now.
  virtual wire::Hello hello() = 0;
  /// What a ping that leaves now says.
  virtual Pulse pulse() = 0;
  /// A ping arrived.
  virtual void pulse_of_peer(const Pulse& pulse) = 0;
  /// The other side has received what this one sent at `sent`.
  virtual void heard(Instant sent) = 0;
  /// This side tells the other one now that it has received something of it.
  virtual void answered(Instant now) = 0;
  /// Talks until the session ends; `ours` is what this site said, which may not be true any more. Pings are not seen here. Suspends.
  virtual runtime::Task<void> serve(Link& link, Session& session, wire::Hello ours, wire::Hello theirs) = 0;
  /// Why there is no session, for people.
  virtual void not_connected(std::string reason) = 0;

 protected:
  ~LinkUser() = default;
};

class Link {
 public:
  Link(runtime::World& world, LinkOptions options, LinkUser& user);
  ~Link();

  /// Starts. Errc::refused: the address can't be listened on.
  Result<> start();
  /// Ends the session and the listening, and waits for nothing: no connection is made any more.
  void end();
  /// end(), and waits for what runs. Suspends.
  runtime::Task<void> stop();

  /// Takes the next message that is not a ping. The user's receive.
  runtime::Task<Result<Incoming>> receive(Session& session);
  /// Sends a ping ahead of its time, if there is a session.
  void ping_now();
  /// Ends the session, if there is one; the link connects again.
  void drop_session();

  /// When the other side was last heard; its zero: never.
  [[nodiscard]] Instant last_heard() const { return last_heard_; }
  [[nodiscard]] std::uint64_t sessions() const { return sessions_; }

 private:
  runtime::Task<void> accept_loop();
  runtime::Task<void> dial_loop();
  runtime::Task<void> incoming(std::unique_ptr<runtime::Connection> connection);
  runtime::Task<void> talk(std::unique_ptr<runtime::Connection> connection);
  runtime::Task<Result<wire::Hello>> shake_hands(Session& session, wire::Hello& ours);
  runtime::Task<void> heartbeat(Session& session, runtime::Stop& stop);
  void ping(Session& session);
  runtime::Task<void> deadline(Session& session, Duration after, runtime::Stop& stop);

  runtime::World& world_;
  LinkOptions options_;
  LinkUser& user_;
  std::unique_ptr<runtime::Listener> listener_;
  Session* current_ = nullptr;
  runtime::Event free_;  // no session is served
  runtime::Stop stop_;
  runtime::Scope scope_;
  std::size_t strangers_ = 0;
  Instant last_heard_;
  std::uint64_t ping_number_ = 0;
  std::deque<Instant> pings_sent_;  // when ping_echoed_ + 1, + 2 .. ping_number_ left
  std::uint64_t ping_echoed_ = 0;   // highest of ours that came back
  Instant echoed_at_;
  std::uint64_t their_ping_ = 0;
  std::uint64_t sessions_ = 0;
};

}  // namespace lockstep::peer
