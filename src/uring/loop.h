// loop.h - the one thread of a daemon: a Scheduler around one io_uring.
//
// A pass takes what completed, fires the timers that are due, resumes what became ready and what that made ready, and
// runs the hooks of the end of the pass. Then it submits everything that was asked for meanwhile and waits, in one
// io_uring_enter. So a pass costs one system call of the loop, however many operations it started or ended.
//
// Waking a core that sleeps costs 25 to 35 us. While recent waits were shorter than `spin`, the loop looks at the completion
// ring for at most `spin`, with a sched_yield between looks, before it sleeps.
//
// A round trip of 200 bytes between two processes on two cores over loopback TCP, best of three (tests/uring,
// uring_round_trip_bench), and what the asking side pays for it besides the looks:
//
//                                  spin 50 us      spin 0      system calls
//     armed receive, cooperative     11.7 us       74.8 us     2   (sendmsg, enter)
//     armed receive, deferred        12.0 us       81.7 us     3 when polling: deferred completions take an enter each
//     poll and recv, cooperative     12.4 us       69.7 us     3
//     poll and recv, deferred        13.4 us       75.6 us     4 when polling
//
// Hence sockets receive with an armed IORING_OP_RECV, and completions are made as the thread returns from any system call
// (IORING_SETUP_COOP_TASKRUN; the sched_yield between two looks is one).
//
// Invariants:
//   (1) Everything here is called on the thread that made the loop, but hand_back().
//   (2) An Operation that was submitted stays where it is until its last completed().
//   (3) What waits for an operation is resumed after all completions of the pass were taken, in their order. A Watcher
//       is called while they are being taken.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "runtime/pass_hooks.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "uring/statistics.h"
#include "uring/timers.h"

struct io_uring;
struct io_uring_sqe;

namespace lockstep::uring {

/// What a completion is for.
class Operation {
 public:
  /// `result` as the call would return it, or -errno. `more`: this operation will complete again.
  virtual void completed(int result, bool more, std::uint32_t flags) = 0;
  virtual ~Operation() = default;
};

/// Something that a thread of a pool finished and the loop is to go on with.
class Returned {
 public:
  virtual void returned() = 0;

 protected:
  ~Returned() = default;

 private:
  friend class Loop;
  Returned* next_ = nullptr;
};

/// Is told when a descriptor can be read.
class Watcher {
 public:
  /// The descriptor was readable a moment ago (or failed). Must not block; calls Watch::arm() to be told again.
  virtual void readable() = 0;

 protected:
  ~Watcher() = default;
};

class Loop;

/// One watched descriptor; the watch ends with this object, which must go before the descriptor is closed.
class Watch {
 public:
  Watch(Loop& loop, int fd, Watcher& watcher);
  Watch(const Watch&) = delete;
  ~Watch();
  /// Asks for one call of readable(), at once if the descriptor is readable already. Leaves with the loop's next
  /// io_uring_enter, so it costs no system call of its own, and nothing is missed by whoever reads less than there is:
  /// one read() for each readable() is the cheapest where requests come one by one, reading until EAGAIN where they
  /// come in bursts. Nothing happens where it is armed.
  void arm();

 private:
  class Poll;
  Loop& loop_;
  std::unique_ptr<Poll> poll_;
};

struct LoopOptions {
  Duration spin = std::chrono::microseconds(50);  ///< 0: never polls
  unsigned entries = 512;                         ///< operations submitted at once
  bool deferred_task_work = false;  ///< completions are made only inside io_uring_enter; see the table above
};

class Loop final : public runtime::Scheduler {
 public:
  /// Errc::io: the kernel gives no io_uring (too old, forbidden), with what to do.
  static Result<std::unique_ptr<Loop>> make(LoopOptions options = LoopOptions());
  ~Loop() override;
  Loop(const Loop&) = delete;

  void post(std::coroutine_handle<> h) override { ready_.push_back(h); }
  void at_end_of_pass(runtime::PassHook& hook) override {
    hooks_.add(hook);
    hooks_wait_ = true;
  }

  /// Runs passes until `task` has ended. May be called again. Not from within.
  void run(runtime::Task<void> task);

  /// Watches `fd`, not armed yet.
  std::unique_ptr<Watch> watch(int fd, Watcher& watcher) { return std::make_unique<Watch>(*this, fd, watcher); }

  /// The time of CLOCK_BOOTTIME.
  [[nodiscard]] static Instant now();
  /// `timer.fire()` at `deadline`. The wait itself runs on CLOCK_MONOTONIC: after the machine was suspended a timer comes
  /// late by at most what it had left, never early.
  void add(Timer& timer, Instant deadline) { timers_.add(timer, deadline); }
  void remove(Timer& timer) { timers_.remove(timer); }

  /// An entry to fill in, which leaves with the next io_uring_enter. null operation: nobody wants its completion.
  /// Requires: user_data is left alone.
  io_uring_sqe* prepare(Operation* operation);
  /// Asks the kernel to give `operation` up; it completes all the same (-ECANCELED, or what it came to).
  void cancel(Operation& operation);
  /// Keeps `operation` until its last completion; for owners that go away earlier.
  void abandon(std::unique_ptr<Operation> operation);
  /// Submits what was prepared, at once. For those about to close a descriptor that prepared entries name.
  void submit();

  /// Calls it.returned() on the loop, soon. From any thread.
  void hand_back(Returned& it);

  [[nodiscard]] Statistics& statistics() { return statistics_; }
  [[nodiscard]] const LoopOptions& options() const { return options_; }

 private:
  class Wake;

  Loop(std::unique_ptr<io_uring> ring, int wake_fd, LoopOptions options);
  void pass();
  bool take_completions();
  bool take_returned();
  void wait();
  [[nodiscard]] bool poll_until(Instant end);
  void sleep();
  [[nodiscard]] bool anything() const;

  LoopOptions options_;
  Statistics statistics_;
  std::unique_ptr<io_uring> ring_;
  std::vector<std::coroutine_handle<>> ready_, running_;
  runtime::PassHooks hooks_;
  bool hooks_wait_ = false;  // some are registered
  Timers timers_;
  std::vector<std::unique_ptr<Operation>> abandoned_;
  bool inside_ = false;

  Duration usual_wait_{};           // averaged over some eight waits
  std::uint32_t waits_asleep_ = 0;  // since the last one that polled

  int wake_fd_;
  std::unique_ptr<Wake> wake_;
  std::atomic<Returned*> returned_{nullptr};
  std::atomic<bool> parked_{false};
};

}  // namespace lockstep::uring
