// extent_map.h - which blocks of the area hold one chunk (1 MiB) of a file.
//
// Invariants: extents are sorted, do not overlap, lie in the chunk, and none reaches from one group of blocks into the
// next; neighbours that could be one extent are one.
// All block numbers here but addresses count from the start of the chunk.
#pragma once

#include <span>
#include <vector>

#include "volume/keys_format.h"

namespace lockstep::volume {

/// A part of a chunk that is one thing: a hole, or blocks that stand one behind the other.
struct Segment {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::uint64_t address = 0;  ///< block of the area; meaningless for a hole
  bool mapped = false;
  bool unwritten = false;
  [[nodiscard]] std::uint32_t end() const { return first + count; }
};

/// What an R key says: allocated blocks one behind the other, written or not.
struct Run {
  std::uint64_t address = 0;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool operator==(const Run&) const = default;
};

/// The runs of `extents` (sorted by `first`), sorted by address.
[[nodiscard]] std::vector<Run> runs_of(std::span<const Extent> extents);

/// The runs of a chunk that a change touched, sorted by address; those that both have may be among them.
struct RunChange {
  std::vector<Run> before, after;
};
/// Looks at no more than what differs: a file that is written at random has a map of thousands.
[[nodiscard]] RunChange runs_changed(std::span<const Extent> before, std::span<const Extent> after);

class ExtentMap {
 public:
  ExtentMap() = default;
  explicit ExtentMap(std::vector<Extent> extents);

  [[nodiscard]] const std::vector<Extent>& extents() const { return extents_; }
  [[nodiscard]] bool empty() const { return extents_.empty(); }
  [[nodiscard]] std::uint64_t blocks() const;

  /// [from, to) in order, without gaps.
  [[nodiscard]] std::vector<Segment> segments(std::uint32_t from, std::uint32_t to) const;
  /// Takes [from, to) out; returns the blocks of the area that were there.
  std::vector<BlockRange> remove(std::uint32_t from, std::uint32_t to);
  /// Maps [first, first + count) to `address` on. Requires: it is a hole, and does not leave its group.
  void insert(const Extent& extent);
  /// Marks what is mapped of [from, to).
  void mark(std::uint32_t from, std::uint32_t to, bool unwritten);
  /// Sorted by address.
  [[nodiscard]] std::vector<Run> runs() const { return runs_of(extents_); }

 private:
  void normalize();
  std::vector<Extent> extents_;
};

}  // namespace lockstep::volume
