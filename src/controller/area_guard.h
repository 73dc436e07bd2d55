// area_guard.h - blocks of the area that may not be written for a moment: a comparison or a copy looks at them.
#pragma once

#include "runtime/sync.h"
#include "wire/messages.h"

namespace lockstep::controller {

class AreaGuard {
 public:
  explicit AreaGuard(runtime::Scheduler& scheduler) : changed_(scheduler) {}
  [[nodiscard]] bool holds(std::span<const wire::AreaWrite> writes) const;
  [[nodiscard]] bool held() const { return blocks_.count != 0; }
  runtime::Event& changed() { return changed_; }
  /// Requires: !held().
  void guard(BlockRange blocks) {
    CHECK(!held());
    blocks_ = blocks;
  }
  void release() {
    blocks_ = {};
    changed_.notify_all();
  }

 private:
  BlockRange blocks_;
  runtime::Event changed_;
};

}  // namespace lockstep::controller
