// inode_table.h - what this site's kernel may keep of each object that it was told of.
//
//   lookups   how often the object was handed out and not forgotten; counted before the reply is written, so that a drop
//             that comes while the reply is on its way is repeated until the kernel knows the object
//   opens     handles
//   pages     hull of the ranges that were read or written through the page cache
//   names     a name in this directory was handed out, to be kept, since all names were dropped last
//   listed    a listing of this directory may be kept
//
// Invariants:
//   (1) What is not in the table the kernel does not keep: nothing needs to be dropped.
//   (2) An entry goes when it has no lookups, no opens and no pins. The root always stays.
//   (3) So memory is bounded by what the kernel keeps itself.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/types.h"
#include "runtime/kernel.h"
#include "runtime/sync.h"

namespace lockstep::fuse {

/// A write of this site's host that is not answered.
struct PendingWrite {
  ByteRange range;
  std::uint64_t unique = 0;
  bool buffered = false;    ///< it went through the page cache: its partial pages are locked
  bool from_cache = false;  ///< written back from a mapping: all its pages are under write-back
  bool answered = false;    ///< early, because a drop waits for its pages
  bool drop_again = false;  ///< another site changed something in its range while it waited
  std::vector<ByteRange> newer;  ///< write-back: what another site changed before it came; length 0: to the end
};

/// A read into locked pages that is not answered.
struct PendingRead {
  ByteRange range;
  std::uint64_t period = 0;  ///< in which it looked
  bool waits = false;        ///< for longer than a drop may wait; it looks again before it is answered
};

/// A drop of pages that is under way.
struct RunningDrop {
  ByteRange range;     ///< length 0: to the end
  bool changed = true; ///< another site changed what is there; else it is dropped only
  runtime::Event wake;
  std::uint32_t round = 0, outstanding = 0;
  bool disturbed = false;  ///< a request that waits has locked pages for which the kernel may be waiting

  RunningDrop(runtime::Scheduler& scheduler, ByteRange r) : range(r), wake(scheduler) {}
};

/// What goes on with an object; only while something does.
struct Activity {
  explicit Activity(runtime::Scheduler& scheduler) : quiet(scheduler) {}
  std::vector<PendingWrite*> writes;
  std::vector<PendingRead*> reads;
  std::vector<RunningDrop*> drops;
  std::uint32_t answered_early = 0;             ///< writes that were answered and still run
  runtime::Event quiet;                         ///< notified when that becomes 0
};

struct KnownInode {
  std::uint64_t lookups = 0;
  std::uint32_t opens = 0;
  std::uint32_t pins = 0;
  std::uint32_t growths = 0;  ///< writes that made the file longer, since it was opened
  std::uint32_t cuts = 0, cuts_taken = 0;  ///< the file was made shorter elsewhere; the kernel goes by what it is since
  std::uint64_t names_age = 0;
  Instant contended_until;        ///< none of its names is handed out to be kept before; zero: it never was contended
  std::uint32_t moves = 0;        ///< renames that take such a name elsewhere
  bool listed = false;
  std::uint64_t names_settled = 0;  ///< changed names up to this one: nobody has an older view of them (changed_names.h)
  bool directory = false;         ///< it is one, and has a name: the kernel knows a place of it
  std::uint64_t pages_from = 0, pages_end = 0;  ///< equal: none
  Instant pages_dropped_at;       ///< last time that pages were dropped while a write might have been on its way
  std::uint64_t reread_from = 0, reread_end = 0;  ///< hull of what was read since; equal: nothing
  std::unique_ptr<Activity> activity;
  /// Set when it lost its last name: what a host that holds it without having it open (a working directory, O_PATH, a pipe) is
  /// told of it once the volume has nothing of it any more.
  std::unique_ptr<runtime::HostAttributes> removed;
};

/// The kernel fills the pages of a buffered write before it sends it. One that is dropped meanwhile and read again then
/// holds the old when the write is answered. A write takes no longer than this from its pages to the daemon: in one
/// system call, which no signal stops.
inline constexpr Duration kOnItsWayMax = std::chrono::seconds(5);

class InodeTable {
 public:
  explicit InodeTable(runtime::Scheduler& scheduler);

