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

bool copies(const HostRequest& request) { return request.op == HostOp::copy_file_range; }

std::uint64_t length_of(const std::vector<Piece>& pieces) {
  std::uint64_t length = 0;
  for (const Piece& piece : pieces) length += piece.length;
  return length;
}

}  // namespace

/// Memory for whole blocks, where byte 0 is the start of the request's first block.
class FileReads::Buffer final : public Lease {
 public:
  explicit Buffer(std::uint64_t bytes) : bytes_(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, bytes))) {
    CHECK(bytes_ != nullptr);
  }
  ~Buffer() override { std::free(bytes_); }
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

FileReads::FileReads(MountState& state, FileWrites& writes)
    : state_(state),
      writes_(writes),
      scratch_(std::make_unique<Buffer>(kTransferBytesMax + 2 * kBlockBytes)),
      memory_(state.world.scheduler, state.options.read_bytes_max),
      memory_elsewhere_(state.world.scheduler, state.options.read_bytes_max) {}

FileReads::~FileReads() = default;

bool FileReads::waits_turn(const HostRequest& request) const {
  return copies(request) || (!request.from_cache && ((request.flags & O_DIRECT) != 0 || state_.options.strict));
}

void FileReads::start(HostRequest request) {
  if (copies(request)) request.size = std::min(request.size, kTransferBytesMax);  // the caller asks again for the rest
  if (request.size > kTransferBytesMax || request.offset + request.size < request.offset) {
    return state_.answer_error(request, EINVAL);
  }
  if (request.from_cache) state_.inodes.pages_read(request.inode, {request.offset, request.size}, state_.world.clock.now());
  volume::Miss miss;
  if (state_.serving.now() && !waits_turn(request) && answer(request, miss) == Now::answered) {
    ++state_.counters.reads_inline;
    return;
  }
  ++state_.counters.reads_waited;
  const std::uint64_t unique = request.unique;
  state_.launch(unique, later(std::move(request)));
}

void FileReads::answer_data(const HostRequest& request, Bytes bytes) {
  // Noted in the step that answers: a drop that left these pages out may have noted that none is kept.
  if (request.from_cache) state_.inodes.pages_kept(request.inode, {request.offset, request.size});
  (void)state_.kernel.reply(request.unique, DataReply{bytes});
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
    if (!state_.changes.readable_here(blocks_of(piece))) return Now::waits;
    const auto read = state_.area.try_read(blocks_of(piece), scratch_->blocks(request, piece));
    if (!read || !*read) return Now::waits;
  }
  answer_data(request, scratch_->answer(request, length_of(pieces)));
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

void FileReads::waits(InodeId inode, PendingRead& pending) {
  if (std::exchange(pending.waits, true)) return;
  KnownInode* node = state_.inodes.find(inode);
  if (node == nullptr || !node->activity) return;
  for (RunningDrop* drop : node->activity->drops) {
    if (!overlap(drop->range, pending.range)) continue;
    drop->disturbed = true;
    drop->wake.set();
  }
}

Task<void> FileReads::later(HostRequest request) {
  PendingRead pending;
  pending.range = {request.offset, request.size};
  Activity& activity = state_.inodes.activity(state_.inodes.pin(request.inode));
  if (request.from_cache) activity.reads.push_back(&pending);
  co_await answer_some_time(request, pending);
  std::erase(activity.reads, &pending);
  state_.inodes.unpin(request.inode);
}

Task<void> FileReads::answer_some_time(const HostRequest& request, PendingRead& pending) {
  const std::uint64_t bytes = buffer_bytes(request);
  bool elsewhere = false;
  for (Attempt outcome = Attempt::again; outcome != Attempt::answered;) {
    if (!state_.serving.now()) {
      waits(request.inode, pending);
      const bool served = co_await state_.served(request);
      if (!served) co_return;
    }
    pending.period = state_.serving.period();
    if (elsewhere) {
      waits(request.inode, pending);
    } else {
      pending.waits = false;
    }
    if (waits_turn(request)) co_await state_.changes.wait_readable(request.inode, pending.range);
    // What a copy takes it keeps while it waits for other sites: reads of locked pages do not wait for that.
    Budget& memory = elsewhere || copies(request) ? memory_elsewhere_ : memory_;
    co_await memory.take(bytes);
    {
      const auto buffer = std::make_shared<Buffer>(bytes);
      std::uint64_t length = 0;
      outcome = co_await attempt(request, pending.period, elsewhere, *buffer, length);
      if (outcome == Attempt::to_be_written) {
        co_await writes_.write_copied(request, buffer->answer(request, length), buffer);
        outcome = Attempt::answered;
      }
    }
    memory.give_back(bytes);
    elsewhere = elsewhere || outcome == Attempt::elsewhere;
  }
}

