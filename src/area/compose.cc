// compose.cc - the part of blocks.h that makes whole blocks of the writes of an effect.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "area/blocks.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

/// What one write does to its blocks: which of them it touches, and which it does not fill.
struct Shape {
  BlockRange blocks;
  bool first_partial = false;
  bool last_partial = false;  ///< not set when it is the first too
};

Shape shape_of(const wire::AreaWrite& write) {
  const std::uint64_t end = write.address + write.length;
  Shape shape;
  shape.blocks.first = write.address / kBlockBytes;
  shape.blocks.count = (end + kBlockBytes - 1) / kBlockBytes - shape.blocks.first;
  const bool head = write.address % kBlockBytes != 0;
  const bool tail = end % kBlockBytes != 0;
  shape.first_partial = head || (tail && shape.blocks.count == 1);
  shape.last_partial = tail && shape.blocks.count > 1;
  return shape;
}

alignas(kBlockBytes) std::array<std::byte, 16 * kBlockBytes> zero_blocks{};  // never written to

void append_bytes(Composed::Part& part, Bytes bytes) {
  if (!part.bytes.empty() && part.bytes.back().data() + part.bytes.back().size() == bytes.data()) {
    part.bytes.back() = Bytes(part.bytes.back().data(), part.bytes.back().size() + bytes.size());
  } else {
    part.bytes.push_back(bytes);
  }
}

/// Whole blocks, as they are.
void append_blocks(Composed& out, Bytes bytes) {
  append_bytes(out.parts.back(), bytes);
  for (std::size_t at = 0; at < bytes.size(); at += kBlockBytes)
    out.checksums.push_back(checksum(bytes.subspan(at, kBlockBytes)));
}

void append_zeros(Composed& out, std::uint64_t blocks) {
  out.checksums.insert(out.checksums.end(), blocks, zero_block_checksum());
  for (std::uint64_t left = blocks * kBlockBytes; left > 0;) {
    const std::uint64_t n = std::min<std::uint64_t>(left, zero_blocks.size());
    out.parts.back().bytes.push_back(Bytes(zero_blocks).first(n));
    left -= n;
  }
}

}  // namespace

Composed zeros(BlockRange blocks) {
  Composed out;
  out.parts.push_back({blocks, {}});
  append_zeros(out, blocks.count);
  return out;
}

std::vector<std::uint64_t> edges_of(std::span<const wire::AreaWrite> writes) {
  std::vector<std::uint64_t> edges;
  for (const wire::AreaWrite& w : writes) {
    if (w.length == 0 || w.fresh) continue;
    const Shape shape = shape_of(w);
    if (shape.first_partial) edges.push_back(shape.blocks.first);
    if (shape.last_partial) edges.push_back(shape.blocks.end() - 1);
  }
  return edges;
}

Result<> Blocks::validate(std::span<const wire::AreaWrite> writes, std::uint64_t payload_bytes) const {
  const std::uint64_t bytes = blocks_ * kBlockBytes;
  std::uint64_t blocks = 0;
  std::uint64_t payload = 0;
  std::size_t edges = 0;
  for (const wire::AreaWrite& w : writes) {
    if (w.length == 0 || w.address >= bytes || w.length > bytes - w.address) {
      return fail(Errc::invalid, fmt::format("a write of {} bytes to {} is not in an area of {} bytes", w.length, w.address,
                                             bytes));
    }
    const Shape shape = shape_of(w);
    edges += (shape.first_partial ? 1 : 0) + (shape.last_partial ? 1 : 0);
    blocks += shape.blocks.count;
    if (!w.zeros) payload += w.length;
    if (blocks > kComposeBlocksMax || edges > kEdgesMax) {
      return fail(Errc::invalid, fmt::format("the writes of one effect touch more than {} blocks, or {} of them partly",
                                             kComposeBlocksMax, kEdgesMax));
    }
  }
  if (payload != payload_bytes)
    return fail(Errc::invalid, fmt::format("writes of {} bytes have a payload of {} bytes", payload, payload_bytes));
  if (writes.size() < 2) return {};
  std::vector<BlockRange> touched;
  touched.reserve(writes.size());
  for (const wire::AreaWrite& w : writes) touched.push_back(shape_of(w).blocks);
  std::ranges::sort(touched, {}, &BlockRange::first);
  for (std::size_t i = 1; i < touched.size(); ++i) {
    if (touched[i - 1].overlaps(touched[i]))
      return fail(Errc::invalid, fmt::format("two writes of one effect touch block {}", touched[i].first));
  }
  return {};
}

