#include "arbiter/etcd.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "arbiter/base64.h"
#include "config/values.h"
#include "core/check.h"

namespace lockstep::arbiter {
namespace {

using nlohmann::json;

/// Revisions are signed in etcd.
constexpr std::uint64_t kRevisionMax = std::numeric_limits<std::int64_t>::max();

/// Codes of gRPC after which nothing happens any more, whatever the message. Not among them: unavailable, deadline
/// exceeded, cancelled, aborted, internal. An exhausted resource is only clear if it is etcd that says so.
enum class Grpc : std::int64_t {
  invalid_argument = 3,
  not_found = 5,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  unimplemented = 12,
  unauthenticated = 16,
};
constexpr Grpc kRefusals[] = {Grpc::invalid_argument,   Grpc::not_found,     Grpc::permission_denied,
                              Grpc::failed_precondition, Grpc::unimplemented, Grpc::unauthenticated};
/// What says in HTTP itself that a request was not taken up; for answers of something that is not etcd.
constexpr int kRefusingStatus[] = {400, 401, 403, 404, 405, 411, 413, 414, 415, 431};

std::string shown(std::string_view text) { return config::printable(text, 200); }

/// The member of an object; null: `object` is none, or has none of that name.
const json* member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

/// A 64-bit number as the gateway writes it, or as one would expect it. nullopt: it is neither.
std::optional<std::uint64_t> number(const json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  const auto* text = value.get_ptr<const std::string*>();
  if (text == nullptr || text->empty()) return std::nullopt;
  std::uint64_t parsed = 0;
  const auto [end, wrong] = std::from_chars(text->data(), text->data() + text->size(), parsed);
  if (wrong != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return parsed;
}

std::optional<std::string> bytes(const json& value) {
  const auto* text = value.get_ptr<const std::string*>();
  return text == nullptr ? std::nullopt : from_base64(*text);
}

/// What a range says of `key`. The error is only a text.
std::expected<runtime::RegisterState, std::string> state_of(const json& range, std::string_view key) {
  const json* list = member(range, "kvs");
  if (list == nullptr || list->is_null() || (list->is_array() && list->empty())) return runtime::RegisterState{};
  if (!list->is_array() || list->size() != 1) return std::unexpected("it has not one value of the key");
  const json& kv = list->front();
  const json *key_member = member(kv, "key"), *revision_member = member(kv, "mod_revision"),
             *value_member = member(kv, "value");
  if (key_member == nullptr || bytes(*key_member) != key) return std::unexpected("it is about another key");
  const auto revision = revision_member == nullptr ? std::nullopt : number(*revision_member);
  if (!revision || *revision == 0 || *revision > kRevisionMax) return std::unexpected("it has no revision of the key");
  runtime::RegisterState state{.revision = *revision};
  if (value_member == nullptr) return state;
  auto value = bytes(*value_member);
  if (!value) return std::unexpected("the value is not in base64");
  if (value->size() > runtime::kRegisterBytesMax)
    return std::unexpected(fmt::format("the value has {} bytes, which no site wrote", value->size()));
  state.value = std::move(*value);
  return state;
}

std::expected<std::uint64_t, std::string> cluster_of(const json& answer) {
  const json* header = member(answer, "header");
  const json* id = header == nullptr ? nullptr : member(*header, "cluster_id");
  const auto cluster = id == nullptr ? std::nullopt : number(*id);
  if (!cluster) return std::unexpected("it has no cluster_id");
  return *cluster;
}

struct Refusal {
  bool clear = false;  ///< nothing was or will be changed
  std::string text;
};

/// What an answer that is not 200 says.
Refusal refusal_of(const HttpAnswer& answer, const json& body) {
  const json *code = member(body, "code"), *message = member(body, "message");
  const auto* text = message == nullptr ? nullptr : message->get_ptr<const std::string*>();
  if (code == nullptr || !code->is_number_integer() || text == nullptr)
    return {std::ranges::find(kRefusingStatus, answer.status) != std::end(kRefusingStatus),
            fmt::format("it answered with HTTP status {}: {}", answer.status, shown(answer.body))};
  const Grpc grpc{code->get<std::int64_t>()};
  const bool clear = std::ranges::find(kRefusals, grpc) != std::end(kRefusals) ||
                     (grpc == Grpc::resource_exhausted && text->starts_with("etcdserver: "));
  return {clear, fmt::format("it answered: {}", shown(*text))};
}

json parsed(const HttpAnswer& answer) { return json::parse(answer.body, nullptr, /*allow_exceptions=*/false); }

std::expected<SwapAnswer, std::string> swap_answer(const json& body, std::string_view key, std::uint64_t expected,
                                                   std::string_view value) {
  const auto cluster = cluster_of(body);
  if (!cluster) return std::unexpected(cluster.error());
  const json *succeeded = member(body, "succeeded"), *responses = member(body, "responses");
  if (succeeded != nullptr && !succeeded->is_boolean()) return std::unexpected("it does not say whether it succeeded");
  const bool swapped = succeeded != nullptr && succeeded->get<bool>();
  if (responses == nullptr || !responses->is_array() || responses->size() != (swapped ? 2u : 1u))
    return std::unexpected("it lacks answers to some of the steps");
  const json* range = member(responses->back(), "response_range");
  if (range == nullptr || !range->is_object()) return std::unexpected("it does not tell the state");
  auto state = state_of(*range, key);
  if (!state) return std::unexpected(state.error());
  if (swapped && (state->revision <= expected || state->value != value))
    return std::unexpected("it tells of success, and of another state than was to be made");
  if (!swapped && state->revision == expected) return std::unexpected("it tells of failure, and of the expected revision");
  return SwapAnswer{*cluster, {swapped, std::move(*state)}};
}

std::string not_etcd(std::string_view why, const HttpAnswer& answer) {
  return fmt::format("its answer is not one of etcd's: {}: {}", why, shown(answer.body));
}

}  // namespace

std::string read_request(std::string_view key) { return json{{"key", base64(key)}}.dump(); }

std::string swap_request(std::string_view key, std::uint64_t expected, std::string_view value) {
  CHECK(value.size() <= runtime::kRegisterBytesMax);
  const std::string name = base64(key);
  const json put{{"request_put", {{"key", name}, {"value", base64(value)}}}};
  const json range{{"request_range", {{"key", name}}}};
  const json compare{
      {"key", name}, {"target", "MOD"}, {"result", "EQUAL"}, {"mod_revision", fmt::format("{}", expected)}};
  return json{{"compare", json::array({compare})},
              {"success", json::array({put, range})},
              {"failure", json::array({range})}}
      .dump();
}

Result<ReadAnswer> parse_read(const HttpAnswer& answer, std::string_view key) {
  const json body = parsed(answer);
  if (answer.status != 200) return fail(Errc::unavailable, refusal_of(answer, body).text);
  const auto cluster = cluster_of(body);
  if (!cluster) return fail(Errc::unavailable, not_etcd(cluster.error(), answer));
  auto state = state_of(body, key);
  if (!state) return fail(Errc::unavailable, not_etcd(state.error(), answer));
  return ReadAnswer{*cluster, std::move(*state)};
}

Result<SwapAnswer> parse_swap(const HttpAnswer& answer, std::string_view key, std::uint64_t expected,
                              std::string_view value) {
  const json body = parsed(answer);
  if (answer.status != 200) {
    const Refusal refusal = refusal_of(answer, body);
    return fail(refusal.clear ? Errc::unavailable : Errc::unknown, refusal.text);
  }
  auto swap = swap_answer(body, key, expected, value);
  if (!swap) return fail(Errc::unknown, not_etcd(swap.error(), answer));
  return std::move(*swap);
}

}  // namespace lockstep::arbiter
