#include "fuse/file_reads.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "core/log.h"

namespace lockstep::fuse {

using namespace runtime;
using volume::Piece;

namespace {

/// Bytes of a buffer for `request`: whole blocks around it.
std::uint64_t buffer_bytes(const HostRequest& request) {
  const std::uint64_t from = request.offset / kBlockBytes * kBlockBytes;
  return (request.offset + request.size + kBlockBytes - 1) / kBlockBytes * kBlockBytes - from;
}

bool same(const std::vector<Piece>& a, const std::vector<Piece>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Piece& x, const Piece& y) {
    return x.offset == y.offset && x.length == y.length && x.hole == y.hole && (x.hole || x.address == y.address);
  });
}

/// Blocks of the area that `piece` touches.
BlockRange blocks_of(const Piece& piece) {
  // Blocks of a file are blocks of the area, so both have the same place in their block.
  CHECK(piece.address % kBlockBytes == piece.offset % kBlockBytes);
  const std::uint64_t first = piece.address / kBlockBytes;
  return {first, (piece.address + piece.length + kBlockBytes - 1) / kBlockBytes - first};
}

std::uint64_t length_of(const std::vector<Piece>& pieces) {
  std::uint64_t length = 0;
  for (const Piece& piece : pieces) length += piece.length;
  return length;
}

}  // namespace

/// Memory for whole blocks, where byte 0 is the start of the request's first block.
class FileReads::Buffer {
 public:
  explicit Buffer(std::uint64_t bytes) : bytes_(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, bytes))) {
    CHECK(bytes_ != nullptr);
  }
  ~Buffer() { std::free(bytes_); }
  Buffer(const Buffer&) = delete;

  /// Where the blocks of `piece` go.
  MutableBytes blocks(const HostRequest& request, const Piece& piece) {
    const std::uint64_t at = piece.offset / kBlockBytes * kBlockBytes - request.offset / kBlockBytes * kBlockBytes;
    return {bytes_ + at, blocks_of(piece).count * kBlockBytes};
  }
  void zero(const HostRequest& request, const Piece& piece) {
    std::memset(bytes_ + (piece.offset - request.offset / kBlockBytes * kBlockBytes), 0, piece.length);
  }
  Bytes answer(const HostRequest& request, std::uint64_t length) {
    return {bytes_ + request.offset % kBlockBytes, length};
  }

 private:
  std::byte* bytes_;
};

FileReads::FileReads(MountState& state)
    : state_(state),
      scratch_(std::make_unique<Buffer>(kTransferBytesMax + 2 * kBlockBytes)),
      memory_(state.world.scheduler, state.options.read_bytes_max) {}

FileReads::~FileReads() = default;

void FileReads::start(HostRequest request) {
  if (request.size > kTransferBytesMax || request.offset + request.size < request.offset) {
    return state_.answer_error(request, EINVAL);
  }
  state_.inodes.pages_kept(request.inode, {request.offset, request.size});
  state_.inodes.pages_read(request.inode, {request.offset, request.size}, state_.world.clock.now());
  const bool waits_turn = (request.flags & O_DIRECT) != 0 || state_.options.strict;
  volume::Miss miss;
  if (!waits_turn && answer(request, miss) == Now::answered) {
    ++state_.counters.reads_inline;
    return;
  }
  ++state_.counters.reads_waited;
  const std::uint64_t unique = request.unique;
  state_.launch(unique, later(std::move(request)));
}

FileReads::Now FileReads::answer(const HostRequest& request, volume::Miss& miss) {
  auto mapped = state_.volume.map(request.inode, {request.offset, request.size});
  if (mapped.miss() != nullptr) {
    miss = std::move(*mapped.miss());
    return Now::missing;
  }
  if (mapped.error() != nullptr) {
    state_.answer_error(request, state_.errno_of(*mapped.error(), request));
    return Now::answered;
  }
  const std::vector<Piece>& pieces = *mapped.value();
  for (const Piece& piece : pieces) {
    if (piece.hole) {
      scratch_->zero(request, piece);
      continue;
    }
    const auto read = state_.area.try_read(blocks_of(piece), scratch_->blocks(request, piece));
    if (!read) return Now::waits;
    if (!*read) {
      answer_failed(request, piece, read->error());
      return Now::answered;
    }
  }
  (void)state_.kernel.reply(request.unique, DataReply{scratch_->answer(request, length_of(pieces))});
  return Now::answered;
}

