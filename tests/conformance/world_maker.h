// world_maker.h - what the conformance suite needs of a world, so that the same tests run on the real and the simulated
// one.
//
// meson.build links the test sources with sim_maker.cc, and with uring_maker.cc: each defines make_world().
// A test makes a world, writes its steps as a coroutine function, and hands it to run().
#pragma once

#include <memory>
#include <string>

#include "runtime/world.h"

namespace lockstep::conformance {

struct WorldMaker {
  virtual ~WorldMaker() = default;
  /// Of one process, with an empty disk and no keys. Its kernel is not used.
  virtual runtime::World& world() = 0;
  /// Runs `task` until it ended; fails the test if that takes too long.
  virtual void run(runtime::Task<void> task) = 0;
  /// The same disk as another process sees it; only for lock().
  virtual runtime::Disk& other_disk() = 0;
  /// An address that this process can listen on; another one at each call.
  virtual std::string free_address() = 0;
  /// An address where nobody listens.
  virtual std::string dead_address() = 0;
};

/// A new world.
std::unique_ptr<WorldMaker> make_world();

}  // namespace lockstep::conformance
