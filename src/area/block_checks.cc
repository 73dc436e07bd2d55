// block_checks.cc - the part of blocks.h that looks at blocks whose checksums may be wrong: check and adopt.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "area/blocks.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

constexpr std::uint64_t kAdoptBlocks = 256;  // read at once

}  // namespace

runtime::Task<Result<std::vector<bool>>> Blocks::check(BlockRange blocks, MutableBytes into) {
  Result<> done = validate(blocks, into);
  if (done && blocks.count > kCheckBlocksMax)
    done = fail(Errc::invalid, fmt::format("{} blocks are more than {}", blocks.count, kCheckBlocksMax));
  if (done) done = co_await prepare(blocks);
  if (!done) co_return std::unexpected(std::move(done.error()));
  const Result<> read = co_await extents_->read(blocks.first * kBlockBytes, into);
  if (!read && read.error().code != Errc::io) co_return std::unexpected(read.error());
  counters_.blocks_read += blocks.count;
  std::vector<bool> bad(blocks.count);
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const MutableBytes bytes = into.subspan(i * kBlockBytes, kBlockBytes);
    if (read && matches(blocks.first + i, bytes)) continue;
    done = co_await read_again(blocks.first + i, bytes);
    if (done) continue;
    if (done.error().code != Errc::corrupt && done.error().code != Errc::io) co_return std::unexpected(std::move(done.error()));
    // What can't be read has no bytes that could be shown.
    if (done.error().code == Errc::io) std::memset(bytes.data(), 0, bytes.size());
    bad[i] = true;
  }
  co_return bad;
}

runtime::Task<Result<std::uint64_t>> Blocks::adopt(BlockRange blocks) {
  std::uint64_t adopted = 0;
  std::vector<std::byte> buffer(std::min(blocks.count, kAdoptBlocks) * kBlockBytes);
  for (std::uint64_t first = blocks.first; first < blocks.end(); first += kAdoptBlocks) {
    const BlockRange some{first, std::min(kAdoptBlocks, blocks.end() - first)};
    const MutableBytes bytes = MutableBytes(buffer).first(some.count * kBlockBytes);
    Result<> done = co_await read_raw(some, bytes);
    for (std::uint64_t i = 0; done && i < some.count; ++i) {
      const MutableBytes one = bytes.subspan(i * kBlockBytes, kBlockBytes);
      if (matches(some.first + i, one)) continue;
      done = co_await read_now(some.first + i, one);
      if (done) done = failure_.check();
      if (!done || matches(some.first + i, one)) continue;
      const std::array<std::uint64_t, 1> sum{checksum(one)};
      store_checksums(some.first + i, sum);
      ++adopted;
    }
    if (!done) co_return std::unexpected(std::move(done.error()));
  }
  co_return adopted;
}

/// The block as it stands when this ends, unless it is written all the time.
runtime::Task<Result<>> Blocks::read_now(std::uint64_t block, MutableBytes into) {
  while (true) {
    std::optional<Result<>> now = extents_->try_read(block * kBlockBytes, into);
    if (now) co_return *now;
    const std::uint64_t before = stored_checksum(block);
    Result<> done = co_await extents_->read(block * kBlockBytes, into);
    if (!done || stored_checksum(block) == before) co_return done;
  }
}

}  // namespace lockstep::area
