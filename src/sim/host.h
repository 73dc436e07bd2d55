// host.h - the applications of a machine: system calls on its mount, through what the kernel keeps (see mount.h).
//
// A call asks the daemon only for what is not kept, so it sees stale names, attributes and pages if the daemon forgets
// to drop them. Locks are those of Linux 6.18:
//   directory, shared      LOOKUP, READDIR
//   directory, exclusive   what changes it, with the LOOKUP before it
//   file, exclusive        WRITE, SETATTR, and behind the directory what gives it a name or takes one away; shared for a direct write that may be parallel
//   directory as a file    the same for what removes or replaces it, or moves it to another one: a call that waits in it sees then that it is gone
//   page                   READ until answered; WRITE of a part of a page that is not there
// Written data goes through at once, pages that were stored through a mapping at msync(), fsync(), close() or a drop.
// Names are absolute paths without symlinks in between. Errors are Errc::posix; ENOTCONN: the mount is gone.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "runtime/kernel.h"
#include "sim/kernel.h"
#include "sim/machine.h"
#include "sim/mount.h"
#include "sim/process.h"

namespace lockstep::sim {

struct OpenFile {
  std::shared_ptr<Mount> mount;
  InodeId inode;
  std::uint32_t flags = 0;
  runtime::OpenReply how;
};
using FileHandle = std::shared_ptr<OpenFile>;

class Host {
 public:
  /// Calls run in `process`, a process of the machine whose mount is meant; its locks are those of `lock_owner`.
  explicit Host(Process& process, std::uint64_t lock_owner = 1) : process_(process), lock_owner_(lock_owner), thread_(process.machine().next_thread()) {}

  runtime::Task<Result<runtime::HostAttributes>> stat(std::string path);
  runtime::Task<Result<runtime::HostAttributes>> fstat(FileHandle file);
  /// Flags of open(2): O_CREAT, O_EXCL, O_TRUNC, O_APPEND and the access mode count.
  runtime::Task<Result<FileHandle>> open(std::string path, std::uint32_t flags, std::uint32_t mode);
  runtime::Task<Result<>> close(FileHandle file);
  runtime::Task<Result<std::string>> read(FileHandle file, std::uint64_t offset, std::uint64_t size);
  runtime::Task<Result<std::uint64_t>> write(FileHandle file, std::uint64_t offset, std::string bytes);
  /// A store through a shared mapping, of bytes before the end of file.
  runtime::Task<Result<>> store(FileHandle file, std::uint64_t offset, std::string bytes);
  runtime::Task<Result<>> msync(FileHandle file);
  runtime::Task<Result<>> fsync(FileHandle file, bool data_only);
  /// Takes, changes or gives back an advisory lock; its owner is this one.
  runtime::Task<Result<>> lock(FileHandle file, runtime::HostLock lock);

  runtime::Task<Result<>> truncate(std::string path, std::uint64_t size);
  runtime::Task<Result<>> setattr(std::string path, runtime::AttributeChange change);
  runtime::Task<Result<>> mkdir(std::string path, std::uint32_t mode);
  runtime::Task<Result<>> symlink(std::string target, std::string path);
  runtime::Task<Result<>> link(std::string old_path, std::string new_path);
  runtime::Task<Result<>> unlink(std::string path);
  runtime::Task<Result<>> rmdir(std::string path);
  runtime::Task<Result<>> rename(std::string old_path, std::string new_path, std::uint32_t flags);
  /// Names in the order of the daemon, without "." and "..".
  runtime::Task<Result<std::vector<std::string>>> list(std::string path);

 private:
  using Request = runtime::HostRequest;
  struct Place {
    std::shared_ptr<Mount> mount;
    InodeId directory;
    std::string name;
  };
  runtime::Task<OwnedReply> ask(std::shared_ptr<Mount> mount, Request request);
  /// LOOKUP if need be; the caller holds the directory's lock.
  runtime::Task<Result<InodeId>> find_locked(std::shared_ptr<Mount> mount, InodeId directory, std::string name, bool again = false);
  /// LOOKUP; the same.
  runtime::Task<Result<InodeId>> look_up(std::shared_ptr<Mount> mount, InodeId directory, std::string name);
  runtime::Task<Result<InodeId>> find(std::shared_ptr<Mount> mount, InodeId directory, std::string name);
  /// `again`: every name is asked for again, as behind ESTALE.
  runtime::Task<Result<InodeId>> walk(std::shared_ptr<Mount> mount, std::string path, bool again = false);
  /// Behind ESTALE, as the kernel does: once more, with its last name asked for again.
  runtime::Task<Result<InodeId>> walk_again(std::shared_ptr<Mount> mount, std::string path);
  runtime::Task<Result<Place>> walk_to_parent(std::string path, bool again = false);
  runtime::Task<Result<runtime::HostAttributes>> attributes(std::shared_ptr<Mount> mount, InodeId inode);
  runtime::Task<Result<FileHandle>> open_inode(std::shared_ptr<Mount> mount, InodeId inode, std::uint32_t flags);
  runtime::Task<Result<FileHandle>> create(Place place, std::uint32_t flags, std::uint32_t mode);
  runtime::Task<Result<>> make(runtime::HostOp op, std::string path, std::uint32_t mode, std::string target,
                               InodeId other);
  using Locks = std::vector<std::shared_ptr<KernelLock>>;
  /// One after the other, exclusive; those that this kernel knows.
  runtime::Task<Locks> lock_objects(std::shared_ptr<Mount> mount, std::vector<InodeId> inodes);
  static void unlock(const Locks& locks);
  /// The directories of a rename, locked, and what it would make lie below itself.
  struct Ends {
    Locks locks;
    std::optional<InodeId> between;  ///< the directory in one of both that is the other or leads to it
  };
  runtime::Task<Ends> lock_ends(std::shared_ptr<Mount> mount, InodeId from, InodeId to);
  runtime::Task<Result<>> rename_once(std::string old_path, std::string new_path, std::uint32_t flags, bool again);
  /// The lookups and the call, under those locks.
  runtime::Task<Result<>> rename_locked(Place from, Place to, std::uint32_t flags, std::optional<InodeId> between, bool again);
  runtime::Task<Result<>> take_away(runtime::HostOp op, std::string path);
  runtime::Task<Result<>> take_away_once(runtime::HostOp op, std::string path, bool again);
  runtime::Task<Result<>> change(std::shared_ptr<Mount> mount, InodeId inode, runtime::AttributeChange what);
  /// The bytes of one page, read if they are not kept.
  runtime::Task<Result<std::string>> page(FileHandle file, std::uint64_t number);
  runtime::Task<Result<std::uint64_t>> write_chunk(FileHandle file, std::uint64_t offset, std::string bytes);

  Process& process_;
  std::uint64_t lock_owner_;
  std::uint32_t thread_;  ///< another one behind a call that a signal has ended
};

}  // namespace lockstep::sim
