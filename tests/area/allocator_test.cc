#include "area/allocator.h"

#include <algorithm>
#include <set>

#include "area/bitmap.h"
#include "area_world.h"

namespace lockstep::area {
namespace {

/// All free.
Allocator make(std::uint64_t blocks, std::size_t known_max = Allocator::kKnownGroupsMax) {
  std::vector<std::uint64_t> free;
  for (std::uint64_t at = 0; at < blocks; at += kGroupBlocks) free.push_back(std::min(kGroupBlocks, blocks - at));
  auto made = Allocator::make(blocks, free, known_max);
  REQUIRE(made);
  return std::move(*made);
}

/// The same, with all groups known.
Allocator make_known(std::uint64_t blocks) {
  Allocator a = make(blocks);
  for (std::uint64_t g = 0; g < a.groups(); ++g) {
    a.begin_load(g);
    REQUIRE(a.load_group(g, {}));
  }
  return a;
}

Allocator::Ranges ranges(const Allocator::Allocation& a) {
  REQUIRE(std::holds_alternative<Allocator::Ranges>(a));
  return std::get<Allocator::Ranges>(a);
}

/// A byte for each block, and nothing clever.
struct Naive {
  struct Block {
    bool allocated = false;
    int holds = 0;
  };
  explicit Naive(std::uint64_t n) : blocks(n) {}
  [[nodiscard]] bool usable(std::uint64_t b) const { return !blocks[b].allocated && blocks[b].holds == 0; }
  [[nodiscard]] std::uint64_t total_usable() const {
    std::uint64_t n = 0;
    for (std::uint64_t b = 0; b < blocks.size(); ++b) n += usable(b) ? 1 : 0;
    return n;
  }
  [[nodiscard]] std::uint64_t total_free() const {
    return static_cast<std::uint64_t>(std::ranges::count(blocks, false, &Block::allocated));
  }
  [[nodiscard]] std::vector<BlockRange> allocated(BlockRange in) const {
    std::vector<BlockRange> out;
    for (std::uint64_t b = in.first; b < in.end(); ++b) {
      if (!blocks[b].allocated) continue;
      if (!out.empty() && out.back().end() == b) {
        ++out.back().count;
      } else {
        out.push_back({b, 1});
      }
    }
    return out;
  }
  std::vector<Block> blocks;
};

void compare(const Allocator& a, const Naive& naive) {
  a.check_invariants();
  REQUIRE(a.total_free() == naive.total_free());
  REQUIRE(a.total_usable() == naive.total_usable());
}

}  // namespace

TEST_CASE("bits are set, counted and found as in an array of bools") {
  sim::Prng prng(5);
  for (int round = 0; round < 200; ++round) {
    std::array<std::uint64_t, 4> words{};
    std::array<bool, 256> bits{};
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t from = prng.below(257);
      const std::uint64_t to = from + prng.below(257 - from);
      const bool value = prng.chance(500);
      value ? bitmap::set(words, from, to) : bitmap::clear(words, from, to);
      std::fill(bits.begin() + static_cast<long>(from), bits.begin() + static_cast<long>(to), value);
    }
    REQUIRE(bitmap::count(words) == static_cast<std::uint64_t>(std::ranges::count(bits, true)));
    for (int i = 0; i < 50; ++i) {
      const std::uint64_t from = prng.below(257);
      const std::uint64_t to = from + prng.below(257 - from);
      const auto first = bits.begin() + static_cast<long>(from);
      const auto last = bits.begin() + static_cast<long>(to);
      REQUIRE(bitmap::next_set(words, from, to) == static_cast<std::uint64_t>(std::find(first, last, true) - bits.begin()));
      REQUIRE(bitmap::next_clear(words, from, to) == static_cast<std::uint64_t>(std::find(first, last, false) - bits.begin()));
      const std::uint64_t n = 1 + prng.below(70);
      const auto run = std::search_n(first, last, static_cast<long>(n), false);
      const auto found = bitmap::find_clear(words, from, to, n);
      REQUIRE(found.has_value() == (run != last));
      if (found) REQUIRE(*found == static_cast<std::uint64_t>(run - bits.begin()));
    }
  }
}

TEST_CASE("counters that fit no area are refused") {
  const std::array<std::uint64_t, 2> two{kGroupBlocks, 1};
  CHECK(Allocator::make(kGroupBlocks + 1, two));
  CHECK(Allocator::make(kGroupBlocks, two).error().code == Errc::corrupt);
  CHECK(Allocator::make(2 * kGroupBlocks + 1, two).error().code == Errc::corrupt);
  const std::array<std::uint64_t, 2> more{kGroupBlocks, 2};
  CHECK(Allocator::make(kGroupBlocks + 1, more).error().code == Errc::corrupt);
}