Task<bool> FileReads::map(const HostRequest& request, std::vector<Piece>& pieces) {
  for (;;) {
    auto mapped = state_.volume.map(request.inode, {request.offset, request.size});
    if (mapped.value() != nullptr) {
      pieces = std::move(*mapped.value());
      co_return true;
    }
    if (mapped.error() != nullptr) {
      state_.answer_error(request, state_.errno_of(*mapped.error(), request));
      co_return false;
    }
    const bool loaded = co_await load_or_answer(state_, request, std::move(*mapped.miss()));
    if (!loaded) co_return false;
  }
}

Task<void> FileReads::later(HostRequest request) {
  if ((request.flags & O_DIRECT) != 0 || state_.options.strict) {
    co_await wait_for_turn(request.inode, ByteRange{request.offset, request.size});
  }
  const std::uint64_t bytes = buffer_bytes(request);
  co_await memory_.take(bytes);
  Buffer buffer(bytes);
  for (;;) {
    std::vector<Piece> pieces, again;
    if (!co_await map(request, pieces)) break;
    bool waited = false, failed = false, moved = false;
    for (const Piece& piece : pieces) {
      if (piece.hole) {
        buffer.zero(request, piece);
        continue;
      }
      Result<> done;
      auto at_once = state_.area.try_read(blocks_of(piece), buffer.blocks(request, piece));
      if (at_once) {
        done = std::move(*at_once);
      } else {
        waited = true;
        done = co_await state_.area.read(blocks_of(piece), buffer.blocks(request, piece));
      }
      if (done) continue;
      // Blocks that were given to another file meanwhile say nothing about this one.
      if (!co_await map(request, again)) {
        failed = true;
        break;
      }
      moved = !same(pieces, again);
      if (moved) break;
      answer_failed(request, piece, done.error());
      failed = true;
      break;
    }
    if (failed) break;
    if (moved) continue;
    if (waited) {
      if (!co_await map(request, again)) break;
      if (!same(pieces, again)) continue;
    }
    (void)state_.kernel.reply(request.unique, DataReply{buffer.answer(request, length_of(pieces))});
    break;
  }
  memory_.give_back(bytes);
}

void FileReads::answer_failed(const HostRequest& request, const Piece& piece, const Error& error) {
  ++state_.counters.bad_reads;
  log::error("inode {}, bytes {} to {}, blocks from {} of the area: {}; the host got EIO", request.inode.value, piece.offset,
             piece.offset + piece.length, piece.address / kBlockBytes, error.text);
  state_.answer_error(request, EIO);
}

struct FileReads::Turn {
  explicit Turn(Scheduler& scheduler) : come(scheduler) {}
  Event come;
};

Task<void> FileReads::turn_comes(InodeId inode, ByteRange range, std::shared_ptr<Turn> turn) {
  co_await state_.changes.wait_readable(inode, range);
  turn->come.set();
}

Task<void> FileReads::wait_for_turn(InodeId inode, ByteRange range) {
  const auto turn = std::make_shared<Turn>(state_.world.scheduler);
  Activity& activity = state_.inodes.activity(state_.inodes.pin(inode));
  if (activity.drops.empty() && state_.scope.spawn(turn_comes(inode, range, turn)) && !turn->come.is_set()) {
    activity.direct_readers.push_back(&turn->come);
    co_await turn->come.wait();
    std::erase(activity.direct_readers, &turn->come);
  }
  state_.inodes.unpin(inode);
}

}  // namespace lockstep::fuse
