// watchdog_process.h - what the watchdog's own process does; see watchdog.h.
//
// It is made by fork() without exec and does nothing but system calls: other threads of the daemon may have held any lock.
#pragma once

#include <atomic>
#include <cstdint>

#include "uring/watchdog.h"

namespace lockstep::uring {

inline constexpr const char* kConnections = "/sys/fs/fuse/connections";
inline constexpr std::size_t kWatchdogPathMax = 4096;

/// Shared by the daemon and its watchdog.
struct WatchdogMemory {
  std::atomic<std::int64_t> until{Watchdog::kNever};
  std::atomic<std::uint32_t> number{0};  ///< 0: nothing is guarded
  std::atomic<std::uint64_t> cuts{0};
  std::atomic<std::uint32_t> open_end{0};  ///< entries from here on were never used
  char path[kWatchdogPathMax] = {};        ///< written while number is 0
  std::uint64_t open[Watchdog::kOpenMax];  ///< left as it is when this is made; read and written through entry()

  [[nodiscard]] std::atomic_ref<std::uint64_t> entry(std::uint32_t at) { return std::atomic_ref<std::uint64_t>(open[at]); }
};

/// Messages on the channel. `guard` carries a descriptor.
inline constexpr char kGuard = 'g', kRelease = 'r', kWake = 'w';

[[noreturn]] void run_watchdog(WatchdogMemory* memory, int channel);

/// Ends connection `number`, that of the mount at `path`. No allocation, only system calls.
void end_connection(std::uint32_t number, const char* path);
/// Makes the kernel forget names, and what it keeps of `inode`, on connection `fd`, also when that has ended.
void forget_names(int fd);
void forget_object(int fd, std::uint64_t inode);

}  // namespace lockstep::uring
