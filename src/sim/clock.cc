#include "sim/clock.h"

#include <algorithm>

namespace lockstep::sim {
namespace {

constexpr std::int64_t kMillion = 1'000'000;
/// Where the calendar of the simulation starts: 2025-01-01.
constexpr std::int64_t kWallStart = 1'735'689'600'000'000'000;

}  // namespace

Instant SimClock::now() {
  const std::int64_t time = process_.universe().now().ns;
  const std::int64_t drift = time / kMillion * settings_.drift_ppm + time % kMillion * settings_.drift_ppm / kMillion;
  // Never back, also when a test changes the settings.
  latest_ = std::max(latest_, Instant{time + drift + settings_.offset.count()});
  return latest_;
}

WallTime SimClock::wall() { return WallTime{kWallStart + now().ns + settings_.wall_offset.count()}; }

runtime::Task<bool> SimClock::sleep_until(Instant deadline, runtime::Stop& stop) {
  while (now() < deadline) {
    // The machine's time until then as the universe's; repeated, because drift rounds and may change meanwhile.
    const std::int64_t left = (deadline - now()).count();
    const std::int64_t delay = std::max<std::int64_t>(left - left / kMillion * settings_.drift_ppm, 1);
    if (!co_await StoppableDelay(process_, Duration(delay), stop)) co_return false;
  }
  co_return !stop.requested();
}

void StoppableDelay::await_suspend(std::coroutine_handle<> h) {
  waiter_ = h;
  stop_.add(*this);
  timer_ = process_.universe().after(delay_, &process_, [this] {
    elapsed_ = true;
    stop_.remove(*this);
    process_.post(waiter_);
  });
}

void StoppableDelay::stopped() {
  process_.universe().cancel(timer_);
  process_.post(waiter_);
}

}  // namespace lockstep::sim
