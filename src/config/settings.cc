#include "config/settings.h"

#include <fmt/format.h>

#include "config/values.h"

namespace lockstep::config {
namespace {

constexpr std::uint64_t KiB = 1ull << 10, MiB = 1ull << 20, GiB = 1ull << 30, TiB = 1ull << 40;
constexpr std::uint64_t us = 1'000, ms = 1'000'000, s = 1'000'000'000, min = 60 * s, h = 60 * min;

constexpr std::string_view kAcknowledge[] = {"written", "stable"};
constexpr std::string_view kCoherence[] = {"cached", "strict"};
constexpr std::string_view kIo[] = {"buffered"};
constexpr std::string_view kAlone[] = {"primary", "never"};
constexpr std::string_view kLogLevel[] = {"debug", "info", "warning", "error"};

template <auto Section, auto Member>
std::uint64_t get(const Config& config) {
  if constexpr (requires { (config.*Section.*Member).count(); })
    return static_cast<std::uint64_t>((config.*Section.*Member).count());
  else
    return static_cast<std::uint64_t>(config.*Section.*Member);
}

template <auto Section, auto Member>
void set(Config& config, std::uint64_t number) {
  auto& place = config.*Section.*Member;
  using Place = std::remove_reference_t<decltype(place)>;
  if constexpr (std::is_same_v<Place, Duration>)
    place = Duration{static_cast<std::int64_t>(number)};
  else
    place = static_cast<Place>(number);
}

struct Row {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::uint64_t step = 1;
  bool required = false;
  bool agree = false;
};

template <auto Member>
constexpr Setting limit(std::string_view key, Kind kind, Row row) {
  return {"limits",
          key,
          kind,
          row.least,
          row.most,
          row.step,
          {},
          row.required,
          row.agree,
          &get<&Config::limits, Member>,
          &set<&Config::limits, Member>};
}

template <auto Member>
constexpr Setting timing(std::string_view key, Row row) {
  return {"timing",
          key,
          Kind::duration,
          row.least,
          row.most,
          row.step,
          {},
          row.required,
          row.agree,
          &get<&Config::timing, Member>,
          &set<&Config::timing, Member>};
}

template <auto Member>
constexpr Setting choice(std::string_view key, std::span<const std::string_view> words, bool agree) {
  return {"options",
          key,
          Kind::word,
          0,
          words.size() - 1,
          1,
          words,
          false,
          agree,
          &get<&Config::options, Member>,
          &set<&Config::options, Member>};
}

constexpr bool agree = true;

constexpr Setting kSettings[] = {
    limit<&Limits::area_bytes>(
        "area", Kind::size,
        {.least = 16 * MiB, .most = 1024 * TiB, .step = kBlockBytes, .required = true, .agree = agree}),
    limit<&Limits::log_bytes>("log", Kind::size,
                              {.least = 4 * MiB, .most = 64 * GiB, .step = kBlockBytes, .agree = agree}),
    limit<&Limits::inline_bytes>("inline", Kind::size, {.least = 4 * KiB, .most = 1 * MiB, .agree = agree}),
    limit<&Limits::window_bytes>("window", Kind::size, {.least = 2 * MiB, .most = 4 * GiB, .agree = agree}),
    limit<&Limits::requests>("requests", Kind::count, {.least = 8, .most = 65536, .agree = agree}),
    limit<&Limits::memory_bytes>("memory", Kind::size, {.least = 64 * MiB, .most = 1 * TiB}),
    limit<&Limits::diskless_bytes>("diskless", Kind::size, {.least = 0, .most = 1 * TiB}),
    limit<&Limits::resync_bytes_per_second>("resync_rate", Kind::size, {.least = 0, .most = 1 * TiB}),

    timing<&Timing::heartbeat>("heartbeat", {.least = 10 * ms, .most = 1 * min, .agree = agree}),
    timing<&Timing::peer_timeout>("peer_timeout", {.least = 50 * ms, .most = 10 * min, .agree = agree}),
    timing<&Timing::read_lease>("read_lease", {.least = 100 * ms, .most = 30 * min, .agree = agree}),
    timing<&Timing::takeover>("takeover", {.least = 1 * s, .most = 1 * h, .agree = agree}),
    timing<&Timing::takeover_delay>("takeover_delay", {.least = 0 * us, .most = 10 * min, .agree = agree}),
    timing<&Timing::patience>("patience", {.least = 0 * us, .most = 24 * h, .agree = agree}),
    timing<&Timing::slow_peer>("slow_peer", {.least = 0 * us, .most = 1 * h, .agree = agree}),
    timing<&Timing::lock_grace>("lock_grace", {.least = 0 * us, .most = 24 * h, .agree = agree}),
    timing<&Timing::connect_timeout>("connect_timeout", {.least = 50 * ms, .most = 1 * min}),
    timing<&Timing::reconnect>("reconnect", {.least = 10 * ms, .most = 1 * min}),
    timing<&Timing::reconnect_max>("reconnect_max", {.least = 10 * ms, .most = 5 * min}),
    timing<&Timing::spin>("spin", {.least = 0 * us, .most = 1 * ms}),
    timing<&Timing::name_drop>("name_drop", {.least = 1 * ms, .most = 1 * s}),
    timing<&Timing::contended>("contended", {.least = 0 * us, .most = 24 * h}),
    timing<&Timing::settle>("settle", {.least = 100 * ms, .most = 10 * min}),
    timing<&Timing::attributes>("attributes", {.least = 0 * us, .most = 24 * h}),
    timing<&Timing::entries>("entries", {.least = 0 * us, .most = 24 * h}),

    choice<&Options::acknowledge>("ack", kAcknowledge, agree),
    choice<&Options::coherence>("coherence", kCoherence, agree),
    choice<&Options::alone>("alone", kAlone, agree),
    choice<&Options::io>("io", kIo, false),
    choice<&Options::log_level>("log_level", kLogLevel, false),
};

}  // namespace

std::string Setting::name() const { return fmt::format("{}.{}", section, key); }

std::string Setting::text(std::uint64_t number) const {
  switch (kind) {
    case Kind::size: return size_text(number);
    case Kind::duration: return duration_text(Duration{static_cast<std::int64_t>(number)});
    case Kind::count: return fmt::format("{}", number);
    case Kind::word: return std::string(words[number]);
  }
  return {};
}

std::span<const Setting> settings() { return kSettings; }

}  // namespace lockstep::config
