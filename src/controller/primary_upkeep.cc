// What a primary does by itself: times in memory are written, objects without a name removed, suspect bits cleared, bad blocks
// repaired.
#include <algorithm>
#include <utility>

#include "controller/primary.h"
#include "core/log.h"
#include "core/planted.h"
#include "wire/bounds.h"

namespace lockstep::controller {
namespace {

constexpr std::size_t kReapAtOnce = 64;
constexpr Duration kReapTogether = std::chrono::milliseconds(10);  // a removal of its own for each of many files costs as much as their unlink
constexpr std::size_t kClearAtOnce = 16384;
constexpr Duration kClearEvery = std::chrono::seconds(10);

}  // namespace

void Primary::note_orphans(const wire::Effect& effect) {
  for (const InodeId inode : volume::orphans_made(effect)) {
    if (const auto last = volume::attributes_in(effect, inode)) replica_.caches->lost_last_name(*last);
    orphans_[inode] = {.here = replica_.caches->is_open(inode)};
  }
  for (const InodeId inode : volume::orphans_ended(effect)) orphans_.erase(inode);
}

void Primary::reap_if_closed(InodeId inode) {
  const auto found = orphans_.find(inode);
  if (found == orphans_.end()) return;
  Orphan& orphan = found->second;
  if (orphan.here || orphan.there || !orphan.answered || std::exchange(orphan.reaped, true)) return;
  to_reap_.push_back(inode);
  reaping_ = true;
  reap_.notify_all();
}

void Primary::orphan_closed(InodeId inode) {
  const auto found = orphans_.find(inode);
  if (found == orphans_.end() || !found->second.here) return;
  found->second.here = false;
  reap_if_closed(inode);
}

runtime::Task<void> Primary::reap_loop() {
  while (!stop_.requested()) {
    if (to_reap_.empty() || !ready_.is_set()) {
      co_await reap_.wait();
      continue;
    }
    if (to_reap_.size() < kReapAtOnce) {
      (void)co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + kReapTogether, stop_);
      if (!ready_.is_set() || stop_.requested()) continue;
    }
    std::vector<InodeId> some;
    while (!to_reap_.empty() && some.size() < kReapAtOnce) {
      some.push_back(to_reap_.back());
      to_reap_.pop_back();
    }
    reaping_ = true;
    const wire::Outcome outcome = co_await by_itself(volume::reap_of(some));
    if (outcome.error == EAGAIN || (outcome.error == 0 && outcome.value != 0)) to_reap_.insert(to_reap_.end(), some.begin(), some.end());
    reaping_ = !to_reap_.empty();
    replica_.changed.notify_all();
    if (outcome.error != 0 && outcome.error != EAGAIN) {
      log::error("removing {} objects without a name failed: errno {}", some.size(), outcome.error);
    }
  }
}

/// A request of nobody's host. EAGAIN: the role ended.
runtime::Task<wire::Outcome> Primary::by_itself(wire::Operation operation) {
  Asked asked;
  asked.id = {replica_.self, 0, ++next_request_};
  asked.operation = std::move(operation);
  asked.since = replica_.world.clock.now();
  wire::Outcome outcome;
  if (co_await change(asked, outcome) == Fate::role_over) outcome.error = EAGAIN;
  co_return outcome;
}

runtime::Task<void> Primary::look_for_orphans(std::vector<InodeId> open_there) {
  looked_for_orphans_ = true;
  const Result<std::vector<InodeId>> left = co_await replica_.volume.orphans();
  if (!left) co_return;
  for (const InodeId inode : *left) {
    if (orphans_.contains(inode)) continue;
    const bool there = std::find(open_there.begin(), open_there.end(), inode) != open_there.end();
    orphans_[inode] = {.here = replica_.caches->is_open(inode), .there = there, .answered = true};
    reap_if_closed(inode);
  }
}

runtime::Task<void> Primary::settle_loop() {
  while (co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + options_.settle, stop_)) {
    co_await settle_times();
  }
}