  /// nullptr: the kernel does not know it.
  [[nodiscard]] KnownInode* find(InodeId inode);
  /// The kernel is about to be told of `inode`, or was.
  void count(InodeId inode, std::uint32_t mode) {
    KnownInode& node = known_[inode];
    ++node.lookups;
    node.directory = S_ISDIR(mode);
  }
  /// It was not, or forgot.
  void forget(InodeId inode, std::uint64_t count);
  [[nodiscard]] bool known(InodeId inode);

  void opened(InodeId inode) { ++known_[inode].opens; }
  /// True: that was the last handle; `growths` then says how often the file grew.
  bool closed(InodeId inode, std::uint32_t& growths);
  [[nodiscard]] bool is_open(InodeId inode);
  /// `last` is what its host is told of it from now on. Of what the kernel does not know nothing is kept.
  void lost_last_name(const runtime::HostAttributes& last) {
    if (KnownInode* node = find(last.inode)) node->removed = std::make_unique<runtime::HostAttributes>(last);
  }
  /// In order of their numbers.
  [[nodiscard]] std::vector<InodeId> all_open() const;
  [[nodiscard]] std::vector<InodeId> all_known() const;

  /// Pages of `range` may be kept from now on.
  void pages_kept(InodeId inode, ByteRange range);
  [[nodiscard]] bool may_keep_pages(InodeId inode, ByteRange range);
  /// Pages are about to be dropped; a write that fills pages of the same file may be on its way.
  void pages_drop_begins(InodeId inode, Instant now);
  /// Pages of `range` are being read into the page cache: a pending write that filled them has lost them.
  void pages_read(InodeId inode, ByteRange range, Instant now);
  /// A buffered write of `range` that arrives may have lost its pages on its way, to what was read since.
  [[nodiscard]] bool pages_doubtful(InodeId inode, ByteRange range, Instant now);
  /// They were dropped while the kernel let nobody write the file: no doubt is left about `range`.
  void pages_certain(InodeId inode, ByteRange range);
  /// All pages are about to be dropped.
  void pages_dropped(InodeId inode);

  /// The file was made shorter elsewhere, or may have been.
  void cut(InodeId inode) {
    if (KnownInode* node = find(inode)) ++node->cuts;
  }
  /// The kernel goes by the size that came with the cut that was the last when there were `cuts`.
  void cut_taken(InodeId inode, std::uint32_t cuts) {
    if (KnownInode* node = find(inode)) node->cuts_taken = cuts;
  }

  void name_handed_out(InodeId directory) {
    if (KnownInode* node = find(directory)) node->names_age = names_age_;
  }
  [[nodiscard]] bool may_keep_names(InodeId directory);
  void all_names_dropped() { ++names_age_; }
  /// Requires: all names are being dropped.
  void contended(InodeId directory, Instant until) {
    if (KnownInode* node = find(directory)) node->contended_until = until;
  }
  void listed(InodeId directory) {
    if (KnownInode* node = find(directory)) node->listed = true;
  }
  [[nodiscard]] bool is_listed(InodeId directory) {
    const KnownInode* node = find(directory);
    return node != nullptr && node->listed;
  }

  /// Keeps the entry, be it new, until unpin().
  KnownInode& pin(InodeId inode);
  void unpin(InodeId inode);
  /// The activity of a pinned entry.
  Activity& activity(KnownInode& node);

  /// The kernel is gone and keeps nothing.
  void clear();
  [[nodiscard]] std::size_t size() const { return known_.size(); }

 private:
  using Known = std::unordered_map<InodeId, KnownInode>;
  void remove_if_unused(Known::iterator it);

  runtime::Scheduler& scheduler_;
  Known known_;
  std::uint64_t names_age_ = 1;
};

}  // namespace lockstep::fuse
