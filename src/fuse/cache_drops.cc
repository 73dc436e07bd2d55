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
/// A drop that was disturbed once may have been so by the first of many.
constexpr Duration kAfterDisturbance = std::chrono::milliseconds(1);
/// A directory that could not be put at its new place: so often again, after pauses that get longer, and no more than so many at once.
constexpr int kPutTries = 12;
constexpr Duration kFirstPutPause = std::chrono::milliseconds(1);
constexpr std::size_t kPutLaterMax = 64;
constexpr Duration kAfterDisturbanceMax = std::chrono::milliseconds(16);
/// When everything is dropped: objects in use at a time, and others in one go.
constexpr std::size_t kDropsAtOnce = 8;
constexpr std::size_t kInABatch = 1024;

constexpr std::uint64_t kEnd = ~std::uint64_t{0} / kBlockBytes * kBlockBytes;

/// Takes the pages that `range` touches out of `parts`.
void leave_out(std::vector<ByteRange>& parts, ByteRange range) {
  const std::uint64_t from = range.offset / kBlockBytes * kBlockBytes;
  const std::uint64_t end = std::min(kEnd, (range.end() + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  std::vector<ByteRange> left;
  for (const ByteRange& part : parts) {
    if (end <= part.offset || from >= part.end()) {
      left.push_back(part);
      continue;
    }
    if (part.offset < from) left.push_back({part.offset, from - part.offset});
    if (end < part.end()) left.push_back({end, part.end() - end});
  }
  parts = std::move(left);
}

}  // namespace

std::vector<ByteRange> without_locked_pages(ByteRange range, std::span<PendingWrite* const> writes) {
  return without_locked_pages(range, writes, {}, 0);
}

std::vector<ByteRange> without_locked_pages(ByteRange range, std::span<PendingWrite* const> writes,
                                            std::span<PendingRead* const> reads, std::uint64_t period) {
  const std::uint64_t from = range.offset / kBlockBytes * kBlockBytes;
  const std::uint64_t end = range.empty() ? kEnd : std::min(kEnd, (range.end() + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  if (from >= end) return {};
  std::vector<ByteRange> parts{{from, end - from}};
  for (const PendingWrite* write : writes) {
    if (!write->buffered || write->from_cache || write->range.empty()) continue;
    if (write->range.offset % kBlockBytes != 0) leave_out(parts, {write->range.offset, 1});
    if (write->range.end() % kBlockBytes != 0) leave_out(parts, {write->range.end(), 1});
  }
  for (const PendingRead* read : reads) {
    if (!read->range.empty() && (read->waits || read->period != period)) leave_out(parts, read->range);
  }
  for (ByteRange& part : parts) {
    if (part.end() == kEnd) part.length = 0;
  }
  return parts;
}

ByteRange end_without_locked_pages(std::uint64_t size, std::span<PendingWrite* const> writes,
                                   std::span<PendingRead* const> reads, std::uint64_t period) {
  if (size == 0) return {};
  const std::uint64_t last = (size - 1) / kBlockBytes * kBlockBytes;
  const std::uint64_t first = last < kGrowBytesMax ? 0 : last - kGrowBytesMax + kBlockBytes;
  const std::vector<ByteRange> free = without_locked_pages({first, size - first}, writes, reads, period);
  if (free.empty()) return {};
  const std::uint64_t from = free.back().empty() ? last : std::max(free.back().offset, free.back().end() - kBlockBytes);
  return {from, size - from};
}

std::optional<std::uint64_t> CacheDrops::size_of(InodeId inode) {
  auto found = state_.volume.attributes(inode);
  if (found.miss() != nullptr) return std::nullopt;
  return found.value() == nullptr ? 0 : found.value()->size;
}

Task<void> CacheDrops::load_size(InodeId inode) {
  for (auto found = state_.volume.attributes(inode); found.miss() != nullptr; found = state_.volume.attributes(inode)) {
    const Result<> loaded = co_await state_.volume.load(std::move(*found.miss()));
    if (!loaded) co_return;  // whoever reads it is told so
  }
}

bool CacheDrops::must_grow(InodeId inode, ByteRange range) {
  if (!state_.inodes.is_open(inode)) return false;
  const std::optional<std::uint64_t> size = size_of(inode);
  return !size || (*size > range.offset && (range.empty() || range.end() >= *size));
}

bool CacheDrops::must_shrink(InodeId inode) {
  const KnownInode* node = state_.inodes.find(inode);
  return node != nullptr && node->cuts != node->cuts_taken && node->opens != 0 && state_.serving.now();
}

Task<void> CacheDrops::shrink_first(InodeId inode) {
  if (!must_shrink(inode)) co_return;
  co_await load_size(inode);
  co_await pages_and_size(inode, {size_of(inode).value_or(0), 0}, false);
}

Task<Dropped> CacheDrops::shrink(InodeId inode) {
  const KnownInode* node = state_.inodes.find(inode);
  const std::uint32_t cuts = node == nullptr ? 0 : node->cuts;
  const Dropped outcome = co_await state_.kernel.shrink(inode, kPatienceForReply);
  if (outcome == Dropped::done) state_.inodes.cut_taken(inode, cuts);
  if (outcome == Dropped::late) ++state_.counters.shrinks_late;
  co_return outcome;
}

bool CacheDrops::now(std::span<const Drop> drops) {
  if (state_.gone) return true;
  bool all = true;
  for (const Drop& drop : drops) all = now(drop) && all;
  return all && moved(drops).empty();
}

bool CacheDrops::now(const Drop& drop) {
  const bool known = state_.inodes.known(drop.inode);
  if (!known) {
    ++state_.counters.drops_needless;
    return true;
  }
  const bool cut = drop.kind == Drop::Kind::pages && drop.range.empty();
  if (cut) state_.inodes.cut(drop.inode);
  switch (drop.kind) {
    case Drop::Kind::attributes: return !must_shrink(drop.inode) && attributes_now(drop.inode, false);
    case Drop::Kind::listing: return attributes_now(drop.inode, true);
    case Drop::Kind::pages:
      if (state_.inodes.may_keep_pages(drop.inode, drop.range) || must_grow(drop.inode, drop.range) || must_shrink(drop.inode)) return false;
      return attributes_now(drop.inode, false);
    case Drop::Kind::name:
      state_.changed_names.changed(drop.inode, drop.name, state_.world.clock.now());
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
  const std::vector<InodeId> directories = moved(drops);
  std::vector<std::pair<InodeId, std::string>> names;
  for (const Drop& drop : drops) {
    if (!directories.empty() && drop.kind == Drop::Kind::name) names.emplace_back(drop.inode, drop.name);
  }
  for (Drop& drop : drops) {
    if (state_.gone || !state_.inodes.known(drop.inode)) continue;
    switch (drop.kind) {
      case Drop::Kind::attributes:
        co_await shrink_first(drop.inode);
        co_await attributes(drop.inode, false);
        break;
      case Drop::Kind::listing: co_await attributes(drop.inode, true); break;
      case Drop::Kind::pages:
        if (!drop.range.empty()) co_await shrink_first(drop.inode);
        co_await pages(drop.inode, drop.range, true);
        break;
      case Drop::Kind::name: co_await name(drop.inode, std::move(drop.name)); break;
    }
  }
  for (const InodeId directory : directories) {
    const bool there = co_await put(directory, names);
    if (there || later_ == kPutLaterMax) continue;
    ++later_;
    if (!state_.scope.spawn(put_later(directory, names))) --later_;
  }
}

std::vector<InodeId> CacheDrops::moved(std::span<const Drop> drops) {
  std::vector<InodeId> directories;
  if (std::ranges::count(drops, Drop::Kind::name, &Drop::kind) < 2) return directories;  // no rename
  for (const Drop& drop : drops) {
    const KnownInode* node = drop.kind == Drop::Kind::attributes ? state_.inodes.find(drop.inode) : nullptr;
    if (node != nullptr && node->directory && node->lookups > 0) directories.push_back(drop.inode);
  }
  return directories;
}

Task<bool> CacheDrops::put(InodeId directory, const std::vector<std::pair<InodeId, std::string>>& names) {
  for (const auto& [parent, name] : names) {
    if (state_.gone || !state_.serving.now() || !state_.inodes.known(directory)) co_return true;
    auto found = state_.volume.lookup(parent, name);
    while (found.miss() != nullptr) {
      const Result<> loaded = co_await state_.volume.load(std::move(*found.miss()));
      if (!loaded) co_return true;  // whoever looks for it is told so
      found = state_.volume.lookup(parent, name);
    }
    if (found.value() == nullptr || found.value()->inode != directory) continue;
    ++state_.counters.directories_put;
    const Dropped outcome = co_await state_.kernel.look_up(parent, name, state_.options.name_patience);
    co_return outcome != Dropped::late;
  }
  co_return true;  // it was moved on, or removed
}

Task<void> CacheDrops::put_later(InodeId directory, std::vector<std::pair<InodeId, std::string>> names) {
  Duration pause = kFirstPutPause;
  for (int i = 0; i < kPutTries; ++i, pause *= 2) {
    const bool slept = co_await state_.world.clock.sleep_until(state_.world.clock.now() + pause, state_.stop);
    if (!slept) break;
    const bool there = co_await put(directory, names);
    if (there) break;
  }
  --later_;
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
      state_.drop_all_names();
      co_return;
    }
    (void)co_await state_.world.clock.sleep_until(now + pause, state_.stop);
    pause = std::min(2 * pause, kPauseMax);
  }
}

Task<void> CacheDrops::pages(InodeId inode, ByteRange range, bool changed) {
  co_await attributes(inode, false);
  if (state_.inodes.is_open(inode)) co_await load_size(inode);
  co_await pages_and_size(inode, range, changed);
}

Task<void> CacheDrops::pages_and_size(InodeId inode, ByteRange range, bool changed) {
  const bool kept = state_.inodes.may_keep_pages(inode, range);
  if (!kept && !must_grow(inode, range) && !must_shrink(inode)) co_return;
  if (kept) state_.inodes.pages_drop_begins(inode, state_.world.clock.now());
  Activity& activity = state_.inodes.activity(state_.inodes.pin(inode));
  const auto whole = std::make_shared<RunningDrop>(state_.world.scheduler, range);
  whole->changed = changed;
  activity.drops.push_back(whole.get());
  if (range == ByteRange{}) state_.inodes.pages_dropped(inode);
  for (const PendingWrite* write : activity.writes) {
    if (write->buffered) state_.inodes.pages_kept(inode, write->range);
  }
  writes_.meet_drop(activity, *whole);
  Duration pause = Duration::zero();
  do {
    // A part that waits for a page which a request has locked since ends by itself when that is answered. It keeps a
    // thread until then: so the next round waits until those who come to the same file, too, have come.
    if (pause != Duration::zero()) (void)co_await state_.world.clock.sleep_until(state_.world.clock.now() + pause, state_.stop);
    if (whole->disturbed) pause = std::clamp(2 * pause, kAfterDisturbance, kAfterDisturbanceMax);
    whole->disturbed = false;
    ++whole->round;
    whole->outstanding = 0;
    const std::uint64_t period = state_.serving.period();
    // Before the pages, whose drop could overtake what hosts are answered. What lies behind the end goes with it, so nobody may hold that.
    if (const ByteRange behind{size_of(inode).value_or(0) / kBlockBytes * kBlockBytes, 0};
        range.empty() && must_shrink(inode) &&
        without_locked_pages(behind, activity.writes, activity.reads, period) == std::vector<ByteRange>{behind}) {
      start(shrink(inode), whole);
      co_await outstanding(*whole);
      if (whole->disturbed) continue;
    }
    std::vector<ByteRange> parts;
    if (kept) parts = without_locked_pages(range, activity.writes, activity.reads, period);
    for (const ByteRange& p : parts) {
      ++state_.counters.dropped_pages;
      start(state_.kernel.drop_pages(inode, p), whole);
    }
    co_await outstanding(*whole);
    // Behind the pages: what one of them holds after the old end must not become readable.
    if (whole->disturbed || !must_grow(inode, range)) continue;
    const ByteRange end = end_without_locked_pages(size_of(inode).value_or(0), activity.writes, activity.reads, period);
    if (end.empty()) continue;
    start(state_.kernel.grow(inode, end), whole);
    co_await outstanding(*whole);
  } while (whole->disturbed);
  std::erase(activity.drops, whole.get());
  state_.inodes.unpin(inode);
}

Task<void> CacheDrops::outstanding(RunningDrop& whole) {
  while (whole.outstanding != 0 && !whole.disturbed) {
    whole.wake.reset();
    co_await whole.wake.wait();
  }
}

void CacheDrops::start(Task<Dropped> notification, const std::shared_ptr<RunningDrop>& whole) {
  ++whole->outstanding;
  if (!state_.scope.spawn(part(std::move(notification), whole, whole->round))) --whole->outstanding;
}

Task<void> CacheDrops::part(Task<Dropped> notification, std::shared_ptr<RunningDrop> whole, std::uint32_t round) {
  (void)co_await std::move(notification);
  if (round != whole->round) co_return;
  --whole->outstanding;
  whole->wake.set();
}

Task<void> CacheDrops::name(InodeId directory, std::string name) {
  if (!state_.inodes.may_keep_names(directory)) co_return;
  ++state_.counters.dropped_names;
  const std::uint64_t change = state_.changed_names.last(directory, name);
  const Dropped outcome = co_await state_.kernel.drop_name(directory, name, state_.options.name_patience);
  if (outcome != Dropped::late) {
    state_.changed_names.dropped(directory, name, change);
    co_return;
  }
  ++state_.counters.names_late;
  state_.inodes.contended(directory, state_.world.clock.now() + state_.options.names_contended);
  state_.drop_all_names();
}

Task<void> CacheDrops::everything() {
  state_.drop_all_names();
  const std::vector<InodeId> known = state_.inodes.all_known();
  std::vector<InodeId> used;
  Scope scope(state_.world.scheduler);
  std::vector<InodeId> batch;
  const auto is_used = [this](InodeId inode) {
    const KnownInode* node = state_.inodes.find(inode);
    return node != nullptr && (node->opens != 0 || node->activity);
  };
  for (const InodeId inode : known) {
    if (is_used(inode)) {
      used.push_back(inode);
    } else {
      batch.push_back(inode);
    }
    if (batch.size() == kInABatch) scope.spawn(unused(std::exchange(batch, {})));
  }
  if (!batch.empty()) scope.spawn(unused(std::move(batch)));
  std::size_t next = 0;
  for (std::size_t i = 0; i < kDropsAtOnce; ++i) scope.spawn(everything_of(used, next));
  co_await scope.join();
  // A listing makes names in the kernel, and keeps itself, when whoever asked for it comes to run: by what is valid then.
  const Instant taken = state_.listing_answered_at + kPatienceForReply;
  if (state_.listing_answered_at == Instant{} || state_.world.clock.now() >= taken) co_return;
  (void)co_await state_.world.clock.sleep_until(taken, state_.stop);
  state_.drop_all_names();
  for (const InodeId inode : known) {
    if (state_.inodes.is_listed(inode)) (void)attributes_now(inode, true);
  }
}

Task<void> CacheDrops::everything_of(const std::vector<InodeId>& inodes, std::size_t& next) {
  while (next < inodes.size() && !state_.gone) {
    const InodeId inode = inodes[next++];
    if (!state_.inodes.known(inode)) continue;
    // Hosts are not served: what it is cut off to is asked for before the next drop.
    if (state_.inodes.is_open(inode)) state_.inodes.cut(inode);
    if (state_.inodes.may_keep_pages(inode, {}) || must_grow(inode, {})) {
      co_await pages(inode, {}, false);
    } else {
      co_await attributes(inode, state_.inodes.is_listed(inode));
    }
  }
}

Task<void> CacheDrops::unused(std::vector<InodeId> inodes) {
  for (const InodeId inode : inodes) state_.inodes.pages_dropped(inode);
  const std::vector<InodeId> unknown = co_await state_.kernel.drop_unused(std::move(inodes));
  for (const InodeId inode : unknown) {
    if (state_.inodes.known(inode)) co_await attributes(inode, state_.inodes.is_listed(inode));
  }
}

}  // namespace lockstep::fuse
