#include "config/rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/values.h"

namespace lockstep::config {
namespace {

/// What a site has between the end of its read lease and the other one's first acknowledgement alone.
constexpr Duration kTakeoverMargin = std::chrono::seconds(1);

struct Context {
  const Config& config;
  const LineOf& line_of;
  Problems& problems;

  void broken(std::string_view key, std::string text) const { problems.add(line_of(key), key, text); }
  [[nodiscard]] bool sound(std::string_view key) const { return !problems.about(key); }
};

void check_timing(const Context& c) {
  const Timing& t = c.config.timing;
  const bool timeout_sound = c.sound("timing.peer_timeout");
  if (timeout_sound && c.sound("timing.heartbeat") && t.heartbeat * 2 >= t.peer_timeout)
    c.broken("timing.heartbeat",
             fmt::format("\"{}\" is too long for timing.peer_timeout \"{}\"; allowed: less than half of it, so that one "
                         "lost ping is not a lost site",
                         duration_text(t.heartbeat), duration_text(t.peer_timeout)));
  if (c.sound("timing.reconnect") && c.sound("timing.reconnect_max") && t.reconnect > t.reconnect_max)
    c.broken("timing.reconnect", fmt::format("\"{}\" is longer than timing.reconnect_max \"{}\"; allowed: up to that",
                                             duration_text(t.reconnect), duration_text(t.reconnect_max)));
  if (timeout_sound && c.sound("timing.name_drop") && t.name_drop >= t.peer_timeout)
    c.broken("timing.name_drop", fmt::format("\"{}\" is not shorter than timing.peer_timeout \"{}\"; it must be",
                                             duration_text(t.name_drop), duration_text(t.peer_timeout)));
}

/// The order in which two sites that lose each other stop, and one of them goes on.
void check_leases(const Context& c) {
  const Timing& t = c.config.timing;
  const bool lease_sound = c.sound("timing.read_lease"), takeover_sound = c.sound("timing.takeover");
  if (lease_sound && c.sound("timing.peer_timeout") && t.peer_timeout >= t.read_lease)
    c.broken("timing.read_lease",
             fmt::format("\"{}\" is not longer than timing.peer_timeout \"{}\"; it must be, so that a lost site is noticed "
                         "before serving ends",
                         duration_text(t.read_lease), duration_text(t.peer_timeout)));
  if (lease_sound && takeover_sound && t.read_lease + kTakeoverMargin > t.takeover)
    c.broken("timing.takeover",
             fmt::format("\"{}\" is too short for timing.read_lease \"{}\"; allowed: {} more at least, in which a site "
                         "that was cut off stops and drops its caches",
                         duration_text(t.takeover), duration_text(t.read_lease), duration_text(kTakeoverMargin)));
  if (c.sound("timing.slow_peer") && c.sound("timing.heartbeat") && t.slow_peer.count() != 0 && t.slow_peer <= t.heartbeat)
    c.broken("timing.slow_peer",
             fmt::format("\"{}\" is not longer than timing.heartbeat \"{}\"; it must be, or \"0us\": never",
                         duration_text(t.slow_peer), duration_text(t.heartbeat)));
  const Duration pause = t.peer_timeout + t.takeover_delay + t.takeover;
  if (c.sound("timing.patience") && c.sound("timing.peer_timeout") && c.sound("timing.takeover_delay") &&
      takeover_sound && t.patience.count() != 0 && t.patience <= pause)
    c.broken("timing.patience",
             fmt::format("\"{}\" is not longer than a takeover takes: timing.peer_timeout \"{}\", timing.takeover_delay "
                         "\"{}\" and timing.takeover \"{}\" together; it must be, or \"0us\": for ever",
                         duration_text(t.patience), duration_text(t.peer_timeout), duration_text(t.takeover_delay),
                         duration_text(t.takeover)));
}

void check_arbiter(const Context& c) {
  if (!c.config.arbiter) return;
  const Arbiter& arbiter = *c.config.arbiter;
  if (arbiter.certificate.empty() != arbiter.private_key.empty() && c.sound("arbiter.certificate") &&
      c.sound("arbiter.private_key"))
    c.broken(arbiter.certificate.empty() ? "arbiter.private_key" : "arbiter.certificate",
             "arbiter.certificate and arbiter.private_key come together; one is missing");
  if (!c.sound("arbiter.endpoints")) return;
  for (const std::string& endpoint : arbiter.endpoints)
    if (!arbiter.ca.empty() && !endpoint.starts_with("https://"))
      return c.broken("arbiter.endpoints", fmt::format("{} is not https, but arbiter.ca is set; with it all of them must be",
                                                       quoted(endpoint)));
    else if (!arbiter.certificate.empty() && !endpoint.starts_with("https://"))
      return c.broken("arbiter.endpoints",
                      fmt::format("{} is not https, but arbiter.certificate is set; with it all of them must be",
                                  quoted(endpoint)));
}

void check_limits(const Context& c) {
  const Limits& l = c.config.limits;
  if (!c.sound("limits.window")) return;
  if (c.sound("limits.inline") && l.inline_bytes > l.window_bytes)
    c.broken("limits.inline", fmt::format("\"{}\" is more than limits.window \"{}\"; allowed: up to that",
                                          size_text(l.inline_bytes), size_text(l.window_bytes)));
  if (c.sound("limits.memory") && l.window_bytes > l.memory_bytes / 2)
    c.broken("limits.window",
             fmt::format("\"{}\" is more than half of limits.memory \"{}\"; what is in flight lies in memory, "
                         "beside the caches",
                         size_text(l.window_bytes), size_text(l.memory_bytes)));
}

std::string lower(std::string text) {
  for (char& ch : text) ch = ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch - 'A' + 'a') : ch;
  return text;
}

bool is_loopback(const std::string& host) {
  return host.starts_with("127.") || host == "::1" || lower(host) == "localhost";
}

/// Both sites run on one machine, as far as the addresses tell. (A site with a loopback address has all sites there.)
bool on_one_machine(const Site& a, const Site& b) {
  return lower(a.address.host) == lower(b.address.host) || is_loopback(a.address.host) || is_loopback(b.address.host);
}

struct Place {
  const Site* site;
  std::string_view key;
  const std::string* path;
  [[nodiscard]] std::string name() const { return fmt::format("site.{}.{}", site->name, key); }
};

void check_pair(const Context& c, const Place& a, const Place& b) {
  if (a.path->empty() || b.path->empty()) return;
  if (*a.path == *b.path)
    c.broken(b.name(), fmt::format("{} is {} too; give each a path of its own", quoted(*b.path), a.name()));
  else if (lies_in(*a.path, *b.path))
    c.broken(a.name(),
             fmt::format("{} lies in {} {}; choose a path outside of it", quoted(*a.path), b.name(), quoted(*b.path)));
  else if (lies_in(*b.path, *a.path))
    c.broken(b.name(),
             fmt::format("{} lies in {} {}; choose a path outside of it", quoted(*b.path), a.name(), quoted(*a.path)));
}

void check_machine(const Context& c, const std::vector<const Site*>& sites) {
  std::vector<Place> places;
  for (const Site* site : sites) {
    places.push_back({site, "area", &site->area});
    places.push_back({site, "mount", &site->mount});
    places.push_back({site, "control", &site->control});
  }
  for (std::size_t i = 0; i < places.size(); ++i)
    for (std::size_t j = i + 1; j < places.size(); ++j) check_pair(c, places[i], places[j]);
}

void check_sites(const Context& c) {
  const std::vector<Site>& sites = c.config.sites;
  if (sites.size() != 2 && c.sound("site")) {
    std::string found;
    for (std::size_t i = 0; i < sites.size() && i < 8; ++i)
      found += fmt::format("{}{}", i == 0 ? "" : ", ", sites[i].name);
    if (sites.size() > 8) found += ", ...";
    c.broken("site", fmt::format("{} sections [site.NAME] found{}{}; a volume has exactly two sites", sites.size(),
                                 found.empty() ? "" : ": ", found));
  }
  if (sites.size() != 2) {
    for (const Site& site : sites)
      if (!c.problems.full()) check_machine(c, {&site});
    return;
  }
  const Site &a = sites[0], &b = sites[1];
  const bool known = !a.address.host.empty() && !b.address.host.empty();
  if (known && lower(a.address.host) == lower(b.address.host) && a.address.port == b.address.port)
    c.broken(
        fmt::format("site.{}.address", b.name),
        fmt::format("\"{}\" is the address of site {} too; each site listens on its own", b.address.text(), a.name));
  if (known && on_one_machine(a, b)) return check_machine(c, {&a, &b});
  check_machine(c, {&a});
  check_machine(c, {&b});
}

}  // namespace

void check_rules(Config& config, std::string_view primary, const LineOf& line_of, Problems& problems) {
  const Context c{config, line_of, problems};
  check_timing(c);
  check_leases(c);
  check_arbiter(c);
  check_limits(c);
  check_sites(c);
  if (!c.sound("volume") || !c.sound("volume.primary") || !c.sound("site") || config.sites.empty()) return;
  const auto id = config.site(primary);
  if (id)
    config.primary = *id;
  else
    c.broken("volume.primary", id.error().text);
}

}  // namespace lockstep::config
