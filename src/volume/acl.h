// acl.h - POSIX access control lists: the bytes of their two attributes, and what creation and chmod make of them.
//
// They are stored as the kernel hands them over (<linux/posix_acl_xattr.h>): u32 version 2, then an entry each of u16 tag,
// u16 permissions, u32 id, little endian. Ids count for named users and groups only; in others they are stored as ~0, so that
// equal lists are equal bytes.
//
// An access list and the mode say the same: owner and others are its entries for them, the group bits are its mask, or the
// owning group where there is no mask. A list that says no more than a mode is not stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::volume {

inline constexpr std::string_view kAccessAcl = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAcl = "system.posix_acl_default";
/// The kernel reads no more of one.
inline constexpr std::size_t kAclBytesMax = 4096;

inline bool is_acl(std::string_view xattr_name) { return xattr_name == kAccessAcl || xattr_name == kDefaultAcl; }

class Acl {
 public:
  /// Nullopt: not the bytes of a list that acl(5) calls valid.
  static std::optional<Acl> unpack(std::string_view value);
  [[nodiscard]] std::string pack() const;

  /// The permission bits (0777) that an object with this access list has in its mode.
  [[nodiscard]] std::uint32_t mode_bits() const;
  /// Everything it says is in mode_bits().
  [[nodiscard]] bool is_mode() const;
  /// The permission bits of `mode` become those of the list (chmod).
  void set_mode(std::uint32_t mode);
  /// Leaves what `mode`, which a program asked for, allows too: so a default list becomes the access list of a new object.
  void limit_to(std::uint32_t mode);

 private:
  enum Tag : std::uint16_t { owner = 0x01, user = 0x02, owning_group = 0x04, group = 0x08, mask = 0x10, others = 0x20 };
  struct Entry {
    std::uint16_t tag = 0, permissions = 0;
    std::uint32_t id = 0;
  };
  [[nodiscard]] const Entry* find(Tag tag) const;
  Entry& at(Tag tag);
  /// The entry that the group bits of a mode stand for.
  [[nodiscard]] Tag group_class() const { return find(mask) != nullptr ? mask : owning_group; }

  std::vector<Entry> entries_;  // in the order of their tags; one each of owner, owning_group, others; at most one mask
};

}  // namespace lockstep::volume
