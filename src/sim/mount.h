// mount.h - the operating system's side of a mount: requests that wait for their answers, and what it keeps of them.
//
// What is kept, and when it is believed:
//   name        inode, until its time is over or the epoch of the mount went up after the LOOKUP was sent
//   attributes  until their time is over, or dropped; an answer that was sent before a drop is not kept
//   pages       until dropped
//   listing     is not kept
// An answer takes effect some microseconds after reply(): until then an inode that it hands out is unknown, and a
// notification of it finds nothing, as in Linux.
//
// A directory has one place. Found elsewhere, because the other site moved it, it goes there, and its old name is kept no longer; not while a
// rename between directories is under way or its old place is locked: then who asked gets ELOOP, as he does where it would come to lie below
// itself (Linux says ESTALE in the first two cases).
//
// Locks, held until the request is answered: of the directory, shared in LOOKUP and READDIR, exclusive in whatever
// changes it; of each page in READ, and in a WRITE of a part of a page that is not there. drop_name takes the first,
// drop_pages the second. (Host takes them, and more; a bare send() takes none.)
#pragma once

#include <sys/stat.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/kernel.h"
#include "sim/process.h"

namespace lockstep::sim {

/// A reply that owns its bytes.
struct OwnedReply {
  runtime::HostReply reply;
  std::shared_ptr<std::string> bytes;  ///< of a DataReply
  /// Errno; 0 of every other reply.
  [[nodiscard]] int error() const {
    const auto* e = std::get_if<runtime::ErrorReply>(&reply);
    return e != nullptr ? e->number : 0;
  }
};

/// Readers or one writer, in the order in which they asked.
class KernelLock {
 public:
  /// Calls `granted`, at once or from a later unlock().
  void lock(bool exclusive, std::function<void()> granted);
  void unlock(bool exclusive);
  /// Its mount is gone: whoever waits goes on, and nobody waits any more. A daemon that was killed may have held it.
  void end();
  [[nodiscard]] bool held() const { return !ended_ && (readers_ != 0 || writer_); }
  /// lock(false) would not wait.
  [[nodiscard]] bool readable() const { return ended_ || (!writer_ && waiting_.empty()); }

 private:
  void grant();
  std::size_t readers_ = 0;
  bool writer_ = false, ended_ = false;
  std::deque<std::pair<bool, std::function<void()>>> waiting_;
};

struct CachedPage {
  std::string bytes;  ///< kPageBytes
  bool uptodate = false;
  bool dirty = false;  ///< stored through a mapping
};

struct KnownInode {
  std::uint64_t lookups = 0;
  std::uint64_t references = 0;  ///< open files and calls under way
  std::uint32_t type = 0;        ///< S_IFMT of its mode, which never changes; 0: no name led to it, as to the root
  InodeId parent;                ///< of a directory: its place; kNoInode of the root
  bool dead = false;             ///< a directory that a call on this mount removed or replaced: nothing is found or made in it any more
  bool has_attributes = false;
  runtime::HostAttributes attributes;
  Instant valid_until;
  std::uint64_t changed_at = 0;  ///< answers that were asked for before this version are not kept
  std::map<std::uint64_t, CachedPage> pages;
  std::map<std::uint64_t, std::shared_ptr<KernelLock>> page_locks;
  std::shared_ptr<KernelLock> lock = std::make_shared<KernelLock>();
};

struct CachedName {
  InodeId inode;
  Instant valid_until;
  std::uint64_t epoch = 0;
};

class Mount : public std::enable_shared_from_this<Mount> {
 public:
  using Answered = std::function<void(OwnedReply)>;

  /// Requests are numbered from `first_unique` on, so that an answer to an earlier mount's is no answer here.
  Mount(Process& daemon, runtime::HostHandler& handler, Prng prng, std::uint64_t first_unique);

  /// The process that mounted it. Only to be compared once gone().
  [[nodiscard]] Process& daemon() const { return daemon_; }
  [[nodiscard]] bool gone() const { return gone_; }
  [[nodiscard]] Universe& universe() { return universe_; }

  /// Hands `request` to the daemon; `answered` is called with the reply, ENOTCONN when the mount goes first. Names and
  /// data are copied. Nothing is called after the death of `caller`, if one is given.
  void send(runtime::HostRequest request, Process* caller, Answered answered);
  /// A signal for each program that waits for an answer: the daemon is told.
  void signal();
  /// The same for who waits for `unique`.
  void signal(std::uint64_t unique);
  /// Who waits for something else than a lock, oldest first: the number of the request, and the caller's.
  [[nodiscard]] std::vector<std::pair<std::uint64_t, std::uint32_t>> programs() const {
    std::vector<std::pair<std::uint64_t, std::uint32_t>> all;
    for (const auto& [unique, pending] : pending_) {
      const runtime::HostRequest& request = pending.request;
      if (request.op != runtime::HostOp::setlk && request.caller.pid != 0) all.emplace_back(unique, request.caller.pid);
    }
    return all;
  }
  [[nodiscard]] std::size_t pending() const { return pending_.size(); }
  /// What the requests that have no answer are for, oldest first.
  [[nodiscard]] std::vector<std::pair<runtime::HostOp, InodeId>> waiting() const {
    std::vector<std::pair<runtime::HostOp, InodeId>> all;
    for (const auto& [unique, pending] : pending_) all.emplace_back(pending.request.op, pending.request.inode);
    return all;
  }
  /// Requests ever sent, by kind.
  [[nodiscard]] std::uint64_t sent(runtime::HostOp op) const;

