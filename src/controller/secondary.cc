#include "controller/secondary.h"

#include <algorithm>
#include <cerrno>

#include "core/checksum.h"
#include "core/log.h"
#include "core/planted.h"
#include "core/probe.h"
#include "wire/bounds.h"

namespace lockstep::controller {
namespace {

Probe data_given_again("a source had lost the data of a request that was not answered, which went there again");

constexpr Duration kPlantedPause = std::chrono::milliseconds(1);

bool bad_block(const Error& error) { return error.code == Errc::corrupt || error.code == Errc::io; }

/// The blocks `lost` get the checksums that `wanted` has for them.
void expect(area::Composed& composed, const std::vector<std::uint64_t>& wanted, const std::vector<std::uint64_t>& lost) {
  std::size_t at = 0;
  for (const area::Composed::Part& part : composed.parts) {
    for (std::uint64_t b = part.blocks.first; b < part.blocks.end(); ++b, ++at) {
      const bool is_lost = std::find(lost.begin(), lost.end(), b) != lost.end();
      if (is_lost && at < wanted.size()) composed.checksums[at] = wanted[at];
    }
  }
}

}  // namespace

Secondary::Secondary(Replica& replica, Keeper& keeper, RoleUser& user, SecondaryOptions options)
    : RoleHook(replica.world.scheduler),
      replica_(replica),
      keeper_(keeper),
      user_(user),
      options_(options),
      changed_(replica.world.scheduler),
      problem_("the primary has not been met yet"),
      callers_(replica.world.scheduler),
      scope_(replica.world.scheduler),
      beside_(replica.world.scheduler) {}

Secondary::~Secondary() { CHECK(pending_.empty()); }

void Secondary::pass_ends() {
  replica_.flush_log();
  if (replica_.failed()) {
    if (session_ != nullptr) session_->shutdown();  // with what was to be said of effects that are not written
    return;
  }
  if (completed_.empty()) {
    if (session_ != nullptr) session_->flush();
    return;
  }
  // Hosts first: a program that waits goes on while the frames are sent, at the end of the next pass.
  for (const std::uint64_t n : std::exchange(completed_, {})) {
    if (const auto found = pending_.find(n); found != pending_.end()) found->second->end(Ended::done);
  }
  at_end_of_pass();
}

runtime::Task<void> Secondary::stop() {
  CHECK(session_ == nullptr);
  stop_.request();
  for (auto& [n, pending] : pending_) {
    pending->end(Ended::role_over);
  }
  changed_.notify_all();
  replica_.wake_held();
  co_await scope_.join();
  co_await callers_.idle();
  co_await hook_settled();
}

void Secondary::say(wire::Hello& hello) const {
  hello.unanswered.assign(unanswered_.begin(), unanswered_.end());
  hello.orphans_open.assign(orphans_open_.begin(), orphans_open_.end());
}

// --- requests of this site's host --------------------------------------------------------------------------------------

runtime::Task<Fate> Secondary::change(Asked& asked, wire::Outcome& outcome) {
  const runtime::Inside inside(callers_);
  if (replica_.results.find(asked.id) != nullptr) {
    // It took effect in an earlier role or session. It stands everywhere once this site has caught up, if it still counts then.
    asked.own_payload();
    while (!ready_ && !stop_.requested()) co_await changed_.wait();
    if (stop_.requested()) co_return Fate::role_over;
    if (const Results::Entry* done = replica_.results.find(asked.id)) {
      outcome = done->outcome;
      co_return Fate::answered;
    }
  }
  Pending pending(replica_.world.scheduler);
  static_cast<Asked&>(pending) = std::move(asked);
  pending.turns = replica_.volume.turns(pending.operation);
  Steps& steps = replica_.steps;
  steps.note(Step::asked, pending.id, {}, pending.turns, Status::neither);
  pending.own_payload();
  Ended ended = Ended::held;
  while (ended == Ended::held) {
    // What may have taken effect elsewhere is asked for again as it was, unless that was refused for what has been reserved since.
    Replica::Passage passage = Replica::Passage::free;
    if (!pending.sent || pending.held_at != 0) passage = co_await replica_.pass(pending, pending.turns, pending.held_at, user_, stop_);
    if (pending.sent) pending.held_at = 0;
    asked.id = pending.id;
    if (passage != Replica::Passage::free && passage != Replica::Passage::stopped) {
      outcome.error = Replica::error_of(passage);
      steps.note(Step::refused, pending.id, {}, pending.turns, Status::reserved);
      co_return Fate::answered;
    }
    co_await replica_.wait_until_neither(pending.turns);
    if (pending.given_up() && !pending.sent) {
      outcome.error = EINTR;
      co_return Fate::answered;
    }
    pending_.emplace(pending.id.n, &pending);
    if (ready_) forward_more();
    ended = stop_.requested() ? Ended::role_over : co_await pending.ended();
    pending_.erase(pending.id.n);
    if (pending.forwarded) --forwarded_;
    pending.forwarded = false;
    if (ready_) forward_more();
  }
  if (ended == Ended::given_up) {
    outcome.error = EINTR;
    co_return Fate::answered;
  }
  if (ended == Ended::role_over) {
    asked = static_cast<Asked&>(pending);
    co_return Fate::role_over;
  }
  outcome = std::move(pending.outcome);
  steps.note(Step::acknowledged, pending.id, pending.seq, pending.turns, Status::neither);
  co_return Fate::answered;
}

/// Sends what is pending and not forwarded yet, in the order in which it was asked.
void Secondary::forward_more() {
  for (auto& [n, pending] : pending_) {
    if (forwarded_ >= options_.requests_max) break;
    if (pending->forwarded || pending->applied) continue;
    if (pending->given_up()) {
      pending->end(Ended::given_up);  // this site has all that the primary did, and it is not among that
    } else {
      forward(*pending);
    }
  }
}

void Secondary::waiter_went() {
  for (auto& [n, pending] : pending_) {
    if (pending->given_up() && !pending->sent) pending->end(Ended::given_up);
  }
  replica_.wake_held();
}

void Secondary::forward(Pending& pending) {
  if (planted(Planted::write_before_exclusive)) write_early(pending);
  pending.again = pending.sent;
  pending.forwarded = pending.sent = true;
  ++forwarded_;
  if (const auto lost = lost_.find(pending.id.n); lost != lost_.end() && pending.operation.kind == wire::OpKind::write) {
    data_given_again.hit();
    pending.operation.append = false;
    pending.operation.offset = lost->second;
  }
  const bool with_payload = !pending.payload.empty() && pending.payload.size() <= options_.inline_limit;
  wire::Message message = wire::Forward{pending.id, std::move(pending.operation), with_payload, user_.waits_from()};
  if (with_payload) {
    session_->send(message, pending.payload, pending.keep);
  } else {
    session_->send(message);
  }
  pending.operation = std::move(std::get<wire::Forward>(message).operation);
  replica_.steps.note(Step::forward_sent, pending.id, {}, pending.turns, Status::neither);
  at_end_of_pass();
}

/// A planted bug: the data of a request goes into this area before the primary was asked.
void Secondary::write_early(const Pending& pending) {
  const wire::Operation& operation = pending.operation;
  if (operation.kind != wire::OpKind::write || operation.append) return;
  auto mapped = replica_.volume.map(operation.inode, {operation.offset, operation.length});
  if (mapped.value() == nullptr) return;
  for (const volume::Piece& piece : *mapped.value()) {
    if (piece.hole) continue;
    const std::vector<wire::AreaWrite> writes{{.address = piece.address, .length = piece.length}};
    const auto composed = replica_.area.compose(writes, pending.payload.subspan(piece.offset - operation.offset, piece.length));
    if (!replica_.area.suspects().cover(blocks_of(writes))) continue;
    if (composed && *composed) (void)replica_.area.write(**composed);
  }
}

void Secondary::orphan_closed(InodeId inode) {
  if (orphans_open_.erase(inode) == 0 || session_ == nullptr) return;  // else the next HELLO says it
  session_->send(wire::OrphanClosed{inode});
  at_end_of_pass();
}

Secondary::Pending* Secondary::pending_of(const RequestId& id) {
  if (!is_own(id)) return nullptr;
  const auto found = pending_.find(id.n);
  return found == pending_.end() ? nullptr : found->second;
}

/// The host may have its answer when its effect is done here and the primary's kernel keeps nothing of the old.
void Secondary::complete(Pending& pending) {
  if (!pending.applied || !pending.answered || !pending.dropped) return;
  completed_.push_back(pending.id.n);
  at_end_of_pass();
}

// --- effects -----------------------------------------------------------------------------------------------------------

runtime::Task<Result<>> Secondary::apply(wire::Effect effect, Bytes payload, bool own_data, bool dropped) {
  if (!effect.batch.empty() && effect.seq <= replica_.logged()) {
    session_->send(wire::Mirrored{effect.seq, {}});  // it stands here; only its answer was lost
    at_end_of_pass();
    co_return Result<>{};
  }
  Pending* pending = planted(Planted::apply_twice) && !own_data ? nullptr : pending_of(effect.request);
  if (own_data) {
    if (pending == nullptr || pending->applied) {
      co_return fail(Errc::invalid, "a COMMIT for a request that this site did not make, or had answered");
    }
    payload = pending->payload;
  }
  Steps& steps = replica_.steps;
  const StatusTable::Taken taken = replica_.take(effect.turns);
  std::vector<std::byte> copy;
  if (taken.verdict == Verdict::queued) {
    copy.assign(payload.begin(), payload.end());
    payload = copy;
    co_await replica_.turn(taken.id);
  }
  steps.note(Step::exclusive, effect.request, effect.seq, effect.turns, Status::exclusive);
  if (planted(Planted::drop_before_publish)) {
    if (copy.empty()) copy.assign(payload.begin(), payload.end());
    payload = copy;
    co_await replica_.caches->drop(effect.drops);
    co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + kPlantedPause, stop_);  // readers come in between
  }
  // What is still to be copied is not written: the copy brings it.
  std::vector<wire::AreaWrite> writes = effect.writes;
  std::vector<std::uint64_t> checksums = effect.checksums;
  std::vector<std::byte> part;
  if (target_) payload = withhold(writes, checksums, payload, part);
  std::vector<std::uint64_t> lost;
  std::optional<Result<area::Composed>> composed = replica_.area.compose(writes, payload);
  for (;;) {
    const bool covered = replica_.suspected(writes);
    const bool edge_is_bad = composed && !*composed && bad_block(composed->error()) && lost.empty();
    if (composed && covered && !edge_is_bad) {
      if (*composed && !lost.empty()) expect(**composed, checksums, lost);
      if (!*composed || (*composed)->checksums != checksums) {
        replica_.release(taken.id);
        if (!*composed) co_return std::unexpected(composed->error());
        co_return fail(Errc::invalid, fmt::format("the data of effect {} does not match its checksums", effect.seq.value));
      }
      if (replica_.append(effect)) break;
    }
    if (copy.empty() && part.empty() && !own_data) {
      copy.assign(payload.begin(), payload.end());
      payload = copy;
    }
    const Result<> ready = co_await make_ready(writes, composed, covered, lost);
    if (!ready) {
      replica_.release(taken.id);
      co_return ready;
    }
    composed = replica_.area.compose(writes, payload, lost);
  }
  bool dropped_here = user_.binds(effect.request) || effect.drops.empty();
  if (planted(Planted::drop_before_publish)) dropped_here = true;
  replica_.put_into_force(effect, **composed);
  if (replica_.failed()) co_return fail(Errc::unavailable, "the area here has failed");
  if (!effect.writes.empty()) steps.note(Step::area_written, effect.request, effect.seq, effect.turns, Status::exclusive);
  steps.note(Step::published, effect.request, effect.seq, effect.turns, Status::exclusive);
  if (pending != nullptr) {
    pending->applied = true;
    pending->dropped = dropped;
    pending->seq = effect.seq;
    pending->outcome = effect.outcome;
  }
  if (!dropped_here) dropped_here = replica_.caches->drop_now(effect.drops);
  if (dropped_here && lost.empty() && !replica_.must_sync(effect)) {
    answer(effect, taken.id);
  } else {
    unanswered_.insert(effect.seq);
    scope_.spawn(finish(std::move(effect), taken.id, !dropped_here, std::move(lost)));
  }
  at_end_of_pass();
  co_return Result<>{};
}

