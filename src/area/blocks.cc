#include "area/blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/check.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

/// Blocks whose checksums fill one page of the table.
constexpr std::uint64_t kPreparedBlocks = 4096 / kTableSectorBytes * kTableSectorBlocks;
/// Ranges to be synced that are closer than this become one.
constexpr std::uint64_t kSyncGapBytes = 256 * 1024;

constexpr ByteRange area_range(BlockRange blocks) { return {blocks.first * kBlockBytes, blocks.count * kBlockBytes}; }

}  // namespace

Blocks::Blocks(std::unique_ptr<runtime::File> extents, std::unique_ptr<runtime::Mapping> checksums, std::uint64_t blocks,
               const LogPoint& log, Failure& failure)
    : extents_(std::move(extents)),
      checksums_(std::move(checksums)),
      blocks_(blocks),
      log_(log),
      failure_(failure),
      prepared_((blocks + kPreparedBlocks - 1) / kPreparedBlocks) {
  CHECK(extents_->bytes() / kBlockBytes >= blocks && checksums_->bytes().size() >= table_bytes(blocks));
}

std::uint64_t Blocks::stored_checksum(std::uint64_t block) const {
  CHECK(block < blocks_);
  std::uint64_t out;
  std::memcpy(&out, checksums_->bytes().data() + checksum_place(block), sizeof out);
  return out;
}

LogPoint Blocks::stored_at(std::uint64_t block) const {
  CHECK(block < blocks_);
  LogPoint out;
  std::memcpy(&out, checksums_->bytes().data() + block / kTableSectorBlocks * kTableSectorBytes + kTablePointOffset, sizeof out);
  return out;
}

void Blocks::store_checksums(std::uint64_t first, std::span<const std::uint64_t> sums) {
  while (!sums.empty()) {
    const std::uint64_t sector = first / kTableSectorBlocks;
    const std::uint64_t here = std::min<std::uint64_t>(sums.size(), (sector + 1) * kTableSectorBlocks - first);
    std::memcpy(checksums_->bytes().data() + checksum_place(first), sums.data(), here * kChecksumBytes);
    // Last, so that it never vouches for what is not there yet.
    std::atomic_signal_fence(std::memory_order_release);
    std::memcpy(checksums_->bytes().data() + sector * kTableSectorBytes + kTablePointOffset, &log_, sizeof log_);
    first += here;
    sums = sums.subspan(here);
  }
}

bool Blocks::prepared(BlockRange blocks) const {
  for (std::uint64_t i = blocks.first / kPreparedBlocks; i <= (blocks.end() - 1) / kPreparedBlocks; ++i)
    if (!prepared_[i]) return false;
  return true;
}

runtime::Task<Result<>> Blocks::prepare(BlockRange blocks) {
  if (prepared(blocks)) co_return Result<>{};
  Result<> done = co_await checksums_->prepare(table_range(blocks));
  if (!done) co_return done;
  for (std::uint64_t i = blocks.first / kPreparedBlocks; i <= (blocks.end() - 1) / kPreparedBlocks; ++i) prepared_[i] = true;
  co_return done;
}

Result<> Blocks::validate(BlockRange blocks, MutableBytes into) const {
  if (blocks.count == 0 || blocks.first >= blocks_ || blocks.count > blocks_ - blocks.first) {
    return fail(Errc::invalid, fmt::format("{} blocks from {} on are not in an area of {} blocks", blocks.count, blocks.first,
                                           blocks_));
  }
  CHECK(into.size() == blocks.count * kBlockBytes);
  return {};
}

std::unexpected<Error> Blocks::bad(std::uint64_t block) {
  ++counters_.bad_blocks;
  return fail(Errc::corrupt, fmt::format("block {} does not match its checksum", block));
}

bool Blocks::matches(std::uint64_t block, Bytes bytes) const { return checksum(bytes) == stored_checksum(block); }

std::optional<Result<>> Blocks::try_read(BlockRange blocks, MutableBytes into) {
  if (Result<> valid = validate(blocks, into); !valid) return valid;
  if (!prepared(blocks)) return std::nullopt;
  std::optional<Result<>> done = extents_->try_read(blocks.first * kBlockBytes, into);
  if (!done || !*done) return done;
  counters_.blocks_read += blocks.count;
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const std::uint64_t block = blocks.first + i;
    const MutableBytes bytes = into.subspan(i * kBlockBytes, kBlockBytes);
    if (matches(block, bytes)) continue;
    done = extents_->try_read(block * kBlockBytes, bytes);
    if (!done || !*done) return done;
    if (!matches(block, bytes)) return Result<>(bad(block));
  }
  return Result<>{};
}

runtime::Task<Result<>> Blocks::read_again(std::uint64_t block, MutableBytes into) {
  while (true) {
    // Nothing can be written while this runs without waiting: its verdict stands.
    std::optional<Result<>> now = extents_->try_read(block * kBlockBytes, into);
    if (now && !*now) co_return *now;
    if (now && matches(block, into)) co_return Result<>{};
    if (now) co_return bad(block);
    const std::uint64_t before = stored_checksum(block);
    Result<> done = co_await extents_->read(block * kBlockBytes, into);
    if (!done) co_return done;
    if (matches(block, into)) co_return Result<>{};
    // Each further round took another write to this block meanwhile.
    if (stored_checksum(block) == before) co_return bad(block);
  }
}

