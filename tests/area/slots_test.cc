#include "area/slots.h"

#include <cstring>

#include "area_world.h"

namespace lockstep::area {
namespace {

Area& formatted(TestWorld& w) {
  REQUIRE(w.format(small_area()));
  return w.open();
}

}  // namespace

TEST_CASE("what is marked when the process dies is found by the next, by seq") {
  TestWorld w;
  InFlight& marks = formatted(w).in_flight();
  CHECK(marks.found().empty());
  const std::array<BlockRange, 2> two{BlockRange{9, 2}, BlockRange{1, 1}};
  REQUIRE(marks.mark(Seq{8}, two));
  REQUIRE(marks.mark(Seq{7}, std::span(two).first(1)));
  REQUIRE(marks.mark(Seq{9}, two));
  marks.clear(Seq{9});
  marks.clear(Seq{100});
  w.kill();
  Area& next = w.open();
  CHECK(next.in_flight().found() ==
        std::vector<std::pair<Seq, BlockRange>>{{Seq{7}, {9, 2}}, {Seq{8}, {1, 1}}, {Seq{8}, {9, 2}}});
  next.in_flight().clear_found();
  CHECK(next.in_flight().found().empty());
  w.kill();
  CHECK(w.open().in_flight().found().empty());
}

TEST_CASE("marks are bounded, and a refused one changes nothing") {
  TestWorld w;
  InFlight& marks = formatted(w).in_flight();
  const std::vector<BlockRange> many(kSlots - 1, BlockRange{1, 1});
  REQUIRE(marks.mark(Seq{1}, many));
  const std::array<BlockRange, 2> two{BlockRange{2, 1}, BlockRange{3, 1}};
  CHECK(marks.mark(Seq{2}, two).error().code == Errc::busy);
  REQUIRE(marks.mark(Seq{2}, std::span(two).first(1)));
  CHECK(marks.mark(Seq{3}, std::span(two).first(1)).error().code == Errc::busy);
  marks.clear(Seq{1});
  REQUIRE(marks.mark(Seq{3}, two));
  w.kill();
  CHECK(w.open().in_flight().found().size() == 3);
}

TEST_CASE("a torn mark, or one outside the area, is no mark") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  const auto store = [&w](std::size_t slot, Slot s) {
    auto file = w.world().disk.open(kInFlightFile);
    REQUIRE(file);
    const std::array<Bytes, 1> parts{std::as_bytes(std::span(&s, 1))};
    REQUIRE((*file)->write_now(slot * sizeof s, parts));
  };
  const auto good = [](std::uint64_t seq, std::uint64_t first, std::uint64_t count) {
    Slot s{seq, first, count, 0};
    s.check = slot_check(s);
    return s;
  };
  store(0, good(5, 3, 2));
  Slot torn = good(6, 3, 2);
  torn.count = 4;
  store(1, torn);
  store(2, good(7, 63, 2));
  store(3, good(8, UINT64_MAX, 2));
  store(4, good(9, 1, 0));
  store(kSlots - 1, good(10, 63, 1));
  const auto found = w.open().in_flight().found();
  CHECK(found == std::vector<std::pair<Seq, BlockRange>>{{Seq{5}, {3, 2}}, {Seq{10}, {63, 1}}});
}

TEST_CASE("the bytes of a slot stay what they are") {
  TestWorld w;
  const std::array<BlockRange, 1> one{BlockRange{9, 2}};
  REQUIRE(formatted(w).in_flight().mark(Seq{8}, one));
  std::array<std::uint64_t, 4> slot{};
  // The first free slot is slot 0.
  std::memcpy(slot.data(), w.storage().peek(kInFlightFile).data(), sizeof slot);
  CHECK(slot[0] == 8);
  CHECK(slot[1] == 9);
  CHECK(slot[2] == 2);
  CHECK(slot[3] == 0xa5aa78853a659ad9);
}

}  // namespace lockstep::area
