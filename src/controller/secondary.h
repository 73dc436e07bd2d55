// secondary.h - the site that writes nothing before the primary was asked.
//
// A request of its host (W2): wait until the range is neither here -> FORWARD -> [GRANT -> DATA] -> COMMIT -> apply ->
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
#pragma once

#include <map>
#include <set>

#include "controller/replica.h"
#include "peer/link.h"

namespace lockstep::controller {

struct SecondaryOptions {
  std::uint64_t boot = 0;
  std::uint64_t inline_limit = 0;  ///< data of larger requests waits for a GRANT
  std::uint64_t requests_max = 0;  ///< forwarded at one time; the rest wait here
};

class Secondary final : runtime::PassHook {
 public:
  Secondary(Replica& replica, SecondaryOptions options);
  ~Secondary();

  /// Carries out a request of this site's host. Suspends.
  runtime::Task<wire::Outcome> change(wire::Operation operation, Bytes payload, std::shared_ptr<void> keep);
  void orphan_closed(InodeId inode);
  runtime::Task<void> serve(peer::Link& link, peer::Session& session, wire::Hello theirs);
  runtime::Task<void> stop();

  [[nodiscard]] bool in_sync() const { return ready_; }
  runtime::Event& met() { return met_; }
  /// Highest seq such that everything up to it was applied since this start; 0: nothing.
  [[nodiscard]] Seq applied() const { return applied_; }
  /// Adds to a HELLO what only this role knows; what changes until the session is served is said at its start.
  void say(wire::Hello& hello);
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] peer::Session* session() { return session_; }

  struct Load {
    std::uint64_t requests = 0;
    Instant oldest;
  };
  [[nodiscard]] Load load() const;

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
  struct Pending {
    RequestId id;
    wire::Operation operation;
    Bytes payload;
    std::shared_ptr<void> keep;
    Instant since;
    bool forwarded = false;   // in this session
    bool applied = false;
    bool dropped = false;     // the primary's kernel keeps nothing of the old
    bool answered = false;    // MIRRORED left: the effect is done here
    Seq seq;
    wire::Outcome outcome;
    std::vector<wire::Turn> turns;
    runtime::OneShot<bool> done;
    explicit Pending(runtime::Scheduler& s) : done(s) {}
  };

  void end_of_pass() override;
  void forward(Pending& pending);
  void forward_more();
  void write_early(const Pending& pending);
  runtime::Task<Result<>> apply(wire::Effect effect, Bytes payload, bool own_data, bool dropped);
  runtime::Task<void> finish(wire::Effect effect, ClaimId claim, bool drop);
  void answer(const wire::Effect& effect, ClaimId claim);
  void complete(Pending& pending);
  runtime::Task<Result<>> handle(peer::Session& session, peer::Incoming incoming);
  runtime::Task<void> hand_over(wire::LazyTimes times);
  runtime::Task<Result<>> send_log(peer::Session& session, Seq after);
  runtime::Task<Result<>> send_blocks(peer::Session& session, wire::FetchBlocks asked);
  runtime::Task<void> answer_comparison(wire::VerifyAsk question, std::uint64_t session);
  void synced(const wire::Synced& message);
  Pending* pending_of(const RequestId& id);

  Replica& replica_;
  SecondaryOptions options_;
  std::uint64_t next_request_ = 1;
  std::map<std::uint64_t, Pending*> pending_;  // by the request's number, so in order
  std::uint64_t forwarded_ = 0;
  std::set<Seq> unanswered_;
  std::vector<Seq> said_unanswered_;           // in the last HELLO
  std::vector<InodeId> said_open_;
  std::set<InodeId> orphans_open_;
  std::vector<std::uint64_t> completed_;       // answered at the end of the pass, after the log was written
  Seq applied_;
  peer::Session* session_ = nullptr;
  std::uint64_t sessions_ = 0;
  bool ready_ = false;
  Uuid primary_start_;             // of the primary that was met last
  bool primary_restarted_ = false;
  runtime::Event met_;
  runtime::Stop stop_;
  std::string problem_;
  runtime::Scope scope_;
};

}  // namespace lockstep::controller
