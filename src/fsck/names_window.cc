#include "fsck/names_window.h"

namespace lockstep::fsck {
namespace {

template <class T>
T* find_in(std::vector<T>& sorted, std::uint64_t inode) {
  const auto at =
      std::lower_bound(sorted.begin(), sorted.end(), inode, [](const T& t, std::uint64_t n) { return t.inode < n; });
  return at != sorted.end() && at->inode == inode ? &*at : nullptr;
}

}  // namespace

void NamesWindow::begin(std::uint64_t from) {
  objects_.clear();
  directories_.clear();
  from_ = through_ = from;
}

void NamesWindow::add(InodeId id, const volume::Inode* inode, bool orphan) {
  Object& object = objects_.emplace_back();
  object.inode = id.value;
  object.orphan = orphan ? 1 : 0;
  if (inode == nullptr) return;
  object.links = inode->links;
  object.type = inode->type() >> 12;
  if (inode->is_directory()) {
    directories_.push_back({id.value, inode->parent.value, 0});
  } else {
    object.home = inode->parent.value;
  }
}

NamesWindow::Object* NamesWindow::find(InodeId id) { return find_in(objects_, id.value); }
NamesWindow::Directory* NamesWindow::find_directory(InodeId id) { return find_in(directories_, id.value); }

void NamesWindow::count(Object& object, InodeId directory) {
  if (object.names < kNamesMax) ++object.names;
  if (directory.value == object.home) object.at_home = 1;
  if (object.type != kDirectoryType) return;
  Directory& it = *find_directory(InodeId{object.inode});
  if (it.named_by == 0 || directory.value == it.parent) it.named_by = directory.value;
}

}  // namespace lockstep::fsck
