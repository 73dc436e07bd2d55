#include "controller/kept_results.h"

#include <cstring>

#include "core/log.h"
#include "volume/keys_format.h"
#include "wire/codec.h"

namespace lockstep::controller {
namespace {

/// Of the log at once.
constexpr std::uint64_t kBytesAtOnce = 256u << 10;

void add(std::string& packed, const wire::Effect& effect) {
  const std::vector<std::byte> record = wire::encode_record(effect);
  const auto length = static_cast<std::uint32_t>(record.size());
  packed.append(reinterpret_cast<const char*>(&length), sizeof length);
  packed.append(reinterpret_cast<const char*>(record.data()), record.size());
}

/// Records of effects, each behind its length in 4 bytes. The first one says up to which seq they go, and of which request on the site waits.
std::string pack(const Results& results, SiteId site, Seq through) {
  std::string packed;
  bool any = false;
  wire::Effect first;
  const Results::From from = results.from(site);
  first.request = {site, from.boot, from.n};
  first.seq = through;
  add(packed, first);
  results.for_all(site, [&](const RequestId& id, const Results::Entry& entry) {
    if (entry.seq > through) return;
    any = true;
    wire::Effect effect;
    effect.request = id;
    effect.seq = entry.seq;
    effect.outcome = entry.outcome;
    add(packed, effect);
  });
  return any ? packed : std::string();
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

runtime::Task<Result<bool>> put_results(runtime::KeyValue& keys, const Results& results, SiteId site, Seq through) {
  std::string packed = pack(results, site, through);
  if (packed.empty()) co_return co_await drop_results(keys);
  const runtime::KeyBatch batch{{std::string(volume::kAnsweredKey), std::move(packed)}};
  const Result<> applied = keys.apply(batch);
  co_return applied ? Result<bool>(true) : std::unexpected(applied.error());
}

runtime::Task<Result<Seq>> recall_kept(runtime::KeyValue& keys, Results& results, SiteId site) {
  const Result<std::optional<std::string>> kept = co_await keys.get(std::string(volume::kAnsweredKey));
  if (!kept) co_return std::unexpected(kept.error());
  if (!*kept) co_return Seq{};
  Result<std::vector<wire::Effect>> effects = unpack(**kept);
  if (effects && (effects->empty() || effects->front().request.site != site)) effects = fail(Errc::corrupt, "it is of no other site of this volume");
  if (!effects) {
    log::warning("what became of the other site's last requests is damaged here ({}): one that was never answered may take effect twice", effects.error().text);
    co_return Seq{};
  }
  const wire::Effect& first = effects->front();
  // Where another start of its daemon is known, that is a later one.
  if (results.from(site).boot == 0) results.waits_from(site, first.request.boot, first.request.n);
  for (const wire::Effect& effect : std::span(*effects).subspan(1)) results.note(effect.request, effect.seq, effect.outcome);
  co_return first.seq;
}

runtime::Task<Result<>> recall_logged(area::Log& log, Results& results, SiteId site, Seq through, std::function<bool(const wire::Effect&)> happened) {
  for (Seq after = std::max(through, log.forgotten()); after < log.last();) {
    const Result<std::vector<wire::Effect>> effects = co_await log.read_after(after, kBytesAtOnce);
    if (!effects) co_return std::unexpected(effects.error());
    if (effects->empty()) break;
    for (const wire::Effect& effect : *effects) {
      if (effect.request.site != site || effect.request.n == 0) continue;
      // The daemon there was started anew: nobody asks for what the earlier one asked.
      if (effect.request.boot != results.from(site).boot) results.waits_from(site, effect.request.boot, 0);
      if (happened(effect)) results.note(effect.request, effect.seq, effect.outcome);
    }
    after = effects->back().seq;
  }
  co_return Result<>{};
}

runtime::Task<Result<bool>> drop_results(runtime::KeyValue& keys) {
  const Result<std::optional<std::string>> kept = co_await keys.get(std::string(volume::kAnsweredKey));
  if (!kept) co_return std::unexpected(kept.error());
  if (!*kept) co_return false;
  const runtime::KeyBatch batch{{std::string(volume::kAnsweredKey), std::nullopt}};
  const Result<> applied = keys.apply(batch);
  co_return applied ? Result<bool>(true) : std::unexpected(applied.error());
}

}  // namespace lockstep::controller
