#include "area/unwritten.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <map>

#include "area/area_log.h"
#include "area/bitmap.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

using runtime::Task;

constexpr std::size_t kGranulesAtOnce = 2048;
constexpr std::uint64_t kReadBlocks = 256;

class Pass {
 public:
  Pass(Blocks& blocks, const SuspectMap& suspects, std::vector<std::uint64_t>& done)
      : blocks_(blocks), suspects_(suspects), done_(done) {}

  void take_note(std::span<const BlockRange> stable);
  /// Suspends.
  Task<Result<>> take(const wire::Effect& effect, LogPoint behind);
  /// Writes the zeros; the granules of this pass are done. Suspends.
  Task<Result<>> end(runtime::Scheduler& scheduler, NewBlocks& counts);
  /// There are granules that had no place in it.
  [[nodiscard]] bool more() const { return more_; }

 private:
  struct Granule {
    std::vector<std::uint64_t> sums = std::vector<std::uint64_t>(kGranuleBlocks);  ///< of the bytes, if looked_at
    std::bitset<kGranuleBlocks> looked_at, unreadable, fresh, written;
  };
  Granule* find(std::uint64_t block, bool make);
  /// Reads what was not read yet. Suspends.
  Task<Result<>> look_at(BlockRange blocks);
  Task<Result<>> read_sums(BlockRange blocks, Granule& granule);
  void judge(std::uint64_t block, std::uint64_t logged, bool fresh, LogPoint behind);

  Blocks& blocks_;
  const SuspectMap& suspects_;
  std::vector<std::uint64_t>& done_;  ///< a bit for each granule
  std::map<std::uint64_t, Granule> granules_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kReadBlocks * kBlockBytes);
  bool more_ = false;
};

Pass::Granule* Pass::find(std::uint64_t block, bool make) {
  const std::uint64_t number = block / kGranuleBlocks;
  const auto found = granules_.find(number);
  if (found != granules_.end()) return &found->second;
  if (!make || !suspects_.suspect(number) || (done_[number / 64] >> number % 64 & 1) != 0) return nullptr;
  // One that finds no place now finds none later in this pass: so it is never judged by a part of its records.
  if (granules_.size() == kGranulesAtOnce) {
    more_ = true;
    return nullptr;
  }
  return &granules_[number];
}

Task<Result<>> Pass::read_sums(BlockRange blocks, Granule& granule) {
  const MutableBytes bytes = MutableBytes(buffer_).first(blocks.count * kBlockBytes);
  Result<> done = co_await blocks_.read_raw(blocks, bytes);
  if (!done && (done.error().code != Errc::io)) co_return done;
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const std::uint64_t at = (blocks.first + i) % kGranuleBlocks;
    const MutableBytes one = bytes.subspan(i * kBlockBytes, kBlockBytes);
    // One bad block makes the whole read fail.
    Result<> good = done;
    if (!good) good = co_await blocks_.read_raw({blocks.first + i, 1}, one);
    if (!good && good.error().code != Errc::io) co_return good;
    granule.looked_at.set(at);
    granule.unreadable.set(at, !good);
    if (good) granule.sums[at] = checksum(one);
  }
  co_return Result<>{};
}

Task<Result<>> Pass::look_at(BlockRange blocks) {
  for (std::uint64_t block = blocks.first; block < blocks.end();) {
    const std::uint64_t granule_end = std::min(blocks.end(), (block / kGranuleBlocks + 1) * kGranuleBlocks);
    Granule* granule = find(block, true);
    if (granule == nullptr) {
      block = granule_end;
      continue;
    }
    std::uint64_t end = block;
    while (end < granule_end && end - block < kReadBlocks && !granule->looked_at.test(end % kGranuleBlocks)) ++end;
    if (end == block) {
      ++block;
      continue;
    }
    const BlockRange unread{block, end - block};
    Result<> done = co_await read_sums(unread, *granule);
    if (!done) co_return done;
    block = end;
  }
  co_return Result<>{};
}

void Pass::judge(std::uint64_t block, std::uint64_t logged, bool fresh, LogPoint behind) {
  Granule* granule = find(block, false);
  const std::uint64_t at = block % kGranuleBlocks;
  if (granule == nullptr || !granule->looked_at.test(at)) return;
  granule->fresh.set(at, fresh || granule->fresh.test(at));
  if (granule->unreadable.test(at)) return;
  const bool in_log = granule->sums[at] == logged;
  if (fresh) {
    // Whatever matched before is of another file, or of another time of this one.
    const bool in_table = granule->sums[at] == blocks_.stored_checksum(block) && blocks_.stored_at(block) >= behind;
    granule->written.set(at, in_log || in_table);
  } else if (in_log) {
    granule->written.set(at);
  }
}

