#include "volume/owner.h"

#include <algorithm>

#include "volume/keys_format.h"

namespace lockstep::volume {

runtime::Task<Result<std::optional<BlockOwner>>> owner_of(runtime::KeyValue& keys, std::uint64_t block) {
  // An extent is within a chunk of its file and within a group, so the key of the one with `block` is not far before it.
  const std::uint64_t group = block / kGroupBlocks * kGroupBlocks;
  const std::uint64_t from = std::max(group, block - std::min<std::uint64_t>(block, kChunkBlocks - 1));
  const KeySpan span = blocks_in(from, block + 1);
  const Result<std::vector<runtime::KeyPair>> found = co_await keys.scan(span.from, span.to, kChunkBlocks, nullptr);
  if (!found) co_return std::unexpected(found.error());
  std::optional<BlockOwner> owner;
  if (!found->empty()) {
    const Result<std::uint64_t> first = parse_block_key(found->back().key);
    const Result<Owner> extent = unpack_owner(found->back().value);
    if (first && extent && block - *first < extent->count) owner = BlockOwner{extent->inode, extent->file_block + (block - *first)};
  }
  co_return owner;
}

}  // namespace lockstep::volume
