#include "area/unproven.h"

#include <array>

#include "area_world.h"

namespace lockstep::area {
namespace {

using Ranges = std::vector<BlockRange>;

}  // namespace

TEST_CASE("what was added before a sync began is proven by it, what was added later is not") {
  Unproven u(100);
  u.add({10, 10});
  const std::uint64_t first = u.begin();
  u.add({15, 10});
  CHECK(u.proven(Ranges{{0, 100}}, first) == Ranges{{0, 15}, {25, 75}});
  CHECK(u.proven(Ranges{{12, 1}, {14, 3}, {20, 60}}, first) == Ranges{{12, 1}, {14, 1}});
  const std::uint64_t second = u.begin();
  CHECK(u.proven(Ranges{{0, 100}}, second) == Ranges{{0, 100}});
  u.remove({12, 5});
  CHECK(u.proven(Ranges{{0, 12}, {12, 5}, {24, 10}}, second) == Ranges{{0, 12}, {24, 10}});
  CHECK(u.any(Ranges{{11, 1}}));
  CHECK_FALSE(u.any(Ranges{{12, 5}, {25, 75}, {0, 10}}));
}

TEST_CASE("a file that grows is one interval") {
  Unproven u(100'000);
  for (std::uint64_t block = 50'000; block > 40'000; --block) u.add({block, 1});
  for (std::uint64_t block = 50'001; block < 60'000; ++block) u.add({block, 1});
  CHECK(u.intervals() == 1);
}

TEST_CASE("too many intervals become one: blocks too many, never too few") {
  const std::uint64_t blocks = 3 * Unproven::kIntervalsMax;
  Unproven u(blocks);
  for (std::uint64_t i = 0; i <= Unproven::kIntervalsMax; ++i) u.add({2 * i, 1});
  CHECK(u.intervals() == 1);
  CHECK(u.any(Ranges{{1, 1}}));
  CHECK(u.proven(Ranges{{0, blocks}}, u.begin()) == Ranges{{0, blocks}});
}

TEST_CASE("random calls of a set of new blocks do what an array does") {
  constexpr std::uint64_t kBlocks = 64;
  constexpr std::uint64_t kNone = UINT64_MAX;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    sim::Prng prng(seed);
    Unproven u(kBlocks);
    std::array<std::uint64_t, kBlocks> model{};
    model.fill(kNone);
    std::uint64_t round = 0;
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t first = prng.below(kBlocks);
      const BlockRange range{first, prng.below(kBlocks - first + 1)};
      const std::uint64_t what = prng.below(4);
      if (what == 0) {
        round = u.begin();
      } else if (what == 1 && range.count > 0) {
        u.remove(range);
      } else if (what >= 2) {
        u.add(range);
      }
      for (std::uint64_t b = range.first; b < range.end(); ++b) {
        if (what == 1) model.at(b) = kNone;
        if (what >= 2) model.at(b) = round;
      }
      std::array<bool, kBlocks> found{};
      bool any_old = false;
      for (const BlockRange& r : u.proven(Ranges{{0, kBlocks}}, round)) {
        for (std::uint64_t b = r.first; b < r.end(); ++b) {
          REQUIRE_FALSE(found.at(b));
          found.at(b) = true;
        }
      }
      for (const std::uint64_t added : model) any_old = any_old || (added != kNone && added < round);
      for (std::uint64_t b = 0; b < kBlocks; ++b) {
        REQUIRE(found.at(b) == (any_old && (model.at(b) == kNone || model.at(b) < round)));
        REQUIRE(u.any(Ranges{{b, 1}}) == (model.at(b) != kNone));
      }
    }
  }
}

}  // namespace lockstep::area
