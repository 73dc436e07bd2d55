// cache_drops.h - making this site's kernel forget what another site changed (R3), in bounded time whatever its locks
// are held by.
//
//   attributes, listings   inline; an object that the kernel is just being told of: again, until it knows or forgot it
//   pages                  awaited. What may hold a page: a READ, which is answered without waiting for another site; a
//                          write-back, which is answered at once; a write of a part of a page, or a READ that waits for
//                          long, whose pages are left out, also when it comes while the drop is under way
//   size                   of an open file that became longer: awaited as pages are. Without it a read could end where the
//                          file ended before: the attributes that it asks for are not taken when the next drop overtakes
//                          them, and the kernel goes by the size that it had
//                          When it became shorter the kernel is made to ask for the size, before its answer can be overtaken
//   names                  awaited with patience, then all names of the mount are dropped at once, which takes no lock. The directory is
//                          contended then: its names are handed out for one use, and need not be dropped, for a while. To drop all names
//                          again and again would not do: a directory has no name until it is looked up again, and getcwd(2) fails there
//
//   places   a directory that another site moved, and the kernel knows: awaited with the same patience, then tried again for a while. The kernel has it
//            at its old place as long as somebody works in it, also when that name was dropped
//
// What the kernel does not keep needs nothing; see inode_table.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller/host_caches.h"
#include "fuse/file_writes.h"
#include "fuse/mount_state.h"

namespace lockstep::fuse {

class CacheDrops {
 public:
  CacheDrops(MountState& state, FileWrites& writes) : state_(state), writes_(writes) {}

  bool now(std::span<const wire::Drop> drops);
  runtime::Task<void> wait(std::vector<wire::Drop> drops);
  /// Everything that the kernel keeps. Requires: hosts are not served.
  runtime::Task<void> everything();

 private:
  runtime::Task<void> everything_of(const std::vector<InodeId>& inodes, std::size_t& next);
  runtime::Task<void> unused(std::vector<InodeId> inodes);
  /// False: it has to wait.
  bool now(const wire::Drop& drop);
  bool attributes_now(InodeId inode, bool listing);
  runtime::Task<void> attributes(InodeId inode, bool listing);
  runtime::Task<void> pages(InodeId inode, ByteRange range, bool changed);
  runtime::Task<void> pages_and_size(InodeId inode, ByteRange range, bool changed);
  /// Until nothing of `whole` is outstanding, or it is disturbed.
  runtime::Task<void> outstanding(RunningDrop& whole);
  /// Makes `notification` a part of `whole`, in its round.
  void start(runtime::Task<runtime::Dropped> notification, const std::shared_ptr<RunningDrop>& whole);
  static runtime::Task<void> part(runtime::Task<runtime::Dropped> notification, std::shared_ptr<RunningDrop> whole, std::uint32_t round);
  /// The kernel may take the end of `inode` to lie before what `range` (length 0: to the end) brought, and somebody can read there.
  [[nodiscard]] bool must_grow(InodeId inode, ByteRange range);
  /// The kernel may take the end of `inode` to lie behind where it was cut off, and somebody can read there.
  [[nodiscard]] bool must_shrink(InodeId inode);
  /// Before a drop that could overtake what the kernel is answered about the size of `inode`.
  runtime::Task<void> shrink_first(InodeId inode);
  runtime::Task<runtime::Dropped> shrink(InodeId inode);
  /// Nothing: it is not loaded.
  [[nodiscard]] std::optional<std::uint64_t> size_of(InodeId inode);
  runtime::Task<void> load_size(InodeId inode);
  runtime::Task<void> name(InodeId directory, std::string name);
  /// Directories that the kernel knows and the rename of `drops` moved.
  [[nodiscard]] std::vector<InodeId> moved(std::span<const wire::Drop> drops);
  /// One of them has one of `names` now. True: the kernel has it there, or need not have it. False: it is to be tried again.
  runtime::Task<bool> put(InodeId directory, const std::vector<std::pair<InodeId, std::string>>& names);
  runtime::Task<void> put_later(InodeId directory, std::vector<std::pair<InodeId, std::string>> names);

  MountState& state_;
  FileWrites& writes_;
  std::size_t later_ = 0;  ///< put_later() that run
};

/// The parts of `range` (length 0: to the end) that can be dropped while `writes` are pending, in order.
[[nodiscard]] std::vector<ByteRange> without_locked_pages(ByteRange range, std::span<PendingWrite* const> writes);
/// The same for reads that wait for long, or look again because they began before `period`.
[[nodiscard]] std::vector<ByteRange> without_locked_pages(ByteRange range, std::span<PendingWrite* const> writes,
                                                          std::span<PendingRead* const> reads, std::uint64_t period);

/// The last bytes of a file of `size` bytes, from a page on that neither of them holds; empty: there is none near the end.
[[nodiscard]] ByteRange end_without_locked_pages(std::uint64_t size, std::span<PendingWrite* const> writes,
                                                 std::span<PendingRead* const> reads, std::uint64_t period);

}  // namespace lockstep::fuse
