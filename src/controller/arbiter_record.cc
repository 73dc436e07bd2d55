#include "controller/arbiter_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace lockstep::controller {
namespace {

using nlohmann::json;

std::string hex(const Uuid& id) {
  std::string text;
  for (const std::uint8_t b : id.bytes) text += fmt::format("{:02x}", b);
  return text;
}

bool unhex(const json& from, Uuid& into) {
  if (!from.is_string()) return false;
  const auto& text = from.get_ref<const std::string&>();
  if (text.size() != 2 * into.bytes.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    into.bytes[i / 2] = static_cast<std::uint8_t>(into.bytes[i / 2] << 4 | digit);
  }
  return true;
}

bool number(const json& object, const char* key, std::uint64_t max, std::uint64_t& into) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return false;
  into = found->get<std::uint64_t>();
  return into <= max;
}

}  // namespace

std::string encode(const ArbiterRecord& record, const std::string& volume, const std::vector<std::string>& names) {
  const auto name = [&](SiteId site) { return site.value < names.size() ? names[site.value] : fmt::format("site {}", site.value); };
  const EpochEntry& last = record.history.back();
  json in_sync = json::array();
  for (std::uint8_t i = 0; i < SiteSet::kSitesMax; ++i) {
    if (last.in_sync.has(SiteId{i})) in_sync.push_back(name(SiteId{i}));
  }
  json history = json::array();
  const std::size_t first = record.history.size() > kArbiterEntries ? record.history.size() - kArbiterEntries : 0;
  for (std::size_t i = first; i < record.history.size(); ++i) {
    const EpochEntry& e = record.history[i];
    history.push_back({{"epoch", e.number.value}, {"id", hex(e.id)}, {"primary", e.primary.value}, {"in_sync", e.in_sync.bits()},
                       {"base", e.base.value}, {"forced", e.forced}});
  }
  json stores = json::array();
  for (const Uuid& store : record.stores) stores.push_back(hex(store));
  return json{{"volume", volume}, {"epoch", last.number.value}, {"primary", name(last.primary)}, {"in_sync", std::move(in_sync)},
              {"history", std::move(history)}, {"stores", std::move(stores)}}
      .dump();
}

Result<ArbiterRecord> decode_arbiter_record(const std::string& text) {
  const json root = json::parse(text, nullptr, false);
  if (!root.is_object()) return fail(Errc::invalid, "the arbiter's value is no JSON object");
  const auto history = root.find("history");
  const auto stores = root.find("stores");
  if (history == root.end() || !history->is_array() || stores == root.end() || !stores->is_array()) {
    return fail(Errc::invalid, "the arbiter's value has no history or no stores");
  }
  if (history->size() > kHistoryMax || stores->size() > SiteSet::kSitesMax) return fail(Errc::invalid, "the arbiter's value is too long");
  ArbiterRecord record;
  for (const json& one : *history) {
    EpochEntry entry;
    std::uint64_t primary = 0, in_sync = 0;
    const auto id = one.is_object() ? one.find("id") : one.end();
    const auto forced = one.is_object() ? one.find("forced") : one.end();
    if (!one.is_object() || id == one.end() || !unhex(*id, entry.id) || !number(one, "epoch", UINT64_MAX, entry.number.value) ||
        !number(one, "primary", SiteSet::kSitesMax - 1, primary) || !number(one, "in_sync", UINT32_MAX, in_sync) ||
        !number(one, "base", UINT64_MAX, entry.base.value) || forced == one.end() || !forced->is_boolean()) {
      return fail(Errc::invalid, fmt::format("entry {} of the arbiter's history is not one", record.history.size()));
    }
    entry.primary = SiteId{static_cast<std::uint8_t>(primary)};
    entry.in_sync = SiteSet::from_bits(static_cast<std::uint32_t>(in_sync));
    entry.forced = forced->get<bool>();
    record.history.push_back(entry);
  }
  for (const json& one : *stores) {
    Uuid store;
    if (!unhex(one, store)) return fail(Errc::invalid, "a store id of the arbiter's value is none");
    record.stores.push_back(store);
  }
  Result<Membership> checked = Membership::make(record.history);
  if (!checked) return std::unexpected(checked.error());
  return record;
}

}  // namespace lockstep::controller
