// set_attributes, extended attributes, settle.
#include <cerrno>
#include <sys/stat.h>

#include "volume/acl.h"
#include "volume/plan.h"

namespace lockstep::volume {
namespace {

constexpr std::size_t kXattrBytesMax = 65536;
/// Names and values of one object together, and how many.
constexpr std::uint32_t kXattrBytesSumMax = 1u << 20;
constexpr std::uint32_t kXattrsMax = 4096;
constexpr std::string_view kCapability = "security.capability";
// Flags of setxattr(2), as <linux/xattr.h> has them.
constexpr std::uint32_t kCreate = 1, kReplace = 2;
constexpr std::size_t kTimesPerEffect = 256;

Step<> check_xattr_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return refuse(ERANGE);
  if (name.find('\0') != name.npos) return refuse(EINVAL);
  if (is_acl(name)) return {};
  if (name.starts_with("user.lockstep.")) return refuse(EOPNOTSUPP);  // none of these is stored
  for (const std::string_view space : {"user.", "trusted.", "security."}) {
    if (name == space) return refuse(EINVAL);
    if (name.starts_with(space)) return {};
  }
  return refuse(EOPNOTSUPP);
}

}  // namespace

void lose_xattr(Draft& draft, Draft::Object& object, std::string_view name, std::string_view value) {
  draft.erase(xattr_key(object.id, name));
  object.xattrs -= object.xattrs > 0 ? 1 : 0;
  object.xattr_bytes -= std::min<std::uint32_t>(object.xattr_bytes, static_cast<std::uint32_t>(name.size() + value.size()));
  object.change();
}

Step<> put_xattr(Draft& draft, Draft::Object& object, std::string_view name, std::string value, const std::optional<std::string>& before) {
  const std::size_t replaced = before ? name.size() + before->size() : 0;
  const std::size_t sum = object.xattr_bytes - std::min<std::size_t>(replaced, object.xattr_bytes) + name.size() + value.size();
  if (sum > kXattrBytesSumMax || (!before && object.xattrs >= kXattrsMax)) return refuse(ENOSPC);
  draft.put(xattr_key(object.id, name), std::move(value));
  object.xattr_bytes = static_cast<std::uint32_t>(sum);
  if (!before) ++object.xattrs;
  object.change();
  return {};
}

Step<> drop_privileges(Draft& draft, Draft::Object& file) {
  if (file.is_directory()) return {};
  std::uint32_t mode = file.mode & ~static_cast<std::uint32_t>(S_ISUID);
  if ((mode & S_IXGRP) != 0) mode &= ~static_cast<std::uint32_t>(S_ISGID);
  if (mode != file.mode) {
    file.mode = mode;
    file.change();
  }
  if (file.xattrs == 0) return {};
  const auto capability = draft.xattr(file.id, kCapability);
  if (!capability) return std::unexpected(capability.error());
  if (*capability) lose_xattr(draft, file, kCapability, **capability);
  return {};
}

Step<Planned> plan_set_attributes(Draft& draft, const wire::Operation& operation) {
  const runtime::AttributeChange& change = operation.change;
  const auto found = draft.inode(operation.inode);
  if (!found) return std::unexpected(found.error());
  Draft::Object& object = **found;
  wire::Outcome outcome;
  if (change.size_set) {
    if (object.is_directory()) return refuse(EISDIR);
    if (!object.is_file()) return refuse(EINVAL);
    const std::uint64_t old_size = object.size;
    const auto all = set_size(draft, object, change.size);
    if (!all) return std::unexpected(all.error());
    if (!*all) outcome.value = 1;
    object.mtime = draft.now;
    draft.drop_pages(object.id, {std::min(old_size, change.size), 0});
  }
  if (change.uid_set) object.uid = change.uid;
  if (change.gid_set) object.gid = change.gid;
  if (change.uid_set || change.gid_set || change.kill_suid_gid || operation.kill_suid_gid) {
    if (const auto dropped = drop_privileges(draft, object); !dropped) return std::unexpected(dropped.error());
  }
  if (change.mode_set) {
    object.mode = object.type() | (change.mode & 07777);
    if (const auto followed = follow_mode(draft, object); !followed) return std::unexpected(followed.error());
  }
  if (change.atime_set || change.atime_now) object.atime = change.atime_now ? draft.now : change.atime;
  if (change.mtime_set || change.mtime_now) object.mtime = change.mtime_now ? draft.now : change.mtime;
  object.ctime = change.ctime_set ? change.ctime : draft.now;
  object.change();
  if (!change.size_set) draft.drop_attributes(object.id);
  // Times that another site hands over are no change that anybody made: changes.h.
  const bool handed_over = change.ctime_set && !change.size_set;
  return draft.finish(outcome, handed_over ? nullptr : &object);
}

Step<Planned> plan_set_xattr(Draft& draft, const wire::Operation& operation) {
  if (const auto good = check_xattr_name(operation.name); !good) return std::unexpected(good.error());
  if (operation.text.size() > kXattrBytesMax) return refuse(E2BIG);
  if ((operation.flags & ~(kCreate | kReplace)) != 0) return refuse(EINVAL);
  const auto found = draft.inode(operation.inode);
  const auto before = draft.xattr(operation.inode, operation.name);
  if (!found) return std::unexpected(found.error());
  if (!before) return std::unexpected(before.error());
  Draft::Object& object = **found;
  if (*before && (operation.flags & kCreate) != 0) return refuse(EEXIST);
  if (!*before && (operation.flags & kReplace) != 0) return refuse(ENODATA);

  const auto put = is_acl(operation.name) ? set_acl(draft, object, operation, *before)
                                          : put_xattr(draft, object, operation.name, operation.text, *before);
  if (!put) return std::unexpected(put.error());
  object.ctime = draft.now;
  object.change();
  draft.drop_attributes(object.id);
  return draft.finish({}, &object);
}

Step<Planned> plan_remove_xattr(Draft& draft, const wire::Operation& operation) {
  const auto found = draft.inode(operation.inode);
  const auto before = draft.xattr(operation.inode, operation.name);
  if (!found) return std::unexpected(found.error());
  if (!before) return std::unexpected(before.error());
  if (!*before) return refuse(ENODATA);
  lose_xattr(draft, **found, operation.name, **before);
  (*found)->ctime = draft.now;
  draft.drop_attributes(operation.inode);
  return draft.finish({}, *found);
}

Step<Planned> plan_settle(Draft& draft, const wire::Operation&) {
  wire::Outcome outcome;
  std::size_t done = 0;
  bool halted = false;
  for (const auto& [id, times] : draft.state.lazy) {
    if (++done > kTimesPerEffect) {
      outcome.value = 1;
      break;
    }
    const auto object = draft.inode(id);
    if (object) {
      (*object)->change();
    } else if (object.error().error == 0) {
      halted = true;
    }
  }
  if (halted) return refuse(0);
  return draft.finish(outcome, nullptr);
}

}  // namespace lockstep::volume
