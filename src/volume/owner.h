// owner.h - which file has a block of the area, from the reverse keys.
#pragma once

#include <optional>

#include "core/result.h"
#include "core/types.h"
#include "runtime/key_value.h"

namespace lockstep::volume {

struct BlockOwner {
  InodeId inode;
  std::uint64_t file_block = 0;  ///< in blocks from the start of the file
};

/// Nullopt: no file has `block`, or the key that says so can't be understood. Errc::io. Suspends.
runtime::Task<Result<std::optional<BlockOwner>>> owner_of(runtime::KeyValue& keys, std::uint64_t block);

}  // namespace lockstep::volume
