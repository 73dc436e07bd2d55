#include "volume/extent_map.h"

#include <algorithm>

#include "core/check.h"

namespace lockstep::volume {
namespace {

/// `b` goes on where `a` ends, in the file and in the area, within one group.
template <class E>
bool adjoins(const E& a, const E& b) {
  return a.first + a.count == b.first && a.address + a.count == b.address && b.address % kGroupBlocks != 0;
}

}  // namespace

ExtentMap::ExtentMap(std::vector<Extent> extents) : extents_(std::move(extents)) {}

std::uint64_t ExtentMap::blocks() const {
  std::uint64_t sum = 0;
  for (const Extent& e : extents_) sum += e.count;
  return sum;
}

std::vector<Segment> ExtentMap::segments(std::uint32_t from, std::uint32_t to) const {
  std::vector<Segment> found;
  auto e = std::upper_bound(extents_.begin(), extents_.end(), from, [](std::uint32_t b, const Extent& x) { return b < x.end(); });
  while (from < to) {
    if (e == extents_.end() || e->first >= to) {
      found.push_back({from, to - from, 0, false, false});
      break;
    }
    if (e->first > from) {
      found.push_back({from, e->first - from, 0, false, false});
      from = e->first;
    }
    const std::uint32_t end = std::min(to, e->end());
    found.push_back({from, end - from, e->address + (from - e->first), true, e->unwritten});
    from = end;
    ++e;
  }
  return found;
}

std::vector<BlockRange> ExtentMap::remove(std::uint32_t from, std::uint32_t to) {
  std::vector<BlockRange> removed;
  std::vector<Extent> left;
  left.reserve(extents_.size() + 1);
  for (const Extent& e : extents_) {
    const std::uint32_t first = std::max(e.first, from), end = std::min(e.end(), to);
    if (first >= end) {
      left.push_back(e);
      continue;
    }
    removed.push_back({e.address + (first - e.first), end - first});
    if (e.first < first) left.push_back({e.first, first - e.first, e.address, e.unwritten});
    if (end < e.end()) left.push_back({end, e.end() - end, e.address + (end - e.first), e.unwritten});
  }
  extents_ = std::move(left);
  return removed;
}

void ExtentMap::insert(const Extent& extent) {
  CHECK(extent.count > 0 && extent.end() <= kChunkBlocks);
  CHECK(extent.address / kGroupBlocks == (extent.address + extent.count - 1) / kGroupBlocks);
  const auto place = std::upper_bound(extents_.begin(), extents_.end(), extent.first,
                                      [](std::uint32_t b, const Extent& x) { return b < x.first; });
  CHECK(place == extents_.begin() || (place - 1)->end() <= extent.first);
  CHECK(place == extents_.end() || extent.end() <= place->first);
  extents_.insert(place, extent);
  normalize();
}

void ExtentMap::mark(std::uint32_t from, std::uint32_t to, bool unwritten) {
  std::vector<Extent> marked;
  marked.reserve(extents_.size() + 2);
  for (const Extent& e : extents_) {
    const std::uint32_t first = std::max(e.first, from), end = std::min(e.end(), to);
    if (first >= end || e.unwritten == unwritten) {
      marked.push_back(e);
      continue;
    }
    if (e.first < first) marked.push_back({e.first, first - e.first, e.address, e.unwritten});
    marked.push_back({first, end - first, e.address + (first - e.first), unwritten});
    if (end < e.end()) marked.push_back({end, e.end() - end, e.address + (end - e.first), e.unwritten});
  }
  extents_ = std::move(marked);
  normalize();
}

void ExtentMap::normalize() {
  std::size_t last = 0;
  for (std::size_t i = 1; i < extents_.size(); ++i) {
    if (extents_[last].unwritten == extents_[i].unwritten && adjoins(extents_[last], extents_[i])) {
      extents_[last].count += extents_[i].count;
    } else {
      extents_[++last] = extents_[i];
    }
  }
  if (!extents_.empty()) extents_.resize(last + 1);
}

std::vector<Run> runs_of(std::span<const Extent> extents) {
  std::vector<Run> found;
  found.reserve(extents.size());
  for (const Extent& e : extents) {
    const Run run{e.address, e.first, e.count};
    if (!found.empty() && adjoins(found.back(), run)) {
      found.back().count += run.count;
    } else {
      found.push_back(run);
    }
  }
  const auto lower = [](const Run& a, const Run& b) { return a.address < b.address; };
  if (!std::is_sorted(found.begin(), found.end(), lower)) std::sort(found.begin(), found.end(), lower);
  return found;
}

RunChange runs_changed(std::span<const Extent> before, std::span<const Extent> after) {
  const std::size_t shorter = std::min(before.size(), after.size());
  std::size_t front = 0, back = 0;
  while (front < shorter && before[front] == after[front]) ++front;
  while (back < shorter - front && before[before.size() - 1 - back] == after[after.size() - 1 - back]) ++back;
  // A run may reach from what is the same into what is not, in either of them.
  const auto joins = [](std::span<const Extent> extents, std::size_t at) {
    return at > 0 && at < extents.size() && adjoins(extents[at - 1], extents[at]);
  };
  while (joins(before, front) || joins(after, front)) --front;
  while (back > 0 && (joins(before, before.size() - back) || joins(after, after.size() - back))) --back;
  return {runs_of(before.subspan(front, before.size() - front - back)), runs_of(after.subspan(front, after.size() - front - back))};
}

}  // namespace lockstep::volume
