// primary.h - the site that orders every write.
//
// A request, of this site's host (W1) or forwarded (W2), goes through the steps of lockstep-internals(7):
//
//   wait until nothing is reserved -> claim its turns -> [GRANT, wait for DATA] -> execute: plan, compose, commit -> wait for MIRRORED -> release
//
// Invariants:
//   (1) Between plan and commit nothing suspends; commit gives the next seq, and effects leave in the order of their seq.
//   (2) An effect is in the window from its commit until the other site has answered it (or, alone, need not), this site's
//       caches are dropped and (where asked) it is stable; its turns are exclusive for as long.
//   (3) Blocks of an effect with data are suspect on the medium and marked in flight from before their write.
//   (4) A forwarded request that is not committed when its session ends leaves nothing: the secondary sends it again.
//   (5) The host is answered after the effect has left the window (R2, R3).
//   (6) Nothing is committed unless the other site gets it (live) or the membership without it is recorded and nobody else
//       may serve reads any more (alone). It is never both.
//
// primary.cc has requests and the window, primary_forwarded.cc those of the other site's host, primary_guard.cc blocks that are held
// still, primary_session.cc a session with a member, primary_target.cc one with a site that
// is made equal to this one, primary_upkeep.cc what runs by itself, primary_locks.cc what becomes of locks whose site is gone.
#pragma once

#include <map>
#include <memory>

#include "controller/area_guard.h"
#include "controller/asked.h"
#include "controller/catch_up.h"
#include "controller/keeper.h"
#include "controller/replica.h"
#include "controller/resync_progress.h"
#include "controller/role_hook.h"
#include "controller/role_user.h"
#include "peer/link.h"

namespace lockstep::controller {

struct PrimaryOptions {
  Epoch epoch;
  SiteId peer;
  std::uint64_t window_bytes = 0;   ///< of effects in flight, data included
  std::uint64_t requests_max = 0;   ///< forwarded requests in work; more break the protocol
  std::uint64_t resync_rate = 0;    ///< bytes a second that are compared; 0: no limit
  Duration settle{};                ///< how long times may stay in memory only
  std::uint64_t boot = 0;           ///< of this start, as in the ids of its host's requests
  Duration lock_grace{};            ///< locks of a site that was left behind are kept so long
};

class Primary final : RoleHook {
 public:
  Primary(Replica& replica, Keeper& keeper, RoleUser& user, PrimaryOptions options);
  ~Primary();

  /// Starts what runs by itself: settling times, reaping objects without a name, checkpoints.
  void start();
  /// Carries out a request of this site's host. Suspends.
  runtime::Task<Fate> change(Asked& asked, wire::Outcome& outcome);
  void orphan_closed(InodeId inode);
  /// See Changes.
  void waiter_went();
  /// Ends the role: requests are handed back, what runs ends. `daemon_ends`: what is in flight stays marked for the next start. Requires:
  /// no session. Suspends.
  runtime::Task<void> stop(bool daemon_ends);

  // Sessions. Each ends with its session. Suspend.
  /// With a member: catches up, then serves. `tell`: it does not know the membership in force yet.
  runtime::Task<void> serve_member(peer::Link& link, peer::Session& session, wire::Hello theirs, bool tell);
  /// With a site that is to be made equal: its effects up to `common` are this one's too.
  runtime::Task<void> serve_target(peer::Link& link, peer::Session& session, wire::Hello theirs, Seq common);

  // Membership.
  /// Nothing is committed until go_on(): the last effect is last_seq().
  void hold();
  /// Effects are of `epoch` from now on.
  void go_on(Epoch epoch);
  /// The membership without the other site is recorded and nobody else serves: effects need this site only. Those in
  /// the window are complete. Suspends.
  runtime::Task<void> go_alone();
  [[nodiscard]] bool alone() const { return alone_; }
  /// The area here has failed, and the other site has recorded that it goes on without this one: what was given to it is complete (C7).
  void complete_forward();
  /// The last effect that left a record, of which the other site has said that it has it.
  [[nodiscard]] Seq logged_there() const { return logged_there_; }
  /// Waits until no effect is in flight. False: the session ended before. Suspends.
  runtime::Task<bool> drained();
  /// Waits until the other site has recorded epoch `number`. False: the session ended before. Suspends.
  runtime::Task<bool> recorded(Epoch number);

