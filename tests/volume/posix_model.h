// posix_model.h - a file system in a few maps: what the volume must agree with.
#pragma once

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <sys/stat.h>

#include "core/types.h"

namespace lockstep::volume {

class PosixModel {
 public:
  struct Object {
    std::uint32_t mode = 0;
    std::uint32_t links = 0;
    std::string text;                          // content, or target
    std::map<std::string, InodeId> entries;
    InodeId parent;
    std::map<std::string, std::string> xattrs;
    [[nodiscard]] bool is_directory() const { return S_ISDIR(mode); }
  };

  PosixModel() { objects[kRootInode] = {S_IFDIR | 0755, 2, {}, {}, kRootInode, {}}; }

  int create(InodeId directory, const std::string& name, std::uint32_t mode, InodeId made) {
    Object& parent = objects.at(directory);
    if (!parent.is_directory()) return ENOTDIR;
    if (parent.links == 0) return ENOENT;
    if (parent.entries.contains(name)) return EEXIST;
    parent.entries[name] = made;
    objects[made] = {mode, S_ISDIR(mode) ? 2u : 1u, S_ISLNK(mode) ? "target" : "", {}, directory, {}};
    if (S_ISDIR(mode)) ++objects.at(directory).links;
    return 0;
  }
  int link(InodeId directory, const std::string& name, InodeId object) {
    Object& parent = objects.at(directory);
    if (!parent.is_directory()) return ENOTDIR;
    if (parent.links == 0) return ENOENT;
    if (objects.at(object).is_directory()) return EPERM;
    if (parent.entries.contains(name)) return EEXIST;
    if (objects.at(object).links == 0) return ENOENT;
    parent.entries[name] = object;
    ++objects.at(object).links;
    return 0;
  }
  int remove(InodeId directory, const std::string& name, bool want_directory) {
    Object& parent = objects.at(directory);
    if (!parent.is_directory()) return ENOTDIR;
    if (parent.links == 0 || !parent.entries.contains(name)) return ENOENT;
    Object& object = objects.at(parent.entries.at(name));
    if (object.is_directory() && !want_directory) return EISDIR;
    if (!object.is_directory() && want_directory) return ENOTDIR;
    if (!object.entries.empty()) return ENOTEMPTY;
    lose(object, parent);
    parent.entries.erase(name);
    return 0;
  }
  int rename(InodeId from, const std::string& name, InodeId to, const std::string& new_name, std::uint32_t flags) {
    Object& source_directory = objects.at(from);
    Object& target_directory = objects.at(to);
    if (!source_directory.is_directory() || !target_directory.is_directory()) return ENOTDIR;
    if (!source_directory.entries.contains(name) || source_directory.links == 0 || target_directory.links == 0) return ENOENT;
    const InodeId source = source_directory.entries.at(name);
    const auto found = target_directory.entries.find(new_name);
    const bool there = found != target_directory.entries.end();
    const InodeId target = there ? found->second : kNoInode;
    if (target == source && flags != 1) return 0;
    if (flags == 2 && !there) return ENOENT;
    if (flags == 1 && there) return EEXIST;
    if (objects.at(source).is_directory() && below(to, source)) return EINVAL;
    if (flags == 2) {
      if (objects.at(target).is_directory() && below(from, target)) return EINVAL;
      move(source, source_directory, target_directory, to);
      move(target, target_directory, source_directory, from);
      source_directory.entries[name] = target;
      target_directory.entries[new_name] = source;
      return 0;
    }
    if (there) {
      Object& old = objects.at(target);
      if (objects.at(source).is_directory() && !old.is_directory()) return ENOTDIR;
      if (!objects.at(source).is_directory() && old.is_directory()) return EISDIR;
      if (!old.entries.empty()) return ENOTEMPTY;
      lose(old, target_directory);
    }
    move(source, source_directory, target_directory, to);
    source_directory.entries.erase(name);
    target_directory.entries[new_name] = source;
    return 0;
  }
  int write(InodeId inode, std::uint64_t offset, const std::string& text) {
    Object& file = objects.at(inode);
    if (file.is_directory()) return EISDIR;
    if (!S_ISREG(file.mode)) return EINVAL;
    if (file.text.size() < offset + text.size()) file.text.resize(offset + text.size());
    file.text.replace(offset, text.size(), text);
    return 0;
  }
  int truncate(InodeId inode, std::uint64_t size) {
    Object& file = objects.at(inode);
    if (file.is_directory()) return EISDIR;
    if (!S_ISREG(file.mode)) return EINVAL;
    file.text.resize(size);
    return 0;
  }
  int allocate(InodeId inode, std::uint64_t offset, std::uint64_t length, std::uint32_t flags) {
    Object& file = objects.at(inode);
    if (file.is_directory()) return EISDIR;
    if (!S_ISREG(file.mode)) return ENODEV;
    const bool keep = (flags & 1) != 0;
    if (!keep && file.text.size() < offset + length) file.text.resize(offset + length);
    if ((flags & ~1u) != 0 && offset < file.text.size()) {
      const std::uint64_t end = std::min<std::uint64_t>(offset + length, file.text.size());
      std::fill(file.text.begin() + static_cast<std::ptrdiff_t>(offset), file.text.begin() + static_cast<std::ptrdiff_t>(end), '\0');
    }
    return 0;
  }
  /// Forgets objects without a name.
  void reap() {
    std::erase_if(objects, [](const auto& o) { return o.second.links == 0; });
  }

  std::map<InodeId, Object> objects;

 private:
  bool below(InodeId directory, InodeId ancestor) const {
    for (;; directory = objects.at(directory).parent) {
      if (directory == ancestor) return true;
      if (directory == kRootInode) return false;
    }
  }
  static void lose(Object& object, Object& parent) {
    if (object.is_directory()) {
      object.links = 0;
      --parent.links;
    } else {
      --object.links;
    }
  }
  void move(InodeId inode, Object& from, Object& to, InodeId to_id) {
    Object& object = objects.at(inode);
    if (!object.is_directory()) return;
    --from.links;
    ++to.links;
    object.parent = to_id;
  }
};

}  // namespace lockstep::volume
