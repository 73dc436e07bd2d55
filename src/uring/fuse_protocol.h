// fuse_protocol.h - what the kernel's FUSE protocol has and the installed <linux/fuse.h> (7.38) has not.
#pragma once

#include <linux/fuse.h>

#include <cstdint>

namespace lockstep::uring {

inline constexpr std::uint64_t kInitDirectIoAllowMmap = 1ULL << 36;
inline constexpr std::int32_t kNotifyIncreaseEpoch = 8;
/// First minor version whose kernel knows kNotifyIncreaseEpoch.
inline constexpr std::uint32_t kMinorWithEpochs = 44;

/// Most bytes of file data in one request or reply.
inline constexpr std::uint32_t kTransferBytesMax = 1u << 20;
/// Header of a WRITE: the data begins behind it.
inline constexpr std::size_t kWriteHeaderBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);

}  // namespace lockstep::uring
