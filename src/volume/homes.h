// homes.h - where files that are written at random would best stand.
//
// A file that is filled in no order would take blocks in the order of its writes, and end as one extent a block. So such a
// file gets a home: a stretch of the area as long as the file, where each block has its place. A home is a wish, not a
// reservation: it is forgotten with the process, and blocks that others took meanwhile are taken elsewhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include "volume/keys_format.h"

namespace lockstep::volume {

class Homes {
 public:
  /// The place of `block` of a file of `file_blocks`, which is not smaller than block + 1. `cursor` is where allocation
  /// goes on; `area_blocks` the end of the area. nullopt: there is no room for a home.
  std::optional<std::uint64_t> place(InodeId inode, std::uint64_t block, std::uint64_t file_blocks, std::uint64_t cursor,
                                     std::uint64_t area_blocks) {
    auto found = homes_.find(inode);
    if (found == homes_.end()) {
      const std::uint64_t wanted = std::max(file_blocks, kLeastBlocks);
      std::uint64_t base = round_up(std::max(cursor, next_));
      if (base + wanted > area_blocks) base = round_up(cursor);
      if (base + wanted > area_blocks) return std::nullopt;
      if (homes_.size() >= kHomesMax) homes_.clear();
      next_ = base + wanted;
      found = homes_.emplace(inode, base).first;
    }
    const std::uint64_t at = found->second + block;
    return at < area_blocks ? std::optional(at) : std::nullopt;
  }

  void forget() { *this = Homes{}; }

 private:
  static constexpr std::size_t kHomesMax = 1024;
  static constexpr std::uint64_t kHomeBlocks = 2048;
  static constexpr std::uint64_t kLeastBlocks = 2 * kHomeBlocks;
  static std::uint64_t round_up(std::uint64_t block) { return (block + kHomeBlocks - 1) / kHomeBlocks * kHomeBlocks; }

  std::map<InodeId, std::uint64_t> homes_;  // where block 0 of the file would stand
  std::uint64_t next_ = 0;                  // behind the last home
};

}  // namespace lockstep::volume