/// Waits for what applying `writes` lacks: their edges in memory, suspect granules, else room in the log. `lost` gets edges that are bad.
runtime::Task<Result<>> Secondary::make_ready(const std::vector<wire::AreaWrite>& writes, const std::optional<Result<area::Composed>>& composed,
                                              bool covered, std::vector<std::uint64_t>& lost) {
  if (composed && *composed && covered) {
    co_await replica_.log_room();
    co_return Result<>{};
  }
  if (composed && *composed) {
    const Result<> marked = co_await replica_.area.suspects().mark(blocks_of(writes));
    if (!marked && replica_.area.failure()) replica_.fail_area("marking granules as suspect", marked.error());
    co_return marked;
  }
  Result<> read;
  if (composed) {
    read = std::unexpected(composed->error());
  } else {
    read = co_await replica_.area.warm(writes);
  }
  if (read || !bad_block(read.error()) || !lost.empty()) co_return read;
  Result<std::vector<std::uint64_t>> found = co_await lost_edges(writes);
  if (!found) co_return std::unexpected(found.error());
  lost = std::move(*found);
  co_return lost.empty() ? read : Result<>{};
}

/// Edges of `writes` that are bad here. The effect says what the whole block is afterwards, so it is written as far as it is known, with
/// the checksum of what it is to be: it stays bad until the primary's copy is here, and so long the effect is not answered.
runtime::Task<Result<std::vector<std::uint64_t>>> Secondary::lost_edges(std::vector<wire::AreaWrite> writes) {
  std::vector<std::uint64_t> lost;
  for (const std::uint64_t block : area::edges_of(writes)) {
    const Result<std::vector<std::uint64_t>> bad = co_await replica_.bad_among({block, 1});
    if (!bad) co_return std::unexpected(bad.error());
    lost.insert(lost.end(), bad->begin(), bad->end());
  }
  co_return lost;
}

