// places.h - what blocks of the area are to people: which block of which file.
#pragma once

#include <string>
#include <vector>

#include "core/types.h"
#include "runtime/key_value.h"

namespace lockstep::resync {

/// So many are named in one go.
inline constexpr std::size_t kPlacesMax = 64;

struct Place {
  std::uint64_t block = 0;       ///< of the area
  InodeId inode;                 ///< kNoInode: no file has it, or that is not known
  std::uint64_t file_block = 0;
  std::string path;              ///< from the root; empty: it has none (any more)
  [[nodiscard]] std::string text() const;
};

/// Of the first kPlacesMax of `blocks`, in their order; what can't be found out is left open. Reads the names of all directories once.
/// Suspends.
runtime::Task<std::vector<Place>> places_of(runtime::KeyValue& keys, std::vector<std::uint64_t> blocks);

}  // namespace lockstep::resync
