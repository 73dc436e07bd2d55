#include "area/allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "area/bitmap.h"
#include "core/check.h"

namespace lockstep::area {
namespace {

constexpr BlockRange overlap(BlockRange a, BlockRange b) {
  const std::uint64_t first = std::max(a.first, b.first);
  const std::uint64_t end = std::min(a.end(), b.end());
  return first < end ? BlockRange{first, end - first} : BlockRange{};
}

std::unexpected<Error> corrupt(std::string text) { return fail(Errc::corrupt, "free space: " + text); }

}  // namespace

template <class F>
Result<> Allocator::each_group(BlockRange range, F f) {
  while (range.count > 0) {
    const std::uint64_t n = std::min(range.count, kGroupBlocks - range.first % kGroupBlocks);
    if (Result<> done = f(BlockRange{range.first, n}); !done) return done;
    range = {range.first + n, range.count - n};
  }
  return {};
}

Result<Allocator> Allocator::make(std::uint64_t blocks, std::span<const std::uint64_t> free, std::size_t known_max) {
  CHECK(known_max > kRangesMax + kContiguousTries);
  Allocator out;
  out.blocks_ = blocks;
  out.known_max_ = known_max;
  const std::uint64_t groups = blocks / kGroupBlocks + (blocks % kGroupBlocks != 0 ? 1 : 0);
  if (free.size() != groups) return corrupt(fmt::format("counters of {} groups, but there are {}", free.size(), groups));
  out.groups_.resize(groups);
  for (std::uint64_t g = 0; g < groups; ++g) {
    if (free[g] > out.group_blocks(g).count) {
      return corrupt(fmt::format("{} blocks of group {} are counted as free, but it has {}", free[g], g,
                                 out.group_blocks(g).count));
    }
    out.groups_[g].free = static_cast<std::uint32_t>(free[g]);
    out.total_free_ += free[g];
  }
  out.total_usable_ = out.total_free_;
  return out;
}

BlockRange Allocator::group_blocks(std::uint64_t group) const {
  CHECK(group < groups_.size());
  const std::uint64_t first = group * kGroupBlocks;
  return {first, std::min(kGroupBlocks, blocks_ - first)};
}

// --- loading ---------------------------------------------------------------------------------------------------------

bool Allocator::group_known(std::uint64_t group) const {
  CHECK(group < groups_.size());
  return groups_[group].busy != nullptr;
}

void Allocator::begin_load(std::uint64_t group) {
  CHECK(group < groups_.size());
  ++loading_[group].loads;
}

void Allocator::cancel_load(std::uint64_t group) {
  const auto it = loading_.find(group);
  CHECK(it != loading_.end());
  if (--it->second.loads == 0) loading_.erase(it);
}

void Allocator::note_loading(BlockRange part, bool allocated) {
  if (loading_.empty()) return;
  if (const auto it = loading_.find(group_of(part.first)); it != loading_.end()) it->second.marks.emplace_back(part, allocated);
}

Result<> Allocator::load_group(std::uint64_t group, std::span<const BlockRange> allocated) {
  const auto loading = loading_.find(group);
  CHECK(loading != loading_.end());
  if (group_known(group)) {
    cancel_load(group);
    return {};
  }
  const BlockRange all = group_blocks(group);
  auto busy = std::make_unique<Bitmap>();
  const auto bits = [&](BlockRange range) { return std::pair(range.first - all.first, range.end() - all.first); };
  Result<> good;
  for (const BlockRange& range : allocated) {
    if (range.first < all.first || range.first >= all.end() || range.count > all.end() - range.first) {
      good = corrupt(fmt::format("{} blocks from {} on are allocated, but not in group {}", range.count, range.first, group));
      break;
    }
    const auto [from, to] = bits(range);
    if (bitmap::next_set(*busy, from, to) != to) {
      good = corrupt(fmt::format("block {} is allocated twice", all.first + bitmap::next_set(*busy, from, to)));
      break;
    }
    bitmap::set(*busy, from, to);
  }
  for (const auto& [range, taken] : loading->second.marks) {
    const auto [from, to] = bits(range);
    if (taken) bitmap::set(*busy, from, to);
    if (!taken) bitmap::clear(*busy, from, to);
  }
  cancel_load(group);
  if (!good) return good;
  const std::uint64_t free = all.count - bitmap::count(*busy);
  if (free != groups_[group].free) {
    return corrupt(fmt::format("{} blocks of group {} are counted as free, {} are", groups_[group].free, group, free));
  }
  bitmap::set(*busy, all.count, kGroupBlocks);
  for (auto it = first_held(all); it != held_.end() && it->first < all.end(); ++it) {
    const auto [from, to] = bits({it->first, it->second.end - it->first});
    bitmap::set(*busy, from, to);
  }
  evict();
  groups_[group].busy = std::move(busy);
  known_.push_back(group);
  return {};
}

void Allocator::evict() {
  if (known_.size() < known_max_) return;
  groups_[known_.front()].busy.reset();
  known_.pop_front();
}

// --- held blocks -----------------------------------------------------------------------------------------------------

Allocator::HeldMap::const_iterator Allocator::first_held(BlockRange range) const {
  auto it = held_.upper_bound(range.first);
  if (it != held_.begin() && std::prev(it)->second.end > range.first) --it;
  return it;
}

void Allocator::split_held(std::uint64_t block) {
  auto it = held_.lower_bound(block);
  if (it == held_.begin()) return;
  --it;
  if (it->second.end <= block) return;
  Held behind = it->second;
  it->second.end = block;
  held_.emplace_hint(std::next(it), block, behind);
}

// --- marking ---------------------------------------------------------------------------------------------------------

Result<> Allocator::validate(BlockRange range, const char* what) const {
  if (range.count > 0 && range.first < blocks_ && range.count <= blocks_ - range.first) return {};
  return corrupt(fmt::format("{} blocks from {} on are to be {}, but the area has {}", range.count, range.first, what, blocks_));
}

Result<> Allocator::may_allocate(BlockRange part) const {
  const Group& group = groups_[group_of(part.first)];
  const std::uint64_t base = group_of(part.first) * kGroupBlocks;
  std::uint64_t new_blocks = part.count;
  std::uint64_t at = part.first;
  const auto unheld_is_free = [&](std::uint64_t from, std::uint64_t to) -> Result<> {
    if (!group.busy || from >= to) return {};
    const std::uint64_t taken = bitmap::next_set(*group.busy, from - base, to - base);
    if (taken == to - base) return {};
    return corrupt(fmt::format("block {} is to be allocated, but is allocated already", base + taken));
  };
  for (auto it = first_held(part); it != held_.end() && it->first < part.end(); ++it) {
    const BlockRange held = overlap(part, {it->first, it->second.end - it->first});
    if (it->second.allocated) return corrupt(fmt::format("block {} is to be allocated, but is allocated already", held.first));
    if (Result<> good = unheld_is_free(at, held.first); !good) return good;
    at = held.end();
    new_blocks -= held.count;
  }
  if (Result<> good = unheld_is_free(at, part.end()); !good) return good;
  if (new_blocks > group.free - group.held) {
    return corrupt(fmt::format("{} blocks from {} on are to be allocated, but {} of the group are free", part.count, part.first,
                               group.free));
  }
  return {};
}

Result<> Allocator::mark_allocated(BlockRange range) {
  if (Result<> good = validate(range, "allocated"); !good) return good;
  if (Result<> good = each_group(range, [this](BlockRange part) { return may_allocate(part); }); !good) return good;
  split_held(range.first);
  split_held(range.end());
  return each_group(range, [this](BlockRange part) -> Result<> {
    Group& group = groups_[group_of(part.first)];
    std::uint64_t of_held = 0;
    for (auto it = held_.lower_bound(part.first); it != held_.end() && it->first < part.end(); ++it) {
      it->second.allocated = true;
      of_held += it->second.end - it->first;
    }
    group.free -= static_cast<std::uint32_t>(part.count);
    group.held -= static_cast<std::uint32_t>(of_held);
    total_free_ -= part.count;
    total_usable_ -= part.count - of_held;
    if (group.busy) {
      const std::uint64_t at = part.first % kGroupBlocks;
      bitmap::set(*group.busy, at, at + part.count);
    }
    note_loading(part, true);
    cursor_ = part.end();
    return {};
  });
}

Result<> Allocator::may_free(BlockRange part) const {
  const std::uint64_t g = group_of(part.first);
  const Group& group = groups_[g];
  if (part.count > group_blocks(g).count - group.free) {
    return corrupt(fmt::format("{} blocks from {} on are to be freed, but fewer of the group are allocated", part.count,
                               part.first));
  }
  for (auto it = first_held(part); it != held_.end() && it->first < part.end(); ++it) {
    if (!it->second.allocated)
      return corrupt(fmt::format("block {} is to be freed, but is free already", std::max(it->first, part.first)));
  }
  if (!group.busy) return {};
  const std::uint64_t at = part.first % kGroupBlocks;
  const std::uint64_t clear = bitmap::next_clear(*group.busy, at, at + part.count);
  if (clear == at + part.count) return {};
  return corrupt(fmt::format("block {} is to be freed, but is free already", g * kGroupBlocks + clear));
}

Result<> Allocator::mark_freed(BlockRange range) {
  if (Result<> good = validate(range, "freed"); !good) return good;
  if (Result<> good = each_group(range, [this](BlockRange part) { return may_free(part); }); !good) return good;
  split_held(range.first);
  split_held(range.end());
  return each_group(range, [this](BlockRange part) -> Result<> {
    Group& group = groups_[group_of(part.first)];
    group.free += static_cast<std::uint32_t>(part.count);
    group.held += static_cast<std::uint32_t>(part.count);
    total_free_ += part.count;
    note_loading(part, false);
    std::uint64_t at = part.first;
    auto it = held_.lower_bound(at);
    while (at < part.end()) {
      if (it == held_.end() || it->first >= part.end()) {
        held_.emplace_hint(it, at, Held{part.end(), 1, false});
        break;
      }
      if (it->first > at) held_.emplace_hint(it, at, Held{it->first, 1, false});
      ++it->second.holds;
      it->second.allocated = false;
      at = it->second.end;
      ++it;
    }
    return {};
  });
}

void Allocator::release(BlockRange range) {
  CHECK(validate(range, "released").has_value());
  split_held(range.first);
  split_held(range.end());
  std::uint64_t at = range.first;
  for (auto it = held_.lower_bound(at); at < range.end();) {
    CHECK(it != held_.end() && it->first == at && it->second.holds > 0);
    at = it->second.end;
    if (--it->second.holds > 0) {
      ++it;
      continue;
    }
    if (!it->second.allocated) {
      Group& group = groups_[group_of(it->first)];
      const std::uint64_t n = it->second.end - it->first;
      group.held -= static_cast<std::uint32_t>(n);
      total_usable_ += n;
      const std::uint64_t bit = it->first % kGroupBlocks;
      if (group.busy) bitmap::clear(*group.busy, bit, bit + n);
    }
    it = held_.erase(it);
  }
}

// --- choosing --------------------------------------------------------------------------------------------------------

std::uint64_t Allocator::usable_without(std::uint64_t group, std::span<const BlockRange> without) const {
  std::uint64_t n = usable(group);
  if (n == 0) return 0;
  for (const BlockRange& range : without) n -= std::min(n, overlap(range, group_blocks(group)).count);
  return n;
}

const Allocator::Bitmap* Allocator::view(std::uint64_t group, std::span<const BlockRange> without, Bitmap& copy) const {
  const Bitmap* busy = groups_[group].busy.get();
  for (const BlockRange& range : without) {
    const BlockRange part = overlap(range, group_blocks(group));
    if (part.count == 0) continue;
    if (busy != &copy) {
      copy = *busy;
      busy = &copy;
    }
    const std::uint64_t at = part.first % kGroupBlocks;
    bitmap::set(copy, at, at + part.count);
  }
  return busy;
}

std::optional<Allocator::Allocation> Allocator::contiguous(const Request& request, std::uint64_t goal) const {
  const std::uint64_t n = request.count;
  if (n > kGroupBlocks) return std::nullopt;
  Bitmap copy;
  std::size_t tries = 0;
  const std::size_t groups = std::min<std::size_t>(groups_.size(), kContiguousGroups);
  for (std::size_t i = 0; i < groups && tries < kContiguousTries; ++i) {
    const std::uint64_t g = (group_of(goal) + i) % groups_.size();
    if (usable_without(g, request.without) < n) continue;
    if (!groups_[g].busy) return LoadGroup{g};
    ++tries;
    const Bitmap* busy = view(g, request.without, copy);
    std::optional<std::uint64_t> at;
    if (i == 0) at = bitmap::find_clear(*busy, goal % kGroupBlocks, kGroupBlocks, n);
    if (!at) at = bitmap::find_clear(*busy, 0, kGroupBlocks, n);
    if (at) return Ranges{{g * kGroupBlocks + *at, n}};
  }
  return std::nullopt;
}

Allocator::Allocation Allocator::scattered(const Request& request, std::uint64_t goal) const {
  Ranges out;
  std::uint64_t left = request.count;
  Bitmap copy;
  // The goal's group comes twice: from the goal on, and at the end of the round up to the goal.
  for (std::size_t i = 0; i <= groups_.size(); ++i) {
    const std::uint64_t g = (group_of(goal) + i) % groups_.size();
    if (usable_without(g, request.without) == 0) continue;
    if (!groups_[g].busy) return LoadGroup{g};
    const Bitmap* busy = view(g, request.without, copy);
    std::uint64_t at = i == 0 ? goal % kGroupBlocks : 0;
    const std::uint64_t end = i == groups_.size() ? goal % kGroupBlocks : kGroupBlocks;
    while ((at = bitmap::next_clear(*busy, at, end)) != end) {
      const std::uint64_t n = std::min(left, bitmap::next_set(*busy, at, end) - at);
      out.push_back({g * kGroupBlocks + at, n});
      left -= n;
      at += n;
      if (left == 0 || out.size() == request.ranges_max) return out;
    }
  }
  CHECK(left == 0);
  return out;
}

Allocator::Allocation Allocator::allocate(const Request& request) const {
  CHECK(request.count > 0 && request.ranges_max > 0 && request.ranges_max <= kRangesMax);
  std::uint64_t planned = 0;
  for (const BlockRange& range : request.without) planned += range.count;
  const std::uint64_t usable = total_usable_ - std::min(total_usable_, planned);
  if (request.count > usable) return NoSpace{usable, total_free_ - total_usable_};
  std::uint64_t goal = request.goal.value_or(cursor_);
  if (goal >= blocks_) goal = 0;
  if (std::optional<Allocation> found = contiguous(request, goal)) return *found;
  return scattered(request, goal);
}

void Allocator::check_invariants() const {
  std::uint64_t free = 0;
  std::uint64_t usable_sum = 0;
  std::vector<std::uint64_t> held(groups_.size());
  std::uint64_t behind = 0;
  for (const auto& [first, stretch] : held_) {
    CHECK(first >= behind && first < stretch.end && stretch.end <= blocks_ && stretch.holds > 0);
    CHECK(group_of(first) == group_of(stretch.end - 1));
    behind = stretch.end;
    if (!stretch.allocated) held[group_of(first)] += stretch.end - first;
  }
  std::size_t known = 0;
  for (std::uint64_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    CHECK(group.held == held[g] && group.held <= group.free && group.free <= group_blocks(g).count);
    free += group.free;
    usable_sum += usable(g);
    if (!group.busy) continue;
    ++known;
    CHECK(kGroupBlocks - bitmap::count(*group.busy) == usable(g));
  }
  CHECK(free == total_free_ && usable_sum == total_usable_ && known == known_.size() && known <= known_max_);
}

}  // namespace lockstep::area