void Pass::take_note(std::span<const BlockRange> stable) {
  for (const BlockRange& range : stable) {
    const std::uint64_t end_number = end_granule(range);
    for (auto it = granules_.lower_bound(first_granule(range)); it != granules_.end() && it->first < end_number; ++it) {
      const std::uint64_t base = it->first * kGranuleBlocks;
      const std::uint64_t end = std::min(range.end(), base + kGranuleBlocks);
      for (std::uint64_t block = std::max(range.first, base); block < end; ++block) it->second.fresh.reset(block - base);
    }
  }
}

Task<Result<>> Pass::take(const wire::Effect& effect, LogPoint behind) {
  const std::uint64_t blocks = suspects_.blocks();
  std::size_t next = 0;
  for (const wire::AreaWrite& w : effect.writes) {
    const std::uint64_t first = w.address / kBlockBytes;
    if (w.length == 0 || w.address >= blocks * kBlockBytes || w.length > blocks * kBlockBytes - w.address)
      co_return fail(Errc::corrupt, fmt::format("log: the record of seq {} writes outside of the area", effect.seq.value));
    const BlockRange range{first, (w.address + w.length + kBlockBytes - 1) / kBlockBytes - first};
    if (range.count > effect.checksums.size() - next)
      co_return fail(Errc::corrupt, fmt::format("log: the record of seq {} has not a checksum for each block", effect.seq.value));
    if (w.fresh) {
      Result<> done = co_await look_at(range);
      if (!done) co_return done;
    }
    for (std::uint64_t i = 0; i < range.count; ++i) judge(range.first + i, effect.checksums[next++], w.fresh, behind);
  }
  co_return Result<>{};
}

Task<Result<>> Pass::end(runtime::Scheduler& scheduler, NewBlocks& counts) {
  std::vector<ByteRange> zeroed;
  for (auto& [number, granule] : granules_) {
    done_[number / 64] |= 1ull << number % 64;
    const std::bitset<kGranuleBlocks> bad = granule.fresh & ~granule.written & ~granule.unreadable;
    counts.doubtful += granule.fresh.count();
    counts.unreadable += (granule.fresh & granule.unreadable).count();
    counts.zeroed += bad.count();
    for (std::uint64_t at = 0; at < kGranuleBlocks;) {
      std::uint64_t end = at;
      while (end < kGranuleBlocks && bad.test(end)) ++end;
      if (end == at) {
        ++at;
        continue;
      }
      const BlockRange range{number * kGranuleBlocks + at, end - at};
      Result<> done = blocks_.write(zeros(range));
      if (!done) co_return done;
      zeroed.push_back({range.first * kBlockBytes, range.count * kBlockBytes});
      at = end;
    }
  }
  if (zeroed.empty()) co_return Result<>{};
  co_return co_await blocks_.sync(std::move(zeroed), scheduler);
}

}  // namespace

Task<Result<NewBlocks>> zero_unwritten(RecordRing& log, Blocks& blocks, const SuspectMap& suspects, runtime::Scheduler& scheduler) {
  NewBlocks counts;
  std::vector<std::uint64_t> judged(suspects.granules() / 64 + 1);
  bool more = suspects.count() > 0 && log.first() != Seq{};
  while (more) {
    Pass pass(blocks, suspects, judged);
    Result<RecordReader> reader = log.read_all();
    if (!reader) co_return std::unexpected(std::move(reader.error()));
    while (reader->place().position < reader->end()) {
      Result<bool> next = co_await reader->next();
      if (!next) co_return std::unexpected(std::move(next.error()));
      if (!*next) co_return std::unexpected(reader->damaged());
      if (reader->is_note()) {
        const Result<std::vector<BlockRange>> stable = decode_note(reader->seq(), reader->body(), suspects.blocks());
        if (!stable) co_return std::unexpected(stable.error());
        pass.take_note(*stable);
        continue;
      }
      const Result<wire::Effect> effect = decode_effect(reader->seq(), reader->body());
      if (!effect) co_return std::unexpected(effect.error());
      Result<> taken = co_await pass.take(*effect, {reader->place().run, reader->place().position});
      if (!taken) co_return std::unexpected(std::move(taken.error()));
    }
    Result<> ended = co_await pass.end(scheduler, counts);
    if (!ended) co_return std::unexpected(std::move(ended.error()));
    more = pass.more();
  }
  co_return counts;
}

}  // namespace lockstep::area
