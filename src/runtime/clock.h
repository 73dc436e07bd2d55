// clock.h - time and chance, as the rest of the program may see them.
#pragma once

#include <cstdint>

#include "core/types.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace lockstep::runtime {

class Clock {
 public:
  virtual ~Clock() = default;
  /// Counts suspended time and never goes back (CLOCK_BOOTTIME).
  [[nodiscard]] virtual Instant now() = 0;
  /// The calendar's time. May jump: only for what people read and files store.
  [[nodiscard]] virtual WallTime wall() = 0;
  /// Suspends until `deadline`, or until `stop` was requested: false then.
  virtual Task<bool> sleep_until(Instant deadline, Stop& stop) = 0;
};

class Random {
 public:
  virtual ~Random() = default;
  /// 64 independent random bits; in the real world fit for identities, not for keys.
  virtual std::uint64_t next() = 0;
};

inline Uuid make_uuid(Random& random) {
  Uuid id;
  for (std::size_t i = 0; i < 16; i += 8) {
    const std::uint64_t bits = random.next();
    for (std::size_t j = 0; j < 8; ++j) id.bytes[i + j] = static_cast<std::uint8_t>(bits >> (8 * j));
  }
  return id;
}

}  // namespace lockstep::runtime
