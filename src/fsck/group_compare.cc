#include "fsck/group_compare.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "core/checksum.h"

namespace lockstep::fsck {
namespace {

/// Stretches of runs that overlap, joined; sorted.
using Contested = std::vector<BlockRange>;

bool touches(const Contested& contested, const OwnedRun& run) {
  const BlockRange range{run.address, std::max<std::uint64_t>(run.owner.count, 1)};
  const auto behind = std::ranges::lower_bound(contested, range.end(), {}, &BlockRange::first);
  return behind != contested.begin() && std::prev(behind)->overlaps(range);
}

/// The runs that overlap another, as stretches; and what is found on the way. Requires: sorted.
Contested find_overlaps(const std::vector<OwnedRun>& extents, GroupVerdict& verdict) {
  Contested contested;
  const OwnedRun* farthest = nullptr;
  for (const OwnedRun& run : extents) {
    if (farthest != nullptr && run.address < farthest->end()) {
      verdict.overlaps.push_back({*farthest, run});
      const std::uint64_t end = std::max(farthest->end(), run.end());
      if (!contested.empty() && contested.back().end() > farthest->address) {
        contested.back().count = std::max(contested.back().end(), end) - contested.back().first;
      } else {
        contested.push_back({farthest->address, end - farthest->address});
      }
      verdict.allocated += run.end() > farthest->end() ? run.end() - farthest->end() : 0;
    } else {
      verdict.allocated += run.owner.count;
    }
    if (farthest == nullptr || run.end() > farthest->end()) farthest = &run;
  }
  return contested;
}

}  // namespace

std::uint64_t digest_of(const OwnedRun& run) {
  const std::array<std::uint64_t, 4> numbers{run.address, run.owner.inode.value, run.owner.file_block, run.owner.count};
  return checksum(std::as_bytes(std::span(numbers)));
}

GroupVerdict compare_group(std::vector<OwnedRun> extents, std::vector<OwnedRun> reverse) {
  const auto order = [](const OwnedRun& run) { return std::tuple(run.address, run.owner.inode, run.owner.file_block); };
  std::ranges::sort(extents, {}, order);
  std::ranges::sort(reverse, {}, order);
  GroupVerdict verdict;
  const Contested contested = find_overlaps(extents, verdict);
  auto there = reverse.begin();
  const auto stray = [&](const OwnedRun& run) {
    if (!touches(contested, run)) verdict.stray.push_back(run);
  };
  for (const OwnedRun& run : extents) {
    for (; there != reverse.end() && there->address < run.address; ++there) stray(*there);
    const bool same_place = there != reverse.end() && there->address == run.address;
    if (!touches(contested, run) && !(same_place && *there == run))
      verdict.missing.push_back({run, same_place, same_place ? *there : OwnedRun{}});
    if (same_place) ++there;
  }
  for (; there != reverse.end(); ++there) stray(*there);
  return verdict;
}

}  // namespace lockstep::fsck
