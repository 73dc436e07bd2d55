// changes.h - what the host's side asks of the controller: everything that must be the same at every site.
//
// A change returns when it stands in the areas of all in-sync sites and no kernel keeps what it replaced (R2, R3), or
// with the error that the host is to see. A peer that is away is a pause, never an error (R6).
#pragma once

#include <memory>

#include "controller/waiter.h"
#include "runtime/kernel.h"
#include "runtime/task.h"
#include "wire/messages.h"

namespace lockstep::controller {

inline constexpr std::uint64_t kElsewhereBlocksMax = 256;

class Changes {
 public:
  /// Carries out `operation` exactly once. `payload` (write: operation.length bytes) lies in `lease`, which is held as
  /// long as anybody may read it. This site has published the change when it returns. `waiter` outlives the call; null: whoever
  /// asks waits to the end. EINTR: it went, and nothing was done. Suspends.
  virtual runtime::Task<wire::Outcome> change(wire::Operation operation, Bytes payload,
                                              std::shared_ptr<runtime::Lease> lease, Waiter* waiter) = 0;
  /// One went: what it asked ends if that is not under way. Requires: it is not bound.
  virtual void waiter_went() = 0;
  /// Whom a lock of `owner`, as this site's kernel names it, belongs to.
  [[nodiscard]] virtual wire::LockOwner lock_owner(std::uint64_t owner) const = 0;
  /// Returns when no write has `range` of `inode` exclusive here. Only for readers that hold no page locks. Suspends.
  virtual runtime::Task<void> wait_readable(InodeId inode, ByteRange range) = 0;
  /// The last handle of an object without a name was closed here: it may be reaped once no other site has it open.
  virtual void orphan_closed(InodeId inode) = 0;

  // Blocks of the area that this site must not, or can't, answer itself: those that a resynchronisation has not reached
  // yet, and those that are bad here.
  /// False: read_elsewhere() them.
  [[nodiscard]] virtual bool readable_here(BlockRange blocks) const = 0;
  /// Reads `blocks` as the other site has published them; at most kElsewhereBlocksMax at once. Waits while the link is
  /// away. Errc::corrupt, Errc::io: they can't be read there either. Errc::stopped. Suspends.
  virtual runtime::Task<Result<>> read_elsewhere(BlockRange blocks, MutableBytes into) = 0;
  /// What of `blocks` (at most area::kCheckBlocksMax) is bad here becomes what it is at the other site (C8); who read it looks again.
  /// Callers share what is under way. Errc::unavailable: the other site is not in sync; Errc::corrupt, Errc::io: it is bad there,
  /// too, or can't be written here. Suspends.
  virtual runtime::Task<Result<>> repair(BlockRange blocks) = 0;
  /// Goes up with every effect that is published here. A reader that suspended asks written_since() the moment at which it
  /// looked at the map before it answers: what it read may be older than what was published and dropped meanwhile.
  [[nodiscard]] virtual std::uint64_t moment() const = 0;
  /// An effect published after `moment` changed data of `inode`, or it is not known any more whether one did.
  [[nodiscard]] virtual bool written_since(std::uint64_t moment, InodeId inode) const = 0;

 protected:
  ~Changes() = default;
};

}  // namespace lockstep::controller
