#include "area/suspect_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "area/bitmap.h"
#include "core/check.h"
#include "core/planted.h"

namespace lockstep::area {
namespace {

constexpr std::uint64_t kWordBytes = sizeof(std::uint64_t);

std::uint64_t granules_of(std::uint64_t blocks) { return (blocks + kGranuleBlocks - 1) / kGranuleBlocks; }
std::uint64_t words_of(std::uint64_t granules) { return (granules + 63) / 64; }

bool test(const std::vector<std::uint64_t>& words, std::uint64_t bit) { return (words[bit / 64] >> bit % 64 & 1) != 0; }

}  // namespace

std::uint64_t SuspectMap::file_bytes(std::uint64_t blocks) { return words_of(granules_of(blocks)) * kWordBytes; }

SuspectMap::SuspectMap(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks, runtime::Scheduler& scheduler,
                       Failure& failure)
    : mapping_(std::move(mapping)),
      blocks_(blocks),
      granules_(granules_of(blocks)),
      failure_(failure),
      set_(words_of(granules_)),
      stable_(set_.size()),
      since_round_(set_.size()),
      since_sync_(set_.size(), ~0ull),
      during_sync_(set_.size()),
      ahead_(set_.size()),
      sync_ended_(scheduler) {}

runtime::Task<Result<std::unique_ptr<SuspectMap>>> SuspectMap::open(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks,
                                                                    runtime::Scheduler& scheduler, Failure& failure) {
  const std::uint64_t expected = file_bytes(blocks);
  if (mapping->bytes().size() != expected) {
    co_return fail(Errc::refused, fmt::format("suspect: {} bytes expected, {} found; it is not this area's, so what may differ "
                                              "at the other site is not known: format this site's area again and let it catch "
                                              "up from the other site", expected, mapping->bytes().size()));
  }
  std::unique_ptr<SuspectMap> map(new SuspectMap(std::move(mapping), blocks, scheduler, failure));
  Result<> done = co_await map->mapping_->prepare({0, expected});
  // Bits that a process set which died before its sync are not on the medium yet.
  if (done) done = co_await map->mapping_->sync({0, expected});
  if (!done) co_return std::unexpected(std::move(done.error()));
  std::memcpy(map->set_.data(), map->mapping_->bytes().data(), expected);
  if (map->granules_ % 64 != 0) map->set_.back() &= bitmap::mask(0, map->granules_ % 64);
  map->stable_ = map->set_;
  map->count_ = bitmap::count(map->set_);
  co_return std::move(map);
}

bool SuspectMap::suspect(std::uint64_t granule) const {
  CHECK(granule < granules_);
  return test(set_, granule);
}

bool SuspectMap::inside(BlockRange blocks) const { return blocks.first <= blocks_ && blocks.count <= blocks_ - blocks.first; }

bool SuspectMap::covers(BlockRange blocks) const {
  if (!inside(blocks)) return false;
  if (blocks.count == 0) return true;
  const std::uint64_t end = end_granule(blocks);
  return bitmap::next_clear(stable_, first_granule(blocks), end) == end;
}

bool SuspectMap::cover(std::span<const BlockRange> blocks) {
  bool covered = true;
  for (const BlockRange& range : blocks) {
    covered = covers(range) && covered;
    if (inside(range)) touch(range);
  }
  return covered;
}

void SuspectMap::touch(BlockRange blocks) {
  if (blocks.count == 0) return;
  CHECK(inside(blocks));
  touch_granules(first_granule(blocks), end_granule(blocks));
  for (std::uint64_t g = first_granule(blocks); g < end_granule(blocks); ++g) recent_.touch(g);
  look_ahead(end_granule(blocks) - 1);
}

void SuspectMap::look_ahead(std::uint64_t granule) {
  const std::uint64_t far = std::min(granule + 1 + kMarkedAhead / 2, granules_);
  const std::uint64_t end = bitmap::next_clear(set_, granule, far);
  edge_ = end > granule + 1 && end < far ? std::optional(end) : std::nullopt;
}

runtime::Task<Result<>> SuspectMap::mark_ahead() {
  Result<> usable = failure_.check();
  if (!usable || !edge_) co_return usable;
  set_ahead(*edge_, *edge_ + kMarkedAhead);
  edge_.reset();
  co_return co_await make_stable();
}

void SuspectMap::set_ahead(std::uint64_t from, std::uint64_t to) {
  to = std::min(to, granules_);
  for (std::uint64_t g = from; (g = bitmap::next_clear(set_, g, to)) < to; ++g) bitmap::set(ahead_, g, g + 1);
  set(from, to);
}

void SuspectMap::touch_granules(std::uint64_t from, std::uint64_t to) {
  bitmap::clear(ahead_, from, to);
  bitmap::set(since_sync_, from, to);
  if (whole_sync_running_) bitmap::set(during_sync_, from, to);
  if (round_open_) bitmap::set(since_round_, from, to);
}

void SuspectMap::store(std::uint64_t word) {
  std::memcpy(mapping_->bytes().data() + word * kWordBytes, &set_[word], kWordBytes);
}

void SuspectMap::set(std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t word = from / 64; word * 64 < to; ++word) {
    const std::uint64_t begin = std::max(from, word * 64) % 64;
    const std::uint64_t wanted = bitmap::mask(begin, std::min(to, word * 64 + 64) - word * 64);
    const auto added = static_cast<std::uint64_t>(std::popcount(wanted & ~set_[word]));
    if (added == 0) continue;
    count_ += added;
    counters_.marks += added;
    set_[word] |= wanted;
    store(word);
    if (unsynced_.count == 0) {
      unsynced_ = {word, 1};
    } else {
      const std::uint64_t end = std::max(unsynced_.end(), word + 1);
      unsynced_.first = std::min(unsynced_.first, word);
      unsynced_.count = end - unsynced_.first;
    }
  }
}

