// Access control lists: set, followed by chmod, inherited.
#include <cerrno>
#include <sys/stat.h>

#include "volume/acl.h"
#include "volume/plan.h"

namespace lockstep::volume {
namespace {

constexpr std::uint32_t kPermissions = 0777;

/// A list that is stored; nullopt: `object` has none.
Step<std::optional<Acl>> stored(Draft& draft, const Draft::Object& object, std::string_view name) {
  if (object.xattrs == 0) return std::optional<Acl>{};
  const auto value = draft.xattr(object.id, name);
  if (!value) return std::unexpected(value.error());
  if (!*value) return std::optional<Acl>{};
  std::optional<Acl> acl = Acl::unpack(**value);
  if (!acl) {
    draft.damage = Error{Errc::corrupt, 0, "metadata are damaged: an access control list can't be understood; setfacl -b removes it"};
    return refuse(0);
  }
  return acl;
}

/// `object`, which is new, gets the list `acl`.
void give(Draft& draft, Draft::Object& object, std::string_view name, const Acl& acl) {
  std::string value = acl.pack();
  ++object.xattrs;
  object.xattr_bytes += static_cast<std::uint32_t>(name.size() + value.size());
  draft.put(xattr_key(object.id, name), std::move(value));
}

}  // namespace

Step<> set_acl(Draft& draft, Draft::Object& object, const wire::Operation& operation, const std::optional<std::string>& before) {
  if (object.type() == S_IFLNK) return refuse(EOPNOTSUPP);
  const bool access = operation.name == kAccessAcl;
  if (!access && !object.is_directory()) return refuse(EACCES);
  if (operation.text.size() > kAclBytesMax) return refuse(E2BIG);
  const std::optional<Acl> acl = Acl::unpack(operation.text);
  if (!acl) return refuse(EINVAL);
  if (access) {
    object.mode = (object.mode & ~kPermissions) | acl->mode_bits();
    if (operation.kill_suid_gid) object.mode &= ~static_cast<std::uint32_t>(S_ISGID);
    object.change();
    if (acl->is_mode()) {
      if (before) lose_xattr(draft, object, kAccessAcl, *before);
      return {};
    }
  }
  return put_xattr(draft, object, operation.name, acl->pack(), before);
}

Step<> follow_mode(Draft& draft, Draft::Object& object) {
  auto acl = stored(draft, object, kAccessAcl);
  if (!acl) return std::unexpected(acl.error());
  if (!*acl) return {};
  (*acl)->set_mode(object.mode);
  draft.put(xattr_key(object.id, kAccessAcl), (*acl)->pack());  // as long as before
  return {};
}

Step<> inherit_acl(Draft& draft, Draft::Object& object, const Draft::Object& directory, std::uint32_t asked) {
  if (object.type() == S_IFLNK) return {};
  const auto found = stored(draft, directory, kDefaultAcl);
  if (!found) return std::unexpected(found.error());
  if (!*found) return {};
  const Acl& inherited = **found;
  Acl acl = inherited;
  acl.limit_to(asked);
  object.mode = (object.mode & ~kPermissions) | acl.mode_bits();
  if (!acl.is_mode()) give(draft, object, kAccessAcl, acl);
  if (object.is_directory()) give(draft, object, kDefaultAcl, inherited);
  return {};
}

}  // namespace lockstep::volume
