// create, link, unlink, rmdir.
#include <cerrno>
#include <sys/stat.h>

#include "volume/plan.h"

namespace lockstep::volume {
namespace {

constexpr std::uint32_t kLinksMax = 65000;
constexpr std::uint32_t kSubdirectoriesMax = 1u << 30;

/// The directory of a name, fit to be changed: ENOTDIR; ENOENT if it was removed, while open or for good: a program may still stand in it.
Step<Draft::Object*> directory_of(Draft& draft, InodeId id) {
  const auto directory = draft.inode(id);
  if (!directory) return directory.error().error == ESTALE ? refuse(ENOENT) : directory;
  if (!(*directory)->is_directory()) return refuse(ENOTDIR);
  if ((*directory)->links == 0) return refuse(ENOENT);
  return directory;
}

bool is_known_type(std::uint32_t type) {
  return type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFIFO || type == S_IFCHR || type == S_IFBLK ||
         type == S_IFSOCK;
}

}  // namespace

void set_owner(Draft::Object& object, const Draft::Object& directory, const wire::Operation& operation) {
  object.uid = operation.uid;
  object.gid = operation.gid;
  if ((directory.mode & S_ISGID) != 0) {
    object.gid = directory.gid;
    if (object.is_directory()) object.mode |= S_ISGID;
  }
}

Step<bool> walk_up(Draft& draft, InodeId directory, const std::function<bool(InodeId)>& each) {
  constexpr int kDepthMax = 1 << 16;  // deeper trees than this are damaged: the walk up would not end
  for (int depth = 0; depth < kDepthMax; ++depth) {
    if (each(directory)) return true;
    if (directory == kRootInode) return false;
    const auto object = draft.inode(directory);
    if (!object) return std::unexpected(object.error());
    directory = (*object)->parent;
  }
  draft.damage = Error{Errc::corrupt, 0, "metadata are damaged: directories form a ring; stop the daemon and run lockstep fsck"};
  return refuse(0);
}

Step<> check_name(std::string_view name) {
  if (name.empty()) return refuse(ENOENT);
  if (name.size() > kNameBytesMax) return refuse(ENAMETOOLONG);
  if (name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos) return refuse(EINVAL);
  return {};
}

void change_entries(Draft& draft, Draft::Object& directory, int entries) {
  directory.size += static_cast<std::uint64_t>(static_cast<std::int64_t>(entries));
  directory.mtime = directory.ctime = draft.now;
  directory.change();
}

void lose_name(Draft& draft, Draft::Object& object, InodeId directory) {
  if (object.is_directory()) {
    object.links = 0;
  } else {
    if (object.links > 0) --object.links;
    if (object.parent == directory) object.parent = kNoInode;
  }
  object.ctime = draft.now;
  object.change();
  if (object.links == 0) draft.put(orphan_key(object.id), {});
  draft.drop_attributes(object.id);
}

Step<Planned> plan_create(Draft& draft, const wire::Operation& operation) {
  const std::uint32_t type = operation.mode & S_IFMT;
  if (!is_known_type(type)) return refuse(EINVAL);
  if (type == S_IFLNK && (operation.text.empty() || operation.text.find('\0') != operation.text.npos))
    return refuse(operation.text.empty() ? ENOENT : EINVAL);
  if (type == S_IFLNK && operation.text.size() > kTargetBytesMax) return refuse(ENAMETOOLONG);
  if (operation.anonymous && type != S_IFREG) return refuse(EINVAL);

  const auto directory = directory_of(draft, operation.inode);
  if (!operation.anonymous) {
    if (const auto good = check_name(operation.name); !good) return std::unexpected(good.error());
    const auto entry = draft.entry(operation.inode, operation.name);
    if (!directory) return std::unexpected(directory.error());
    if (!entry) return std::unexpected(entry.error());
    if (*entry) {
      if (operation.exclusive || type != S_IFREG) return refuse(EEXIST);
      const auto existing = draft.inode((*entry)->inode);
      if (!existing) return std::unexpected(existing.error());
      wire::Outcome outcome;
      outcome.existed = true;
      return Draft::answer(outcome, *existing);
    }
  }
  if (!directory) return std::unexpected(directory.error());
  Draft::Object& parent = **directory;
  if (type == S_IFDIR && parent.links >= kSubdirectoriesMax) return refuse(EMLINK);

  Draft::Object& object = *draft.make(type == S_IFLNK ? (S_IFLNK | 0777) : operation.mode & (S_IFMT | 07777));
  set_owner(object, parent, operation);
  if (const auto done = inherit_acl(draft, object, parent, (operation.mode | operation.flags) & 0777); !done)
    return std::unexpected(done.error());
  object.links = type == S_IFDIR ? 2 : 1;
  if (type == S_IFCHR || type == S_IFBLK) object.rdev = operation.rdev;
  if (!operation.anonymous) object.parent = parent.id;
  if (type == S_IFLNK) {
    object.target = operation.text;
    object.size = operation.text.size();
  }
  if (operation.anonymous) {
    object.links = 0;
    object.linkable = true;
    draft.put(orphan_key(object.id), {});
    return draft.finish({}, &object);
  }
  draft.put(entry_key(parent.id, operation.name), pack_entry({object.id, type}));
  if (type == S_IFDIR) ++parent.links;
  change_entries(draft, parent, 1);
  draft.drop_listing(parent.id);
  return draft.finish({}, &object);
}

Step<Planned> plan_link(Draft& draft, const wire::Operation& operation) {
  if (const auto good = check_name(operation.name); !good) return std::unexpected(good.error());
  const auto directory = directory_of(draft, operation.inode);
  const auto object = draft.inode(operation.other);
  const auto entry = draft.entry(operation.inode, operation.name);
  if (!directory) return std::unexpected(directory.error());
  if (!object) return std::unexpected(object.error());
  if (!entry) return std::unexpected(entry.error());
  Draft::Object& it = **object;
  if (it.is_directory()) return refuse(EPERM);
  if (*entry) return refuse(EEXIST);
  if (it.links == 0 && !it.linkable) return refuse(ENOENT);
  if (it.links >= kLinksMax) return refuse(EMLINK);

  if (it.links == 0) draft.erase(orphan_key(it.id));
  ++it.links;
  if (it.parent == kNoInode) it.parent = operation.inode;
  it.linkable = false;
  it.ctime = draft.now;
  it.change();
  draft.put(entry_key(operation.inode, operation.name), pack_entry({it.id, it.type()}));
  change_entries(draft, **directory, 1);
  draft.drop_listing(operation.inode);
  draft.drop_attributes(it.id);
  return draft.finish({}, &it);
}

Step<bool> is_mistaken(Draft& draft, InodeId expects, InodeId removed) {
  if (expects == kNoInode || expects == removed) return false;
  if (expects == wire::kSomethingElse) return refuse(ESTALE);
  const auto known = draft.inode(expects);
  if (!known && known.error().error == ESTALE) return true;  // it went
  if (!known) return std::unexpected(known.error());
  if ((*known)->is_directory() && (*known)->links > 0) return refuse(ESTALE);
  return true;
}

Step<Planned> plan_unlink(Draft& draft, const wire::Operation& operation) {
  if (const auto good = check_name(operation.name); !good) return std::unexpected(good.error());
  const auto directory = directory_of(draft, operation.inode);
  const auto entry = draft.entry(operation.inode, operation.name);
  if (!directory) return std::unexpected(directory.error());
  if (!entry) return std::unexpected(entry.error());
  if (!*entry) return refuse(ENOENT);
  if ((*entry)->type == S_IFDIR) return refuse(EISDIR);
  const auto object = draft.inode((*entry)->inode);
  if (!object) return std::unexpected(object.error());

  draft.erase(entry_key(operation.inode, operation.name));
  change_entries(draft, **directory, -1);
  draft.drop_name(operation.inode, operation.name);
  draft.drop_listing(operation.inode);
  lose_name(draft, **object, operation.inode);
  wire::Outcome outcome;
  outcome.unexpected = operation.expects != kNoInode && operation.expects != (*object)->id;
  return draft.finish(outcome, *object);
}

Step<Planned> plan_rmdir(Draft& draft, const wire::Operation& operation) {
  if (const auto good = check_name(operation.name); !good) return std::unexpected(good.error());
  const auto directory = directory_of(draft, operation.inode);
  const auto entry = draft.entry(operation.inode, operation.name);
  if (!directory) return std::unexpected(directory.error());
  if (!entry) return std::unexpected(entry.error());
  if (!*entry) return refuse(ENOENT);
  if ((*entry)->type != S_IFDIR) return refuse(ENOTDIR);
  const auto object = draft.inode((*entry)->inode);
  if (!object) return std::unexpected(object.error());
  if ((*object)->size > 0) return refuse(ENOTEMPTY);
  const auto mistaken = is_mistaken(draft, operation.expects, (*object)->id);
  if (!mistaken) return std::unexpected(mistaken.error());

  draft.erase(entry_key(operation.inode, operation.name));
  --(*directory)->links;
  change_entries(draft, **directory, -1);
  draft.drop_name(operation.inode, operation.name);
  draft.drop_listing(operation.inode);
  lose_name(draft, **object, operation.inode);
  wire::Outcome outcome;
  outcome.unexpected = *mistaken;
  return draft.finish(outcome, *object);
}

}  // namespace lockstep::volume