Task<FileReads::Attempt> FileReads::attempt(const HostRequest& request, std::uint64_t period, bool elsewhere, Buffer& buffer,
                                            std::uint64_t& length) {
  const std::uint64_t moment = state_.changes.moment();
  std::vector<Piece> pieces, again;
  bool waited = false, failed = false;
  const bool mapped = co_await map(request, pieces);
  if (!mapped) co_return Attempt::answered;
  for (const Piece& piece : pieces) {
    if (piece.hole) {
      buffer.zero(request, piece);
      continue;
    }
    bool asks = false;
    const Result<> brought = co_await bring(piece, buffer.blocks(request, piece), elsewhere, waited, asks);
    if (asks) co_return Attempt::elsewhere;
    if (brought) continue;
    // Blocks that were given to another file meanwhile say nothing about this one.
    const bool found = co_await map(request, again);
    if (!found) co_return Attempt::answered;
    if (!state_.serving.still(period) || !same(pieces, again)) co_return Attempt::again;
    answer_failed(request, piece, brought.error());
    co_return Attempt::answered;
  }
  if (waited) {
    const bool found = co_await map(request, again);
    if (!found) co_return Attempt::answered;
    failed = !same(pieces, again) || (elsewhere && state_.changes.written_since(moment, request.inode));
  }
  if (failed || !state_.serving.still(period)) co_return Attempt::again;
  length = length_of(pieces);
  if (copies(request)) co_return Attempt::to_be_written;
  answer_data(request, buffer.answer(request, length));
  co_return Attempt::answered;
}

Task<Result<>> FileReads::bring(const Piece& piece, MutableBytes into, bool elsewhere, bool& waited, bool& asks) {
  const BlockRange blocks = blocks_of(piece);
  Result<> here;
  const bool readable = state_.changes.readable_here(blocks);
  if (readable) {
    auto at_once = state_.area.try_read(blocks, into);
    if (at_once) {
      here = std::move(*at_once);
    } else {
      waited = true;
      here = co_await state_.area.read(blocks, into);
    }
    if (here || (here.error().code != Errc::corrupt && here.error().code != Errc::io)) co_return here;
  }
  if (!elsewhere) {
    asks = true;
    co_return Result<>{};
  }
  waited = true;
  if (readable && co_await repaired_here(blocks, into)) {
    ++state_.counters.bad_reads_repaired;
    co_return Result<>{};
  }
  ++state_.counters.reads_elsewhere;
  Result<> there = co_await bring_elsewhere(blocks, into);
  if (readable && there) {
    ++state_.counters.bad_reads_elsewhere;
    log::warning("blocks from {} of the area, {} of them: {}; answered from the other site", blocks.first, blocks.count,
                 here.error().text);
  }
  co_return there;
}

Task<bool> FileReads::repaired_here(BlockRange blocks, MutableBytes into) {
  const Result<> repaired = co_await state_.changes.repair(blocks);
  if (!repaired) co_return false;
  const Result<> read = co_await state_.area.read(blocks, into);
  co_return read.has_value();
}

Task<Result<>> FileReads::bring_elsewhere(BlockRange blocks, MutableBytes into) {
  for (std::uint64_t done = 0; done < blocks.count;) {
    const std::uint64_t count = std::min(blocks.count - done, controller::kElsewhereBlocksMax);
    Result<> brought = co_await state_.changes.read_elsewhere({blocks.first + done, count},
                                                              into.subspan(done * kBlockBytes, count * kBlockBytes));
    if (!brought) co_return brought;
    done += count;
  }
  co_return Result<>{};
}

void FileReads::answer_failed(const HostRequest& request, const Piece& piece, const Error& error) {
  if (error.code == Errc::stopped) return state_.answer_error(request, ENOTCONN);  // the mount goes with the daemon
  ++state_.counters.bad_reads;
  log::error("inode {}, bytes {} to {}, blocks from {} of the area: {}; the host got EIO", request.inode.value, piece.offset,
             piece.offset + piece.length, piece.address / kBlockBytes, error.text);
  state_.answer_error(request, EIO);
}

}  // namespace lockstep::fuse
