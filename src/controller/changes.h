// changes.h - what the host's side of a site asks of the controller.
#pragma once

#include <memory>

#include "runtime/kernel.h"
#include "runtime/task.h"
#include "wire/messages.h"

namespace lockstep::controller {

class Changes {
 public:
  /// Carries out `operation` at every site and answers when it stands there: its outcome, or an errno that says that
  /// nothing happened. `payload` lies in `lease`. Suspends, while the other site is away too.
  virtual runtime::Task<wire::Outcome> change(wire::Operation operation, Bytes payload,
                                              std::shared_ptr<runtime::Lease> lease) = 0;
  /// Waits while a request of any site has blocks of `range` exclusive: for reads that must see what was acknowledged
  /// and nothing else (O_DIRECT). Suspends.
  virtual runtime::Task<void> wait_readable(InodeId inode, ByteRange range) = 0;
  /// Waits until this site may serve its hosts: it has met the other one since it started. Suspends.
  virtual runtime::Task<void> wait_serving() = 0;
  /// The last handle of an object without a name was closed at this site.
  virtual void orphan_closed(InodeId inode) = 0;

 protected:
  ~Changes() = default;
};

}  // namespace lockstep::controller
