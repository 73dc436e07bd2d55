// controller.h - the part of a site that decides about every write: the membership, the role, and whether hosts are served.
//
//   Link -> serve(): two HELLOs -> decide() -> a role -> a session of that role         membership_controller.cc
//   no session -> lone_watch(): may this site go on alone?                              membership_controller.cc
//   requests of the host -> change() -> whatever role there is, until one answers       controller.cc
//   lease, fence -> the host's gate                                                     hosts_controller.cc
//   the arbiter is away -> who goes on if the link is lost, too                         arms_controller.cc
//   the area failed -> hand over, leave                                                 detach_controller.cc
//   no room for metadata at a site -> ENOSPC at both                                    room_controller.cc
//
// Invariants:
//   (1) There is at most one role; it changes only between sessions, and the old one has ended before the new one begins.
//   (2) The membership changes in one place at a time: in a session, or in lone_watch() while there is none (deciding_).
//   (3) The gate is open only while admitted_ (this site has caught up, or goes on alone) and the lease lasts.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "controller/alone.h"
#include "controller/arms.h"
#include "controller/changes.h"
#include "controller/encounter.h"
#include "controller/host_gate.h"
#include "controller/keeper.h"
#include "controller/lease.h"
#include "controller/primary.h"
#include "controller/repairs.h"
#include "controller/replica.h"
#include "controller/secondary.h"
#include "peer/link.h"

namespace lockstep::controller {

struct ControllerOptions {
  SiteId self;
  SiteId peer;
  std::string peer_name;
  KeeperOptions keeper;
  Uuid start;                    ///< of this start of the daemon
  Uuid host_boot;                ///< of the machine
  std::string settings;          ///< that must agree, KEY=VALUE lines
  std::uint64_t settings_digest = 0;
  std::uint64_t inline_limit = 0;
  std::uint64_t window_bytes = 0;
  std::uint64_t requests_max = 0;
  std::uint64_t resync_rate = 0; ///< bytes a second; 0: no limit
  Duration settle{};
  Duration heartbeat{};
  Duration peer_timeout{};
  Duration start_patience{};     ///< so long the other site may need until it tries to connect to one that was started
  Duration read_lease{};
  Duration takeover{};
  Duration takeover_delay{};
  Duration slow_peer{};          ///< 0: never
  Duration lock_grace{};         ///< locks of a site that was left behind are kept so long
  bool alone = true;             ///< alone = "primary"
  bool diskless = false;         ///< the area does not outlive the daemon: this site is never a member (C7)
  std::string diskless_why;      ///< for people: why that is, and what to do
  bool stable = false;           ///< ack = "stable": every write is flushed before it is acknowledged
};

class Controller final : public Changes, public peer::LinkUser, private RoleUser {
 public:
  Controller(runtime::World& world, volume::Volume& volume, area::Area& area, ControllerOptions options);
  ~Controller();

  /// Reads what the area remembers, and writes a loss of power down. Errc::corrupt. Suspends.
  runtime::Task<Result<>> open();
  /// This site's mount, and the link whose user this is; both must outlive stop().
  void start(HostCaches& caches, HostGate& gate, peer::Link& link);
  /// Says good-bye to the other site, so that it goes on at once (leave); hosts must be gone. Suspends, for a bounded time.
  runtime::Task<void> leave();
  /// Requests that wait are given up; what runs ends. The link was stopped before. Suspends.
  runtime::Task<void> stop();

  // Changes
  runtime::Task<wire::Outcome> change(wire::Operation operation, Bytes payload,
                                      std::shared_ptr<runtime::Lease> lease, Waiter* waiter) override;
  void waiter_went() override;
  [[nodiscard]] wire::LockOwner lock_owner(std::uint64_t owner) const override { return {options_.self, boot_, owner}; }
  runtime::Task<void> wait_readable(InodeId inode, ByteRange range) override;
  void orphan_closed(InodeId inode) override;
  [[nodiscard]] bool readable_here(BlockRange blocks) const override;
  runtime::Task<Result<>> read_elsewhere(BlockRange blocks, MutableBytes into) override;
  runtime::Task<Result<>> repair(BlockRange blocks) override;
  [[nodiscard]] std::uint64_t moment() const override { return replica_.moment(); }
  [[nodiscard]] bool written_since(std::uint64_t moment, InodeId inode) const override {
    return replica_.written_since(moment, inode);
  }

  // LinkUser
  wire::Hello hello() override;
  peer::Pulse pulse() override;
  void pulse_of_peer(const peer::Pulse& pulse) override;
  void heard(Instant sent) override;
  void answered(Instant now) override { lease_.answered(now); }
  runtime::Task<void> serve(peer::Link& link, peer::Session& session, wire::Hello ours, wire::Hello theirs) override;
  void not_connected(std::string reason) override { not_connected_ = std::move(reason); }

