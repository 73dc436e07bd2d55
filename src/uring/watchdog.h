// watchdog.h - a process beside the daemon that cuts a mount off when the daemon's leave to serve hosts has run out (M3).
//
//   daemon   until(t) ---- one word of shared memory ----> watchdog, asleep on a timer of CLOCK_BOOTTIME
//
// The kernel goes on serving pages, names and attributes to hosts by itself while a daemon is stopped, swapped out or hangs
// in a system call; only somebody else can end that. It writes to /sys/fs/fuse/connections/N/abort, or where that is not
// there does what `umount -f` does. To move the deadline later costs the daemon a store (the watchdog wakes at the earlier
// one and looks again), to move it earlier a byte through a socket.
//
// The watchdog ends with the daemon, whose death ends the connection anyway. It holds no descriptor of the mount, ignores
// signals meant for the daemon's group, and keeps what it needs in locked memory. One that was killed is started again.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "core/result.h"
#include "core/types.h"
#include "uring/descriptor.h"

namespace lockstep::uring {

class Watchdog {
 public:
  static constexpr std::int64_t kNever = INT64_MAX;

  /// Starts it; best early, while this process is small. Errc::io.
  [[nodiscard]] static Result<std::unique_ptr<Watchdog>> start();
  /// Ends it.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;

  /// What is to be cut off: the mount at `path`, connection `number`. It replaces another.
  void guard(std::uint32_t number, const std::string& path);
  /// Nothing is guarded any more.
  void release();
  /// Cuts off at `deadline` of CLOCK_BOOTTIME in nanoseconds, once; kNever: not.
  void until(std::int64_t deadline);
  /// How often it did.
  [[nodiscard]] std::uint64_t cuts() const;
  [[nodiscard]] pid_t process() const { return process_; }

 private:
  struct Shared;
  explicit Watchdog(Shared* shared) : shared_(shared) {}
  Result<> spawn();
  void wake();
  /// Starts it again if it is not there any more.
  void look_after();
  [[noreturn]] static void run(Shared* shared, int channel);
  static void cut(Shared* shared);

  Shared* shared_;
  Descriptor channel_;
  pid_t process_ = -1;
};

/// Makes /sys/fs/fuse/connections usable. False: it is not, and can't be mounted.
[[nodiscard]] bool prepare_connections();

}  // namespace lockstep::uring
