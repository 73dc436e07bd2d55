#include "fsck/lost_and_found.h"

#include <fmt/format.h>

#include <algorithm>

#include "fsck/key_cursor.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

constexpr std::uint32_t kDirectoryType = 0040000;
constexpr int kNamesTried = 100;
constexpr std::uint64_t kInodesPerBound = 1024;

}  // namespace

Task<Result<std::uint32_t>> subdirectories_of(Examination& x, InodeId directory) {
  std::uint32_t n = 0;
  KeyCursor at(x.keys(), volume::entries_behind(directory, 0));
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return n;
    const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
    n += entry && entry->type == kDirectoryType ? 1 : 0;
  }
}

Task<Result<InodeId>> LostAndFound::directory() {
  if (found_ != kNoInode) co_return found_;
  for (int i = 0; i < kNamesTried; ++i) {
    const std::string name = i == 0 ? "lost+found" : fmt::format("lost+found.{}", i);
    const Result<std::optional<std::string>> value = co_await x_.keys().get(volume::entry_key(kRootInode, name));
    if (!value) co_return std::unexpected(value.error());
    if (!*value) {
      Result<InodeId> made = co_await make(name);
      if (made) found_ = *made;
      co_return made;
    }
    const Result<volume::EntryValue> entry = volume::unpack_entry(**value);
    if (!entry) continue;
    const Result<std::optional<volume::Inode>> inode = co_await x_.inode(entry->inode);
    if (!inode) co_return std::unexpected(inode.error());
    if (!*inode || !(*inode)->is_directory() || (*inode)->links < 2) continue;
    found_ = entry->inode;
    break;
  }
  co_return found_;
}

Task<Result<InodeId>> LostAndFound::make(const std::string& name) {
  Result<std::optional<volume::Inode>> root = co_await x_.inode(kRootInode);
  if (!root) co_return std::unexpected(root.error());
  if (!*root || !(*root)->is_directory() || !x_.progress_known) co_return kNoInode;
  volume::Inode made;
  made.id = InodeId{std::max(x_.progress.next_inode, x_.inode_max.value + 1)};
  made.mode = kDirectoryType | 0700;
  made.links = 2;
  made.parent = kRootInode;
  made.atime = made.mtime = made.ctime = made.btime = x_.target.now;
  (*root)->size += 1;
  (*root)->links += 1;
  (*root)->mtime = (*root)->ctime = x_.target.now;
  x_.inode_max = made.id;
  x_.progress.next_inode = made.id.value + 1;
  ++x_.progress.files;
  ++x_.objects;
  runtime::KeyBatch batch{{volume::inode_key(kRootInode), volume::pack_inode(**root)},
                          {volume::inode_key(made.id), volume::pack_inode(made)},
                          {volume::entry_key(kRootInode, name), volume::pack_entry({made.id, kDirectoryType})},
                          x_.progress_change()};
  if (x_.inode_bound_known && x_.inode_bound < x_.progress.next_inode) {
    x_.inode_bound = x_.progress.next_inode + kInodesPerBound;
    batch.push_back({std::string(volume::kNextInodeKey), volume::pack_u64(x_.inode_bound)});
  }
  if (const Result<> changed = x_.change(batch); !changed) co_return std::unexpected(changed.error());
  co_return made.id;
}

Task<Result<bool>> LostAndFound::move_in(InodeId object, runtime::KeyBatch& batch) {
  const Result<InodeId> place = co_await directory();
  if (!place) co_return std::unexpected(place.error());
  Result<std::optional<volume::Inode>> inode = co_await x_.inode(object);
  if (!inode) co_return std::unexpected(inode.error());
  if (*place == kNoInode || *place == object || !*inode) co_return false;
  Result<std::optional<volume::Inode>> home = co_await x_.inode(*place);
  if (!home) co_return std::unexpected(home.error());
  if (!*home) co_return false;

  std::string name = fmt::format("#{}", object.value);
  for (int i = 1; i <= kNamesTried; ++i) {
    const Result<std::optional<std::string>> taken = co_await x_.keys().get(volume::entry_key(*place, name));
    if (!taken) co_return std::unexpected(taken.error());
    if (!*taken) break;
    if (i == kNamesTried) co_return false;
    name = fmt::format("#{}.{}", object.value, i);
  }
  volume::Inode& it = **inode;
  volume::Inode& there = **home;
  it.links = 1;
  if (it.is_directory()) {
    const Result<std::uint32_t> inside = co_await subdirectories_of(x_, object);
    if (!inside) co_return std::unexpected(inside.error());
    it.links = 2 + *inside;
    ++there.links;
  }
  it.parent = *place;
  it.linkable = false;
  it.ctime = there.mtime = there.ctime = x_.target.now;
  ++there.size;
  batch.push_back({volume::inode_key(object), volume::pack_inode(it)});
  batch.push_back({volume::inode_key(*place), volume::pack_inode(there)});
  batch.push_back({volume::entry_key(*place, name), volume::pack_entry({object, it.type()})});
  batch.push_back({volume::orphan_key(object), std::nullopt});
  co_return true;
}

}  // namespace lockstep::fsck