  [[nodiscard]] bool live() const { return live_; }
  [[nodiscard]] bool in_sync() const { return live_ && !progress_; }
  [[nodiscard]] Seq last_seq() const { return seq_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// Of the copying that is going on; nullptr: none.
  [[nodiscard]] const ResyncProgress* progress() const { return progress_ && !carries() ? &*progress_ : nullptr; }
  /// Hosts of a site without an area work through this one.
  [[nodiscard]] bool carries() const { return live_ && target_ && target_->diskless; }

  struct Load {
    std::uint64_t effects = 0, bytes = 0;
    Instant oldest;  ///< its zero: none
  };
  [[nodiscard]] Load load() const;

  /// Sends the membership in force and waits until the other site has recorded it. Errc::unavailable: the session ended. Suspends.
  runtime::Task<Result<>> say_membership();
  /// Bytes of the other site's blocks, as it has published them; at most kFetchBlocksMax. Errc::unavailable: no session, or
  /// it ended; Errc::corrupt: they are bad there. Suspends.
  runtime::Task<Result<std::vector<std::byte>>> fetch(BlockRange blocks);

  /// What of `blocks` is bad here is taken from the other site, nobody writing it meanwhile; as Changes::repair(). Suspends.
  runtime::Task<Result<>> repair(BlockRange blocks);
  /// Sends this site's copy of `block`, which is written at this place among the effects. Errc::unavailable: not in sync; Errc::corrupt,
  /// Errc::io: it is bad here. Requires: the guard of the block is taken. Suspends.
  runtime::Task<Result<>> give(std::uint64_t block);

  // For comparisons.
  AreaGuard& guard() { return guard_; }
  /// Waits until the guard is free, takes it, and waits until no effect in flight touches `blocks`. False: the session ended, or
  /// (`with_session` false) the role is to end; nothing is taken. Suspends.
  runtime::Task<bool> take_guard(BlockRange blocks, bool with_session = true);
  /// Of a sole member, for blocks that do not match their checksums: a loss of power, or a kill in the middle of a write, tore them, and
  /// nobody else has them, so what they hold counts (C2). Errc::corrupt: they were not being written, so they are bad;
  /// Errc::unavailable: the role is to end. Suspends.
  runtime::Task<Result<>> adopt_torn(BlockRange blocks);
  /// What is here alone counts.
  [[nodiscard]] bool sole_member() const;
  [[nodiscard]] peer::Session* session() { return session_; }
  /// Where answers of the secondary to a comparison go; null: none runs.
  runtime::OneShot<std::optional<wire::VerifyAnswer>>* verify_answer = nullptr;

 private:
  /// A request in work.
  struct Request : Asked {
    bool forwarded = false;
    std::uint64_t session = 0;    // in which it was forwarded
    ClaimId claim;
    std::vector<wire::Turn> turns;
  };
  /// An effect in flight.
  struct InFlight {
    wire::Effect effect;
    ClaimId claim;
    std::uint64_t cost = 0;
    bool forwarded = false;
    bool given = false;           // sent to the other site in this session or an earlier one
    bool mirrored = false;
    bool dropped = true;
    bool stable = true;
    [[nodiscard]] bool done_here() const { return dropped && stable; }
    Instant since;
    runtime::OneShot<bool> left;
    explicit InFlight(runtime::Scheduler& s) : left(s) {}
  };
  enum class Made { committed, refused, held, gone };  // held: by a reservation; nothing was done
  /// What make_equal() knows of the target.
  struct Target {
    Target() {}
    Seq common;
    Seq theirs_last;
    std::uint64_t boot = 0;                  // of its start
    bool diskless = false;                   // nothing is copied to it, and it is never taken in
    Seq mark;
    bool whole = false;
    bool yielded = false, caught_up = false, suspects_whole = false;
    std::uint64_t number = 0;
    std::shared_ptr<runtime::KeySnapshot> snapshot;
    std::vector<bool> granules;              // to be compared
    std::optional<wire::Want> want;
    std::uint64_t checkpointed = 0;
  };

  void pass_ends() override;
  void update_ready();
  runtime::Task<Made> execute(Request& request, wire::Outcome& refused, Seq& seq);
  runtime::Task<Result<>> repair_edges(std::vector<wire::AreaWrite> writes);
  std::optional<Seq> commit(Request& request, wire::Effect& effect, area::Composed& composed, std::uint64_t cost);
  void send_effect(Request& request, InFlight& entry);
  runtime::Task<void> drop_here(Seq seq, std::vector<wire::Drop> drops);
  /// Before the other site serves its hosts again, which may see what stands in both areas: a secondary that has started anew does not hold
  /// the turns of what it has. Suspends until this site's kernel keeps nothing that was to be dropped. Requires: not live.
  runtime::Task<void> nothing_to_drop();
  [[nodiscard]] bool in_flight_before(Seq seq) const;
  runtime::Task<void> earlier_left(Seq seq);
  void dropped(Seq seq);
  void say_done(Seq seq);
  runtime::Task<void> sync_here(Seq seq);
  void leave_if_done(Seq seq);
  void note_orphans(const wire::Effect& effect);
  void reap_if_closed(InodeId inode);
  runtime::Task<void> look_for_orphans(std::vector<InodeId> open_there);

  runtime::Task<void> forwarded(wire::Forward forward, Bytes payload, std::uint64_t session);
  void data_received(const wire::Data& data, Bytes payload);
  Result<> mirrored(const wire::Mirrored& message);

  void begin_session(peer::Session& session, const wire::Hello& theirs);
  void end_session();
  runtime::Task<Result<>> catch_up(peer::Link& link, peer::Session& session, const wire::Hello& theirs);
  runtime::Task<Result<>> send_missing(peer::Session& session, Seq logged, std::optional<Seq> window_after);
  runtime::Task<Result<>> send_record(peer::Session& session, wire::Effect effect);
  runtime::Task<Result<>> next_message(peer::Link& link, peer::Session& session);
  runtime::Task<Result<>> fetch_records(peer::Link& link, peer::Session& session);
  runtime::Task<Result<>> settle_range(peer::Link& link, peer::Session& session, BlockRange blocks, bool fetch);
  runtime::Task<Result<>> settle_blocks(peer::Link& link, peer::Session& session, BlocksInFlight direction);
  runtime::Task<Result<>> receive_loop(peer::Link& link, peer::Session& session);
  Result<> handle(peer::Incoming incoming);
  Result<> handle_of_target(peer::Incoming& incoming);

  // primary_target.cc
  runtime::Task<void> make_equal(std::uint64_t session);
  runtime::Task<Result<>> say_lost_data(std::uint64_t session);
  runtime::Task<Result<>> send_keys(std::uint64_t session);
  runtime::Task<Result<>> send_records_through(Seq through, std::uint64_t session);
  void go_live();
  runtime::Task<Result<>> copy_granules(std::uint64_t session);
  runtime::Task<Result<>> copy_granule(std::uint64_t granule, std::uint64_t session);
  runtime::Task<Result<>> send_copy(std::uint64_t granule, BlockRange blocks, std::uint64_t session);
  runtime::Task<Result<>> send_lost(std::uint64_t granule, BlockRange block, std::uint64_t session);
  runtime::Task<void> pace(std::uint64_t bytes);
  runtime::Task<Result<>> checkpoint_all(std::uint64_t session);
  runtime::Task<void> answer_keys(wire::KeysFetch fetch, std::uint64_t session);
  runtime::Task<void> answer_comparison(wire::VerifyAsk question, std::uint64_t session);
  runtime::Task<void> answer_blocks(wire::FetchBlocks asked, std::uint64_t session);
  [[nodiscard]] bool over(std::uint64_t session) const { return session != sessions_ || session_ == nullptr; }
  [[nodiscard]] Result<> gone() const { return fail(Errc::unavailable, "the connection ended"); }

  // primary_upkeep.cc
  runtime::Task<wire::Outcome> by_itself(wire::Operation operation);
  runtime::Task<void> settle_loop();
  runtime::Task<void> settle_times();
  runtime::Task<void> reap_loop();
  runtime::Task<void> clear_loop();
  runtime::Task<void> clear_some();

  // primary_locks.cc
  /// The other site is there, in its start `boot`: locks of other starts, of both sites, go. Suspends.
  runtime::Task<void> locks_of_earlier_starts(std::uint64_t boot);
  /// The other site was left behind: who waits there waits no longer; after lock_grace its locks go. Suspends.
  runtime::Task<void> locks_left_behind();
  runtime::Task<std::uint64_t> break_locks(SiteId site, std::uint64_t stays, bool waits_only);

  Replica& replica_;
  Keeper& keeper_;
  RoleUser& user_;
  PrimaryOptions options_;
  AreaGuard guard_;
  Seq seq_;
  std::uint64_t next_request_ = 0;  // of those that this site makes itself
  std::map<Seq, std::unique_ptr<InFlight>> window_;
  runtime::Budget budget_;
  std::map<RequestId, Request*> requests_;
  std::map<RequestId, std::pair<Request*, runtime::OneShot<bool>*>> waiting_for_data_;
  /// An object without a name.
  struct Orphan {
    bool here = false, there = false;  // open at this site, at the other one
    bool answered = false;             // the effect that took its name has left: the other site has said whether it is open there
    bool reaped = false;               // it is in to_reap_, or was
  };
  std::map<InodeId, Orphan> orphans_;
  std::vector<InodeId> to_reap_;
  runtime::Event reap_;
  bool reaping_ = false;  // space of objects without a name is about to be freed
  bool looked_for_orphans_ = false;

  peer::Session* session_ = nullptr;
  std::uint64_t sessions_ = 0;
  std::uint64_t forwarded_in_work_ = 0;
  Seq logged_there_;
  bool live_ = false;               // the session gets effects as they are made
  bool alone_ = false;
  bool held_ = false;
  bool chase_ends_ = false;         // held until the target has the last records
  bool completed_forward_ = false;
  runtime::Event ready_;            // effects may be committed: !held_ && (live_ || alone_)
  runtime::Event session_changed_;  // something that a procedure with the other site waits for
  bool met_ = false;                // it has been live since this role began
  bool synced_sent_ = false;        // the other site was told what this one still owes its requests
  bool synced_received_ = false;
  Epoch recorded_;                  // by the other site
  std::uint64_t checkpointed_ = 0;
  std::uint64_t number_ = 0;        // of questions
  std::map<std::uint64_t, std::pair<BlockRange, runtime::OneShot<std::optional<std::vector<std::byte>>>*>> fetching_;
  std::optional<Target> target_;
  std::optional<ResyncProgress> progress_;
  std::uint64_t committed_with_data_ = 0;
  std::uint64_t looked_at_ = 0;     // committed_with_data_ when clear_some() last began
  std::size_t dropping_ = 0;        // effects whose drops were begun and have not ended
  std::vector<Seq> left_at_end_of_pass_;
  std::vector<ClaimId> to_release_;  // at the end of the role
  std::string problem_;
  runtime::Stop stop_;
  runtime::Gate callers_;           // who is inside of a call that suspends; the role ends after them
  runtime::Scope scope_;
};

}  // namespace lockstep::controller
