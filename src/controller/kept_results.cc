#include "controller/kept_results.h"

#include <cstring>

#include "core/log.h"
#include "volume/keys_format.h"
#include "wire/codec.h"

namespace lockstep::controller {
namespace {

/// Records of effects, each behind its length in 4 bytes.
std::string pack(const Results& results, SiteId site) {
  std::string packed;
  results.for_all(site, [&](const RequestId& id, const Results::Entry& entry) {
    wire::Effect effect;
    effect.request = id;
    effect.seq = entry.seq;
    effect.outcome = entry.outcome;
    const std::vector<std::byte> record = wire::encode_record(effect);
    const auto length = static_cast<std::uint32_t>(record.size());
    packed.append(reinterpret_cast<const char*>(&length), sizeof length);
    packed.append(reinterpret_cast<const char*>(record.data()), record.size());
  });
  return packed;
}

Result<std::vector<wire::Effect>> unpack(std::string_view packed) {
  std::vector<wire::Effect> effects;
  while (!packed.empty()) {
    std::uint32_t length = 0;
    if (packed.size() < sizeof length) return fail(Errc::corrupt, "it is cut short");
    std::memcpy(&length, packed.data(), sizeof length);
    packed.remove_prefix(sizeof length);
    if (packed.size() < length) return fail(Errc::corrupt, "it is cut short");
    Result<wire::Effect> effect = wire::decode_record(std::as_bytes(std::span(packed.substr(0, length))));
    if (!effect) return std::unexpected(effect.error());
    effects.push_back(std::move(*effect));
    packed.remove_prefix(length);
  }
  return effects;
}

}  // namespace

runtime::Task<Result<>> keep_results(runtime::KeyValue& keys, const Results& results, SiteId site) {
  std::string packed = pack(results, site);
  if (packed.empty()) co_return co_await drop_results(keys);
  const runtime::KeyBatch batch{{std::string(volume::kAnsweredKey), std::move(packed)}};
  if (const Result<> applied = keys.apply(batch); !applied) co_return applied;
  co_return co_await keys.flush();
}

runtime::Task<Result<>> recall_results(runtime::KeyValue& keys, Results& results) {
  const Result<std::optional<std::string>> kept = co_await keys.get(std::string(volume::kAnsweredKey));
  if (!kept) co_return std::unexpected(kept.error());
  if (!*kept) co_return Result<>{};
  const Result<std::vector<wire::Effect>> effects = unpack(**kept);
  if (!effects) {
    log::warning("what became of the other site's last requests is damaged here ({}): one that was never answered may take effect twice", effects.error().text);
    co_return Result<>{};
  }
  for (const wire::Effect& effect : *effects) results.note(effect.request, effect.seq, effect.outcome);
  co_return Result<>{};
}

runtime::Task<Result<>> drop_results(runtime::KeyValue& keys) {
  const Result<std::optional<std::string>> kept = co_await keys.get(std::string(volume::kAnsweredKey));
  if (!kept) co_return std::unexpected(kept.error());
  if (!*kept) co_return Result<>{};
  const runtime::KeyBatch batch{{std::string(volume::kAnsweredKey), std::nullopt}};
  if (const Result<> applied = keys.apply(batch); !applied) co_return applied;
  co_return co_await keys.flush();
}

}  // namespace lockstep::controller
