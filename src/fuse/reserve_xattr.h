// reserve_xattr.h - reservations for programs: the attribute user.lockstep.reserve of a file or directory.
//
//   setxattr     "[FIRST-LAST|FIRST-] [wait|busy]"   reserves, for this site; bytes are decimal, without them the whole object
//   getxattr     a line "SITE RANGE wait|busy" for each reservation of the object; RANGE is "all" for the whole of it
//   removexattr  releases what this site has reserved of the object
//
// It is not stored as an attribute and never listed, so copies do not carry it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "volume/reservations.h"
#include "wire/messages.h"

namespace lockstep::fuse {

inline constexpr std::string_view kReserveXattr = "user.lockstep.reserve";

/// The operation that setting the attribute of `inode` to `value` stands for. Nullopt: it is not as above.
[[nodiscard]] std::optional<wire::Operation> reserve_by_xattr(InodeId inode, std::string_view value);
/// What reading it gives; empty: there is none. `sites`: their names.
[[nodiscard]] std::string reserve_xattr_of(const volume::Reservations& reservations, InodeId inode,
                                           const std::vector<std::string>& sites);

}  // namespace lockstep::fuse
