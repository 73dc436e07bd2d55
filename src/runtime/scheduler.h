// scheduler.h - what resumes coroutines, one at a time, on one thread.
//
// A *pass* is: take what completed, resume everything that became ready (and what that made ready), then run the hooks
// of the end of the pass. Frames and log records gathered during a pass leave in its hooks, in one system call each.
#pragma once

#include <coroutine>

namespace lockstep::runtime {

/// Something to be done once at the end of a pass. Owned by whoever registers it; must outlive its run.
class PassHook {
 public:
  virtual void end_of_pass() = 0;

 protected:
  ~PassHook() = default;

 private:
  friend class PassHooks;
  bool registered_ = false;
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  /// Resumes `h` later in this pass, in the order of the calls. Never resumes it from within the call.
  virtual void post(std::coroutine_handle<> h) = 0;
  /// Runs `hook` when nothing is ready any more; once, however often it is asked for in one pass.
  virtual void at_end_of_pass(PassHook& hook) = 0;
};

}  // namespace lockstep::runtime