runtime::Task<Result<>> Blocks::read(BlockRange blocks, MutableBytes into) {
  Result<> done = validate(blocks, into);
  if (done) done = co_await prepare(blocks);
  if (done) done = co_await extents_->read(blocks.first * kBlockBytes, into);
  if (!done) co_return done;
  counters_.blocks_read += blocks.count;
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const MutableBytes bytes = into.subspan(i * kBlockBytes, kBlockBytes);
    if (matches(blocks.first + i, bytes)) continue;
    done = co_await read_again(blocks.first + i, bytes);
    if (!done) co_return done;
  }
  co_return Result<>{};
}

runtime::Task<Result<std::vector<std::uint64_t>>> Blocks::stored_checksums(BlockRange blocks) {
  const Result<> prepared = co_await prepare(blocks);
  if (!prepared) co_return std::unexpected(prepared.error());
  std::vector<std::uint64_t> checksums;
  checksums.reserve(blocks.count);
  for (std::uint64_t b = blocks.first; b < blocks.end(); ++b) checksums.push_back(stored_checksum(b));
  co_return checksums;
}

runtime::Task<Result<>> Blocks::read_raw(BlockRange blocks, MutableBytes into) {
  Result<> done = validate(blocks, into);
  if (done) done = co_await prepare(blocks);
  if (done) done = co_await extents_->read(blocks.first * kBlockBytes, into);
  if (done) counters_.blocks_read += blocks.count;
  co_return done;
}

Result<> Blocks::write(const Composed& composed) {
  if (Result<> usable = failure_.check(); !usable) return usable;
  std::size_t next = 0;
  for (const Composed::Part& part : composed.parts) {
    Result<> done = extents_->write_now(part.blocks.first * kBlockBytes, part.bytes);
    if (!done) return failure_.note(std::move(done.error()));
    CHECK(next + part.blocks.count <= composed.checksums.size());
    store_checksums(part.blocks.first, std::span(composed.checksums).subspan(next, part.blocks.count));
    next += part.blocks.count;
    counters_.blocks_written += part.blocks.count;
    warmed_.erase(warmed_.lower_bound(part.blocks.first), warmed_.lower_bound(part.blocks.end()));
    note_written(part.blocks);
  }
  CHECK(next == composed.checksums.size());
  return {};
}

void Blocks::note_written(BlockRange blocks) {
  const ByteRange range = area_range(blocks);
  if (unstarted_.empty()) {
    unstarted_ = range;
  } else {
    const std::uint64_t end = std::max(unstarted_.end(), range.end());
    unstarted_.offset = std::min(unstarted_.offset, range.offset);
    unstarted_.length = end - unstarted_.offset;
  }
  unstarted_bytes_ += range.length;
  if (unstarted_bytes_ < kWriteBackBytes) return;
  extents_->start_write_back(std::exchange(unstarted_, {}));
  unstarted_bytes_ = 0;
}

runtime::Task<void> Blocks::sync_table(std::vector<ByteRange> ranges, Result<>& done) {
  for (const ByteRange& r : ranges) {
    if (done) done = co_await checksums_->sync(r);
  }
}

runtime::Task<Result<>> Blocks::sync(std::vector<ByteRange> ranges, runtime::Scheduler& scheduler) {
  Result<> usable = failure_.check();
  if (!usable) co_return usable;
  const std::uint64_t bytes = blocks_ * kBlockBytes;
  for (const ByteRange& r : ranges) {
    if (r.offset > bytes || r.length > bytes - r.offset) {
      co_return fail(Errc::invalid, fmt::format("{} bytes from {} on are not in an area of {} bytes", r.length, r.offset, bytes));
    }
  }
  std::erase_if(ranges, [](const ByteRange& r) { return r.empty(); });
  std::ranges::sort(ranges, {}, &ByteRange::offset);
  std::vector<ByteRange> merged;
  for (const ByteRange& r : ranges) {
    if (!merged.empty() && r.offset <= merged.back().end() + kSyncGapBytes) {
      merged.back().length = std::max(merged.back().end(), r.end()) - merged.back().offset;
    } else {
      merged.push_back(r);
    }
  }
  std::vector<ByteRange> data, table;
  for (const ByteRange& r : merged) {
    const std::uint64_t first = r.offset / kBlockBytes;
    const BlockRange blocks{first, (r.end() + kBlockBytes - 1) / kBlockBytes - first};
    ++counters_.syncs;
    data.push_back(area_range(blocks));
    table.push_back(table_range(blocks));
  }
  // The two files side by side: the medium is told to flush once, not twice in turn.
  Result<> table_done;
  runtime::Scope beside(scheduler);
  beside.spawn(sync_table(std::move(table), table_done));
  Result<> done;
  for (const ByteRange& r : data) {
    if (done) done = co_await extents_->sync(r);
  }
  co_await beside.join();
  if (done) done = std::move(table_done);
  if (!done) co_return failure_.note(std::move(done.error()));
  co_return Result<>{};
}

}  // namespace lockstep::area
