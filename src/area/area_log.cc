#include "area/area_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "wire/codec.h"

namespace lockstep::area {

namespace {

constexpr std::size_t kRangesInNote = 256;

}  // namespace

Result<wire::Effect> decode_effect(Seq seq, Bytes body) {
  Result<wire::Effect> effect = wire::decode_record(body);
  if (effect && effect->seq != seq) effect = fail(Errc::invalid, fmt::format("it says that its seq is {}", effect->seq.value));
  if (!effect)
    return fail(Errc::corrupt, fmt::format("log: the record of seq {} can't be understood: {}", seq.value, effect.error().text));
  return effect;
}

Result<std::vector<BlockRange>> decode_note(Seq seq, Bytes body, std::uint64_t blocks) {
  std::vector<BlockRange> ranges(body.size() / sizeof(BlockRange));
  if (body.size() % sizeof(BlockRange) != 0) return fail(Errc::corrupt, fmt::format("log: a note behind seq {} is cut", seq.value));
  if (!body.empty()) std::memcpy(ranges.data(), body.data(), body.size());
  for (const BlockRange& r : ranges) {
    if (r.count == 0 || r.first >= blocks || r.count > blocks - r.first)
      return fail(Errc::corrupt, fmt::format("log: a note behind seq {} names blocks that are not in the area", seq.value));
  }
  return ranges;
}

AreaLog::AreaLog(std::unique_ptr<RecordRing> ring, std::uint64_t blocks) : ring_(std::move(ring)), unproven_(blocks) {
  // Which blocks its records made new is not looked up: a sync more for the first ones of each.
  if (ring_->first() != Seq{}) unproven_.add({0, blocks});
}

Result<> AreaLog::append(const wire::Effect& effect) {
  Result<> done = ring_->append(effect.seq, wire::encode_record(effect));
  if (!done) return done;
  for (const wire::AreaWrite& w : effect.writes) {
    if (!w.fresh || w.length == 0) continue;
    const std::uint64_t first = w.address / kBlockBytes;
    unproven_.add({first, (w.address + w.length - 1) / kBlockBytes + 1 - first});
  }
  return done;
}

bool AreaLog::outruns(const wire::Effect& effect) const {
  // Few records are large, and only those may have to be measured.
  return ring_->outruns(0) || (ring_->outruns(kRecordBodyBytesMax) && ring_->outruns(wire::encode_record(effect).size()));
}

runtime::Task<Result<>> AreaLog::prove(std::vector<BlockRange> ranges, std::uint64_t proof) {
  co_await ring_->begin_notes();
  const std::vector<BlockRange> proven = unproven_.proven(ranges, proof);
  Result<> done;
  for (std::size_t at = 0; done && at < proven.size(); at += kRangesInNote) {
    const std::span<const BlockRange> some = std::span(proven).subspan(at, std::min(kRangesInNote, proven.size() - at));
    done = ring_->append_note(std::as_bytes(some));
    if (!done) break;
    for (const BlockRange& r : some) unproven_.remove(r);
  }
  ring_->end_notes();
  // Without room they stay new: a later sync tries again.
  if (!done && done.error().code == Errc::busy) done = Result<>{};
  co_return done;
}

runtime::Task<Result<std::vector<wire::Effect>>> AreaLog::read_after(Seq after, std::uint64_t limit) {
  Result<std::vector<RecordRing::Record>> records = co_await ring_->read_after(after, limit);
  if (!records) co_return std::unexpected(std::move(records.error()));
  std::vector<wire::Effect> out;
  out.reserve(records->size());
  for (const RecordRing::Record& record : *records) {
    Result<wire::Effect> effect = decode_effect(record.seq, record.body);
    if (!effect) co_return std::unexpected(std::move(effect.error()));
    out.push_back(std::move(*effect));
  }
  co_return out;
}

}  // namespace lockstep::area
