// register_maker.h - what the suite of the register needs: the arbiter as two sites reach it, and its outages.
//
// meson.build links register_test.cc with sim_register_maker.cc, and with real_register_maker.cc: each defines make_register().
#pragma once

#include <memory>

#include "runtime/world.h"

namespace lockstep::conformance {

struct RegisterMaker {
  virtual ~RegisterMaker() = default;
  virtual runtime::Scheduler& scheduler() = 0;
  virtual runtime::Clock& clock() = 0;
  /// A register that was never written.
  virtual runtime::Register& here() = 0;
  /// The same, as another site reaches it.
  virtual runtime::Register& there() = 0;
  /// Runs `task` until it ended; fails the test if that takes too long.
  virtual void run(runtime::Task<void> task) = 0;
  /// False: it answers nobody, until true.
  virtual void set_available(bool on) = 0;
};

std::unique_ptr<RegisterMaker> make_register();

}  // namespace lockstep::conformance