/// The primary's copies of `lost`. Ends when they are good here, or can't be had of it either, or the role ends.
runtime::Task<void> Secondary::bring(std::vector<std::uint64_t> lost) {
  for (const std::uint64_t block : lost) {
    while (!stop_.requested()) {
      const Result<> repaired = co_await repair({block, 1});
      if (repaired || repaired.error().code != Errc::unavailable) break;
      if (!level() && !stop_.requested()) co_await changed_.wait();
    }
  }
}

runtime::Task<void> Secondary::finish(wire::Effect effect, ClaimId claim, bool drop, std::vector<std::uint64_t> lost) {
  co_await bring(std::move(lost));
  if (drop) co_await replica_.caches->drop(effect.drops);
  if (replica_.must_sync(effect)) {
    replica_.flush_log();
    co_await replica_.sync(effect);
  }
  unanswered_.erase(effect.seq);
  answer(effect, claim);
  if (unanswered_.empty()) changed_.notify_all();
}

/// Leaves out of `writes` what lies in granules still to be copied, with its checksums; the payload of the rest, in `part` if
/// it is not the whole.
Bytes Secondary::withhold(std::vector<wire::AreaWrite>& writes, std::vector<std::uint64_t>& checksums, Bytes payload,
                          std::vector<std::byte>& part) const {
  std::vector<wire::AreaWrite> kept;
  std::vector<std::uint64_t> sums;
  std::uint64_t used = 0;
  std::size_t sum = 0;
  bool all = true;
  for (const wire::AreaWrite& write : writes) {
    for (std::uint64_t at = write.address; at < write.address + write.length;) {
      const std::uint64_t granule = at / area::kGranuleBytes;
      const std::uint64_t end = std::min(write.address + write.length, (granule + 1) * area::kGranuleBytes);
      const std::uint64_t blocks = (end + kBlockBytes - 1) / kBlockBytes - at / kBlockBytes;
      const std::uint64_t bytes = write.zeros ? 0 : end - at;
      const bool known = used + bytes <= payload.size() && sum + blocks <= checksums.size();
      if (known && readable_here({at / kBlockBytes, blocks})) {
        kept.push_back({.address = at, .length = end - at, .fresh = write.fresh, .zeros = write.zeros});
        for (std::uint64_t i = 0; i < blocks; ++i) sums.push_back(checksums[sum + i]);
        const Bytes mine = payload.subspan(used, bytes);
        part.insert(part.end(), mine.begin(), mine.end());
      } else {
        all = false;
      }
      used += bytes;
      sum += blocks;
      at = end;
    }
  }
  if (all) return payload;
  writes = std::move(kept);
  checksums = std::move(sums);
  return part;
}

