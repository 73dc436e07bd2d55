// watchdog.h - a process beside the daemon that cuts a mount off when the daemon's leave to serve hosts has run out, or the
// daemon has died (M3).
//
//   daemon   until(t) ------- a word of shared memory -------> watchdog, asleep on a timer of CLOCK_BOOTTIME
//            what is open --- a table of shared memory ------>
//
// The kernel goes on serving pages, names and attributes by itself while a daemon is stopped or hangs in a system call;
// what is open it serves even when the connection has ended. So somebody else ends the connection (writes to
// /sys/fs/fuse/connections/N/abort, or does what `umount -f` does), which sets every call and every lock free, and then
// makes the kernel forget all names, and attributes and pages of all that is open; what is not open can't be reached
// without a name. For that it holds a descriptor of the connection.
//
// To move the deadline later costs the daemon a store (the watchdog wakes at the earlier one and looks again), to move it
// earlier a message. The watchdog ignores signals meant for the daemon's group, and keeps what it needs in locked memory;
// one that was killed is started again. It ends with the daemon.
#pragma once

#include <sys/types.h>

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
  /// Objects that can be open at once.
  static constexpr std::uint32_t kOpenMax = 1u << 20;

  /// Starts it; best early, while this process is small. Errc::io.
  [[nodiscard]] static Result<std::unique_ptr<Watchdog>> start();
  /// Ends it.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;

  /// What is to be cut off: the mount at `path`, connection `number`, whose descriptor is `fd`. It replaces another.
  void guard(std::uint32_t number, const std::string& path, int fd);
  /// Nothing is guarded any more.
  void release();
  /// Cuts off at `deadline` of CLOCK_BOOTTIME in nanoseconds, once; kNever: not.
  void until(std::int64_t deadline);
  /// Entry `at` of the table of what is open holds `inode`; 0: nothing. Requires: at < kOpenMax.
  void open(std::uint32_t at, std::uint64_t inode);
  /// How often it cut off.
  [[nodiscard]] std::uint64_t cuts() const;
  [[nodiscard]] pid_t process() const { return process_; }

 private:
  explicit Watchdog(struct WatchdogMemory* memory) : memory_(memory) {}
  Result<> spawn();
  void say(char what, int fd);
  /// Starts it again if it is not there any more.
  void look_after();

  WatchdogMemory* memory_;
  Descriptor channel_;
  pid_t process_ = -1;
  int fd_ = -1;  ///< of the connection, the daemon's own
};

/// Makes /sys/fs/fuse/connections usable. False: it is not, and can't be mounted.
[[nodiscard]] bool prepare_connections();

}  // namespace lockstep::uring
