// file_reads.h - READ: the map of a file, and blocks of the area, into one answer; and copy_file_range, whose answer is written
// (file_writes.h) instead of given to the kernel.
//
// Where map and blocks are in memory it is answered at once, without a coroutine. Else it waits for the medium, and then
// looks at the map again: if the file was moved meanwhile, its old blocks may hold another file's data, and it starts
// again. A read into pages holds their locks and never waits for another site's operation; one past them (O_DIRECT)
// holds none and waits for its turn.
//
// Two waits may be long: until hosts are served, and for blocks that are to be read at the other site, because a
// resynchronisation has not reached them or they are bad here. What is bad is repaired here first, where that can be. Drops leave the pages of such a read out (nobody can read
// a page that is locked and not up to date); so it looks again before it is answered, at the map and at whether the file
// was written since, until nothing has changed. It holds no memory that reads of this site's medium need.
#pragma once

#include <memory>
#include <vector>

#include "fuse/file_writes.h"

namespace lockstep::fuse {

class FileReads {
 public:
  FileReads(MountState& state, FileWrites& writes);
  ~FileReads();

  void start(runtime::HostRequest request);

 private:
  class Buffer;
  enum class Now { answered, missing, waits };
  enum class Attempt {
    answered,
    again,      ///< what it looked at has changed
    elsewhere,  ///< blocks are to be read at the other site
    to_be_written,  ///< what a copy is of has been read
  };
  Now answer(const runtime::HostRequest& request, volume::Miss& miss);
  runtime::Task<void> later(runtime::HostRequest request);
  runtime::Task<void> answer_some_time(const runtime::HostRequest& request, PendingRead& pending);
  runtime::Task<Attempt> attempt(const runtime::HostRequest& request, std::uint64_t period, bool elsewhere, Buffer& buffer,
                                 std::uint64_t& length);
  /// Brings the blocks of `piece`. What is wrong with it says nothing if the file was moved meanwhile.
  runtime::Task<Result<>> bring(const volume::Piece& piece, MutableBytes into, bool elsewhere, bool& waited, bool& asks);
  /// True: the blocks were bad here, are repaired, and stand in `into`.
  runtime::Task<bool> repaired_here(BlockRange blocks, MutableBytes into);
  runtime::Task<Result<>> bring_elsewhere(BlockRange blocks, MutableBytes into);
  /// Drops that wait for the pages of `pending` go on without them.
  void waits(InodeId inode, PendingRead& pending);
  [[nodiscard]] bool waits_turn(const runtime::HostRequest& request) const;
  /// The pieces of `request`; false: it was answered with an error.
  runtime::Task<bool> map(const runtime::HostRequest& request, std::vector<volume::Piece>& pieces);
  void answer_data(const runtime::HostRequest& request, Bytes bytes);
  void answer_failed(const runtime::HostRequest& request, const volume::Piece& piece, const Error& error);

  MountState& state_;
  FileWrites& writes_;
  std::unique_ptr<Buffer> scratch_;  ///< of answers that need no wait
  runtime::Budget memory_, memory_elsewhere_;
};

}  // namespace lockstep::fuse
