// acl_bytes.h - access control lists as the kernel hands them over, for tests.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

namespace lockstep {

struct AclEntry {
  std::uint16_t tag, permissions;
  std::uint32_t id = ~std::uint32_t{0};
};
inline constexpr std::uint16_t kAclOwner = 1, kAclUser = 2, kAclOwningGroup = 4, kAclGroup = 8, kAclMask = 16, kAclOthers = 32;

inline std::string acl_bytes(std::initializer_list<AclEntry> entries, std::uint8_t version = 2) {
  std::string text{static_cast<char>(version), 0, 0, 0};
  const auto append = [&text](std::uint32_t n, int bytes) {
    for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(n >> 8 * i & 0xff));
  };
  for (const AclEntry& entry : entries) {
    append(entry.tag, 2);
    append(entry.permissions, 2);
    append(entry.id, 4);
  }
  return text;
}

}  // namespace lockstep
