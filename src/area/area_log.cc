#include "area/area_log.h"

#include <fmt/format.h>

#include "wire/codec.h"

namespace lockstep::area {

Result<> AreaLog::append(const wire::Effect& effect) { return ring_->append(effect.seq, wire::encode_record(effect)); }

runtime::Task<Result<std::vector<wire::Effect>>> AreaLog::read_after(Seq after, std::uint64_t limit) {
  Result<std::vector<RecordRing::Record>> records = co_await ring_->read_after(after, limit);
  if (!records) co_return std::unexpected(std::move(records.error()));
  std::vector<wire::Effect> out;
  out.reserve(records->size());
  for (const RecordRing::Record& record : *records) {
    Result<wire::Effect> effect = wire::decode_record(record.body);
    if (effect && effect->seq != record.seq)
      effect = fail(Errc::invalid, fmt::format("it says that its seq is {}", effect->seq.value));
    if (!effect) {
      co_return fail(Errc::corrupt, fmt::format("log: the record of seq {} can't be understood: {}", record.seq.value,
                                                effect.error().text));
    }
    out.push_back(std::move(*effect));
  }
  co_return out;
}

}  // namespace lockstep::area