bool Secondary::readable_here(BlockRange blocks) const {
  if (!target_) return true;
  if (target_->pending.empty()) return false;
  for (std::uint64_t g = blocks.first / wire::kGranuleBlocks; g * wire::kGranuleBlocks < blocks.end(); ++g) {
    if (g < target_->pending.size() && target_->pending[g]) return false;
  }
  return true;
}

void Secondary::answer(const wire::Effect& effect, ClaimId claim) {
  if (replica_.failed()) return;
  Steps& steps = replica_.steps;
  steps.note(Step::dropped, effect.request, effect.seq, effect.turns, Status::exclusive);
  replica_.hold_freed(effect.seq, effect.freed);
  replica_.release(claim);
  steps.note(Step::released, effect.request, effect.seq, effect.turns, Status::neither);
  wire::Mirrored message{effect.seq, {}};
  for (const InodeId inode : volume::orphans_made(effect)) {
    if (const auto last = volume::attributes_in(effect, inode)) replica_.caches->lost_last_name(*last);
    if (!replica_.caches->is_open(inode)) continue;
    orphans_open_.insert(inode);
    message.orphans_open.push_back(inode);
  }
  if (session_ != nullptr && (ready_ || !target_)) {
    session_->send(message);
    steps.note(Step::mirrored_sent, effect.request, effect.seq, effect.turns, Status::neither);
  }
  if (Pending* pending = pending_of(effect.request); pending != nullptr) {
    pending->answered = true;
    complete(*pending);
  }
  at_end_of_pass();
}

}  // namespace lockstep::controller
