// table_format.h - the bytes of the file `checksums`: sectors of 512 bytes, which a loss of power keeps or loses as a whole.
//
//   0     62 checksums, of blocks 62 n to 62 n + 61
//   496   run, 504 position: how far the log had come when one of them was last stored
//
// The point in the log tells after a loss of power whether a checksum is of a block's new contents or of those that stood
// there before: it is of the new ones only if it was stored behind the record that made the block new (C4).
#pragma once

#include <cstdint>

#include "area/log_format.h"
#include "core/types.h"

namespace lockstep::area {

inline constexpr std::uint64_t kChecksumBytes = 8;
inline constexpr std::uint64_t kTableSectorBytes = 512;
inline constexpr std::uint64_t kTableSectorBlocks = (kTableSectorBytes - sizeof(LogPoint)) / kChecksumBytes;
inline constexpr std::uint64_t kTablePointOffset = kTableSectorBlocks * kChecksumBytes;
static_assert(kTableSectorBlocks == 62 && kTablePointOffset + sizeof(LogPoint) == kTableSectorBytes);

/// Where the checksum of `block` stands in the file.
constexpr std::uint64_t checksum_place(std::uint64_t block) {
  return block / kTableSectorBlocks * kTableSectorBytes + block % kTableSectorBlocks * kChecksumBytes;
}
/// The sectors that hold the checksums of `blocks`. Requires: blocks.count > 0.
constexpr ByteRange table_range(BlockRange blocks) {
  const std::uint64_t first = blocks.first / kTableSectorBlocks;
  const std::uint64_t end = (blocks.end() - 1) / kTableSectorBlocks + 1;
  return {first * kTableSectorBytes, (end - first) * kTableSectorBytes};
}
/// Of the file, for an area of so many.
constexpr std::uint64_t table_bytes(std::uint64_t blocks) { return table_range({0, blocks}).length; }

}  // namespace lockstep::area
