// write: which blocks take the data, which are taken from free space for it.
//
//   blocks that are written        the data goes over them; without other changes nothing is logged
//   unwritten ones, ahead ones     fresh: what the write leaves of them becomes zeros
//   holes                          taken from free space, fresh
#include <algorithm>
#include <cerrno>

#include "volume/plan.h"

namespace lockstep::volume {
namespace {

constexpr std::uint64_t kWriteBytesMax = 1u << 20;
/// Space ahead: 64 KiB from the second growth on, doubling to a chunk, never beyond the chunk of the write's last block.
constexpr std::uint32_t kAheadBlocksFirst = 16;

/// A write under way through its blocks.
struct Writing {
  Draft& draft;
  Draft::Object& file;
  ByteRange bytes;         // of the file
  std::uint64_t end_block; // blocks from here on were not read before (the end of file)

  /// The data of blocks [block, block + count) of the file goes to `address` on.
  void send(std::uint64_t block, std::uint64_t count, std::uint64_t address, bool fresh) {
    const std::uint64_t from = std::max(bytes.offset, block * kBlockBytes);
    const std::uint64_t to = std::min(bytes.end(), (block + count) * kBlockBytes);
    const wire::AreaWrite write{address * kBlockBytes + (from - block * kBlockBytes), to - from, fresh, false};
    if (!draft.writes.empty()) {
      wire::AreaWrite& last = draft.writes.back();
      if (last.fresh == fresh && last.address + last.length == write.address) {
        last.length += write.length;
        return;
      }
    }
    draft.writes.push_back(write);
  }

  void over_mapped(Draft::Chunk& chunk, const Segment& s) {
    const std::uint64_t block = chunk.base() + s.first;
    if (s.unwritten) {
      draft.touch(file, chunk);
      chunk.map.mark(s.first, s.end(), false);
      file.change();
      return send(block, s.count, s.address, true);
    }
    const std::uint64_t before_end = std::clamp(end_block, block, block + s.count) - block;
    if (before_end > 0) send(block, before_end, s.address, false);
    if (before_end < s.count) send(block + before_end, s.count - before_end, s.address + before_end, true);
  }

  /// `ahead`: so many blocks more are taken behind the hole.
  Step<> over_hole(Draft::Chunk& chunk, const Segment& s, std::uint32_t ahead) {
    std::vector<BlockRange> taken;
    const auto filled = fill_hole(draft, file, chunk.base() + s.first, s.count + ahead, false, taken);
    if (!filled) return filled;
    std::uint64_t block = chunk.base() + s.first;
    const std::uint64_t end = block + s.count;
    for (const BlockRange& range : taken) {
      if (block >= end) break;
      const std::uint64_t count = std::min(range.count, end - block);
      send(block, count, range.first, true);
      block += count;
    }
    return {};
  }

  /// How many blocks to take ahead, when the write ends with a hole at `to` of `chunk`.
  [[nodiscard]] std::uint32_t ahead_of(const Draft::Chunk& chunk, std::uint32_t to) const {
    const bool at_end = bytes.end() > file.size && bytes.offset / kBlockBytes <= end_block;
    if (!at_end || file.growths == 0 || to == kChunkBlocks) return 0;
    const std::uint32_t wanted = std::min(kAheadBlocksFirst << std::min<unsigned>(file.growths - 1u, 7u), kChunkBlocks - to);
    // Space that gets scarce is for those who write.
    if (draft.state.free_space.total_usable() < draft.state.blocks / 16 + wanted) return 0;
    const Segment behind = chunk.map.segments(to, to + wanted).front();
    return behind.mapped ? 0 : behind.count;
  }