TEST_CASE("a group is asked for before blocks of it are given out") {
  Allocator a = make(3 * kGroupBlocks);
  const auto asked = a.allocate({.count = 5, .goal = kGroupBlocks + 7});
  REQUIRE(std::holds_alternative<Allocator::LoadGroup>(asked));
  CHECK(std::get<Allocator::LoadGroup>(asked).group == 1);
  a.begin_load(1);
  REQUIRE(a.load_group(1, {}));
  CHECK(ranges(a.allocate({.count = 5, .goal = kGroupBlocks + 7})) == Allocator::Ranges{{kGroupBlocks + 7, 5}});
}

TEST_CASE("allocation goes on behind the last, and begins again at the start") {
  Allocator a = make_known(1000);
  CHECK(ranges(a.allocate({.count = 10})) == Allocator::Ranges{{0, 10}});
  REQUIRE(a.mark_allocated({0, 10}));
  CHECK(ranges(a.allocate({.count = 10})) == Allocator::Ranges{{10, 10}});
  CHECK(ranges(a.allocate({.count = 10, .goal = 995})) == Allocator::Ranges{{10, 10}});
  CHECK(ranges(a.allocate({.count = 5, .goal = 995})) == Allocator::Ranges{{995, 5}});
  const std::array<BlockRange, 1> planned{BlockRange{10, 4}};
  CHECK(ranges(a.allocate({.count = 10, .without = planned})) == Allocator::Ranges{{14, 10}});
  CHECK(ranges(a.allocate({.count = 990})) == Allocator::Ranges{{10, 990}});
  const auto none = a.allocate({.count = 991});
  REQUIRE(std::holds_alternative<Allocator::NoSpace>(none));
  CHECK(std::get<Allocator::NoSpace>(none).usable == 990);
}

TEST_CASE("scattered space is gathered in order, up to the ranges allowed") {
  Allocator a = make_known(100);
  for (std::uint64_t b = 1; b < 100; b += 3) REQUIRE(a.mark_allocated({b, 1}));
  CHECK(ranges(a.allocate({.count = 5, .goal = 50})) == Allocator::Ranges{{50, 2}, {53, 2}, {56, 1}});
  CHECK(ranges(a.allocate({.count = 5, .goal = 98})) == Allocator::Ranges{{98, 2}, {0, 1}, {2, 2}});
  CHECK(ranges(a.allocate({.count = 66, .goal = 0, .ranges_max = 2})) == Allocator::Ranges{{0, 1}, {2, 2}});
}

TEST_CASE("what is freed is not given out before it is released") {
  Allocator a = make_known(100);
  REQUIRE(a.mark_allocated({0, 100}));
  REQUIRE(a.mark_freed({10, 20}));
  CHECK(a.total_free() == 20);
  CHECK(a.total_usable() == 0);
  const auto none = a.allocate({.count = 1});
  REQUIRE(std::holds_alternative<Allocator::NoSpace>(none));
  CHECK(std::get<Allocator::NoSpace>(none).held == 20);
  a.release({10, 5});
  CHECK(ranges(a.allocate({.count = 5})) == Allocator::Ranges{{10, 5}});
  a.release({15, 15});
  CHECK(ranges(a.allocate({.count = 20})) == Allocator::Ranges{{10, 20}});
  a.check_invariants();
}

TEST_CASE("held blocks that are allocated again stay so whatever is released") {
  Allocator a = make_known(100);
  REQUIRE(a.mark_allocated({0, 100}));
  REQUIRE(a.mark_freed({10, 20}));
  REQUIRE(a.mark_allocated({15, 5}));
  a.check_invariants();
  REQUIRE(a.mark_freed({15, 5}));
  a.release({10, 20});
  CHECK(a.total_usable() == 15);
  CHECK(ranges(a.allocate({.count = 15})) == Allocator::Ranges{{20, 10}, {10, 5}});
  a.release({15, 5});
  CHECK(a.total_usable() == 20);
  a.check_invariants();
}

