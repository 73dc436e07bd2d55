// pass_hooks.h - the list of hooks that a Scheduler runs at the end of a pass; for those that implement one.
#pragma once

#include <vector>

#include "runtime/scheduler.h"

namespace lockstep::runtime {

class PassHooks {
 public:
  void add(PassHook& hook) {
    if (hook.registered_) return;
    hook.registered_ = true;
    hooks_.push_back(&hook);
  }
  /// Runs what is registered, in order; a hook may register itself again, for the next run. True if any ran.
  bool run() {
    if (hooks_.empty()) return false;
    running_.swap(hooks_);
    for (PassHook* hook : running_) {
      hook->registered_ = false;
      hook->end_of_pass();
    }
    running_.clear();
    return true;
  }

 private:
  std::vector<PassHook*> hooks_;
  std::vector<PassHook*> running_;
};

}  // namespace lockstep::runtime
