// host_gate.h - whether this site's hosts are served at all, and how the kernel is kept from going on by itself (M3).
//
// A mount starts closed: requests wait. Only the controller opens and closes it.
#pragma once

#include "core/types.h"
#include "runtime/task.h"

namespace lockstep::controller {

class HostGate {
 public:
  /// Hosts are served: requests that waited go on, in their order.
  virtual void open() = 0;
  /// From the call on requests wait, and none that is under way is answered with what it read before; when it returns, the
  /// kernel keeps no page, attribute, listing or name of the volume. Whether changes that are under way take effect is not the
  /// gate's business. Ends in bounded time, whatever the kernel's locks are held by.
  /// open() may be called again only then. Suspends.
  virtual runtime::Task<void> close() = 0;
  /// What hosts know and have open is of a history that is discarded: the numbers of its objects name others from now on. The mount is taken
  /// from them, which ends their calls with errors, and made again. Requires: closed. Suspends.
  virtual runtime::Task<void> renew() = 0;
  /// Unless this is called again, or close() has returned, before `until`, a watchdog outside of the daemon takes the mount
  /// away: the other site may go on then. kNoDeadline: nobody waits for that.
  virtual void serve_until(Instant until) = 0;

  static constexpr Instant kNoDeadline{INT64_MAX};

 protected:
  ~HostGate() = default;
};

}  // namespace lockstep::controller