runtime::Task<void> Primary::settle_times() {
  while (ready_.is_set() && !stop_.requested() && !replica_.volume.unsettled(1).empty()) {
    wire::Operation settle;
    settle.kind = wire::OpKind::settle;
    const wire::Outcome outcome = co_await by_itself(std::move(settle));
    if (outcome.error != 0) break;
  }
}

runtime::Task<void> Primary::clear_loop() {
  const Duration every = planted(Planted::clear_suspect_early) ? kClearEvery / 100 : kClearEvery;
  while (co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + every, stop_)) {
    if (in_sync() && replica_.area.suspects().count() > 0) co_await clear_some();
  }
}

/// C6: granules that nobody writes are made stable at both sites; what was not touched meanwhile is equal and stable, so it
/// is not suspect any more. CLEAR travels behind every effect that was made before.
runtime::Task<void> Primary::clear_some() {
  const std::uint64_t session = sessions_;
  const bool idle = committed_with_data_ == std::exchange(looked_at_, committed_with_data_);
  const std::vector<std::uint64_t> granules = replica_.area.suspects().begin_clearing(kClearAtOnce, idle || planted(Planted::clear_suspect_early));
  if (granules.empty()) co_return;
  const Result<> stable = planted(Planted::clear_suspect_early) ? Result<>{} : co_await checkpoint_all(session);
  if (!stable || !in_sync() || over(session)) co_return;
  session_->send(wire::Clear{granules});
  at_end_of_pass();
  const Result<> cleared = co_await replica_.area.suspects().clear(granules);
  if (!cleared) log::warning("clearing suspect bits failed: {}", cleared.error().text);
}

/// What stands beside a write that fills its blocks only in part is to be good.
runtime::Task<Result<>> Primary::repair_edges(std::vector<wire::AreaWrite> writes) {
  Result<> done;
  for (const std::uint64_t block : area::edges_of(writes)) {
    if (done) done = co_await repair({block, 1});
  }
  co_return done;
}

runtime::Task<Result<>> Primary::repair(BlockRange blocks) {
  const runtime::Inside inside(callers_);
  const bool guarded = in_sync() && co_await take_guard(blocks);
  if (!guarded) co_return fail(Errc::unavailable, "the other site is not in sync");
  Result<> done;
  const Result<std::vector<std::uint64_t>> bad = co_await replica_.bad_among(blocks);
  if (!bad) done = std::unexpected(bad.error());
  for (std::size_t i = 0; bad && i < bad->size(); ++i) {
    Result<std::vector<std::byte>> theirs = fail(Errc::unavailable, "the other site is not in sync");
    if (in_sync()) theirs = co_await fetch({(*bad)[i], 1});
    const bool away = !theirs && theirs.error().code == Errc::unavailable;
    if (away) done = std::unexpected(theirs.error());
    if (away) break;
    const Result<> mended = co_await replica_.mend((*bad)[i], std::move(theirs));
    if (!mended) done = mended;
  }
  guard_.release();
  co_return done;
}

runtime::Task<Result<>> Primary::give(std::uint64_t block) {
  const runtime::Inside inside(callers_);
  auto data = std::make_shared<std::vector<std::byte>>(kBlockBytes);
  Result<std::vector<std::uint64_t>> checksums = co_await replica_.read_published({block, 1}, *data);
  if (!checksums) co_return std::unexpected(checksums.error());
  if (!in_sync()) co_return fail(Errc::unavailable, "the other site is not in sync");
  session_->send(wire::Copy{block / wire::kGranuleBlocks, {block, 1}, std::move(*checksums), false}, *data, data);
  session_->flush();
  co_return Result<>{};
}

/// Everything that was made so far is stable at both sites when it returns.
runtime::Task<Result<>> Primary::checkpoint_all(std::uint64_t session) {
  const std::uint64_t number = ++number_;
  session_->send(wire::Checkpoint{number, {}});
  session_->flush();
  co_await replica_.make_stable();
  while (!over(session) && !stop_.requested() && checkpointed_ < number) co_await session_changed_.wait();
  co_return over(session) || stop_.requested() ? gone() : Result<>{};
}

}  // namespace lockstep::controller
