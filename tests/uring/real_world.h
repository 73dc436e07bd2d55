// real_world.h - the real world for tests: a loop, and an area in a temporary directory that goes away with it.
#pragma once

#include <memory>
#include <string>

#include "runtime/task.h"
#include "runtime/world.h"
#include "uring/clock.h"
#include "uring/disk.h"
#include "uring/key_value.h"
#include "uring/loop.h"
#include "uring/net.h"
#include "uring/pool.h"

namespace lockstep::uring {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Everything of one daemon but the mount.
struct RealWorld {
  /// The disk is the folder `area` of `directory`, made where it does not exist; the keys lie in its folder `keys`.
  explicit RealWorld(const std::string& directory, LoopOptions options = LoopOptions());

  /// Runs `task`; fails the test after half a minute.
  void run(runtime::Task<void> task);

  std::unique_ptr<Loop> loop;
  Pool pool;
  std::unique_ptr<DirectoryDisk> disk;
  std::unique_ptr<KeyStore> keys;
  SocketNet net;
  RealClock clock;
  RealRandom random;
};

}  // namespace lockstep::uring
