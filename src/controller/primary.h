// primary.h - the site that orders every write.
//
// A request, of this site's host (W1) or forwarded (W2), goes through the steps of lockstep-internals(7):
//
//   claim its turns -> [GRANT, wait for DATA] -> execute: plan, compose, commit -> wait for MIRRORED -> release
//
// Invariants:
//   (1) Between plan and commit nothing suspends; commit gives the next seq, and effects leave in the order of their seq.
//   (2) An effect is in the window from its commit until the secondary has answered it, this site's caches are dropped and
//       (where asked) it is stable; its turns are exclusive for as long.
//   (3) Blocks of an effect with data are marked in flight from before their write until it leaves the window.
//   (4) A forwarded request that is not committed when its session ends leaves nothing: the secondary sends it again.
//   (5) The host is answered after the effect has left the window (R2, R3).
#pragma once

#include <map>
#include <memory>

#include "controller/catch_up.h"
#include "controller/replica.h"
#include "peer/link.h"

namespace lockstep::controller {

struct PrimaryOptions {
  Epoch epoch;
  std::uint64_t boot = 0;           ///< of this start, for the ids of this site's requests
  SiteId peer;
  std::uint64_t window_bytes = 0;   ///< of effects in flight, data included
  std::uint64_t requests_max = 0;   ///< forwarded requests in work; more break the protocol
  Duration settle{};                ///< how long times may stay in memory only
};

/// Blocks of the area that may not be written for a moment: a comparison looks at them.
class AreaGuard {
 public:
  explicit AreaGuard(runtime::Scheduler& scheduler) : changed_(scheduler) {}
  [[nodiscard]] bool holds(std::span<const wire::AreaWrite> writes) const;
  runtime::Event& changed() { return changed_; }
  void guard(BlockRange blocks) { blocks_ = blocks; }
  void release() {
    blocks_ = {};
    changed_.notify_all();
  }

 private:
  BlockRange blocks_;
  runtime::Event changed_;
};

class Primary final : runtime::PassHook {
 public:
  Primary(Replica& replica, PrimaryOptions options);
  ~Primary();

  /// Starts what runs by itself: settling times, reaping objects without a name.
  void start();
  /// Carries out a request of this site's host. Suspends.
  runtime::Task<wire::Outcome> change(wire::Operation operation, Bytes payload, std::shared_ptr<void> keep);
  void orphan_closed(InodeId inode);
  /// One session with the secondary, from catching up to its end. Suspends.
  runtime::Task<void> serve(peer::Link& link, peer::Session& session, wire::Hello theirs);
  /// Ends what runs by itself and waits for it. Suspends.
  runtime::Task<void> stop();

  [[nodiscard]] bool in_sync() const { return ready_.is_set(); }
  /// It has met the secondary since it started: hosts may be served.
  runtime::Event& met() { return met_; }
  [[nodiscard]] Seq last_seq() const { return seq_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }

  struct Load {
    std::uint64_t effects = 0, bytes = 0, requests = 0;
    Instant oldest;  ///< its zero: none
  };
  [[nodiscard]] Load load() const;

  // For comparisons.
  AreaGuard& guard() { return guard_; }
  /// Waits until no effect in flight touches `blocks`. Suspends. False: the session ended.
  runtime::Task<bool> settled(BlockRange blocks);
  [[nodiscard]] peer::Session* session() { return session_; }
  /// Where answers of the secondary to a comparison go; null: none runs.
  runtime::OneShot<std::optional<wire::VerifyAnswer>>* verify_answer = nullptr;

 private:
  /// A request in work.
  struct Request {
    RequestId id;
    wire::Operation operation;
    Bytes payload;
    std::shared_ptr<void> keep;   // what holds the payload; null: it is about to go away, own_payload() first
    bool forwarded = false;
    std::uint64_t session = 0;    // in which it was forwarded
    ClaimId claim;
    std::vector<wire::Turn> turns;
    Instant since;
  };
  /// An effect in flight.
  struct InFlight {
    wire::Effect effect;
    ClaimId claim;
    std::uint64_t cost = 0;
    bool forwarded = false;
    bool mirrored = false;
    bool dropped = true;
    bool stable = true;
    Instant since;
    runtime::OneShot<bool> left;
    explicit InFlight(runtime::Scheduler& s) : left(s) {}
  };
  enum class Fate { committed, refused, gone };

  void end_of_pass() override;
  runtime::Task<Fate> execute(Request& request, wire::Outcome& refused, Seq& seq);
  std::optional<Seq> commit(Request& request, wire::Effect& effect, area::Composed& composed);
  void send_effect(Request& request, InFlight& entry);
  runtime::Task<void> drop_here(Seq seq, std::vector<wire::Drop> drops);
  runtime::Task<void> sync_here(Seq seq);
  void leave_if_done(Seq seq);
  void note_orphans(const wire::Effect& effect);
  void reap_if_closed(InodeId inode);
  static void own_payload(Request& request);

  runtime::Task<void> forwarded(wire::Forward forward, Bytes payload, std::uint64_t session);
  void data_received(const wire::Data& data, Bytes payload);
  Result<> mirrored(const wire::Mirrored& message);

  runtime::Task<Result<>> catch_up(peer::Link& link, peer::Session& session, const wire::Hello& theirs);
  runtime::Task<Result<>> send_missing(peer::Session& session, Seq logged, std::optional<Seq> window_after);
  runtime::Task<Result<>> send_record(peer::Session& session, wire::Effect effect);
  runtime::Task<Result<>> next_message(peer::Link& link, peer::Session& session);
  runtime::Task<Result<>> fetch_records(peer::Link& link, peer::Session& session);
  runtime::Task<Result<>> settle_blocks(peer::Link& link, peer::Session& session, BlocksInFlight direction);
  runtime::Task<Result<>> receive_loop(peer::Link& link, peer::Session& session);
  Result<> handle(peer::Incoming incoming);
  void end_session();

  runtime::Task<void> settle_loop();
  runtime::Task<void> settle_times();
  runtime::Task<void> reap_loop();

  Replica& replica_;
  PrimaryOptions options_;
  AreaGuard guard_;
  Seq seq_;
  std::uint64_t next_request_ = 1;
  std::map<Seq, std::unique_ptr<InFlight>> window_;
  runtime::Budget budget_;
  runtime::Event window_changed_;
  std::map<RequestId, Request*> requests_;
  std::map<RequestId, std::pair<Request*, runtime::OneShot<bool>*>> waiting_for_data_;
  std::map<InodeId, std::pair<bool, bool>> orphans_;  // open here, open at the secondary
  std::vector<InodeId> to_reap_;
  runtime::Event reap_;
  bool reaping_ = false;  // space of objects without a name is about to be freed

  peer::Session* session_ = nullptr;
  std::uint64_t sessions_ = 0;
  std::uint64_t forwarded_in_work_ = 0;
  runtime::Event ready_;  // requests of this site's host may be planned
  runtime::Event met_;
  bool synced_received_ = false;
  std::string problem_;
  runtime::Stop stop_;
  runtime::Scope scope_;
};

}  // namespace lockstep::controller
