#include "area/unproven.h"

#include <algorithm>
#include <iterator>

#include "core/check.h"

namespace lockstep::area {

Unproven::Intervals::const_iterator Unproven::behind(std::uint64_t block) const {
  auto it = intervals_.upper_bound(block);
  if (it != intervals_.begin() && std::prev(it)->second.end > block) --it;
  return it;
}

void Unproven::remove(BlockRange blocks) {
  auto it = behind(blocks.first);
  while (it != intervals_.end() && it->first < blocks.end()) {
    const auto [first, interval] = *it;
    it = intervals_.erase(it);
    if (first < blocks.first) intervals_.emplace(first, Interval{blocks.first, interval.round});
    if (interval.end > blocks.end()) it = intervals_.emplace(blocks.end(), Interval{interval.end, interval.round}).first;
  }
}

void Unproven::add(BlockRange blocks) {
  CHECK(blocks.first <= blocks_ && blocks.count <= blocks_ - blocks.first);
  if (blocks.count == 0) return;
  remove(blocks);
  auto it = intervals_.emplace(blocks.first, Interval{blocks.end(), round_}).first;
  if (const auto next = std::next(it); next != intervals_.end() && next->first == it->second.end && next->second.round == round_) {
    it->second.end = next->second.end;
    intervals_.erase(next);
  }
  if (it != intervals_.begin()) {
    const auto before = std::prev(it);
    if (before->second.end == it->first && before->second.round == round_) {
      before->second.end = it->second.end;
      intervals_.erase(it);
    }
  }
  if (intervals_.size() <= kIntervalsMax) return;
  intervals_.clear();
  intervals_.emplace(0, Interval{blocks_, round_});
}

bool Unproven::any(std::span<const BlockRange> ranges) const {
  return std::ranges::any_of(ranges, [this](const BlockRange& r) {
    const auto it = behind(r.first);
    return it != intervals_.end() && it->first < r.end();
  });
}

std::vector<BlockRange> Unproven::proven(std::span<const BlockRange> ranges, std::uint64_t round) const {
  std::vector<BlockRange> out;
  for (const BlockRange& r : ranges) {
    const std::size_t before = out.size();
    bool any_old = false;
    std::uint64_t from = r.first;
    const auto upto = [&](std::uint64_t end) {
      if (from < end) out.push_back({from, end - from});
    };
    for (auto it = behind(r.first); it != intervals_.end() && it->first < r.end(); ++it) {
      if (it->second.round < round) {
        any_old = true;
        continue;
      }
      upto(it->first);
      from = it->second.end;
    }
    upto(r.end());
    if (!any_old) out.resize(before);
  }
  return out;
}

}  // namespace lockstep::area
