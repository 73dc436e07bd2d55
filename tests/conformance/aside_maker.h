// aside_maker.h - what the suite of what is kept aside needs: a place for it, and a look at what stands there.
//
// meson.build links aside_test.cc with sim_aside_maker.cc, and with real_aside_maker.cc: each defines make_aside().
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/aside.h"

namespace lockstep::conformance {

/// What stands at a path.
struct SeenAside {
  std::uint32_t mode = 0;
  WallTime mtime;
  std::string bytes;        ///< of a file; the target of a symbolic link
  std::uint64_t names = 0;  ///< of what is no directory
};

struct AsideMaker {
  virtual ~AsideMaker() = default;
  virtual runtime::Aside& aside() = 0;
  /// Runs `task` until it ended; fails the test if that takes too long.
  virtual void run(runtime::Task<void> task) = 0;
  /// A directory that does not exist, in one that does.
  virtual std::string directory() = 0;
  /// nullopt: nothing is there.
  virtual std::optional<SeenAside> look(const std::string& path) = 0;
};

std::unique_ptr<AsideMaker> make_aside();

}  // namespace lockstep::conformance
