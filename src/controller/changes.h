// changes.h - what the host's side asks of the controller: everything that must be the same at every site.
//
// A change returns when it stands in the areas of all in-sync sites and no kernel keeps what it replaced (R2, R3), or
// with the error that the host is to see. A peer that is away is a pause, never an error (R6).
#pragma once

#include <memory>

#include "runtime/kernel.h"
#include "runtime/task.h"
#include "wire/messages.h"

namespace lockstep::controller {

class Changes {
 public:
  /// Carries out `operation` exactly once. `payload` (write: operation.length bytes) lies in `lease`, which is held as
  /// long as anybody may read it. This site has published the change when it returns. Suspends.
  virtual runtime::Task<wire::Outcome> change(wire::Operation operation, Bytes payload,
                                              std::shared_ptr<runtime::Lease> lease) = 0;
  /// Returns when no write has `range` of `inode` exclusive here. Only for readers that hold no page locks. Suspends.
  virtual runtime::Task<void> wait_readable(InodeId inode, ByteRange range) = 0;
  /// Waits until this site may serve its hosts: it has met the other one since it started, so nothing acknowledged is
  /// missing here. False: the daemon stops. Suspends.
  virtual runtime::Task<bool> wait_serving() = 0;
  /// The last handle of an object without a name was closed here: it may be reaped once no other site has it open.
  virtual void orphan_closed(InodeId inode) = 0;

 protected:
  ~Changes() = default;
};

}  // namespace lockstep::controller
