// file_writes.h - WRITE and FSYNC, what copy_file_range writes, and what a change of another site means for a write of this site's host.
//
// A buffered write has its data in the page cache before it arrives here, and waits with the partial pages at its edges
// locked. Where a drop of another site's change overlaps it:
//   - the drop leaves those edges out (nobody can read a page that is locked and not up to date);
//   - when the write was published, its whole pages are dropped before it is answered, and the edges after: readers may
//     have brought back what stood there before.
// A write-back of a mapping holds all its pages until it is answered, and the drop waits for them: it is answered at once
// and carried out behind the change. A page carries what stood around the bytes that were stored, too: of one that comes
// because of a drop only what the other site did not change is written. (One that was in line before the drop is
// written whole.) An fsync waits for such writes.
//
// While hosts are not served a write waits as one that is under way, with its pages locked; a write-back is carried out,
// since the drop of all pages waits for it.
#pragma once

#include "fuse/mount_state.h"

namespace lockstep::fuse {

/// The parts of `range` that none of `others` (length 0: to the end) covers, in order.
[[nodiscard]] std::vector<ByteRange> without(ByteRange range, std::span<const ByteRange> others);

/// `range` without the pages that a pending write holds locked: its first and last, where it fills only a part of them.
[[nodiscard]] ByteRange whole_pages(ByteRange range);

/// In pages; a drop of length 0 goes to the end.
[[nodiscard]] bool overlap(ByteRange drop, ByteRange request);

class FileWrites {
 public:
  explicit FileWrites(MountState& state) : state_(state) {}

  void start_write(runtime::HostRequest request);
  void start_sync(runtime::HostRequest request);
  /// Writes `bytes`, which copy_file_range has read, to its target, and answers it. The kernel drops the target's pages itself.
  runtime::Task<void> write_copied(const runtime::HostRequest& request, Bytes bytes, std::shared_ptr<runtime::Lease> lease);
  /// `drop` begins: write-backs that it would wait for are answered; what it overlaps is dropped again later.
  void meet_drop(Activity& activity, RunningDrop& drop);

 private:
  runtime::Task<void> write(runtime::HostRequest request);
  /// Drops pages for a write of this site; writes that are pending in `range` will drop them once more.
  runtime::Task<void> drop_again(Activity& activity, InodeId inode, ByteRange range);
  /// Carries out what is left of a write-back without what is newer.
  runtime::Task<wire::Outcome> write_older(const runtime::HostRequest& request, std::vector<ByteRange> newer);
  runtime::Task<void> sync(runtime::HostRequest request);
  void answer_early(Activity& activity, PendingWrite& write);
  /// The program of `write` was ended, and its request answered: it holds no page any more.
  void let_go(Activity& activity, PendingWrite& write, InodeId inode);
  /// `write` begins: the same, and running drops are told that it locked pages they may be waiting for.
  void meet_drops(Activity& activity, PendingWrite& write);
  [[nodiscard]] bool reaches_past_end(InodeId inode, ByteRange range);
  [[nodiscard]] bool clears_mode_bits(const runtime::HostRequest& request);

  MountState& state_;
};

}  // namespace lockstep::fuse
