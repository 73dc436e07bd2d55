// fuse_protocol.h - what the kernel's FUSE protocol has and the installed <linux/fuse.h> (7.38) has not.
#pragma once

#include <linux/fuse.h>

#include <cstdint>

namespace lockstep::uring {

inline constexpr std::uint64_t kInitDirectIoAllowMmap = 1ULL << 36;
inline constexpr std::int32_t kNotifyIncreaseEpoch = 8;
inline constexpr std::uint32_t kOpcodeTmpfile = 51, kOpcodeStatx = 52;
/// First minor version whose kernel knows kNotifyIncreaseEpoch.
inline constexpr std::uint32_t kMinorWithEpochs = 44;

/// Most bytes of file data in one request or reply.
inline constexpr std::uint32_t kTransferBytesMax = 1u << 20;
/// Header of a WRITE: the data begins behind it.
inline constexpr std::size_t kWriteHeaderBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);

// STATX: asked instead of GETATTR by who wants the time of birth; its bits are those of statx(2).
struct StatxIn {
  std::uint32_t getattr_flags, reserved;
  std::uint64_t handle;
  std::uint32_t flags, mask;
};
struct StatxTime {
  std::int64_t seconds;
  std::uint32_t ns;
  std::int32_t reserved;
};
struct StatxOut {
  std::uint64_t valid;
  std::uint32_t valid_ns, out_flags;
  std::uint64_t spare[2];
  std::uint32_t mask, block_bytes;
  std::uint64_t attributes;
  std::uint32_t links, uid, gid;
  std::uint16_t mode, spare_mode;
  std::uint64_t inode, size, blocks, attributes_mask;
  StatxTime atime, btime, ctime, mtime;
  std::uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  std::uint64_t spare_end[14];
};
static_assert(sizeof(StatxIn) == 24 && sizeof(StatxOut) == 32 + 256);

}  // namespace lockstep::uring
