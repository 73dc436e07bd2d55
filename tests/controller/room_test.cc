#include "controller/room.h"

#include "catch.h"

using namespace lockstep;
using namespace lockstep::controller;

namespace {
constexpr std::uint64_t kLog = 16u << 20;
}

TEST_CASE("room is short below what two logs and one rewriting of the keys need") {
  CHECK(lacks_room({.used = 0, .free = 2 * kLog - 1}, kLog, false));
  CHECK_FALSE(lacks_room({.used = 0, .free = 2 * kLog}, kLog, false));
  CHECK(lacks_room({.used = 1, .free = 2 * kLog}, kLog, false));
  CHECK(lacks_room({.used = 0, .free = 0}, kLog, false));
}

TEST_CASE("a store that is larger than one rewriting needs no more room for that") {
  CHECK(room_needed(kRewriteMax, kLog) == room_needed(~std::uint64_t{0}, kLog));
}

TEST_CASE("room that was short is enough again only with an eighth more") {
  const std::uint64_t needed = room_needed(8u << 20, kLog);
  CHECK(lacks_room({.used = 8u << 20, .free = needed + needed / 8 - 1}, kLog, true));
  CHECK_FALSE(lacks_room({.used = 8u << 20, .free = needed + needed / 8}, kLog, true));
}
