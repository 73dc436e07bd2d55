// locks.h - advisory locks of this site's hosts: of bytes (fcntl(2), of processes and of open files) and whole (flock(2)).
//
//   SETLK, SETLKW   one operation for the controller. One that has to wait stands in line in the volume's keys; here a task
//                   waits until they say that it does not stand there any more, then asks again what became of it. A signal
//                   takes it out of the line.
//   GETLK           answered from what this site has published
//   FLUSH           a process closes one of its descriptors: its locks on the file go before it is answered. Without locks,
//                   as nearly always, it is answered at once.
//   RELEASE         an open file ends: locks that were taken through it and are still there (its own, flock) go. The kernel
//                   does not wait for that.
//
// What hosts were told that they hold is remembered here. Where the volume says otherwise (an administrator broke it, or this
// site was left behind for too long) the files through which it was taken are fenced: requests through them get EIO.
//
// Operations of one owner on one file go one after the other, so what is remembered is what the volume has.
// Bounded by what the volume holds (kLocksMax) and by what the kernel has outstanding.
#pragma once

#include <map>
#include <set>

#include "fuse/mount_state.h"

namespace lockstep::fuse {

class Locks {
 public:
  explicit Locks(MountState& state) : state_(state), changed_(state.world.scheduler) {}

  void start_set(runtime::HostRequest request);
  void get(const runtime::HostRequest& request);
  void flush(const runtime::HostRequest& request);
  /// The last use of a handle ended.
  void released(const runtime::HostRequest& request);
  /// A signal came for `unique`, if it waits.
  void interrupted(std::uint64_t unique);
  /// The volume's locks of `inode`, or of every file, may be others than before.
  void changed(InodeId inode);
  void all_changed();
  /// The mount is gone, and with it everybody who held a lock.
  void unmounted();

  /// A lock that was taken through `handle` was taken away.
  [[nodiscard]] bool fenced(std::uint64_t handle) const { return !fenced_.empty() && fenced_.contains(handle); }

 private:
  struct Key {
    InodeId inode;
    std::uint64_t owner = 0;
    bool whole = false;
    auto operator<=>(const Key&) const = default;
  };
  /// An owner on a file, while it holds something or wants to.
  struct Holder {
    volume::FileLocks told;           ///< what its host was told that it holds
    std::set<std::uint64_t> handles;  ///< through which it locked
    std::uint32_t users = 0;          ///< tasks
    bool asking = false;              ///< an operation is under way
    bool lost = false;                ///< what it held was taken away; what else it has is given back with its descriptors
  };
  /// A request that a signal may end.
  struct Waiting {
    bool interrupted = false;
  };
  using Holders = std::map<Key, Holder>;

  runtime::Task<void> set(runtime::HostRequest request);
  runtime::Task<void> give_back_all(Key key, std::optional<runtime::HostRequest> flush);
  /// Carries `operation` out and remembers what came of it.
  runtime::Task<wire::Outcome> ask(Key key, wire::Operation operation);
  /// Ends a task's use of a holder.
  void done(Key key);
  void compare(const Key& key, Holder& holder);
  [[nodiscard]] wire::Operation operation_of(const Key& key, wire::OpKind kind) const;

  MountState& state_;
  runtime::Event changed_;
  Holders holders_;
  std::map<std::uint64_t, Waiting*> waiting_;  ///< by unique
  std::set<std::uint64_t> fenced_;             ///< handles
  std::uint64_t next_ticket_ = 1;
};

}  // namespace lockstep::fuse
