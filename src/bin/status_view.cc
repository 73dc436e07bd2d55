#include "bin/status_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "bin/units.h"
#include "control/members.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::is_true, control::member, control::number, control::text;

std::string or_dash(std::string value) { return value.empty() ? "-" : value; }

std::string all_sites(const json& status) {
  const std::size_t count = member(status, "sites").size();
  return count == 2 ? "both sites" : fmt::format("all {} sites", count);
}

/// Names of the sites that this one has no connection to, as a sentence's subject.
std::string unreachable(const json& status) {
  std::string names;
  for (const json& site : member(status, "sites")) {
    if (is_true(site, "connected") || text(site, "name") == text(status, "site")) continue;
    names += (names.empty() ? "" : ", ") + text(site, "name");
  }
  return names;
}

std::string first_line(const json& status) {
  const std::string state = text(status, "state");
  const std::string away = unreachable(status);
  if (state == "in-sync") return fmt::format("SAFE: {} hold every acknowledged write", all_sites(status));
  if (state == "catching-up") return "WAITING: the sites are being made equal; reads and writes go on in a moment";
  if (state == "connecting" || state == "suspended") {
    return away.empty() ? std::string("WAITING: reads and writes wait; nothing acknowledged is lost")
                        : fmt::format("WAITING: reads and writes wait for {}; nothing acknowledged is lost", away);
  }
  if (state == "stopping") return "STOPPING: this daemon is ending; every acknowledged write is on disk";
  return fmt::format("UNKNOWN: lockstepd says its state is \"{}\"; is it of the version of this program?", state);
}

/// What would make the data unsafe, given where it stands now.
std::string danger(const json& status) {
  const std::string state = text(status, "state");
  if (state == "in-sync") return "one area may be lost and nothing is; the loss of all areas at once would lose the volume";
  const std::string away = unreachable(status);
  if (state == "catching-up" || away.empty()) return "do not format or remove an area before the state is in-sync";
  return fmt::format("the area here and the one of {} are still two copies: do not format or remove either", away);
}

std::string what_to_do(const json& status) {
  const std::string reason = text(status, "reason");
  if (!reason.empty()) return reason;
  return text(status, "state") == "in-sync" ? "nothing" : "wait; if this stays, look into the log of lockstepd at each site";
}

std::string sites_table(const json& status) {
  std::string out = fmt::format("  {:<12} {:<10} {:<24} {:<10} {:<8} {:>12}  {:<14} {}\n", "SITE", "ROLE", "ADDRESS", "CONNECTED", "IN SYNC",
                                "APPLIED SEQ", "SINCE", "LAST SEEN");
  for (const json& site : member(status, "sites")) {
    const std::string name = text(site, "name");
    const bool here = name == text(status, "site");
    const std::string since = member(site, "since_seconds").is_number() ? human_ms(number(site, "since_seconds") * 1000) : "-";
    std::string seen = "-";
    if (here) seen = "this site";
    else if (member(site, "last_seen_ms").is_number()) seen = human_ms(number(site, "last_seen_ms")) + " ago";
    out += fmt::format("  {:<12} {:<10} {:<24} {:<10} {:<8} {:>12}  {:<14} {}\n", or_dash(name),
                       name == text(status, "primary") ? "primary" : "secondary", or_dash(text(site, "address")),
                       here || is_true(site, "connected") ? "yes" : "NO", is_true(site, "in_sync") ? "yes" : "NO",
                       member(site, "applied_seq").is_number() ? fmt::to_string(number(site, "applied_seq")) : "-", since, seen);
  }
  return out;
}

std::string pending(const json& status) {
  const std::uint64_t requests = number(status, "requests_pending");
  std::string out = requests == 0 ? std::string("no request waits") : fmt::format("{} requests under way", requests);
  if (requests != 0) out += fmt::format(", the oldest for {}", human_ms(number(status, "oldest_pending_ms")));
  return out + fmt::format("; {} effects ({}) not yet confirmed by every site", number(status, "window_effects"),
                           human_bytes(number(status, "window_bytes")));
}

std::string space(const json& status) {
  const json& area = member(status, "area");
  const json& log = member(status, "log");
  const std::uint64_t bytes = number(area, "bytes"), free_bytes = number(area, "free_bytes");
  std::string out = fmt::format("{} of {} free", human_bytes(free_bytes), human_bytes(bytes));
  if (bytes != 0 && free_bytes < bytes / 20) out += " (NEARLY FULL: writes will get \"No space left on device\")";
  out += fmt::format("; log {} of {} used", human_bytes(number(log, "used")), human_bytes(number(log, "bytes")));
  if (number(status, "memory_bytes") != 0) out += fmt::format("; daemon's memory {}", human_bytes(number(status, "memory_bytes")));
  return out;
}

}  // namespace

std::string render_status(const json& status) {
  std::string out = first_line(status) + "\n\n";
  out += fmt::format("  volume {}, seen from {} ({}), epoch {}, seq {}\n", or_dash(text(status, "volume")), or_dash(text(status, "site")),
                     or_dash(text(status, "role")), number(status, "epoch"), number(status, "seq"));
  out += fmt::format("  risk:  {}\n", danger(status));
  out += fmt::format("  to do: {}\n\n", what_to_do(status));
  out += sites_table(status) + "\n";
  out += fmt::format("  I/O:   {}\n", pending(status));
  out += fmt::format("  space: {}\n", space(status));
  return out;
}

}  // namespace lockstep::cli