  // Administration. Text: why it did not work, for people; empty: done. Suspend.
  /// At the primary, in sync: the other site becomes primary. No request fails.
  runtime::Task<std::string> switch_over();
  /// This site goes on alone although it can't be proven that nobody else does.
  runtime::Task<std::string> take_over_forced();
  /// What taking over by force may lose, for people, one line each; empty: it is not needed.
  [[nodiscard]] std::vector<std::string> losses_of_takeover() const;
  /// The other site's area, which is new, is welcome.
  void accept_new_store() { accepts_new_store_ = true; }
  /// Another etcd is in the arbiter's place. Requires: there is an arbiter, and both sites are in sync: what one knows, the other one
  /// does, so that it does not matter what is lost with the old one.
  void arbiter_replaced();
  /// The sites have diverged: effects above it are this site's own. nullopt: they have not, or have not met since this daemon started.
  [[nodiscard]] std::optional<Seq> fork() const {
    return encounter_ && encounter_->relation == Relation::diverged ? std::optional(fork_) : std::nullopt;
  }
  /// Nothing is changed here and nobody is met until discard() or keep_own(): what this site has of its own since the sites diverged can be
  /// copied. Its hosts can read; what they change waits.
  runtime::Task<std::string> begin_discard();
  /// What this site has of its own may go; its hosts wait until the other site is met. Requires: begin_discard() ended well.
  runtime::Task<std::string> discard();
  /// The divergence stays as it was. Requires: begin_discard() ended well.
  void keep_own();

  // What people ask.
  enum class State { connecting, catching_up, in_sync, alone, alone_resync, resync, diskless, suspended, diverged, detached };
  [[nodiscard]] State state() const;
  /// What keeps things from being well, for people; empty: nothing.
  [[nodiscard]] std::string problem() const;
  struct Load {
    std::uint64_t requests = 0, effects = 0, bytes = 0;
    Duration oldest{};
  };
  [[nodiscard]] Load load();
  [[nodiscard]] Seq seq() const;
  [[nodiscard]] Epoch epoch() const { return keeper_.membership().in_force().number; }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool serving() const { return gate_open_; }
  [[nodiscard]] bool writable() const;
  [[nodiscard]] const std::optional<wire::Hello>& peer() const { return peer_; }
  [[nodiscard]] const ResyncProgress* progress() const;
  [[nodiscard]] AloneFinding finding() const { return finding_; }
  /// What the medium of this site's metadata had when it was last looked at.
  [[nodiscard]] const runtime::KeyRoom& room() const { return room_; }
  /// Which site has no room for metadata to grow, for people; empty: both have.
  [[nodiscard]] std::string short_of_room() const;
  [[nodiscard]] bool short_here() const { return short_here_; }
  [[nodiscard]] bool short_there() const { return short_there_; }

  [[nodiscard]] Replica& replica() { return replica_; }
  [[nodiscard]] const Replica& replica() const { return replica_; }
  [[nodiscard]] Keeper& keeper() { return keeper_; }
  [[nodiscard]] Primary* primary() { return primary_ ? &*primary_ : nullptr; }
  [[nodiscard]] Secondary* secondary() { return secondary_ ? &*secondary_ : nullptr; }
  [[nodiscard]] peer::Session* session();

  /// The area has failed, and this site has given up its part (C7). `leave`: nothing is left to do here; else it is the only one that
  /// has the data, and answers reads.
  std::function<void(bool leave)> on_detached;

  /// Answers the comparison messages of the primary; must outlive stop().
  Secondary::Comparison* comparison = nullptr;
  /// Carries out commands that arrive from the other site, and takes the answers to this one's; null: none are.
  class Commands {
   public:
    virtual void command(wire::Command command) = 0;
    virtual void command_answered(wire::CommandAnswer answer) = 0;
    virtual void session_ended() = 0;

   protected:
    ~Commands() = default;
  };
  Commands* commands = nullptr;

 private:
  // RoleUser
  void session_live() override;
  runtime::Task<bool> target_yielded(Epoch above) override;
  runtime::Task<bool> take_in() override;
  runtime::Task<void> let_go(std::string reason) override;
  runtime::Task<Result<>> told(wire::Membership membership, bool has_own) override;
  void command(wire::Command command) override;
  void command_answered(wire::CommandAnswer answer) override;
  void arms(const wire::Arms& message) override;
  void other_serves_nobody() override { lease_.other_serves_nobody(); }
  [[nodiscard]] std::uint64_t waits_from() const override;
  std::uint64_t next_request(Waiter* waiter) override;
  void request_ended(std::uint64_t n) override;
  bool binds(const RequestId& id) override;

