// role_hook.h - what a role does at the end of a pass; the role may go when hook_settled() has returned.
#pragma once

#include "runtime/scheduler.h"
#include "runtime/sync.h"

namespace lockstep::controller {

class RoleHook : public runtime::PassHook {
 public:
  explicit RoleHook(runtime::Scheduler& scheduler) : scheduler_(scheduler), ran_(scheduler) {}

 protected:
  ~RoleHook() { CHECK(!registered_); }
  /// pass_ends() is called once, when nothing is ready any more.
  void at_end_of_pass() {
    registered_ = true;
    scheduler_.at_end_of_pass(*this);
  }
  virtual void pass_ends() = 0;
  /// Waits until pass_ends() is not to be called any more. Suspends.
  runtime::Task<void> hook_settled() {
    while (registered_) co_await ran_.wait();
  }

 private:
  void end_of_pass() final {
    registered_ = false;
    pass_ends();
    ran_.notify_all();
  }
  runtime::Scheduler& scheduler_;
  runtime::Event ran_;
  bool registered_ = false;
};

}  // namespace lockstep::controller
