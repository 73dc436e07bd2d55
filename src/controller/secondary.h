// secondary.h - the site that writes nothing before the primary was asked.
//
// A request of its host (W2): wait until the range is neither reserved nor exclusive here -> FORWARD -> [GRANT -> DATA] -> COMMIT -> apply ->
// MIRRORED -> answer the host. An effect of the primary (W1): MIRROR -> apply -> MIRRORED.
//
// Invariants:
//   (1) Effects are applied one by one, in the order in which they arrive, which is the order of their seq; between two
//       of them other coroutines may run, within one nothing suspends from its write to its publication.
//   (2) MIRRORED leaves after the effect's record was written to the log, this site's kernel keeps nothing of the old, and
//       (where asked) it is stable.
//   (3) A host's request is answered after its effect was applied and its record written, and the primary has dropped what
//       its kernel kept (COMMIT.dropped or DROPPED).
//   (4) A pending request is forwarded again in each session until its effect or a REFUSAL arrives.
//   (5) SYNCED leaves when no effect of an earlier session is unfinished here: a primary that has started anew does not hold its turns any more.
//   (6) In a granule that is still to be copied nothing is written and nothing read here.
//
// secondary.cc has requests and effects, secondary_session.cc messages, secondary_target.cc how this site is made equal.
#pragma once

#include <map>
#include <set>

#include "controller/asked.h"
#include "controller/keeper.h"
#include "controller/replica.h"
#include "controller/resync_progress.h"
#include "controller/role_hook.h"
#include "controller/role_user.h"
#include "peer/link.h"

namespace lockstep::controller {

struct SecondaryOptions {
  std::uint64_t boot = 0;          ///< of this start, as in the ids of its host's requests
  std::uint64_t inline_limit = 0;  ///< data of larger requests waits for a GRANT
  std::uint64_t requests_max = 0;  ///< forwarded at one time; the rest wait here
};

class Secondary final : RoleHook {
 public:
  Secondary(Replica& replica, Keeper& keeper, RoleUser& user, SecondaryOptions options);
  ~Secondary();

  /// Carries out a request of this site's host. Suspends.
  runtime::Task<Fate> change(Asked& asked, wire::Outcome& outcome);
  void orphan_closed(InodeId inode);
  /// See Changes.
  void waiter_went();
  /// A session as member, which begins with what this site's HELLO said, `ours`. Ends with it. Suspends.
  runtime::Task<void> serve_member(peer::Link& link, peer::Session& session, wire::Hello theirs, wire::Hello ours);
  /// A session as a site that is made equal: its effects up to `common` are the source's too. Suspends.
  runtime::Task<void> serve_as_target(peer::Link& link, peer::Session& session, wire::Hello theirs, Seq common);
  /// The keys here are not the primary's: this site is made equal to it again, all keys compared. Errc::unavailable: not in sync. Suspends.
  runtime::Task<Result<>> mistrust_keys();
  /// Ends the role: requests are handed back. Requires: no session. Suspends.
  runtime::Task<void> stop();

  [[nodiscard]] bool live() const { return ready_; }
  [[nodiscard]] bool in_sync() const { return ready_ && !target_ && session_ != nullptr && !session_->ended(); }
  /// Adds to a HELLO what only this role knows; what changes until the session is served is said at its start.
  void say(wire::Hello& hello) const;
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] peer::Session* session() { return session_; }
  [[nodiscard]] const ResyncProgress* progress() const { return progress_ ? &*progress_ : nullptr; }
  /// False: a granule of `blocks` is still to be copied.
  [[nodiscard]] bool readable_here(BlockRange blocks) const;
  /// As in Primary.
  runtime::Task<Result<std::vector<std::byte>>> fetch(BlockRange blocks);
  /// As in Primary: the primary's copy is written at its place among the effects, which is where it is the newest. Suspends.
  runtime::Task<Result<>> repair(BlockRange blocks);

  /// Answers the comparison messages of the primary; null: they break the protocol.
  class Comparison {
   public:
    virtual void begin(std::uint64_t number) = 0;
    /// Sends its answer through session(). Suspends.
    virtual runtime::Task<wire::VerifyAnswer> ask(wire::VerifyAsk question) = 0;
    virtual void end() = 0;

   protected:
    ~Comparison() = default;
  };
  Comparison* comparison = nullptr;

 private:
  /// How a request's wait in pending_ ended. held: the primary found it held back by a reservation, it is to pass again. given_up: nothing
  /// was done, and whoever waited went.
  enum class Ended { done, held, given_up, role_over };
  struct Pending : Asked {
    bool forwarded = false;   // in this session
    bool again = false;       // and in an earlier one as well
    bool applied = false;
    bool dropped = false;     // the primary's kernel keeps nothing of the old
    bool answered = false;    // MIRRORED left: the effect is done here
    Seq seq;
    wire::Outcome outcome;
    std::vector<wire::Turn> turns;
    std::uint64_t held_at = 0;  // moment of the reservations with which it was found held
    explicit Pending(runtime::Scheduler& s) : scheduler_(s), shot_(std::in_place, s) {}
    /// The first call counts, until ended() has returned.
    void end(Ended how) {
      if (!shot_->given()) shot_->give(how);
    }
    /// Suspends.
    runtime::Task<Ended> ended() {
      const Ended how = co_await shot_->take();
      shot_.emplace(scheduler_);
      co_return how;
    }

   private:
    runtime::Scheduler& scheduler_;
    std::optional<runtime::OneShot<Ended>> shot_;
  };
  /// This site is being made equal.
  struct Target {
    Target() {}
    Seq common;
    bool raw = false;                // keys are replaced in the store: records change it past the volume
    bool whole = false;
    bool keys_done = false, records_done = false;
    Seq mark;
    std::uint64_t number = 0;
    std::uint64_t unflushed = 0;     // bytes of keys that were replaced since the last flush
    std::vector<bool> pending;       // granules still to be copied; empty: all
    std::optional<wire::VerifyAnswer> digest;
    std::optional<wire::Keys> keys;
  };