  // membership_controller.cc
  [[nodiscard]] Result<Party> party_of(SiteId site, const wire::Hello& hello, bool accepted) const;
  runtime::Task<void> meet(peer::Link& link, peer::Session& session, wire::Hello ours, wire::Hello theirs);
  void refuse(peer::Session& session, const std::string& reason);
  runtime::Task<void> become_primary();
  runtime::Task<void> become_secondary();
  runtime::Task<void> end_role();
  runtime::Task<void> lone_watch();
  runtime::Task<Duration> lone_step(const Alone& alone);
  runtime::Task<void> publish_loop();
  [[nodiscard]] AloneInput alone_input() const;
  runtime::Task<void> leave_own();
  runtime::Task<Result<>> note_power_loss();
  runtime::Task<Result<>> recall_results();
  /// What became of the other site's requests is stable when it returns: before anything is acknowledged alone. Suspends.
  runtime::Task<void> keep_answers();
  runtime::Task<bool> put_answers_to(Seq through);
  runtime::Task<bool> put_answers(Seq through);
  /// Records an entry of which this site is the only member. Nothing may be committed meanwhile.
  runtime::Task<Keeper::Recorded> record_alone(bool consented, bool forced, Epoch above);

  // arms_controller.cc
  runtime::Task<void> arms_watch();
  runtime::Task<bool> settle_arms();
  runtime::Task<bool> settle_promise();
  runtime::Task<bool> lift_promise();
  runtime::Task<bool> still_away();
  void say_arms(wire::ArmsStep step, std::uint64_t number);

  // detach_controller.cc
  runtime::Task<void> detach_watch();
  runtime::Task<void> hand_over_failing();

  // room_controller.cc
  runtime::Task<void> room_watch();
  void note_room(bool short_here, bool short_there);
  [[nodiscard]] std::string room_problem(const std::string& site) const;

  // hosts_controller.cc
  [[nodiscard]] bool needs_lease() const;
  [[nodiscard]] bool may_serve() const;
  void update_gate();
  runtime::Task<void> gate_loop();
  runtime::Task<void> lease_watch();
  /// Hosts are served no longer, and nothing is cached, when it returns.
  runtime::Task<void> close_gate();
  runtime::Task<void> slow_watch();

  ControllerOptions options_;
  std::uint64_t boot_ = 0;
  Seq answers_through_;  // what became of the other site's requests up to here is in the keys, or was
  Replica replica_;
  Keeper keeper_;
  Lease lease_;
  std::optional<Primary> primary_;
  std::optional<Secondary> secondary_;
  runtime::Event role_changed_;
  std::uint64_t next_request_ = 1;
  std::uint64_t discarded_before_ = 0;        // requests with lower numbers are of a history that is discarded
  struct Waits {
    Instant since;
    Waiter* waiter = nullptr;
  };
  std::map<std::uint64_t, Waits> inbox_;      // requests of this site's host that have no answer, by number

  Repairs repairs_;
  runtime::Event repairs_changed_;

  HostGate* gate_ = nullptr;
  peer::Link* link_ = nullptr;
  bool admitted_ = false;
  bool gate_open_ = false;
  bool gate_closing_ = false;
  runtime::Event gate_changed_;
  runtime::Event gate_closed_;

  std::optional<wire::Hello> peer_;  // the last that was accepted
  std::optional<Encounter> encounter_;
  std::string met_;                  // what was logged of the last meeting
  Instant met_at_;
  bool met_as_before_ = false;
  Seq fork_;                         // of an encounter that said "diverged"
  bool connected_ = false;
  bool deciding_ = false;
  bool peer_discards_ = false;       // it said so since begin_discard()
  bool discarding_ = false;          // from begin_discard() to keep_own(), or to the end of the role after discard()
  bool recorded_here_ = false;       // a sole member recorded an entry in this start
  bool accepts_new_store_ = false;
  Instant look_at_arbiter_;
  ArmsTalk arms_;
  std::uint64_t arms_numbers_ = 0;
  bool recording_arms_ = false;
  runtime::Event arms_changed_;
  bool stopping_ = false;
  runtime::Event failed_;
  bool removing_slow_ = false;
  bool leaving_ = false;
  Instant away_since_;
  AloneFinding finding_ = AloneFinding::waiting;
  runtime::Event lone_changed_;
  runtime::Stop stop_;
  std::string not_connected_;
  std::string problem_;
  runtime::KeyRoom room_;
  bool short_here_ = false, short_there_ = false;
  runtime::Scope scope_;
};

}  // namespace lockstep::controller