TEST_CASE("marks that can't be are refused and change nothing") {
  Allocator a = make_known(kGroupBlocks + 100);
  REQUIRE(a.mark_allocated({10, 10}));
  CHECK(a.mark_allocated({19, 2}).error().text == "free space: block 19 is to be allocated, but is allocated already");
  CHECK(a.mark_freed({9, 2}).error().text == "free space: block 9 is to be freed, but is free already");
  CHECK_FALSE(a.mark_allocated({kGroupBlocks + 99, 2}));
  CHECK_FALSE(a.mark_allocated({0, 0}));
  CHECK_FALSE(a.mark_allocated({UINT64_MAX, 2}));
  REQUIRE(a.mark_allocated({kGroupBlocks + 5, 1}));
  CHECK_FALSE(a.mark_allocated({kGroupBlocks - 5, 20}));
  CHECK(a.total_free() == kGroupBlocks + 89);
  REQUIRE(a.mark_freed({12, 1}));
  CHECK_FALSE(a.mark_freed({11, 2}));
  a.check_invariants();
  // Of an unknown group only the counts are known.
  Allocator b = make(100);
  CHECK_FALSE(b.mark_freed({0, 1}));
  REQUIRE(b.mark_allocated({0, 100}));
  CHECK_FALSE(b.mark_allocated({0, 1}));
}

TEST_CASE("what is marked while a group is loaded is not missed") {
  Allocator a = make(100);
  REQUIRE(a.mark_allocated({0, 50}));
  a.begin_load(0);
  const std::array<BlockRange, 1> before{BlockRange{0, 50}};
  REQUIRE(a.mark_freed({0, 10}));
  REQUIRE(a.mark_allocated({60, 10}));
  REQUIRE(a.load_group(0, before));
  a.check_invariants();
  CHECK(ranges(a.allocate({.count = 20, .goal = 0})) == Allocator::Ranges{{70, 20}});
  CHECK(ranges(a.allocate({.count = 40, .goal = 0})) == Allocator::Ranges{{50, 10}, {70, 30}});
  a.release({0, 10});
  CHECK(ranges(a.allocate({.count = 10, .goal = 0})) == Allocator::Ranges{{0, 10}});
}

TEST_CASE("a load that fits neither the group nor its counter is refused") {
  Allocator a = make(kGroupBlocks + 100);
  REQUIRE(a.mark_allocated({0, 10}));
  const auto load = [&a](std::vector<BlockRange> allocated) {
    a.begin_load(0);
    return a.load_group(0, allocated);
  };
  CHECK(load({{0, 9}}).error().text == "free space: 32758 blocks of group 0 are counted as free, 32759 are");
  CHECK_FALSE(load({{0, 5}, {4, 5}}));
  CHECK_FALSE(load({{kGroupBlocks - 1, 10}}));
  CHECK_FALSE(load({{kGroupBlocks, 10}}));
  CHECK_FALSE(load({{0, UINT64_MAX}}));
  CHECK_FALSE(a.group_known(0));
  CHECK(load({{0, 5}, {5, 5}}));
  CHECK(a.group_known(0));
}

TEST_CASE("every allocation in every state of a small area") {
  constexpr std::uint64_t kBlocks = 8;
  for (unsigned state = 0; state < 1u << kBlocks; ++state) {
    Allocator a = make_known(kBlocks);
    std::vector<bool> taken(kBlocks);
    for (std::uint64_t b = 0; b < kBlocks; ++b) {
      taken[b] = (state >> b & 1) != 0;
      if (taken[b]) REQUIRE(a.mark_allocated({b, 1}));
    }
    const auto free = static_cast<std::uint64_t>(std::ranges::count(taken, false));
    for (std::uint64_t count = 1; count <= kBlocks; ++count) {
      for (std::uint64_t goal = 0; goal < kBlocks; ++goal) {
        for (std::size_t most = 1; most <= 3; ++most) {
          const auto answer = a.allocate({.count = count, .goal = goal, .ranges_max = most});
          if (count > free) {
            REQUIRE(std::holds_alternative<Allocator::NoSpace>(answer));
            continue;
          }
          const auto got = ranges(answer);
          REQUIRE(!got.empty());
          REQUIRE(got.size() <= most);
          std::vector<bool> seen = taken;
          std::uint64_t sum = 0;
          for (const BlockRange& r : got) {
            for (std::uint64_t b = r.first; b < r.end(); ++b) {
              REQUIRE(!seen[b]);
              seen[b] = true;
            }
            sum += r.count;
          }
          REQUIRE((sum == count || (sum < count && got.size() == most)));
          // In one piece if there is one.
          std::uint64_t run = 0;
          std::uint64_t longest = 0;
          for (std::uint64_t b = 0; b < kBlocks; ++b) longest = std::max(longest, run = taken[b] ? 0 : run + 1);
          REQUIRE((got.size() == 1 && sum == count) == (longest >= count || (got.size() == 1 && sum == count)));
          if (longest >= count) REQUIRE(got.size() == 1);
        }
      }
    }
  }
}

