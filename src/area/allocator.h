// allocator.h - which blocks of the area are free, in groups of 128 MiB.
//
// Of every group the number of free blocks is known from the start; which ones is loaded when it is first needed. A block
// of a known group is
//
//   free ---- mark_allocated ----> allocated ---- mark_freed ----> held ---- release ----> free
//
// held (C3): free for the keys, and not to be given out while a read begun before may still look at it. A site that
// follows the primary may be told to allocate what it still holds itself: it does, and its own release then changes nothing.
//
// Invariants, tested by check_invariants():
//   (1) free(g) counts the blocks of g that are not allocated, held ones too: what the keys say.
//   (2) usable(g) = free(g) less the blocks of g that are held and not allocated.
//   (3) No range given out crosses the border of a group, or has a block that is not usable.
//   (4) All answers are a function of the calls made: no clock, no addresses, no hash order.
//
// It decides and does nothing else: no I/O, no waiting. A group costs 16 bytes, a known one 4 KiB more; at most
// kKnownGroupsMax are known, the one loaded first goes first. allocate() looks at a word for 64 blocks.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/types.h"

namespace lockstep::area {

inline constexpr std::uint64_t kGroupBlocks = 32768;

class Allocator {
 public:
  static constexpr std::size_t kKnownGroupsMax = 4096;
  static constexpr std::size_t kRangesMax = 64;
  /// Groups that are looked at for one stretch of all blocks, before smaller ones are taken; and counters that are.
  static constexpr std::size_t kContiguousTries = 4;
  static constexpr std::size_t kContiguousGroups = 1024;

  struct Request {
    std::uint64_t count = 0;
    std::optional<std::uint64_t> goal;  ///< block to begin looking at; none: behind what was allocated last
    std::size_t ranges_max = kRangesMax;  ///< 1 to kRangesMax
    std::span<const BlockRange> without{};  ///< planned already, not marked yet
  };
  /// `count` blocks in as few ranges as were found near the goal; fewer blocks only if ranges_max did not suffice.
  using Ranges = std::vector<BlockRange>;
  /// Load this group, then ask again.
  struct LoadGroup {
    std::uint64_t group = 0;
  };
  struct NoSpace {
    std::uint64_t usable = 0;
    std::uint64_t held = 0;  ///< more will be usable after release()
  };
  using Allocation = std::variant<Ranges, LoadGroup, NoSpace>;

  /// `free` has a count for each group. Errc::corrupt: it has not, or one is larger than its group. Requires:
  /// known_max > kRangesMax + kContiguousTries, or one allocation could ask for the same groups for ever.
  static Result<Allocator> make(std::uint64_t blocks, std::span<const std::uint64_t> free,
                                std::size_t known_max = kKnownGroupsMax);

  /// Behind what was allocated last: where an allocation without a goal begins to look.
  [[nodiscard]] std::uint64_t cursor() const { return cursor_; }
  [[nodiscard]] std::uint64_t groups() const { return groups_.size(); }
  [[nodiscard]] std::uint64_t blocks() const { return blocks_; }
  [[nodiscard]] BlockRange group_blocks(std::uint64_t group) const;
  [[nodiscard]] static constexpr std::uint64_t group_of(std::uint64_t block) { return block / kGroupBlocks; }

  // Loading. Call begin_load() before the allocated ranges are read, so that what is marked meanwhile is not missed.
  [[nodiscard]] bool group_known(std::uint64_t group) const;
  void begin_load(std::uint64_t group);
  /// `allocated`: all that is allocated in `group`, as it was at any one moment since begin_load(). Errc::corrupt: ranges that
  /// overlap or leave the group, or another number of free blocks than was counted. Does nothing if the group is known.
  [[nodiscard]] Result<> load_group(std::uint64_t group, std::span<const BlockRange> allocated);
  /// The load came to nothing.
  void cancel_load(std::uint64_t group);

  /// Chooses; marks nothing.
  [[nodiscard]] Allocation allocate(const Request& request) const;

  /// Errc::corrupt: a block is not in the area, or (group known) allocated already; or the group has none free. Nothing
  /// changed then.
  [[nodiscard]] Result<> mark_allocated(BlockRange range);
  /// Not free before release(). Errc::corrupt: a block is not in the area, or is not allocated. Nothing changed then.
  [[nodiscard]] Result<> mark_freed(BlockRange range);
  /// Ends what mark_freed() began for these blocks. Requires: it was called for them, once for each release.
  void release(BlockRange range);

  [[nodiscard]] std::uint64_t free(std::uint64_t group) const { return groups_[group].free; }
  [[nodiscard]] std::uint64_t usable(std::uint64_t group) const { return groups_[group].free - groups_[group].held; }
  [[nodiscard]] std::uint64_t total_free() const { return total_free_; }
  [[nodiscard]] std::uint64_t total_usable() const { return total_usable_; }

  void check_invariants() const;

 private:
  using Bitmap = std::array<std::uint64_t, kGroupBlocks / 64>;
  struct Group {
    std::uint32_t free = 0;
    std::uint32_t held = 0;        ///< held and not allocated
    std::unique_ptr<Bitmap> busy;  ///< known: a bit is set for what is allocated or held
  };
  /// A stretch of blocks for which mark_freed() was called `holds` times more than release().
  struct Held {
    std::uint64_t end = 0;
    std::uint32_t holds = 0;
    bool allocated = false;  ///< again, since
  };
  using HeldMap = std::map<std::uint64_t, Held>;  ///< by first block; stretches do not overlap or cross a group's border
  struct Loading {
    std::uint32_t loads = 0;
    std::vector<std::pair<BlockRange, bool>> marks;  ///< since the first of them began; true: allocated
  };

  [[nodiscard]] Result<> validate(BlockRange range, const char* what) const;
  /// Calls `f` with the part of `range` in each group, as long as it answers success.
  template <class F>
  static Result<> each_group(BlockRange range, F f);
  [[nodiscard]] Result<> may_allocate(BlockRange part) const;
  [[nodiscard]] Result<> may_free(BlockRange part) const;
  /// Splits stretches so that none crosses `block`.
  void split_held(std::uint64_t block);
  [[nodiscard]] HeldMap::const_iterator first_held(BlockRange range) const;
  void note_loading(BlockRange part, bool allocated);
  void evict();

  [[nodiscard]] const Bitmap* view(std::uint64_t group, std::span<const BlockRange> without, Bitmap& copy) const;
  [[nodiscard]] std::uint64_t usable_without(std::uint64_t group, std::span<const BlockRange> without) const;
  [[nodiscard]] std::optional<Allocation> contiguous(const Request& request, std::uint64_t goal) const;
  [[nodiscard]] Allocation scattered(const Request& request, std::uint64_t goal) const;

  std::uint64_t blocks_ = 0;
  std::size_t known_max_ = kKnownGroupsMax;
  std::vector<Group> groups_;
  std::deque<std::uint64_t> known_;  ///< in the order of loading
  HeldMap held_;
  std::map<std::uint64_t, Loading> loading_;
  std::uint64_t total_free_ = 0;
  std::uint64_t total_usable_ = 0;
  std::uint64_t cursor_ = 0;  ///< behind what was allocated last
};

}  // namespace lockstep::area
