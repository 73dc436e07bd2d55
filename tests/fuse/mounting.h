// mounting.h - what tests need that mount for real.
#pragma once

#include "catch.h"

#include <unistd.h>

namespace lockstep {

inline void require_mounting() {
  INFO("mounting needs root and /dev/fuse");
  REQUIRE(::geteuid() == 0);
  REQUIRE(::access("/dev/fuse", R_OK | W_OK) == 0);
}

}  // namespace lockstep
