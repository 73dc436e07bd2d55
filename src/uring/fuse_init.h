// fuse_init.h - the answer to FUSE_INIT: what the kernel may do by itself on this mount.
//
//   on    parallel lookups in a directory, readdirplus, cached symlinks, O_TRUNC in open, asynchronous direct I/O,
//         mappings of direct files, explicit invalidation of data
//         kill setuid in the daemon (else each write is preceded by a getxattr)
//         locks of both kinds, which are the volume's: so each close of a file is told (FLUSH), for a process gives up its locks
//         on a file with any of its descriptors, and nothing else says so. That costs a close 11 us here, where an open
//         takes 17.
//         access control lists, which the kernel checks and the volume stores: so the umask comes with each request that makes
//         something, and is applied by who knows whether the directory has a default list
//         handles of files (name_to_handle_at, NFS): they may be asked for long after the kernel forgot them, by "."
//   off   write-back cache (data must reach every site before the write returns), automatic invalidation of data when a
//         file's time changes (it would drop the pages of one's own writes)
#pragma once

#include <cstdint>

#include "uring/fuse_protocol.h"

namespace lockstep::uring {

/// `offered`: flags of the kernel's INIT, the second word in the upper half.
[[nodiscard]] fuse_init_out answer_to_init(std::uint32_t minor, std::uint64_t offered, std::uint32_t max_readahead);

}  // namespace lockstep::uring
