// open_objects.h - what hosts have open on a mount: only that can the kernel serve without a name and without the daemon.
//
// Kept by the transport itself, so that it can make the kernel forget when nobody answers any more; the watchdog sees it.
#pragma once

#include <unordered_map>
#include <vector>

#include "core/types.h"
#include "uring/watchdog.h"

namespace lockstep::uring {

class OpenObjects {
 public:
  /// `watchdog` may be null.
  explicit OpenObjects(Watchdog* watchdog) : watchdog_(watchdog) {}

  void opened(InodeId inode);
  void closed(InodeId inode);
  /// The mount is gone, and so are its handles.
  void clear();
  [[nodiscard]] std::vector<InodeId> all() const;

 private:
  struct Open {
    std::uint32_t handles = 0;
    std::uint32_t at = 0;  ///< in the watchdog's table; kNowhere: that is full
  };
  static constexpr std::uint32_t kNowhere = ~0u;
  void release(std::uint32_t at);

  Watchdog* watchdog_;
  std::unordered_map<InodeId, Open> open_;
  std::vector<std::uint32_t> free_;
  std::uint32_t next_ = 0;
  bool full_said_ = false;
};

}  // namespace lockstep::uring