TEST_CASE("random calls do what a naive model does") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    sim::Prng prng(seed);
    const std::uint64_t blocks = 2 * kGroupBlocks + 1 + prng.below(5000);
    Allocator a = make(blocks);
    Naive naive(blocks);
    std::vector<BlockRange> taken;
    std::vector<BlockRange> held;
    struct Load {
      std::uint64_t group;
      std::vector<BlockRange> allocated;
      bool read = false;
    };
    std::vector<Load> loads;
    for (int i = 0; i < 400; ++i) {
      const std::uint64_t what = prng.below(100);
      if (what < 45) {
        const std::uint64_t count = 1 + prng.below(prng.chance(200) ? 30000 : 300);
        Allocator::Request request{.count = count, .ranges_max = 1 + static_cast<std::size_t>(prng.below(64))};
        if (prng.chance(500)) request.goal = prng.below(blocks + 10);
        const auto answer = a.allocate(request);
        if (const auto* load = std::get_if<Allocator::LoadGroup>(&answer)) {
          REQUIRE_FALSE(a.group_known(load->group));
          a.begin_load(load->group);
          loads.push_back({load->group, {}, false});
        } else if (const auto* none = std::get_if<Allocator::NoSpace>(&answer)) {
          REQUIRE(naive.total_usable() < count);
          REQUIRE(none->usable == naive.total_usable());
        } else {
          for (const BlockRange& r : std::get<Allocator::Ranges>(answer)) {
            REQUIRE(Allocator::group_of(r.first) == Allocator::group_of(r.end() - 1));
            for (std::uint64_t b = r.first; b < r.end(); ++b) {
              if (!naive.usable(b)) FAIL("block " << b << " is not usable");
              naive.blocks[b].allocated = true;
            }
            REQUIRE(a.mark_allocated(r));
            taken.push_back(r);
          }
        }
      } else if (what < 50 && !held.empty()) {
        // A site that follows: what it holds is allocated by the other.
        const BlockRange r = held[prng.below(held.size())];
        if (std::ranges::any_of(naive.allocated(r), [](BlockRange) { return true; })) continue;
        REQUIRE(a.mark_allocated(r));
        for (std::uint64_t b = r.first; b < r.end(); ++b) naive.blocks[b].allocated = true;
        taken.push_back(r);
      } else if (what < 70 && !taken.empty()) {
        const std::size_t at = prng.below(taken.size());
        BlockRange r = taken[at];
        taken.erase(taken.begin() + static_cast<long>(at));
        if (r.count > 2 && prng.chance(500)) {
          taken.push_back({r.first, 1});
          r = {r.first + 1, r.count - 1};
        }
        REQUIRE(a.mark_freed(r));
        for (std::uint64_t b = r.first; b < r.end(); ++b) {
          naive.blocks[b].allocated = false;
          ++naive.blocks[b].holds;
        }
        held.push_back(r);
      } else if (what < 85 && !held.empty()) {
        const std::size_t at = prng.below(held.size());
        const BlockRange r = held[at];
        held.erase(held.begin() + static_cast<long>(at));
        a.release(r);
        for (std::uint64_t b = r.first; b < r.end(); ++b) --naive.blocks[b].holds;
      } else if (!loads.empty()) {
        const std::size_t at = prng.below(loads.size());
        Load& load = loads[at];
        if (!load.read) {
          load.allocated = naive.allocated(a.group_blocks(load.group));
          load.read = true;
        } else {
          if (prng.chance(100)) {
            a.cancel_load(load.group);
          } else {
            REQUIRE(a.load_group(load.group, load.allocated));
            REQUIRE(a.group_known(load.group));
          }
          loads.erase(loads.begin() + static_cast<long>(at));
        }
      }
      if (i % 20 == 0) compare(a, naive);
    }
    compare(a, naive);
  }
}

TEST_CASE("known groups are bounded, and one that goes comes back as it was") {
  constexpr std::size_t kMax = Allocator::kRangesMax + Allocator::kContiguousTries + 1;
  Allocator a = make((kMax + 10) * kGroupBlocks, kMax);
  for (std::uint64_t g = 0; g < a.groups(); ++g) {
    REQUIRE(a.mark_allocated({g * kGroupBlocks, 1}));
    const std::array<BlockRange, 1> one{BlockRange{g * kGroupBlocks, 1}};
    a.begin_load(g);
    REQUIRE(a.load_group(g, one));
  }
  CHECK_FALSE(a.group_known(9));
  CHECK(a.group_known(10));
  REQUIRE(a.mark_freed({0, 1}));
  a.begin_load(0);
  REQUIRE(a.load_group(0, {}));
  a.check_invariants();
  CHECK(ranges(a.allocate({.count = 1, .goal = 0})) == Allocator::Ranges{{1, 1}});
  a.release({0, 1});
  CHECK(ranges(a.allocate({.count = 1, .goal = 0})) == Allocator::Ranges{{0, 1}});
}

}  // namespace lockstep::area
