// superblock_format.h - the bytes of the file `superblock`.
//
//   0      copy 0, kSuperblockCopyBytes
//   4096   copy 1
//
// The copy with the higher generation is in force; a new one is written over the other. So a torn write leaves the one
// before. Magic, version, generation and checksum stand at the same place in every version of the format.
// All numbers are little endian. lockstep-format(5) has the table.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "area/area.h"

namespace lockstep::area {

static_assert(std::endian::native == std::endian::little, "files are little endian and are read without conversion");

inline constexpr std::uint32_t kFormatVersion = 3;
inline constexpr std::size_t kSuperblockCopyBytes = 4096;
inline constexpr std::size_t kSuperblockCopies = 2;
inline constexpr std::size_t kNameBytesMax = 255;

struct SuperblockBytes {
  static constexpr std::array<char, 8> kMagic{'L', 'O', 'C', 'K', 'S', 'T', 'E', 'P'};
  static constexpr std::uint32_t kClean = 1;

  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t flags;
  std::uint64_t generation;
  std::array<std::uint8_t, 16> volume_id;
  std::array<std::uint8_t, 16> store;
  std::uint64_t blocks;
  std::uint64_t log_bytes;
  std::uint32_t block_bytes;
  std::uint16_t volume_bytes;
  std::uint16_t site_bytes;
  std::array<char, 256> volume;  ///< volume_bytes of it, then zeros
  std::array<char, 256> site;
  std::array<std::uint8_t, 16> host_boot;
  std::array<std::byte, 3480> zeros;
  std::uint64_t checksum;        ///< XXH3-64 of all bytes before it
};
static_assert(sizeof(SuperblockBytes) == kSuperblockCopyBytes);
static_assert(std::is_trivially_copyable_v<SuperblockBytes>);
static_assert(std::has_unique_object_representations_v<SuperblockBytes>, "no padding");
static_assert(offsetof(SuperblockBytes, version) == 8 && offsetof(SuperblockBytes, flags) == 12);
static_assert(offsetof(SuperblockBytes, generation) == 16 && offsetof(SuperblockBytes, volume_id) == 24);
static_assert(offsetof(SuperblockBytes, store) == 40 && offsetof(SuperblockBytes, blocks) == 56);
static_assert(offsetof(SuperblockBytes, log_bytes) == 64 && offsetof(SuperblockBytes, block_bytes) == 72);
static_assert(offsetof(SuperblockBytes, volume) == 80 && offsetof(SuperblockBytes, site) == 336);
static_assert(offsetof(SuperblockBytes, host_boot) == 592 && offsetof(SuperblockBytes, checksum) == 4088);

struct Superblock {
  Identity identity;
  std::uint64_t generation = 0;
  bool clean = false;
  Uuid host_boot;  ///< of the machine, when the area was opened last; older while a loss of power is not recorded
};

/// Requires: names of at most kNameBytesMax.
[[nodiscard]] SuperblockBytes encode(const Superblock& superblock);
/// Errc::corrupt: not a superblock, or damaged. Errc::refused: of another format version, and what to do.
[[nodiscard]] Result<Superblock> decode_superblock(Bytes copy);

}  // namespace lockstep::area
