#include "uring/clock.h"

#include <sys/random.h>

#include <ctime>

#include "core/check.h"

namespace lockstep::uring {
namespace {

/// Waits for a deadline or a stop, whichever is first.
class Sleeper final : public Timer, public runtime::Stop::Listener {
 public:
  Sleeper(Loop& loop, runtime::Stop& stop, Instant deadline) : loop_(loop), stop_(stop), deadline_(deadline) {}
  bool await_ready() const noexcept { return stop_.requested(); }
  void await_suspend(std::coroutine_handle<> h) {
    waiter_ = h;
    loop_.add(*this, deadline_);
    stop_.add(*this);
  }
  /// True if the deadline came.
  bool await_resume() const noexcept { return fired_; }

 private:
  void fire() override {
    fired_ = true;
    stop_.remove(*this);
    loop_.post(waiter_);
  }
  void stopped() override {
    loop_.remove(*this);
    loop_.post(waiter_);
  }

  Loop& loop_;
  runtime::Stop& stop_;
  Instant deadline_;
  std::coroutine_handle<> waiter_;
  bool fired_ = false;
};

}  // namespace

WallTime RealClock::wall() {
  timespec ts{};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  return WallTime{ts.tv_sec * 1'000'000'000 + ts.tv_nsec};
}

runtime::Task<bool> RealClock::sleep_until(Instant deadline, runtime::Stop& stop) {
  Sleeper sleeper(loop_, stop, deadline);
  co_return co_await sleeper;
}

std::uint64_t RealRandom::next() {
  if (left_ == 0) {
    // Up to 256 bytes come whole, and never fail once the kernel has entropy, which it waits for.
    CHECK(::getrandom(numbers_.data(), sizeof numbers_, 0) == static_cast<ssize_t>(sizeof numbers_));
    left_ = numbers_.size();
  }
  return numbers_[--left_];
}

}  // namespace lockstep::uring
