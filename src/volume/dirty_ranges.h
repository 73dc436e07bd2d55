// dirty_ranges.h - which bytes of the area each file had written since it was last made stable, so that fsync makes those
// stable and nothing else.
//
// Bounded: of a file that is not known here anything may be unstable. Ranges may be larger than what was written, never
// smaller.
#pragma once

#include <optional>
#include <vector>

#include "core/types.h"
#include "volume/recent.h"

namespace lockstep::volume {

class DirtyRanges {
 public:
  /// `range` of the area was written for `inode`. Only files that are known are tracked.
  void add(InodeId inode, ByteRange range);
  /// Everything of `inode` is stable, or is being made so: from here on it is known.
  void clean(InodeId inode) { files_.put(inode, {}); }
  void forget(InodeId inode) { files_.erase(inode); }
  void forget_all() { files_.clear(); }
  /// Nullopt: not known.
  [[nodiscard]] std::optional<std::vector<ByteRange>> of(InodeId inode);

 private:
  Recent<InodeId, std::vector<ByteRange>> files_{8192};
};

}  // namespace lockstep::volume
