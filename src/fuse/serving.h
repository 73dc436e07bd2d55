// serving.h - whether hosts may be told at this moment what this site holds, and who waits until they may (M3).
//
// Closed at first. A period ends when it is closed: what a reader looked at in an earlier period is not told any more, it
// looks again. Where a deadline passed without being moved nothing is told either, until it is moved or hosts are served
// anew; that begins no new period, since the other site has not gone on by itself then.
#pragma once

#include "controller/host_gate.h"
#include "runtime/clock.h"
#include "runtime/sync.h"

namespace lockstep::fuse {

class Serving {
 public:
  Serving(runtime::Scheduler& scheduler, runtime::Clock& clock) : clock_(clock), changed_(scheduler) {}

  /// Hosts may be answered. To be asked in the step that answers.
  [[nodiscard]] bool now() const {
    return open_ && (until_ == controller::HostGate::kNoDeadline || clock_.now() < until_);
  }
  [[nodiscard]] std::uint64_t period() const { return period_; }
  /// A reader that looked in `period` may be answered.
  [[nodiscard]] bool still(std::uint64_t period) const { return period == period_ && now(); }

  void open() {
    open_ = true;
    changed_.notify_all();
  }
  void close() {
    open_ = false;
    ++period_;
  }
  void until(Instant deadline) {
    until_ = deadline;
    if (now()) changed_.notify_all();
  }

  /// Suspends until something changed: each looks again at what it waits for.
  [[nodiscard]] runtime::Event::Awaiter change() { return changed_.wait(); }
  /// Whoever waits is to give up.
  void wake() { changed_.notify_all(); }
  [[nodiscard]] std::size_t waiting() const { return changed_.waiters(); }

 private:
  runtime::Clock& clock_;
  runtime::Event changed_;
  bool open_ = false;
  Instant until_ = controller::HostGate::kNoDeadline;
  std::uint64_t period_ = 1;
};

}  // namespace lockstep::fuse