  Step<> through(Draft::Chunk& chunk) {
    const std::uint64_t first = std::max(bytes.offset / kBlockBytes, chunk.base()) - chunk.base();
    const std::uint64_t last = std::min(blocks_for(bytes.end()), chunk.base() + kChunkBlocks) - chunk.base();
    const auto to = static_cast<std::uint32_t>(last);
    for (const Segment& s : chunk.map.segments(static_cast<std::uint32_t>(first), to)) {
      if (s.mapped) {
        over_mapped(chunk, s);
        continue;
      }
      const bool tail = chunk.base() + s.end() == blocks_for(bytes.end());
      const std::uint32_t ahead = tail ? ahead_of(chunk, to) : 0;
      if (const auto done = over_hole(chunk, s, ahead); !done) return done;
      if (ahead > 0) file.ahead = true;
      if (tail && file.growths < 255) ++file.growths;
    }
    return {};
  }
};

/// Where the block would best stand: at its place behind or before what the chunk has already, so that a chunk that is
/// filled in any order ends as one extent; behind the chunk before it; or in the file's home.
Step<std::optional<std::uint64_t>> goal_for(Draft& draft, const Draft::Object& file, const Draft::Chunk& chunk, std::uint32_t block) {
  const std::vector<Extent>& extents = chunk.map.extents();
  const auto after = std::upper_bound(extents.begin(), extents.end(), block, [](std::uint32_t b, const Extent& e) { return b < e.first; });
  if (after != extents.begin()) {
    const Extent& before = *(after - 1);
    return std::optional(before.address + (block - before.first));
  }
  if (after != extents.end()) {
    const std::uint32_t ahead = after->first - block;
    return after->address >= ahead ? std::optional(after->address - ahead) : std::optional<std::uint64_t>{};
  }
  if (chunk.index > 0 && chunk.index <= file.chunk_end) {
    const auto previous = draft.chunk(file, chunk.index - 1);
    if (!previous) return std::unexpected(previous.error());
    if (!(*previous)->map.empty()) {
      const Extent& last = (*previous)->map.extents().back();
      return std::optional(last.address + (kChunkBlocks - last.first) + block);
    }
  }
  const std::uint64_t at = chunk.base() + block;
  if (at == 0) return std::optional<std::uint64_t>{};
  return draft.state.homes.place(file.id, at, std::max(blocks_for(file.size), at + 1), draft.state.free_space.cursor(),
                                 draft.state.blocks);
}

}  // namespace

Step<> fill_hole(Draft& draft, Draft::Object& file, std::uint64_t first, std::uint64_t count, bool unwritten,
                 std::vector<BlockRange>& taken) {
  const auto chunk = draft.chunk(file, static_cast<std::uint32_t>(first / kChunkBlocks));
  if (!chunk) return std::unexpected(chunk.error());
  auto at = static_cast<std::uint32_t>(first % kChunkBlocks);
  const auto goal = goal_for(draft, file, **chunk, at);
  if (!goal) return std::unexpected(goal.error());
  auto ranges = draft.take(count, *goal);
  if (!ranges) return std::unexpected(ranges.error());
  draft.touch(file, **chunk);
  for (const BlockRange& range : *ranges) {
    draft.insert(file, **chunk, {at, static_cast<std::uint32_t>(range.count), range.first, unwritten});
    at += static_cast<std::uint32_t>(range.count);
  }
  taken = std::move(*ranges);
  return {};
}

Step<Planned> plan_write(Draft& draft, const wire::Operation& operation) {
  const auto found = draft.inode(operation.inode);
  if (!found) return std::unexpected(found.error());
  Draft::Object& file = **found;
  if (file.is_directory()) return refuse(EISDIR);
  if (!file.is_file() || operation.length > kWriteBytesMax) return refuse(EINVAL);
  wire::Outcome outcome;
  outcome.offset = operation.append ? file.size : operation.offset;
  outcome.value = operation.length;
  if (operation.length == 0) return Draft::answer(outcome, &file);
  if (outcome.offset >= kFileBytesMax || operation.length > kFileBytesMax - outcome.offset) return refuse(EFBIG);

  const ByteRange bytes{outcome.offset, operation.length};
  const std::uint64_t old_size = file.size;
  Writing writing{draft, file, bytes, blocks_for(old_size)};
  const std::uint64_t first = bytes.offset / kBlockBytes;
  if (first > writing.end_block) {
    if (const auto given = draft.give_back_ahead(file); !given) return std::unexpected(given.error());
  }
  std::vector<Draft::Chunk*> chunks;
  bool halted = false;
  for (std::uint64_t i = first / kChunkBlocks; i <= (blocks_for(bytes.end()) - 1) / kChunkBlocks; ++i) {
    const auto chunk = draft.chunk(file, static_cast<std::uint32_t>(i));
    if (chunk) {
      chunks.push_back(*chunk);
    } else {
      halted = true;
    }
  }
  if (halted) return refuse(0);
  for (Draft::Chunk* chunk : chunks) {
    if (const auto done = writing.through(*chunk); !done) return std::unexpected(done.error());
  }
  if (operation.kill_suid_gid) {
    if (const auto dropped = drop_privileges(draft, file); !dropped) return std::unexpected(dropped.error());
  }

  const bool grows = bytes.end() > old_size;
  file.mtime = file.ctime = draft.now;
  const bool lazy_fits = draft.state.lazy.size() < kLazyTimesMax || draft.state.lazy.contains(file.id);
  if (grows) {
    file.size = bytes.end();
    file.change();
  } else if (file.fate == Draft::Object::Fate::same && lazy_fits) {
    draft.times = {file.id, draft.now, draft.now};
  } else {
    file.change();
  }
  const std::uint64_t stale = grows ? std::min(old_size, bytes.offset) : bytes.offset;
  draft.drop_pages(file.id, {stale, bytes.end() - stale});
  return draft.finish(outcome, &file);
}

}  // namespace lockstep::volume
