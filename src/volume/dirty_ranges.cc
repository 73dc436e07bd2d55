#include "volume/dirty_ranges.h"

#include <algorithm>
#include <limits>

namespace lockstep::volume {
namespace {

constexpr std::size_t kRangesMax = 64;

/// Joins the two neighbours with the smallest gap. Requires: at least two.
void join_nearest(std::vector<ByteRange>& ranges) {
  std::size_t best = 0;
  std::uint64_t gap_min = std::numeric_limits<std::uint64_t>::max();
  for (std::size_t i = 0; i + 1 < ranges.size(); ++i) {
    const std::uint64_t gap = ranges[i + 1].offset - ranges[i].end();
    if (gap < gap_min) {
      gap_min = gap;
      best = i;
    }
  }
  ranges[best].length = ranges[best + 1].end() - ranges[best].offset;
  ranges.erase(ranges.begin() + static_cast<std::ptrdiff_t>(best) + 1);
}

}  // namespace

void DirtyRanges::add(InodeId inode, ByteRange range) {
  std::vector<ByteRange>* known = files_.find(inode);
  if (known == nullptr || range.empty()) return;
  std::vector<ByteRange>& ranges = *known;
  auto at = std::lower_bound(ranges.begin(), ranges.end(), range.offset,
                             [](const ByteRange& r, std::uint64_t offset) { return r.end() < offset; });
  std::uint64_t end = range.end();
  auto last = at;
  while (last != ranges.end() && last->offset <= end) {
    range.offset = std::min(range.offset, last->offset);
    end = std::max(end, last->end());
    ++last;
  }
  range.length = end - range.offset;
  if (at != last) {
    *at = range;
    ranges.erase(at + 1, last);
  } else {
    ranges.insert(at, range);
    if (ranges.size() > kRangesMax) join_nearest(ranges);
  }
}

std::optional<std::vector<ByteRange>> DirtyRanges::of(InodeId inode) {
  if (const std::vector<ByteRange>* known = files_.find(inode)) return *known;
  return std::nullopt;
}

}  // namespace lockstep::volume
