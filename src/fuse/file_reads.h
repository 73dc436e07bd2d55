// file_reads.h - READ: the map of a file, and blocks of the area, into one answer.
//
// Where map and blocks are in memory it is answered at once, without a coroutine. Else it waits for the medium, and then
// looks at the map again: if the file was moved meanwhile, its old blocks may hold another file's data, and it starts
// again. A read never waits for another site, but one with O_DIRECT, which holds no page locks: that one waits for its
// turn, unless the kernel has to drop pages of the file meanwhile (a mapping of a direct file reads through pages, and
// looks the same here).
#pragma once

#include <memory>
#include <vector>

#include "fuse/mount_state.h"

namespace lockstep::fuse {

class FileReads {
 public:
  explicit FileReads(MountState& state);
  ~FileReads();

  void start(runtime::HostRequest request);

 private:
  class Buffer;
  enum class Now { answered, missing, waits };
  Now answer(const runtime::HostRequest& request, volume::Miss& miss);
  runtime::Task<void> later(runtime::HostRequest request);
  runtime::Task<void> wait_for_turn(InodeId inode, ByteRange range);
  struct Turn;
  runtime::Task<void> turn_comes(InodeId inode, ByteRange range, std::shared_ptr<Turn> turn);
  /// The pieces of `request`; false: it was answered with an error.
  runtime::Task<bool> map(const runtime::HostRequest& request, std::vector<volume::Piece>& pieces);
  void answer_failed(const runtime::HostRequest& request, const volume::Piece& piece, const Error& error);

  MountState& state_;
  std::unique_ptr<Buffer> scratch_;  ///< of answers that need no wait
  runtime::Budget memory_;
};

}  // namespace lockstep::fuse
