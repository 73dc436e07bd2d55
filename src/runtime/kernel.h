// kernel.h - the operating system's side of a mount: requests of hosts come out, answers and notifications go in.
//
// The kernel keeps pages, attributes and names of what it was told. What it does with them, and which of its locks a
// request holds until it is answered, is written in lockstep-internals(7), "Kernel caches".
//
// Rules for whoever answers: lookup, getattr, readdir and buffered reads hold locks that a notification of the same
// object may need; they never wait for another site.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "runtime/task.h"

namespace lockstep::runtime {

enum class HostOp : std::uint8_t {
  lookup, getattr, setattr, readlink, mknod, mkdir, symlink, unlink, rmdir, rename, link, open, read, write, release,
  fsync, opendir, readdir, releasedir, fsyncdir, statfs, setxattr, getxattr, listxattr, removexattr, create, fallocate,
  lseek, copy_file_range, tmpfile, flush, getlk, setlk,
};

/// An advisory lock as a host names it.
struct HostLock {
  enum class Type : std::uint8_t { unlock, read, write } type{};
  bool whole = false;            ///< flock(2)
  bool wait = false;             ///< until it is free, or interrupted()
  std::uint32_t pid = 0;
  std::uint64_t owner = 0;       ///< a process or an open file; means nothing beyond this mount
  std::uint64_t first = 0, last = 0;  ///< bytes, both included
};

struct Caller {
  std::uint32_t uid = 0, gid = 0, pid = 0, umask = 0;
};

/// What setattr is to change; the flags say which of the values count.
struct AttributeChange {
  bool mode_set = false, uid_set = false, gid_set = false, size_set = false;
  bool atime_set = false, mtime_set = false, ctime_set = false;
  bool atime_now = false, mtime_now = false;
  bool kill_suid_gid = false;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::uint64_t size = 0;
  WallTime atime, mtime, ctime;
};

/// Memory that a request's names and data lie in; freed with the last reference.
class Lease {
 public:
  virtual ~Lease() = default;
};

/// One request of a host. Names and data point into `lease`.
struct HostRequest {
  HostOp op{};
  std::uint64_t unique = 0;  ///< names the request to reply()
  Caller caller;
  InodeId inode;             ///< the object, or the directory of `name`
  InodeId other;             ///< new directory (rename), object (link), target (copy_file_range)
  std::string_view name;     ///< also: name of an xattr
  std::string_view other_name;  ///< new name (rename), target (symlink)
  Bytes data;                ///< write, setxattr
  std::uint64_t offset = 0;  ///< also: cookie (readdir), position (lseek)
  std::uint64_t other_offset = 0;  ///< copy_file_range
  std::uint64_t size = 0;    ///< bytes wanted or to be allocated; getxattr and listxattr: 0 asks for the size
  std::uint32_t flags = 0;   ///< of open(2), rename(2), setxattr(2), fallocate(2); lseek: whence
  std::uint32_t mode = 0, rdev = 0;
  std::uint64_t handle = 0, other_handle = 0;  ///< what open answered
  bool kill_suid_gid = false;  ///< write: clear setuid and setgid; setxattr of an access control list: setgid
  bool from_cache = false;     ///< write: pages of a mapping, written back by the kernel; read: into pages that are
                               ///< locked, and not up to date, until it is answered
  bool data_only = false;      ///< fsync: fdatasync
  bool plus = false;           ///< readdir: with attributes
  AttributeChange change;
  HostLock lock;               ///< getlk, setlk; flush: owner
  std::shared_ptr<Lease> lease;
};

struct HostAttributes {
  InodeId inode;
  std::uint32_t mode = 0, links = 0, uid = 0, gid = 0, rdev = 0;
  std::uint64_t size = 0, blocks = 0;  ///< blocks of 512 bytes
  WallTime atime, mtime, ctime, btime;
};

struct ErrorReply { int number = 0; };  ///< an errno; 0: done, nothing to say
/// Hands out an object: the kernel counts one more lookup of it. inode 0: no such name, not to be cached.
struct EntryReply { HostAttributes attributes; Duration attributes_valid{}, entry_valid{}; };
struct AttributesReply { HostAttributes attributes; Duration valid{}; };
struct OpenReply { std::uint64_t handle = 0; bool direct = false, keep_cache = false, parallel_direct = false, cache_listing = false; };
struct CreateReply { EntryReply entry; OpenReply open; };
struct DataReply { Bytes bytes; };   ///< must live until reply() returned
struct CountReply { std::uint64_t count = 0; };  ///< written bytes, position (lseek), size of an xattr
struct StatfsReply { std::uint64_t block_bytes = 0, blocks = 0, blocks_free = 0, files = 0, files_free = 0; };
struct ListedEntry {
  std::string name;
  std::uint64_t cookie = 0;  ///< where a later readdir goes on behind this entry
  EntryReply entry;          ///< of a plain readdir only inode and file type count
};
/// Entries in order; the kernel takes as many as fit. reply() returns how many were taken: each one taken with `plus`
/// (but "." and "..") counts one lookup.
struct ListingReply { std::vector<ListedEntry> entries; bool plus = false; std::uint64_t size = 0; };
/// getlk: a lock that is in the way; type unlock: there is none.
struct LockReply { HostLock lock; };

using HostReply = std::variant<ErrorReply, EntryReply, AttributesReply, OpenReply, CreateReply, DataReply, CountReply,
                               StatfsReply, ListingReply, LockReply>;

/// Takes the requests of a mount.
class HostHandler {
 public:
  /// Must not block; answers now or later with Kernel::reply, exactly once.
  virtual void handle(HostRequest request) = 0;
  /// A signal came for whoever waits for `unique`, once, be it that more come. A setlk is to be answered soon, with EINTR if it still waits;
  /// anything else may be, if Kernel::ends(caller) and nothing was changed for it. May be of a request that was answered.
  virtual void interrupted(std::uint64_t unique) { (void)unique; }
  /// The kernel forgot `count` lookups of `inode`. Needs no answer.
  virtual void forget(InodeId inode, std::uint64_t count) = 0;
  /// The mount is gone, and so are the requests that were not answered. `cut_off`: nobody took it away, its connection was
  /// ended (by serve_until(), or by hand): after unmount() it can be mounted again.
  virtual void unmounted(bool cut_off) = 0;

