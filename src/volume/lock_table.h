// lock_table.h - the advisory locks of all files of a volume, in memory; what the L keys say, at every site.
//
// Who waits for whom is read from it: an owner that waits for bytes waits for everybody who holds some of them. A request that
// would close a circle of such waits is a deadlock. As in Linux only locks of bytes count, and an owner whose threads lock
// apart from each other may be told of a deadlock that one of them would have ended.
//
// Bounded: kLocksMax locks and waits, which take some 10 MiB.
#pragma once

#include <map>
#include <set>

#include "volume/file_locks.h"

namespace lockstep::volume {

/// Held and waited for, in the whole volume.
inline constexpr std::size_t kLocksMax = 65536;

class LockTable {
 public:
  /// Those of `inode`; empty: none.
  [[nodiscard]] const FileLocks& of(InodeId inode) const;
  [[nodiscard]] const std::map<InodeId, FileLocks>& files() const { return files_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// If `wanted` waited for those in its way in `inode`, some of them would wait for its owner.
  [[nodiscard]] bool deadlock(InodeId inode, const wire::LockRequest& wanted) const;

  void replace(InodeId inode, FileLocks locks);
  void clear();

 private:
  std::map<InodeId, FileLocks> files_;  // none is empty
  std::set<std::pair<wire::LockOwner, InodeId>> waits_;
  std::size_t size_ = 0;
};

}  // namespace lockstep::volume
