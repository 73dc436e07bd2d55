// clock.h - the machine's clocks and the kernel's random numbers.
#pragma once

#include <array>
#include <cstdint>

#include "runtime/clock.h"
#include "uring/loop.h"

namespace lockstep::uring {

class RealClock final : public runtime::Clock {
 public:
  explicit RealClock(Loop& loop) : loop_(loop) {}
  Instant now() override { return Loop::now(); }
  WallTime wall() override;
  /// A timer of the loop: costs no system call of its own.
  runtime::Task<bool> sleep_until(Instant deadline, runtime::Stop& stop) override;

 private:
  Loop& loop_;
};

/// getrandom(2), 32 numbers at a time.
class RealRandom final : public runtime::Random {
 public:
  std::uint64_t next() override;

 private:
  std::array<std::uint64_t, 32> numbers_{};
  std::size_t left_ = 0;
};

}  // namespace lockstep::uring