 protected:
  ~HostHandler() = default;
};

enum class Dropped {
  done,
  unknown,  ///< the kernel has no such object or name
  late,     ///< not when the patience ended: it will happen some time (drop_name), or has to be asked for again (shrink, look_up)
};

/// The longest range of grow(): what it names are the last pages of a file.
inline constexpr std::uint64_t kGrowBytesMax = 16 * kBlockBytes;

class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Mounts the volume and hands every request to `handler`, which must outlive unmount(). Errc::refused: what is wrong
  /// with the mount point.
  virtual Result<> mount(HostHandler& handler) = 0;
  /// Takes the mount away, or what is left of it, and ends all calls. Suspends.
  virtual Task<void> unmount() = 0;
  /// unmount() and mount() at once: who comes by the path of the mount point meanwhile waits for the new mount, or gets an error, and finds no
  /// other directory there (where the kernel is able to). Suspends.
  virtual Task<Result<>> mount_anew(HostHandler& handler) = 0;
  /// Who comes by the path of the mount point finds the volume there. Never waits.
  [[nodiscard]] virtual bool in_place() const = 0;
  /// Unless this is called again before `until` (of the clock), the mount is cut off then, also if this process is stopped
  /// or hangs: hosts get errors and no longer what the kernel keeps. That happens once. kNever: nobody waits for it.
  virtual void serve_until(Instant until) = 0;
  static constexpr Instant kNever{INT64_MAX};

  /// Answers request `unique`. For a ListingReply the number of entries taken, else 0. Where the request is gone (killed,
  /// aborted) nothing happens; a reply that counted lookups is then followed by no forget: false is returned as nullopt.
  virtual std::optional<std::size_t> reply(std::uint64_t unique, const HostReply& reply) = 0;

  /// A signal is about to end the thread `pid`, of a request's caller: it waits for nothing but its request. Never waits.
  [[nodiscard]] virtual bool ends(std::uint32_t pid) = 0;

  /// Answers request `unique` with EINTR at once; what reply() says of it later goes nowhere. Requires: it was not answered.
  virtual void give_up(std::uint64_t unique) = 0;

  // Notifications. What they drop is what the kernel keeps, never what the area holds.
  /// Attributes of `inode`. Takes no lock that a request holds: never waits.
  virtual Dropped drop_attributes(InodeId inode) = 0;
  /// Attributes and cached listing of directory `inode`. Never waits.
  virtual Dropped drop_listing(InodeId inode) = 0;
  /// Pages of `inode` in `range` (length 0: to the end), and its attributes. May wait for page locks; mapped pages that
  /// were changed come back as writes first. Suspends.
  virtual Task<Dropped> drop_pages(InodeId inode, ByteRange range) = 0;
  /// `inode` is as long as the end of `range` now, at least, for reads that begin when this has returned. drop_attributes
  /// alone leaves the old size in place until new attributes are taken, and those are not taken that another notification
  /// overtakes: a read then ends where the file ended before. Pages stay as they are; may wait for the lock of the page at
  /// the offset of `range`. Requires: range.length in [1, kGrowBytesMax]. Suspends.
  virtual Task<Dropped> grow(InodeId inode, ByteRange range) = 0;
  /// `inode` is no longer than the handler answers, for reads that begin when this has returned Dropped::done: it asks the handler
  /// for the attributes of `inode`, as a host would, until no other notification overtakes the answer. Needs hosts to be served.
  /// Pages behind the end go; waits for their locks, for the answer, and in all no longer than `patience`. Suspends.
  virtual Task<Dropped> shrink(InodeId inode, Duration patience) = 0;
  /// Pages, listings and attributes of `inodes`, which no host has open: so no request holds their locks. Gives those that
  /// the kernel does not know. Suspends.
  virtual Task<std::vector<InodeId>> drop_unused(std::vector<InodeId> inodes) = 0;
  /// The name in `directory`. May wait for the directory's lock, at most `patience`. Suspends.
  virtual Task<Dropped> drop_name(InodeId directory, std::string name, Duration patience) = 0;
  /// Looks `name` in `directory` up, as a host would: a directory that has it now, and that the kernel knows at another place, comes to lie there.
  /// Else whoever comes to it first makes the kernel move it, and gets ESTALE if that can't be: behind a rename, and in any rename from one directory
  /// to another. Needs hosts to be served. Waits for the directory's lock and for the answer, in all no longer than `patience`; late: it is not so yet, or
  /// too many are on their way. Suspends.
  virtual Task<Dropped> look_up(InodeId directory, std::string name, Duration patience) = 0;
  /// Every name of the mount, at once: each is looked up again when it is next used. Never waits.
  virtual void drop_all_names() = 0;
};

}  // namespace lockstep::runtime
