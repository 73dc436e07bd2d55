// host_caches.h - what the controller asks of this site's mount when an effect of another site is applied (R3).
#pragma once

#include <span>
#include <vector>

#include "runtime/task.h"
#include "wire/messages.h"

namespace lockstep::controller {

class HostCaches {
 public:
  /// Drops what `drops` name, as far as the kernel may hold it, where that needs no wait. True: all is dropped.
  /// False: drop() is to be awaited before the effect is answered.
  virtual bool drop_now(std::span<const wire::Drop> drops) = 0;
  /// The rest. Ends in bounded time whatever the kernel's locks are held by. Suspends.
  virtual runtime::Task<void> drop(std::vector<wire::Drop> drops) = 0;
  /// Locks of `inode` were published that are not those of before. Must not suspend.
  virtual void locks_changed(InodeId inode) = 0;
  /// An object has lost its last name; `last` is what hosts see of it, from now on until it is gone. Must not suspend.
  virtual void lost_last_name(const runtime::HostAttributes& last) { (void)last; }
  /// A host of this site has `inode` open.
  [[nodiscard]] virtual bool is_open(InodeId inode) = 0;

 protected:
  ~HostCaches() = default;
};

}  // namespace lockstep::controller
