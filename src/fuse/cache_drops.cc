#include "fuse/cache_drops.h"

#include <algorithm>

#include "core/log.h"

namespace lockstep::fuse {

using namespace runtime;
using wire::Drop;

namespace {

/// How long the kernel is given to take a reply that tells it of an object: that needs its caller's thread to run.
constexpr Duration kPatienceForReply = std::chrono::milliseconds(200);
constexpr Duration kFirstPause = std::chrono::microseconds(50);
constexpr Duration kPauseMax = std::chrono::milliseconds(2);

constexpr std::uint64_t kEnd = ~std::uint64_t{0} / kBlockBytes * kBlockBytes;

/// Takes page `at` out of `parts`.
void leave_out(std::vector<ByteRange>& parts, std::uint64_t at) {
  std::vector<ByteRange> left;
  for (const ByteRange& part : parts) {
    if (at + kBlockBytes <= part.offset || at >= part.end()) {
      left.push_back(part);
      continue;
    }
    if (part.offset < at) left.push_back({part.offset, at - part.offset});
    if (at + kBlockBytes < part.end()) left.push_back({at + kBlockBytes, part.end() - at - kBlockBytes});
  }
  parts = std::move(left);
}

}  // namespace

std::vector<ByteRange> without_locked_pages(ByteRange range, std::span<PendingWrite* const> writes) {
  const std::uint64_t from = range.offset / kBlockBytes * kBlockBytes;
  const std::uint64_t end = range.empty() ? kEnd : std::min(kEnd, (range.end() + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  if (from >= end) return {};
  std::vector<ByteRange> parts{{from, end - from}};
  for (const PendingWrite* write : writes) {
    if (!write->buffered || write->from_cache || write->range.empty()) continue;
    if (write->range.offset % kBlockBytes != 0) leave_out(parts, write->range.offset / kBlockBytes * kBlockBytes);
    if (write->range.end() % kBlockBytes != 0) leave_out(parts, write->range.end() / kBlockBytes * kBlockBytes);
  }
  for (ByteRange& part : parts) {
    if (part.end() == kEnd) part.length = 0;
  }
  return parts;
}

bool CacheDrops::now(std::span<const Drop> drops) {
  if (state_.gone) return true;
  bool all = true;
  for (const Drop& drop : drops) all = now(drop) && all;
  return all;
}

bool CacheDrops::now(const Drop& drop) {
  const bool known = state_.inodes.known(drop.inode);
  if (!known) {
    ++state_.counters.drops_needless;
    return true;
  }
  switch (drop.kind) {
    case Drop::Kind::attributes: return attributes_now(drop.inode, false);
    case Drop::Kind::listing: return attributes_now(drop.inode, true);
    case Drop::Kind::pages:
      if (state_.inodes.may_keep_pages(drop.inode, drop.range)) return false;
      return attributes_now(drop.inode, false);
    case Drop::Kind::name:
      if (state_.inodes.may_keep_names(drop.inode)) return false;
      ++state_.counters.drops_needless;
      return true;
  }
  return true;
}

bool CacheDrops::attributes_now(InodeId inode, bool listing) {
  ++(listing ? state_.counters.dropped_listings : state_.counters.dropped_attributes);
  const Dropped outcome = listing ? state_.kernel.drop_listing(inode) : state_.kernel.drop_attributes(inode);
  return outcome != Dropped::unknown || !state_.inodes.known(inode);
}

Task<void> CacheDrops::wait(std::vector<Drop> drops) {
  ++state_.counters.helper_hops;
  for (Drop& drop : drops) {
    if (state_.gone || !state_.inodes.known(drop.inode)) continue;
    switch (drop.kind) {
      case Drop::Kind::attributes: co_await attributes(drop.inode, false); break;
      case Drop::Kind::listing: co_await attributes(drop.inode, true); break;
      case Drop::Kind::pages: co_await pages(drop.inode, drop.range); break;
      case Drop::Kind::name: co_await name(drop.inode, std::move(drop.name)); break;
    }
  }
}

Task<void> CacheDrops::attributes(InodeId inode, bool listing) {
  const Instant deadline = state_.world.clock.now() + kPatienceForReply;
  Duration pause = kFirstPause;
  while (!attributes_now(inode, listing)) {
    ++state_.counters.retries;
    const Instant now = state_.world.clock.now();
    if (now >= deadline || state_.stop.requested()) {
      // With every name looked up again the kernel is told again, too.
      log::warning("inode {}: the kernel was told of it and still does not know it; all names are dropped", inode.value);
      all_names();
      co_return;
    }
    (void)co_await state_.world.clock.sleep_until(now + pause, state_.stop);
    pause = std::min(2 * pause, kPauseMax);
  }
}

Task<void> CacheDrops::pages(InodeId inode, ByteRange range) {
  co_await attributes(inode, false);
  if (!state_.inodes.may_keep_pages(inode, range)) co_return;
  state_.inodes.pages_drop_begins(inode, state_.world.clock.now());
  Activity& activity = state_.inodes.activity(state_.inodes.pin(inode));
  const auto whole = std::make_shared<RunningDrop>(state_.world.scheduler, range);
  activity.drops.push_back(whole.get());
  if (range == ByteRange{}) state_.inodes.pages_dropped(inode);
  for (const PendingWrite* write : activity.writes) {
    if (write->buffered) state_.inodes.pages_kept(inode, write->range);
  }
  for (Event* reader : activity.direct_readers) reader->set();
  writes_.meet_drop(activity, *whole);
  do {
    // A part that waits for a page which a write has locked since ends by itself when that is answered.
    whole->disturbed = false;
    const std::uint32_t round = ++whole->round;
    const std::vector<ByteRange> parts = without_locked_pages(range, activity.writes);
    whole->outstanding = static_cast<std::uint32_t>(parts.size());
    for (const ByteRange& p : parts) {
      ++state_.counters.dropped_pages;
      if (!state_.scope.spawn(part(inode, p, whole, round))) --whole->outstanding;
    }
    while (whole->outstanding != 0 && !whole->disturbed) {
      whole->wake.reset();
      co_await whole->wake.wait();
    }
  } while (whole->disturbed);
  std::erase(activity.drops, whole.get());
  state_.inodes.unpin(inode);
}

Task<void> CacheDrops::part(InodeId inode, ByteRange range, std::shared_ptr<RunningDrop> whole, std::uint32_t round) {
  (void)co_await state_.kernel.drop_pages(inode, range);
  if (round != whole->round) co_return;
  --whole->outstanding;
  whole->wake.set();
}

Task<void> CacheDrops::name(InodeId directory, std::string name) {
  if (!state_.inodes.may_keep_names(directory)) co_return;
  ++state_.counters.dropped_names;
  const Dropped outcome = co_await state_.kernel.drop_name(directory, std::move(name), state_.options.name_patience);
  if (outcome != Dropped::late) co_return;
  ++state_.counters.names_late;
  all_names();
}

void CacheDrops::all_names() {
  ++state_.counters.epochs;
  state_.inodes.all_names_dropped();
  state_.kernel.drop_all_names();
}

}  // namespace lockstep::fuse