  void pass_ends() override;
  void forward(Pending& pending);
  void forward_more();
  void write_early(const Pending& pending);
  runtime::Task<Result<>> apply(wire::Effect effect, Bytes payload, bool own_data, bool dropped);
  Bytes withhold(std::vector<wire::AreaWrite>& writes, std::vector<std::uint64_t>& checksums, Bytes payload,
                 std::vector<std::byte>& part) const;
  runtime::Task<Result<>> make_ready(const std::vector<wire::AreaWrite>& writes, const std::optional<Result<area::Composed>>& composed, bool covered,
                                     std::vector<std::uint64_t>& lost);
  runtime::Task<Result<std::vector<std::uint64_t>>> lost_edges(std::vector<wire::AreaWrite> writes);
  runtime::Task<void> finish(wire::Effect effect, ClaimId claim, bool drop, std::vector<std::uint64_t> lost);
  runtime::Task<void> bring(std::vector<std::uint64_t> lost);
  void answer(const wire::Effect& effect, ClaimId claim);
  void complete(Pending& pending);

  // secondary_session.cc
  void begin_session(peer::Session& session, const wire::Hello& theirs);
  runtime::Task<Result<>> talk(peer::Link& link, peer::Session& session);
  void end_session(const Error& why);
  runtime::Task<Result<>> handle(peer::Session& session, peer::Incoming incoming);
  runtime::Task<void> hand_over(wire::LazyTimes times);
  /// It was stopped, and the two have met again.
  runtime::Task<void> be_back();
  runtime::Task<Result<>> send_log(peer::Session& session, Seq after);
  runtime::Task<void> send_blocks(wire::FetchBlocks asked, std::uint64_t session);
  runtime::Task<void> answer_comparison(wire::VerifyAsk question, std::uint64_t session);
  runtime::Task<void> checkpoint(std::uint64_t number, std::uint64_t session);
  runtime::Task<std::optional<std::vector<std::byte>>> ask_blocks(BlockRange blocks, bool mend);
  runtime::Task<Result<>> fetched(wire::Blocks answer, Bytes payload);
  runtime::Task<Result<>> take_given(wire::Copy copy, Bytes payload);
  runtime::Task<void> drop_block(std::uint64_t block);
  void synced(const wire::Synced& message);
  runtime::Task<void> go_live_when_finished(std::uint64_t session);
  void go_live();
  Pending* pending_of(const RequestId& id);
  [[nodiscard]] bool is_own(const RequestId& id) const { return id.site == replica_.self && id.boot == options_.boot; }
  [[nodiscard]] bool over(std::uint64_t session) const { return session != sessions_ || session_ == nullptr; }
  /// All that the primary has is here, so that its blocks may take the place of bad ones.
  [[nodiscard]] bool level() const { return caught_up_ && !target_ && session_ != nullptr && !session_->ended(); }

  // secondary_target.cc
  runtime::Task<Result<>> handle_of_target(peer::Session& session, peer::Incoming& incoming);
  Result<> data_lost(const wire::DataLost& message);
  runtime::Task<Result<>> begin_keys(wire::KeysMark mark);
  runtime::Task<void> replace_keys(std::uint64_t session);
  runtime::Task<Result<>> compare_all_keys(std::uint64_t session);
  runtime::Task<Result<>> take_back(std::uint64_t session);
  runtime::Task<Result<>> fetch_keys(wire::KeysFetch question, std::uint64_t session, std::string& next);
  runtime::Task<Result<>> caught_up(std::uint64_t session);
  runtime::Task<Result<>> compare(const wire::Compare& message);
  runtime::Task<Result<>> take_copy(const wire::Copy& message, Bytes payload);
  void live_as_target(const wire::Synced& message);

  Replica& replica_;
  Keeper& keeper_;
  RoleUser& user_;
  SecondaryOptions options_;
  std::map<std::uint64_t, Pending*> pending_;  // by the request's number, so in order
  std::uint64_t forwarded_ = 0;
  std::set<Seq> unanswered_;
  std::set<InodeId> orphans_open_;
  std::vector<std::uint64_t> completed_;       // answered at the end of the pass, after the log was written
  peer::Session* session_ = nullptr;
  std::uint64_t sessions_ = 0;
  bool caught_up_ = false;         // in this session: the primary has nothing more to send of the past
  bool ready_ = false;             // its effects may come
  Uuid primary_start_;             // of the primary that was met last
  bool primary_restarted_ = false;
  std::uint64_t number_ = 0;       // of questions
  /// A question for blocks; `mend`: what arrives is written here, too.
  struct Fetching {
    BlockRange blocks;
    bool mend = false;
    runtime::OneShot<std::optional<std::vector<std::byte>>>* answer = nullptr;
  };
  std::map<std::uint64_t, Fetching> fetching_;
  std::optional<Target> target_;
  std::map<std::uint64_t, std::uint64_t> lost_;  // requests that the source did and lost the data of, in this session: where that was
  std::vector<bool> theirs_;       // granules that the source holds suspect, as they arrive
  std::optional<ResyncProgress> progress_;
  runtime::Event changed_;         // of the session, and answers that a procedure waits for
  runtime::Stop stop_;
  std::string problem_;
  runtime::Gate callers_;          // who is inside of a call that suspends; the role ends after them
  runtime::Scope scope_;
  runtime::Scope beside_;          // ends with the session
};

}  // namespace lockstep::controller
