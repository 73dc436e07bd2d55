// signals.h - SIGTERM and SIGINT as an Event.
#pragma once

#include <memory>

#include "core/result.h"
#include "runtime/sync.h"
#include "uring/descriptor.h"
#include "uring/loop.h"

namespace lockstep::uring {

class Signals final : private Watcher {
 public:
  /// Blocks both signals in this thread and sets `asked` whenever one comes. Call it before any other thread is started:
  /// they inherit what is blocked. The signals stay blocked when this object goes.
  static Result<std::unique_ptr<Signals>> make(Loop& loop, runtime::Event& asked);
  /// The last signal that came; 0: none.
  [[nodiscard]] int last() const { return last_; }

 private:
  Signals(Loop& loop, runtime::Event& asked, Descriptor fd);
  void readable() override;

  Loop& loop_;
  runtime::Event& asked_;
  Descriptor fd_;
  int last_ = 0;
  std::unique_ptr<Watch> watch_;
};

}  // namespace lockstep::uring
