// The blocks of a group: all small cases against a plain count of blocks.
#include <map>

#include "../catch.h"
#include "fsck/group_compare.h"
#include "sim/prng.h"

using namespace lockstep;
using namespace lockstep::fsck;

namespace {

OwnedRun run(std::uint64_t address, std::uint32_t count, std::uint64_t inode = 1, std::uint64_t file_block = 0) {
  return {address, {InodeId{inode}, file_block, count}};
}

}  // namespace

TEST_CASE("equal runs are sound, in whatever order") {
  const GroupVerdict verdict = compare_group({run(5, 2), run(0, 3)}, {run(0, 3), run(5, 2)});
  REQUIRE(verdict.overlaps.empty());
  REQUIRE(verdict.missing.empty());
  REQUIRE(verdict.stray.empty());
  REQUIRE(verdict.allocated == 5);
}

TEST_CASE("what is missing, different or stray is told apart") {
  const GroupVerdict verdict = compare_group({run(0, 3), run(5, 2), run(9, 1)}, {run(5, 2, 7), run(7, 1), run(9, 1)});
  REQUIRE(verdict.missing.size() == 2);
  REQUIRE(verdict.missing[0].run == run(0, 3));
  REQUIRE_FALSE(verdict.missing[0].other);
  REQUIRE(verdict.missing[1].run == run(5, 2));
  REQUIRE(verdict.missing[1].other);
  REQUIRE(verdict.missing[1].there == run(5, 2, 7));
  REQUIRE(verdict.stray == std::vector{run(7, 1)});
}

TEST_CASE("the sum of digests tells runs apart in every part") {
  const std::uint64_t it = digest_of(run(1, 2, 3, 4));
  REQUIRE(it != digest_of(run(9, 2, 3, 4)));
  REQUIRE(it != digest_of(run(1, 9, 3, 4)));
  REQUIRE(it != digest_of(run(1, 2, 9, 4)));
  REQUIRE(it != digest_of(run(1, 2, 3, 9)));
}

TEST_CASE("random runs: blocks count once, and what is reported as overlapping is") {
  sim::Prng prng(7);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<OwnedRun> extents, reverse;
    std::map<std::uint64_t, int> blocks;
    const std::uint64_t n = prng.below(6);
    for (std::uint64_t i = 0; i < n; ++i) {
      const OwnedRun it = run(prng.below(20), 1 + static_cast<std::uint32_t>(prng.below(4)), i + 1);
      extents.push_back(it);
      if (prng.chance(800)) reverse.push_back(it);
      for (std::uint64_t b = it.address; b < it.end(); ++b) ++blocks[b];
    }
    const GroupVerdict verdict = compare_group(extents, reverse);
    REQUIRE(verdict.allocated == blocks.size());
    const bool shared = std::ranges::any_of(blocks, [](const auto& b) { return b.second > 1; });
    REQUIRE(verdict.overlaps.empty() == !shared);
    for (const GroupVerdict::Overlap& overlap : verdict.overlaps)
      REQUIRE((overlap.second.address < overlap.first.end() && overlap.first.address <= overlap.second.address));
    if (!shared) {
      REQUIRE(verdict.missing.size() == extents.size() - reverse.size());
      REQUIRE(verdict.stray.empty());
    }
  }
}
