#include "area/superblock_format.h"

#include <fmt/format.h>

#include <cstring>

#include "area/log_format.h"
#include "core/check.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

std::uint64_t checksum_of(const SuperblockBytes& bytes) {
  return checksum(std::as_bytes(std::span(&bytes, 1)).first(offsetof(SuperblockBytes, checksum)));
}

}  // namespace

SuperblockBytes encode(const Superblock& superblock) {
  const Identity& id = superblock.identity;
  CHECK(id.volume.size() <= kNameBytesMax && id.site.size() <= kNameBytesMax);
  SuperblockBytes out{};
  out.magic = SuperblockBytes::kMagic;
  out.version = kFormatVersion;
  out.flags = superblock.clean ? SuperblockBytes::kClean : 0;
  out.generation = superblock.generation;
  out.volume_id = id.volume_id.bytes;
  out.store = id.store.bytes;
  out.blocks = id.blocks;
  out.log_bytes = id.log_bytes;
  out.block_bytes = kBlockBytes;
  out.volume_bytes = static_cast<std::uint16_t>(id.volume.size());
  out.site_bytes = static_cast<std::uint16_t>(id.site.size());
  std::memcpy(out.volume.data(), id.volume.data(), id.volume.size());
  std::memcpy(out.site.data(), id.site.data(), id.site.size());
  out.host_boot = superblock.host_boot.bytes;
  out.checksum = checksum_of(out);
  return out;
}

Result<Superblock> decode_superblock(Bytes copy) {
  CHECK(copy.size() == kSuperblockCopyBytes);
  SuperblockBytes in;
  std::memcpy(&in, copy.data(), sizeof in);
  if (in.magic != SuperblockBytes::kMagic) return fail(Errc::corrupt, "it does not begin with LOCKSTEP");
  if (in.checksum != checksum_of(in)) return fail(Errc::corrupt, "its checksum does not match");
  if (in.version > kFormatVersion)
    return fail(Errc::refused, fmt::format("format {}, this program knows up to {}; use a newer one", in.version, kFormatVersion));
  if (in.version < kFormatVersion) {
    return fail(Errc::refused, fmt::format("format {}, of an older program, and this one knows {} only; format this site's area "
                                           "again and let it catch up from the other site, or go on with the older program",
                                           in.version, kFormatVersion));
  }
  if (in.block_bytes != kBlockBytes)
    return fail(Errc::refused, fmt::format("blocks of {} bytes, this program knows {}", in.block_bytes, kBlockBytes));
  if (in.volume_bytes > kNameBytesMax || in.site_bytes > kNameBytesMax)
    return fail(Errc::corrupt, "a name in it is longer than its field");
  if (in.blocks == 0 || in.blocks > UINT64_MAX / kBlockBytes) return fail(Errc::corrupt, "its number of blocks is impossible");
  if (in.log_bytes < kLogBytesMin || in.log_bytes % kBlockBytes != 0)
    return fail(Errc::corrupt, "its size of the log is impossible");
  Superblock out;
  out.identity.volume.assign(in.volume.data(), in.volume_bytes);
  out.identity.site.assign(in.site.data(), in.site_bytes);
  out.identity.volume_id.bytes = in.volume_id;
  out.identity.store.bytes = in.store;
  out.identity.blocks = in.blocks;
  out.identity.log_bytes = in.log_bytes;
  out.generation = in.generation;
  out.host_boot.bytes = in.host_boot;
  out.clean = (in.flags & SuperblockBytes::kClean) != 0;
  return out;
}

}  // namespace lockstep::area
