// clock.h - what a machine's clock shows, and a process's chance.
#pragma once

#include "runtime/clock.h"
#include "sim/machine.h"
#include "sim/process.h"

namespace lockstep::sim {

class SimClock final : public runtime::Clock {
 public:
  SimClock(Process& process, const ClockSettings& settings) : process_(process), settings_(settings) {}

  [[nodiscard]] Instant now() override;
  [[nodiscard]] WallTime wall() override;
  runtime::Task<bool> sleep_until(Instant deadline, runtime::Stop& stop) override;

 private:
  Process& process_;
  const ClockSettings& settings_;
  Instant latest_;
};

class SimRandom final : public runtime::Random {
 public:
  explicit SimRandom(Prng prng) : prng_(prng) {}
  std::uint64_t next() override { return prng_.next(); }

 private:
  Prng prng_;
};

/// Awaited: false at once when `stop` was requested, or as soon as it is; true when `delay` of the universe's time is
/// over.
class StoppableDelay final : private runtime::Stop::Listener {
 public:
  StoppableDelay(Process& process, Duration delay, runtime::Stop& stop)
      : process_(process), delay_(delay), stop_(stop) {}
  bool await_ready() const { return stop_.requested(); }
  void await_suspend(std::coroutine_handle<> h);
  bool await_resume() const { return elapsed_; }

 private:
  void stopped() override;
  Process& process_;
  Duration delay_;
  runtime::Stop& stop_;
  std::coroutine_handle<> waiter_;
  Universe::EventId timer_ = 0;
  bool elapsed_ = false;
};

}  // namespace lockstep::sim
