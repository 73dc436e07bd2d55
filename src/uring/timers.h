// timers.h - things to be called at a time: a binary heap whose members know their place, so that leaving costs log n.
//
// Timers due at the same instant fire in the order in which they were added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/types.h"

namespace lockstep::uring {

class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  [[nodiscard]] bool armed() const { return place_ != kNowhere; }
  /// Called once, no longer armed. May arm itself or others again, and disarm others.
  virtual void fire() = 0;

 protected:
  ~Timer() { CHECK(!armed()); }

 private:
  friend class Timers;
  static constexpr std::size_t kNowhere = ~std::size_t{0};
  std::size_t place_ = kNowhere;
  Instant deadline_{};
  std::uint64_t order_ = 0;
};

class Timers {
 public:
  /// Requires: not armed. The timer must outlive its firing or remove().
  void add(Timer& timer, Instant deadline);
  /// Nothing happens where it is not armed.
  void remove(Timer& timer);
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  /// Requires: not empty.
  [[nodiscard]] Instant next() const { return heap_.front()->deadline_; }
  /// Fires what was due at `now` when the call began.
  void fire_due(Instant now);

 private:
  [[nodiscard]] static bool before(const Timer& a, const Timer& b) {
    return a.deadline_ != b.deadline_ ? a.deadline_ < b.deadline_ : a.order_ < b.order_;
  }
  void put(std::size_t place, Timer* timer);
  void up(std::size_t place);
  void down(std::size_t place);

  std::vector<Timer*> heap_;
  std::uint64_t order_ = 0;
};

}  // namespace lockstep::uring
