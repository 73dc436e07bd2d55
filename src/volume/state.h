// state.h - what a volume has in memory: everything that plans look at and apply() changes.
//
// All of it but `lazy` and `dirty` can be made again from the keys and the area.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "area/allocator.h"
#include "volume/dirty_ranges.h"
#include "volume/homes.h"
#include "volume/keys_format.h"
#include "volume/known_keys.h"
#include "volume/lock_table.h"
#include "volume/reservations.h"

namespace lockstep::volume {

/// Bytes of keys and values that are kept in memory.
inline constexpr std::size_t kKnownBytesMax = 64u << 20;
/// Files whose times may wait to be written.
inline constexpr std::size_t kLazyTimesMax = 16384;
/// N is written once for so many new objects.
inline constexpr std::uint64_t kInodesPerBound = 1024;
/// More than can be made in what is lost at most: the window, or what a log gets before it is stable.
inline constexpr std::uint64_t kInodesLostMax = 65536;
/// Epochs one behind the other, of which nothing that was made is stable, with numbers of their own.
inline constexpr std::uint64_t kInodePartsMax = 16;

struct State {
  State(runtime::KeyValue& store, area::Allocator allocator)
      : keys(store, kKnownBytesMax), free_space(std::move(allocator)), blocks(free_space.blocks()) {}

  KnownKeys keys;
  area::Allocator free_space;                  ///< its free() is what the G keys say
  std::uint64_t blocks;                        ///< of the area
  Progress progress;                           ///< its next_inode is above every inode number ever used
  std::uint64_t inode_bound = 0;               ///< what N says; >= next_inode
  std::uint64_t inode_floor = 0;               ///< no object that is made from here on has a lower number
  /// What the next object is called.
  [[nodiscard]] std::uint64_t free_inode() const { return std::max(progress.next_inode, inode_floor); }
  std::map<InodeId, wire::LazyTimes> lazy;     ///< at most kLazyTimesMax
  LockTable locks;                             ///< what the L keys say
  DirtyRanges dirty;
  Reservations reservations;                   ///< what the V keys say
  Homes homes;
  bool growth_held = false;                    ///< see Volume::hold_growth()

  /// Kept back from plans, so that the last file of a full volume does not meet a full log or key store at once.
  [[nodiscard]] std::uint64_t reserve() const { return std::min<std::uint64_t>(blocks / 256, 4096); }
};

}  // namespace lockstep::volume
