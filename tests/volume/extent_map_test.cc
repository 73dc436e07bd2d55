#include "../catch.h"

#include <algorithm>
#include <map>

#include "sim/prng.h"
#include "volume/extent_map.h"

using namespace lockstep;
using namespace lockstep::volume;

TEST_CASE("neighbours that stand one behind the other become one extent") {
  ExtentMap map;
  map.insert({0, 10, 100, false});
  map.insert({10, 5, 110, false});
  REQUIRE(map.extents() == std::vector<Extent>{{0, 15, 100, false}});
  map.insert({15, 5, 115, true});
  REQUIRE(map.extents().size() == 2);
  REQUIRE(map.runs() == std::vector<Run>{{100, 0, 20}});
}

TEST_CASE("no extent reaches into the next group") {
  ExtentMap map;
  map.insert({0, 10, kGroupBlocks - 10, false});
  map.insert({10, 10, kGroupBlocks, false});
  REQUIRE(map.extents().size() == 2);
  REQUIRE(map.runs().size() == 2);
}

TEST_CASE("taking out the middle leaves both ends") {
  ExtentMap map;
  map.insert({0, 100, 1000, false});
  REQUIRE(map.remove(40, 60) == std::vector<BlockRange>{{1040, 20}});
  REQUIRE(map.extents() == std::vector<Extent>{{0, 40, 1000, false}, {60, 40, 1060, false}});
}

TEST_CASE("random changes agree with a map of single blocks") {
  sim::Prng prng(7);
  for (int round = 0; round < 20; ++round) {
    ExtentMap map;
    std::map<std::uint32_t, std::pair<std::uint64_t, bool>> blocks;  // -> address, unwritten
    std::uint64_t address = kGroupBlocks - 500;
    for (int step = 0; step < 200; ++step) {
      const auto from = static_cast<std::uint32_t>(prng.below(kChunkBlocks));
      const auto to = static_cast<std::uint32_t>(from + 1 + prng.below(std::min<std::uint64_t>(50, kChunkBlocks - from)));
      const bool unwritten = prng.chance(500);
      switch (prng.below(3)) {
        case 0:
          for (const Segment& s : map.segments(from, to)) {
            if (s.mapped) continue;
            for (std::uint32_t b = s.first; b < s.end(); ++b) {
              map.insert({b, 1, address, unwritten});
              blocks[b] = {address++, unwritten};
            }
          }
          break;
        case 1: {
          std::uint64_t removed = 0;
          for (const BlockRange& r : map.remove(from, to)) removed += r.count;
          std::uint64_t expected = 0;
          for (std::uint32_t b = from; b < to; ++b) expected += blocks.erase(b);
          REQUIRE(removed == expected);
          break;
        }
        case 2:
          map.mark(from, to, unwritten);
          for (std::uint32_t b = from; b < to; ++b) {
            if (blocks.contains(b)) blocks[b].second = unwritten;
          }
          break;
      }
    }
    REQUIRE(map.blocks() == blocks.size());
    for (const Segment& s : map.segments(0, kChunkBlocks)) {
      for (std::uint32_t b = s.first; b < s.end(); ++b) {
        REQUIRE(s.mapped == blocks.contains(b));
        if (!s.mapped) continue;
        REQUIRE(blocks[b].first == s.address + (b - s.first));
        REQUIRE(blocks[b].second == s.unwritten);
      }
    }
    const Result<ChunkValue> back = unpack_chunk(pack_chunk({3, map.extents()}), 2 * kGroupBlocks + 100'000);
    REQUIRE(back);
    REQUIRE(back->extents == map.extents());
  }
}

TEST_CASE("runs that changed are those that differ, whole, and nothing of the rest") {
  sim::Prng prng(11);
  for (int round = 0; round < 2000; ++round) {
    // Few addresses, so that much adjoins, is marked, and moves.
    ExtentMap before;
    for (std::uint32_t at = 0; at < 40; ++at) {
      if (prng.below(3) != 0) before.insert({at, 1, 1000 + (prng.below(4) == 0 ? 100 + at * 2 : at), prng.below(3) == 0});
    }
    ExtentMap after = before;
    const auto from = static_cast<std::uint32_t>(prng.below(40)), to = from + 1 + static_cast<std::uint32_t>(prng.below(6));
    if (prng.below(3) == 0) {
      after.mark(from, to, prng.below(2) == 0);
    } else {
      after.remove(from, to);
      for (std::uint32_t at = from; at < to; ++at) {
        if (prng.below(3) != 0) after.insert({at, 1, prng.below(2) == 0 ? 1000 + at : 2000 + at * 2, prng.below(3) == 0});
      }
    }
    const RunChange change = runs_changed(before.extents(), after.extents());
    const std::vector<Run> all_before = before.runs(), all_after = after.runs();
    const auto has = [](const std::vector<Run>& in, const Run& run) { return std::find(in.begin(), in.end(), run) != in.end(); };
    for (const Run& run : change.before) REQUIRE(has(all_before, run));
    for (const Run& run : change.after) REQUIRE(has(all_after, run));
    for (const Run& run : all_before) REQUIRE((has(change.before, run) || has(all_after, run)));
    for (const Run& run : all_after) REQUIRE((has(change.after, run) || has(all_before, run)));
  }
  CHECK(runs_changed({}, {}).before.empty());
}
