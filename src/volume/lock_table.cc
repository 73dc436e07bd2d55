#include "volume/lock_table.h"

namespace lockstep::volume {
namespace {

/// Adds those who hold what `wanted` waits for.
void add_holders(const FileLocks& file, const wire::LockRequest& wanted, std::vector<wire::LockOwner>& to) {
  for (const wire::LockRequest& held : file.held()) {
    if (excludes(held, wanted)) to.push_back(held.owner);
  }
}

}  // namespace

const FileLocks& LockTable::of(InodeId inode) const {
  static const FileLocks none;
  const auto found = files_.find(inode);
  return found == files_.end() ? none : found->second;
}

bool LockTable::deadlock(InodeId inode, const wire::LockRequest& wanted) const {
  std::vector<wire::LockOwner> reached;
  std::set<wire::LockOwner> seen;
  add_holders(of(inode), wanted, reached);
  while (!reached.empty()) {
    const wire::LockOwner owner = reached.back();
    reached.pop_back();
    if (owner == wanted.owner) return true;
    if (!seen.insert(owner).second) continue;
    for (auto wait = waits_.lower_bound({owner, InodeId{}}); wait != waits_.end() && wait->first == owner; ++wait) {
      const FileLocks& file = of(wait->second);
      for (const wire::LockRequest& waiting : file.waiting()) {
        if (waiting.owner == owner && !waiting.whole) add_holders(file, waiting, reached);
      }
    }
  }
  return false;
}

void LockTable::replace(InodeId inode, FileLocks locks) {
  const FileLocks& before = of(inode);
  for (const wire::LockRequest& waiting : before.waiting()) waits_.erase({waiting.owner, inode});
  size_ = size_ - before.size() + locks.size();
  for (const wire::LockRequest& waiting : locks.waiting()) waits_.insert({waiting.owner, inode});
  if (locks.empty()) {
    files_.erase(inode);
  } else {
    files_.insert_or_assign(inode, std::move(locks));
  }
}

void LockTable::clear() {
  files_.clear();
  waits_.clear();
  size_ = 0;
}

}  // namespace lockstep::volume