std::optional<Result<std::unique_ptr<Blocks::Block>>> Blocks::edge(std::uint64_t block, bool fresh) {
  auto made = std::make_unique<Block>();
  if (fresh) return made;
  if (const auto it = warmed_.find(block); it != warmed_.end()) {
    *made = *it->second;
    return made;
  }
  std::optional<Result<>> read = try_read({block, 1}, *made);
  if (!read) return std::nullopt;
  if (!*read) return std::unexpected(std::move(read->error()));
  return made;
}

std::optional<Result<Composed>> Blocks::compose(std::span<const wire::AreaWrite> writes, Bytes payload,
                                                std::span<const std::uint64_t> lost) {
  if (Result<> valid = validate(writes, payload.size()); !valid) return std::unexpected(std::move(valid.error()));
  Composed out;
  std::uint64_t blocks = 0;
  for (const wire::AreaWrite& w : writes) blocks += shape_of(w).blocks.count;
  out.checksums.reserve(blocks);
  for (const wire::AreaWrite& w : writes) {
    const Shape shape = shape_of(w);
    if (!prepared(shape.blocks)) return std::nullopt;
    if (!out.parts.empty() && out.parts.back().blocks.end() == shape.blocks.first) {
      out.parts.back().blocks.count += shape.blocks.count;
    } else {
      out.parts.push_back({shape.blocks, {}});
    }
    std::uint64_t left = w.length;
    // The next `n` bytes of the write stand at `at` of a block that the write does not fill.
    const auto merge = [&](std::uint64_t block, std::uint64_t at, std::uint64_t n) -> std::optional<Result<>> {
      auto made = edge(block, w.fresh || std::ranges::find(lost, block) != lost.end());
      if (!made) return std::nullopt;
      if (!*made) return std::unexpected(std::move(made->error()));
      Block& bytes = ***made;
      if (w.zeros) {
        std::memset(bytes.data() + at, 0, n);
      } else {
        std::memcpy(bytes.data() + at, payload.data(), n);
        payload = payload.subspan(n);
      }
      left -= n;
      append_blocks(out, bytes);
      out.edges.push_back(std::move(**made));
      return Result<>{};
    };
    if (shape.first_partial) {
      const std::uint64_t at = w.address % kBlockBytes;
      auto merged = merge(shape.blocks.first, at, std::min(kBlockBytes - at, left));
      if (!merged) return std::nullopt;
      if (!*merged) return std::unexpected(std::move(merged->error()));
    }
    if (const std::uint64_t whole = left / kBlockBytes; whole > 0) {
      if (w.zeros) {
        append_zeros(out, whole);
      } else {
        append_blocks(out, payload.first(whole * kBlockBytes));
        payload = payload.subspan(whole * kBlockBytes);
      }
      left -= whole * kBlockBytes;
    }
    if (shape.last_partial) {
      auto merged = merge(shape.blocks.end() - 1, 0, left);
      if (!merged) return std::nullopt;
      if (!*merged) return std::unexpected(std::move(merged->error()));
    }
  }
  return out;
}

runtime::Task<Result<>> Blocks::warm(std::vector<wire::AreaWrite> writes) {
  if (warmed_.size() + 2 * writes.size() > kWarmedMax) warmed_.clear();
  for (const wire::AreaWrite& w : writes) {
    if (w.length == 0 || w.address >= blocks_ * kBlockBytes || w.length > blocks_ * kBlockBytes - w.address)
      co_return fail(Errc::invalid, fmt::format("a write of {} bytes to {} is not in the area", w.length, w.address));
    const Shape shape = shape_of(w);
    Result<> done = co_await prepare(shape.blocks);
    if (!done) co_return done;
    const std::vector<std::uint64_t> edges = edges_of(std::span(&w, 1));
    for (const std::uint64_t block : edges) {
      auto bytes = std::make_unique<Block>();
      done = co_await read({block, 1}, *bytes);
      if (!done) co_return done;
      // It may have been written between the end of the read and now; then it is not worth keeping.
      if (matches(block, *bytes)) warmed_[block] = std::move(bytes);
    }
  }
  co_return Result<>{};
}

}  // namespace lockstep::area