runtime::Task<Result<>> SuspectMap::mark(std::vector<BlockRange> blocks) {
  Result<> usable = failure_.check();
  if (!usable) co_return usable;
  for (const BlockRange& range : blocks) {
    if (!inside(range)) {
      co_return fail(Errc::invalid, fmt::format("{} blocks from {} on are not in an area of {} blocks", range.count, range.first,
                                                blocks_));
    }
  }
  for (const BlockRange& range : blocks) {
    if (range.count == 0) continue;
    touch(range);
    const std::uint64_t first = first_granule(range), end = end_granule(range);
    const bool goes_on = !test(set_, end - 1) && first != 0 && test(stable_, first - 1);
    set(first, end);
    if (goes_on) set_ahead(end, end + kMarkedAhead);
  }
  if (std::ranges::all_of(blocks, [this](BlockRange range) { return covers(range); })) co_return Result<>{};
  co_return co_await make_stable();
}

runtime::Task<Result<>> SuspectMap::mark_all() {
  Result<> usable = failure_.check();
  if (!usable) co_return usable;
  touch_granules(0, granules_);
  set(0, granules_);
  if (covers({0, blocks_})) co_return Result<>{};
  co_return co_await make_stable();
}

runtime::Task<Result<>> SuspectMap::make_stable() {
  // What no sync took up waits for the next one; without such bits, the one that is running has them all.
  const std::uint64_t enough = unsynced_.count == 0 ? syncs_begun_ : syncs_begun_ + 1;
  while (syncs_ended_ < enough) {
    Result<> usable = failure_.check();
    if (!usable) co_return usable;
    if (syncing_) {
      co_await sync_ended_.wait();
    } else {
      co_await sync_file();
    }
  }
  co_return Result<>{};
}

runtime::Task<void> SuspectMap::sync_file() {
  syncing_ = true;
  ++syncs_begun_;
  ++counters_.syncs;
  const BlockRange words = std::exchange(unsynced_, {});
  // Bits that are stable already may be cleared meanwhile; these can't be.
  Words taken(words.count);
  for (std::uint64_t i = 0; i < words.count; ++i) taken[i] = set_[words.first + i] & ~stable_[words.first + i];
  const ByteRange range{words.first * kWordBytes, words.count * kWordBytes};
  Result<> done = co_await mapping_->sync(range);
  syncing_ = false;
  if (done) {
    syncs_ended_ = syncs_begun_;
    for (std::uint64_t i = 0; i < words.count; ++i) stable_[words.first + i] |= taken[i];
  } else {
    (void)failure_.note(std::move(done.error()));
  }
  sync_ended_.notify_all();
}

std::vector<std::uint64_t> SuspectMap::begin_clearing(std::size_t limit, bool all) {
  round_open_ = true;
  round_used_ = false;
  std::ranges::fill(since_round_, 0);
  std::vector<std::uint64_t> offered;
  const std::uint64_t start = next_offer_ < granules_ ? next_offer_ : 0;
  const auto offer = [&](std::uint64_t from, std::uint64_t to) {
    while (offered.size() < limit && (from = bitmap::next_set(stable_, from, to)) != to) {
      if (all || !recent_.contains(from)) offered.push_back(from);
      next_offer_ = ++from;
    }
  };
  offer(start, granules_);
  offer(0, start);
  return offered;
}

runtime::Task<Result<>> SuspectMap::clear(std::vector<std::uint64_t> granules) {
  Result<> usable = failure_.check();
  if (!usable) co_return usable;
  for (const std::uint64_t g : granules) {
    if (g >= granules_) co_return fail(Errc::invalid, fmt::format("there is no granule {} in an area of {}", g, granules_));
  }
  round_used_ = true;
  for (const std::uint64_t g : granules) {
    const bool touched = test(since_sync_, g) || (round_open_ && test(since_round_, g));
    if (!test(stable_, g) || (touched && !planted(Planted::clear_suspect_early))) continue;
    clear(g);
  }
  // The other site may have marked less ahead, and does not offer them then.
  for (std::uint64_t g = 0; (g = bitmap::next_set(ahead_, g, granules_)) < granules_; ++g) {
    if (test(stable_, g)) clear(g);
  }
  co_return Result<>{};
}

void SuspectMap::clear(std::uint64_t granule) {
  bitmap::clear(set_, granule, granule + 1);
  bitmap::clear(stable_, granule, granule + 1);
  bitmap::clear(ahead_, granule, granule + 1);
  store(granule / 64);
  --count_;
  ++counters_.cleared;
}

bool SuspectMap::whole_sync_begins() {
  if (round_used_) round_open_ = false;
  if (whole_sync_running_) return false;
  whole_sync_running_ = true;
  std::ranges::fill(during_sync_, 0);
  return true;
}

void SuspectMap::whole_sync_ended(bool well) {
  CHECK(whole_sync_running_);
  whole_sync_running_ = false;
  if (well) since_sync_.swap(during_sync_);
}

std::string SuspectMap::bits(std::uint64_t first, std::uint64_t count) const {
  CHECK(first <= granules_ && count <= granules_ - first);
  std::string out((count + 7) / 8, '\0');
  for (std::uint64_t g = bitmap::next_set(set_, first, first + count); g != first + count;
       g = bitmap::next_set(set_, g + 1, first + count)) {
    out[(g - first) / 8] = static_cast<char>(out[(g - first) / 8] | (1 << (g - first) % 8));
  }
  return out;
}

}  // namespace lockstep::area
