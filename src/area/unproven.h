// unproven.h - blocks that are new to their file and not known to be stable as its blocks: what a note in the log must say.
//
// After a loss of power such a block is believed only if its bytes match a checksum (C4). Of a block that was made stable
// that would be wrong: what was written to it later may have reached the medium without its checksum, and what an fsync had
// promised must stay. So a sync of new blocks writes a note behind them: from there on they are no longer new.
//
//   add(blocks) --- begin() ... the blocks are stable --- proven(ranges, that) -> the note -> remove()
//
// At most kIntervalsMax intervals; when there are more, all blocks count as new for one round of syncs, which costs time only.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "core/types.h"

namespace lockstep::area {

class Unproven {
 public:
  static constexpr std::size_t kIntervalsMax = 16384;

  /// Requires: `blocks` of the area.
  explicit Unproven(std::uint64_t blocks) : blocks_(blocks) {}

  /// They are new from now on. Requires: inside of the area.
  void add(BlockRange blocks);
  /// A sync begins: what is added from now on is not of it.
  [[nodiscard]] std::uint64_t begin() { return ++round_; }
  [[nodiscard]] bool any(std::span<const BlockRange> ranges) const;
  /// All of `ranges` but what was added since the begin() that answered `round`; nothing of a range in which no block was new
  /// before that.
  [[nodiscard]] std::vector<BlockRange> proven(std::span<const BlockRange> ranges, std::uint64_t round) const;
  void remove(BlockRange blocks);
  [[nodiscard]] std::size_t intervals() const { return intervals_.size(); }

 private:
  struct Interval {
    std::uint64_t end;
    std::uint64_t round;  ///< in which it was added
  };
  using Intervals = std::map<std::uint64_t, Interval>;  ///< by their first block; they do not overlap
  /// The first interval that ends behind `block`.
  [[nodiscard]] Intervals::const_iterator behind(std::uint64_t block) const;

  std::uint64_t blocks_;
  std::uint64_t round_ = 0;
  Intervals intervals_;
};

}  // namespace lockstep::area