  // What it keeps.
  /// The inode of a name that needs no LOOKUP.
  [[nodiscard]] std::optional<InodeId> cached_name(InodeId directory, const std::string& name) const;
  /// Attributes that need no GETATTR.
  [[nodiscard]] const runtime::HostAttributes* cached_attributes(InodeId inode);
  /// It is known, and known to be a directory. (Of the root no name says so.)
  [[nodiscard]] bool is_directory(InodeId inode) {
    const KnownInode* known = find(inode);
    return known != nullptr && S_ISDIR(known->type);
  }
  /// It is known, and known not to be a directory.
  [[nodiscard]] bool leads_nowhere(InodeId inode) {
    const KnownInode* known = find(inode);
    return known != nullptr && known->type != 0 && !S_ISDIR(known->type);
  }
  /// A directory that a call on this mount has removed.
  [[nodiscard]] bool is_dead(InodeId inode) {
    const KnownInode* known = find(inode);
    return known != nullptr && known->dead;
  }
  /// The directory in `above` that is `below` or leads to it; nullopt where none does.
  [[nodiscard]] std::optional<InodeId> step_down(InodeId above, InodeId below);
  /// Held by a rename from one directory to another: no directory changes its place but by that.
  [[nodiscard]] const std::shared_ptr<KernelLock>& rename_lock() const { return rename_lock_; }
  /// A call has removed or replaced it.
  void bury(InodeId directory) {
    if (is_directory(directory)) find(directory)->dead = true;
  }
  /// Null: unknown to this kernel.
  [[nodiscard]] KnownInode* find(InodeId inode);
  [[nodiscard]] const std::map<InodeId, KnownInode>& inodes() const { return inodes_; }
  [[nodiscard]] std::shared_ptr<KernelLock> page_lock(InodeId inode, std::uint64_t page);
  /// Attributes are asked for again, and what was asked for before is not kept.
  void distrust(InodeId inode);
  /// Its size becomes `size` if it is smaller; then as distrust().
  void grow(InodeId inode, std::uint64_t size);
  /// Memory is short: gives the inode back, of a directory behind those that lie in it, unless something is open or changed. False then.
  bool forget(InodeId inode);
  /// forget() for each; how many were forgotten.
  std::size_t forget_all();

  // For the daemon's side.
  std::optional<std::size_t> reply(std::uint64_t unique, const runtime::HostReply& reply);
  void abort();
  /// What the watchdog does, or the death of a daemon that has one: abort(), and nothing is kept any more.
  void cut_off();
  bool drop_cached_name(InodeId directory, const std::string& name) { return names_.erase({directory, name}) != 0; }
  void next_epoch() { ++epoch_; }

 private:
  struct Pending {
    runtime::HostRequest request;
    Process* caller;
    Answered answered;
    std::uint64_t epoch;
    std::uint64_t version;
  };
  /// What the caller gets instead of the reply, or 0.
  int take_effect(const Pending& asked, const OwnedReply& reply);
  /// The same.
  int take_entry(const Pending& asked, const runtime::EntryReply& entry, InodeId directory, const std::string& name, bool versioned);
  /// A directory was found in `parent`. False: it can't be put there now.
  bool put(InodeId inode, InodeId parent);
  /// A rename has moved what was known at `place`, if that is a directory.
  void move(const std::optional<InodeId>& inode, InodeId parent);
  [[nodiscard]] std::optional<InodeId> name_of(InodeId directory, const std::string& name) const;
  void take_attributes(const runtime::HostAttributes& attributes, Duration valid, std::uint64_t version,
                       bool versioned);
  static std::size_t fitting(const runtime::ListingReply& listing);

  Process& daemon_;
  Universe& universe_;
  runtime::HostHandler& handler_;
  Prng prng_;
  bool gone_ = false;
  std::uint64_t next_unique_;
  std::uint64_t epoch_ = 1;
  std::uint64_t version_ = 1;
  std::map<std::uint64_t, Pending> pending_;
  std::map<std::uint64_t, std::uint64_t> sent_;
  std::map<InodeId, KnownInode> inodes_;
  std::shared_ptr<KernelLock> rename_lock_ = std::make_shared<KernelLock>();
  std::map<std::pair<InodeId, std::string>, CachedName> names_;
};

}  // namespace lockstep::sim
