#include "catch.h"
#include "controller/repairs.h"

using namespace lockstep;
using controller::Repairs;

TEST_CASE("a block is repaired by one at a time, others beside it") {
  Repairs repairs;
  REQUIRE(repairs.begin({10, 2}));
  for (const BlockRange meets : {BlockRange{10, 2}, {9, 2}, {11, 5}, {10, 1}}) CHECK(!repairs.begin(meets));
  for (const BlockRange beside : {BlockRange{12, 1}, {8, 2}}) CHECK(repairs.begin(beside));
  repairs.end({10, 2});
  CHECK(repairs.begin({10, 2}));
}

TEST_CASE("only so many repairs run at a time") {
  Repairs repairs;
  for (std::uint64_t i = 0; i < Repairs::kAtOnce; ++i) REQUIRE(repairs.begin({i * 2, 1}));
  CHECK(!repairs.begin({1000, 1}));
  repairs.end({2, 1});
  CHECK(repairs.running() == Repairs::kAtOnce - 1);
  CHECK(repairs.begin({1000, 1}));
}
