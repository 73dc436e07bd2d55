#include "uring/fuse_init.h"

#include <algorithm>

namespace lockstep::uring {
namespace {

constexpr std::uint64_t kWanted =
    FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 |
    FUSE_EXPLICIT_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_CACHE_SYMLINKS | FUSE_ASYNC_DIO |
    FUSE_MAX_PAGES | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SETXATTR_EXT |
    FUSE_EXPORT_SUPPORT | FUSE_INIT_EXT | kInitDirectIoAllowMmap;
/// Reads that wait until hosts are served, or for another site, count among these, and so do write-backs that a drop of
/// pages waits for: there must be room for both. Reading ahead stops earlier.
constexpr std::uint16_t kBackgroundMax = 512;
constexpr std::uint16_t kCongested = 96;

}  // namespace

fuse_init_out answer_to_init(std::uint32_t minor, std::uint64_t offered, std::uint32_t max_readahead) {
  const std::uint64_t flags = kWanted & offered;
  fuse_init_out out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = std::min<std::uint32_t>(minor, FUSE_KERNEL_MINOR_VERSION);
  out.max_readahead = max_readahead;
  out.flags = static_cast<std::uint32_t>(flags);
  out.flags2 = static_cast<std::uint32_t>(flags >> 32);
  out.max_background = kBackgroundMax;
  out.congestion_threshold = kCongested;
  out.max_write = kTransferBytesMax;
  out.time_gran = 1;
  out.max_pages = kTransferBytesMax / 4096;
  return out;
}

}  // namespace lockstep::uring
