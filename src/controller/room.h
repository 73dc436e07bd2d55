// room.h - whether the medium of a site has room for its metadata to grow: pure functions.
//
// Changed keys are written when the log is full of them, and written again together with what lies below them. The medium must have
// room for both at any moment, or the area fails (C7). So what makes metadata grow gets ENOSPC long before, at all sites alike, and
// what removes something goes on.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/key_value.h"

namespace lockstep::controller {

/// So much at most is written again at a time.
inline constexpr std::uint64_t kRewriteMax = 1ull << 30;

/// Bytes that must be free: changes of two logs, and one rewriting.
[[nodiscard]] constexpr std::uint64_t room_needed(std::uint64_t used, std::uint64_t log_bytes) {
  return 2 * log_bytes + std::min(used, kRewriteMax);
}

/// `was`: the answer before. It is over only when there is an eighth more than needed, so that it does not come and go.
[[nodiscard]] constexpr bool lacks_room(const runtime::KeyRoom& room, std::uint64_t log_bytes, bool was) {
  const std::uint64_t needed = room_needed(room.used, log_bytes);
  return room.free < (was ? needed + needed / 8 : needed);
}

}  // namespace lockstep::controller
