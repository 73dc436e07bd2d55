// Truncation and fallocate: ranges of a file that become zeros, holes, or blocks waiting to be written.
#include <algorithm>
#include <cerrno>

#include "volume/plan.h"

namespace lockstep::volume {
namespace {

// Flags of fallocate(2), as <linux/falloc.h> has them.
constexpr std::uint32_t kKeepSize = 1, kPunchHole = 2, kZeroRange = 16;

/// Chunks that one fallocate goes through: 8 GiB.
constexpr std::uint64_t kChunksPerAllocate = 1024;

enum class Mode { reserve, punch, zero };

/// What `flags` ask for: EOPNOTSUPP for what there is not (collapse, insert, unshare).
Step<Mode> mode_of(std::uint32_t flags) {
  if ((flags & ~kKeepSize) == 0) return Mode::reserve;
  if (flags == (kPunchHole | kKeepSize)) return Mode::punch;
  if ((flags & ~kKeepSize) == kZeroRange) return Mode::zero;
  return refuse(EOPNOTSUPP);
}

/// Gives back every chunk of `file` from `first` on. False: there are too many, nothing changed.
Step<bool> cut_behind(Draft& draft, Draft::Object& file, std::uint32_t first) {
  if (file.chunk_end <= first) return true;
  if (file.chunk_end - first > kChunksPerEffect) return false;
  std::vector<Draft::Chunk*> found;
  const auto all = draft.chunks(file, first, kNoChunk, found);
  if (!all) return std::unexpected(all.error());
  if (!*all) return false;
  for (Draft::Chunk* chunk : found) draft.cut(file, *chunk, 0, kChunkBlocks);
  file.chunk_end = first;
  std::erase_if(file.cuts, [&](const Cut& cut) { return cut.from >= first; });
  file.change();
  return true;
}

/// Makes holes of every chunk of `file` from `first` on, whose blocks are left to a trim. EBUSY: too many cuts wait.
Step<> make_stale(Draft::Object& file, std::uint32_t first) {
  while (!file.cuts.empty() && file.cuts.back().from >= first) file.cuts.pop_back();
  if (file.cuts.size() >= kCutsMax || file.generation == ~std::uint32_t{0}) return refuse(EBUSY);
  file.cuts.push_back({first, ++file.generation});
  file.change();
  return {};
}

/// Blocks [from, to) of the chunk get the state that `mode` wants.
Step<> set_blocks(Draft& draft, Draft::Object& file, Draft::Chunk& chunk, std::uint32_t from, std::uint32_t to, Mode mode) {
  if (mode == Mode::punch) {
    draft.cut(file, chunk, from, to);
    return {};
  }
  for (const Segment& s : chunk.map.segments(from, to)) {
    if (!s.mapped) {
      std::vector<BlockRange> taken;
      const auto filled = fill_hole(draft, file, chunk.base() + s.first, s.count, true, taken);
      if (!filled) return filled;
    } else if (mode == Mode::zero && !s.unwritten) {
      draft.touch(file, chunk);
      chunk.map.mark(s.first, s.end(), true);
      file.change();
    }
  }
  return {};
}

/// The same for a range of the file's blocks; returns where it ends, which is sooner when extents are many.
Step<std::uint64_t> set_range(Draft& draft, Draft::Object& file, BlockRange blocks, Mode mode) {
  bool halted = false;
  std::size_t extents = 0;
  std::uint64_t at = blocks.first;
  while (at < blocks.end() && extents < kExtentsPerEffect) {
    const std::uint64_t base = at - at % kChunkBlocks;
    const std::uint64_t end = std::min(blocks.end(), base + kChunkBlocks);
    const auto chunk = draft.chunk(file, static_cast<std::uint32_t>(base / kChunkBlocks));
    if (!chunk) {
      halted = true;
    } else if (!halted) {
      const auto done = set_blocks(draft, file, **chunk, static_cast<std::uint32_t>(at - base), static_cast<std::uint32_t>(end - base), mode);
      if (!done) return std::unexpected(done.error());
      extents += (*chunk)->stored.size() + (*chunk)->map.extents().size();
    }
    at = end;
  }
  if (halted) return refuse(0);
  return at;
}

/// Zeros at the edges of [from, to), which are parts of blocks. Returns the whole blocks between them.
Step<BlockRange> zero_edges(Draft& draft, Draft::Object& file, std::uint64_t from, std::uint64_t to) {
  const std::uint64_t first = blocks_for(from);
  // Behind the end of file there are zeros already.
  const std::uint64_t end = to >= file.size ? blocks_for(to) : to / kBlockBytes;
  if (first > end) {
    if (const auto done = zero_in_block(draft, file, from, to); !done) return std::unexpected(done.error());
    return BlockRange{};
  }
  if (from % kBlockBytes != 0) {
    const auto done = zero_in_block(draft, file, from, std::min(to, first * kBlockBytes));
    if (!done) return std::unexpected(done.error());
  }
  if (end * kBlockBytes < to) {
    if (const auto done = zero_in_block(draft, file, end * kBlockBytes, to); !done) return std::unexpected(done.error());
  }
  return BlockRange{first, end - first};
}

}  // namespace

Step<> zero_in_block(Draft& draft, const Draft::Object& file, std::uint64_t from, std::uint64_t to) {
  const std::uint64_t block = from / kBlockBytes;
  if (from >= to || block >= blocks_for(file.size)) return {};
  const auto chunk = draft.chunk(file, static_cast<std::uint32_t>(block / kChunkBlocks));
  if (!chunk) return std::unexpected(chunk.error());
  const auto at = static_cast<std::uint32_t>(block % kChunkBlocks);
  const Segment s = (*chunk)->map.segments(at, at + 1).front();
  if (s.mapped && !s.unwritten) draft.writes.push_back({s.address * kBlockBytes + from % kBlockBytes, to - from, false, true});
  return {};
}

Step<bool> set_size(Draft& draft, Draft::Object& file, std::uint64_t size) {
  if (size > kFileBytesMax) return refuse(EFBIG);
  if (size == file.size) return true;
  if (const auto given = draft.give_back_ahead(file); !given) return std::unexpected(given.error());
  file.growths = 0;
  file.change();
  if (size > file.size) {
    file.size = size;
    return true;
  }
  const std::uint64_t end = blocks_for(size);
  if (const auto done = zero_in_block(draft, file, size, end * kBlockBytes); !done) return std::unexpected(done.error());
  file.size = size;
  const auto first = static_cast<std::uint32_t>(end / kChunkBlocks);
  const auto whole = static_cast<std::uint32_t>((end + kChunkBlocks - 1) / kChunkBlocks);
  if (first < whole) {
    const auto chunk = draft.chunk(file, first);
    if (!chunk) return std::unexpected(chunk.error());
    draft.cut(file, **chunk, static_cast<std::uint32_t>(end % kChunkBlocks), kChunkBlocks);
  }
  const auto all = cut_behind(draft, file, whole);
  if (!all || *all) return all;
  if (const auto stale = make_stale(file, whole); !stale) return std::unexpected(stale.error());
  return false;
}

Step<Planned> plan_allocate(Draft& draft, const wire::Operation& operation) {
  const auto mode = mode_of(operation.flags);
  if (!mode) return std::unexpected(mode.error());
  const auto found = draft.inode(operation.inode);
  if (!found) return std::unexpected(found.error());
  Draft::Object& file = **found;
  if (file.is_directory()) return refuse(EISDIR);
  if (!file.is_file()) return refuse(ENODEV);
  if (operation.length == 0) return refuse(EINVAL);
  if (operation.offset >= kFileBytesMax || operation.length > kFileBytesMax - operation.offset) return refuse(EFBIG);

  // What one effect does ends with a chunk.
  const std::uint64_t from = operation.offset;
  const std::uint64_t limit = (from / (kChunkBlocks * kBlockBytes) + kChunksPerAllocate) * kChunkBlocks * kBlockBytes;
  std::uint64_t to = std::min(from + operation.length, limit);
  const std::uint64_t old_size = file.size;
  if (to > blocks_for(file.size) * kBlockBytes) {
    if (const auto given = draft.give_back_ahead(file); !given) return std::unexpected(given.error());
  }
  BlockRange blocks{from / kBlockBytes, blocks_for(to) - from / kBlockBytes};
  if (*mode != Mode::reserve) {
    const auto whole = zero_edges(draft, file, from, to);
    if (!whole) return std::unexpected(whole.error());
    blocks = *whole;
  }
  const auto done = set_range(draft, file, blocks, *mode);
  if (!done) return std::unexpected(done.error());
  if (*done < blocks.end()) to = *done * kBlockBytes;
  if (operation.kill_suid_gid) {
    if (const auto dropped = drop_privileges(draft, file); !dropped) return std::unexpected(dropped.error());
  }
  const bool grows = (operation.flags & kKeepSize) == 0 && to > file.size;
  if (grows) file.size = to;
  file.mtime = file.ctime = draft.now;
  file.change();
  if (*mode != Mode::reserve) {
    draft.drop_pages(file.id, {from, to - from});
  } else if (grows) {
    draft.drop_pages(file.id, {old_size, to - old_size});
  } else {
    draft.drop_attributes(file.id);
  }
  wire::Outcome outcome;
  outcome.value = to - from;
  return draft.finish(outcome, &file);
}

}  // namespace lockstep::volume
