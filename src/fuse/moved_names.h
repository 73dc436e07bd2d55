// moved_names.h - objects of which another site just took or moved a name that a call in this site's kernel may still use.
//
// rename(2) looks up both names under the locks of their directories, and does nothing, with success, where both are names
// of one object. If another site's rename comes into force between the two lookups, the kernel has the old name (to drop
// it takes a lock that the call holds) and is told of the new one: two sites that take one file each would both be told
// that they have it. So a lookup that finds such an object is answered ESTALE until its names were dropped. The kernel
// then gives its locks back and begins the call again, asking for every name. It does that once, so a thread is told
// once: until a lookup of it found nothing, or kOnce has passed.
//
// Not covered: a new name that the kernel was told of before by somebody else. It asks for it again in rename(2), takes ESTALE for "not
// valid any more" and asks a second time.
#pragma once

#include <chrono>
#include <span>
#include <unordered_map>

#include "core/types.h"

namespace lockstep::fuse {

class MovedNames {
 public:
  /// How long a call may take from one lookup to the next: its thread has to run.
  static constexpr Duration kCallMax = std::chrono::milliseconds(200);
  /// How long a thread that was told is not told again.
  static constexpr Duration kOnce = std::chrono::milliseconds(50);

  /// An effect that changed names of `object` is in force; a call that has the old ones may go on until `until`.
  void moved(InodeId object, Instant until);
  /// No call has an old name any more that was given up by what moved() said with `until` or earlier.
  void settled(InodeId object, Instant until);

  [[nodiscard]] bool empty() const { return moved_.empty(); }
  /// A lookup of `thread` (0: not known) found `object`. True: it is to be answered ESTALE.
  [[nodiscard]] bool ask_again(InodeId object, std::uint32_t thread, Instant now);
  /// A lookup of `thread` was answered with an error.
  void failed(std::uint32_t thread) { told_.erase(thread); }

 private:
  std::unordered_map<InodeId, Instant> moved_;        ///< until when
  std::unordered_map<std::uint32_t, Instant> told_;   ///< when
};

}  // namespace lockstep::fuse
