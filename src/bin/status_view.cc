#include "bin/status_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "bin/units.h"
#include "control/members.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::is_true, control::member, control::number, control::text;

constexpr std::string_view kNothing = "nothing";  // to do

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

/// This site is the only member.
bool is_sole(const json& status) {
  const json& members = member(status, "in_sync");
  return members.is_array() && members.size() == 1 && members[0] == member(status, "site");
}

/// The other site has no area, and its hosts work through this one.
bool carries(const json& status) {
  for (const json& site : member(status, "sites")) {
    if (is_true(site, "diskless") && text(site, "name") == text(status, "peer")) return true;
  }
  return false;
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? std::string("100 %") : fmt::format("{} %", std::min<std::uint64_t>(100, part * 100 / whole));
}

std::string first_line(const json& status) {
  const std::string state = text(status, "state");
  const std::string away = unreachable(status);
  const std::string here = text(status, "site"), other = text(status, "peer");
  const json& resync = member(status, "resync");
  const std::string done = percent(number(resync, "granules_done"), number(resync, "granules"));
  if (state == "in-sync") return fmt::format("SAFE: {} hold every acknowledged write", all_sites(status));
  if (state == "alone" && is_true(status, "diverged")) {
    return fmt::format("DIVERGED: {} goes on, and {} was changed apart; nothing is merged, an administrator has to decide", here, other);
  }
  if (state == "alone" && carries(status)) {
    return fmt::format("AT RISK: only {} holds what is written; {} has no area, and works through {}", here, other, here);
  }
  if (state == "diskless") return fmt::format("AT RISK: only {} holds what is written; {} has no area, and works through {}", other, here, other);
  if (state == "alone") return fmt::format("AT RISK: only {} holds what is written now; {} is away", here, other);
  if (state == "alone-resync") return fmt::format("MENDING: {} is being made equal to {} ({}); until then only {} holds every write", other, here, done, here);
  if (state == "resync") return fmt::format("MENDING: {} is being made equal to {} ({}); until then only {} holds every write", here, other, done, other);
  if (state == "diverged") return "DIVERGED: both sites were changed apart; nothing is merged, an administrator has to decide";
  if (state == "detached") {
    return is_sole(status) ? fmt::format("DETACHED: the medium of {} failed, and no other site has every write: changes wait", here)
                           : fmt::format("DETACHED: the medium of {} failed; {} goes on without it", here, other);
  }
  if (state == "catching-up") return "WAITING: the sites are being made equal; reads and writes go on in a moment";
  if (state == "connecting" || state == "suspended") {
    const std::string what = is_true(status, "serving") ? "writes wait" : "reads and writes wait";
    return away.empty() ? fmt::format("WAITING: {}; nothing acknowledged is lost", what)
                        : fmt::format("WAITING: {} for {}; nothing acknowledged is lost", what, away);
  }
  if (state == "stopping") return "STOPPING: this daemon is ending; every acknowledged write is on disk";
  return fmt::format("UNKNOWN: lockstepd says its state is \"{}\"; is it of the version of this program?", state);
}

/// What would make the data unsafe, given where it stands now.
std::string danger(const json& status) {
  const std::string state = text(status, "state");
  const std::string here = text(status, "site"), other = text(status, "peer");
  if (state == "in-sync") return "one area may be lost and nothing is; the loss of all areas at once would lose the volume";
  if (state == "diverged" || is_true(status, "diverged")) return "each area holds writes that the other has not: do not format or remove either";
  if (state == "diskless") return fmt::format("the area of {} is the only copy: its loss loses the volume", other);
  if (state == "alone") return fmt::format("the area of {} is the only whole copy: its loss loses what was written since {} went away", here, other);
  if (state == "alone-resync" || state == "resync") {
    return fmt::format("the area of {} is the only whole copy until this is done", state == "resync" ? other : here);
  }
  if (state == "detached") {
    return is_sole(status) ? "what was acknowledged may be in this area only: do not format or remove it"
                           : fmt::format("only {} holds what is written now", other);
  }
  const std::string away = unreachable(status);
  if (state == "catching-up" || away.empty()) return "do not format or remove an area before the state is in-sync";
  return fmt::format("the area here and the one of {} are still two copies: do not format or remove either", away);
}

/// Why a site that can't reach the other one does not go on alone.
std::string why_not_alone(const json& status) {
  const std::string finding = text(status, "alone"), other = text(status, "peer");
  if (finding == "policy forbids") {
    return fmt::format("bring {} back; if it is lost, make this site go on with: lockstep --site {} takeover --force", other, text(status, "site"));
  }
  if (finding == "not a member") return fmt::format("bring {} back: it went on without this site, and has what is missing here", other);
  if (finding == "unproven") {
    return fmt::format("bring {} back: this site lost power, and that one may have acknowledged writes that are missing here", other);
  }
  if (finding == "left") {
    return fmt::format("bring {} back: this site was stopped while that one was there, and may have gone on without it. If {} is lost for good, make this "
                       "site go on with: lockstep --site {} takeover --force", other, other, text(status, "site"));
  }
  if (finding == "promised") {
    return fmt::format("bring {} back: while the arbiter was away this site promised to wait for it, for it may go on alone. If {} is lost for "
                       "good, make this site go on with: lockstep --site {} takeover --force", other, other, text(status, "site"));
  }
  if (finding == "ask arbiter") {
    const std::string problem = text(member(status, "arbiter"), "problem");
    return "bring the arbiter or " + other + " back" + (problem.empty() ? "" : ": " + problem);
  }
  return {};
}

/// How this site's hosts come by the volume again; empty: they have it.
std::string to_mount(const json& status) {
  const json& mount = member(status, "mount");
  if (!mount.is_object() || is_true(mount, "mounted")) return {};
  const std::string problem = text(mount, "problem");
  if (!problem.empty()) return fmt::format("the volume is not mounted at this site: {}", problem);
  return fmt::format("the volume is not mounted at this site, and what programs write to {} is not in it; mount it again: lockstep --site {} mount",
                     text(mount, "path"), text(status, "site"));
}

std::string what_to_do(const json& status) {
  const std::string state = text(status, "state");
  const std::string reason = text(status, "reason");
  if (state == "suspended" || state == "connecting") {
    if (const std::string why = why_not_alone(status); !why.empty()) return reason.empty() ? why : why + " (" + reason + ")";
  }
  if (!reason.empty()) return reason;
  if (state == "in-sync") return std::string(kNothing);
  if (state == "alone" && carries(status)) {
    return fmt::format("mend the medium of {}, then start its lockstepd again; it is made equal by itself", text(status, "peer"));
  }
  if (state == "alone") return fmt::format("bring {} back; it is made equal by itself", text(status, "peer"));
  return "wait; if this stays, look into the log of lockstepd at each site";
}

std::string mending(const json& status) {
  const json& resync = member(status, "resync");
  if (!resync.is_object()) return {};
  std::string out = fmt::format("  mend:  {}: {} of {} granules compared ({} copied), {} keys, {} effects, for {}", text(resync, "stage"),
                                number(resync, "granules_done"), number(resync, "granules"), human_bytes(number(resync, "bytes_copied")),
                                number(resync, "keys"), number(resync, "records"), human_ms(number(resync, "seconds") * 1000));
  if (number(resync, "bytes_per_second") != 0) out += fmt::format("; {}/s", human_bytes(number(resync, "bytes_per_second")));
  if (member(resync, "seconds_left").is_number()) out += fmt::format(", about {} left", human_ms(number(resync, "seconds_left") * 1000));
  if (number(resync, "idle_ms") > 30000) out += fmt::format("; NO PROGRESS for {}", human_ms(number(resync, "idle_ms")));
  return out + "\n";
}

/// Of sites in sync, while the arbiter is away or just back (M5).
std::string who_goes_on(const json& status, const json& arbiter) {
  if (text(status, "state") != "in-sync") return {};
  const std::string here = text(status, "site"), other = text(status, "peer");
  const auto goes_on = [](const std::string& one, const std::string& waits) {
    return fmt::format("if the link between the sites is cut too, {} goes on alone; if {} is lost, {} waits", one, one, waits);
  };
  if (is_true(arbiter, "armed")) return goes_on(here, other);
  if (is_true(arbiter, "promised")) return goes_on(other, here);
  return is_true(arbiter, "reachable") ? std::string() : "if the link between the sites is cut too, neither goes on alone";
}

std::string arbiter(const json& status) {
  const json& arbiter = member(status, "arbiter");
  if (!arbiter.is_object()) return {};
  std::string out = is_true(arbiter, "reachable") ? "reachable" : "AWAY";
  if (const std::string goes_on = who_goes_on(status, arbiter); !goes_on.empty()) out += ": " + goes_on;
  if (!is_true(arbiter, "up_to_date")) out += "; not told of the membership in force yet";
  if (is_true(arbiter, "frozen")) out += "; its answer to this site's proposal is not known, so this site waits";
  return "  arbiter: " + out + "\n";
}

std::string sites_table(const json& status) {
  std::string out = fmt::format("  {:<12} {:<10} {:<24} {:<10} {:<8} {:>14}  {:<14} {}\n", "SITE", "ROLE", "ADDRESS", "CONNECTED", "IN SYNC",
                                "APPLIED SEQ", "SINCE", "LAST SEEN");
  for (const json& site : member(status, "sites")) {
    const std::string name = text(site, "name");
    const bool here = name == text(status, "site");
    const std::string since = member(site, "since_seconds").is_number() ? human_ms(number(site, "since_seconds") * 1000) : "-";
    std::string seen = "-";
    if (here) seen = "this site";
    else if (member(site, "last_seen_ms").is_number()) seen = human_ms(number(site, "last_seen_ms")) + " ago";
    out += fmt::format("  {:<12} {:<10} {:<24} {:<10} {:<8} {:>14}  {:<14} {}\n", or_dash(name),
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
  if (is_true(member(area, "metadata"), "short")) out += " (NO ROOM for metadata below the area)";
  if (bytes != 0 && free_bytes < bytes / 20) out += " (NEARLY FULL: writes will get \"No space left on device\")";
  out += fmt::format("; log {} of {} used", human_bytes(number(log, "used")), human_bytes(number(log, "bytes")));
  if (number(status, "memory_bytes") != 0) out += fmt::format("; daemon's memory {}", human_bytes(number(status, "memory_bytes")));
  return out;
}

std::string reservations(const json& status) {
  const json& reservations = member(status, "reservations");
  if (!reservations.is_object()) return {};
  std::string out = "  reserved: ";
  bool first = true;
  if (const json& by = member(reservations, "by"); by.is_object()) {
    for (const auto& [site, count] : by.items()) {
      out += fmt::format("{}{} by {}", first ? "" : ", ", number(by, site.c_str()), site);
      first = false;
    }
  }
  if (first) out += "nothing";
  const json& waiting = member(reservations, "waiting");
  if (const std::uint64_t count = number(reservations, "waiting_count"); count != 0 && waiting.is_array() && !waiting.empty()) {
    out += fmt::format("; {} request{} here wait{} for a reservation of {}, for {}", count, count == 1 ? "" : "s", count == 1 ? "s" : "",
                       or_dash(text(waiting[0], "reserved_by")), human_ms(number(waiting[0], "ms")));
  }
  return out + " (lockstep reserve --list)\n";
}

/// What was, or is being, copied out of the volume before it is discarded.
std::string kept_aside(const json& status) {
  std::string out;
  if (const json& keeping = member(status, "keeping"); keeping.is_object()) {
    out += fmt::format("  kept aside: {} of {} changes so far, {}; changes wait\n", number(keeping, "changes"), number(keeping, "of"),
                       human_bytes(number(keeping, "bytes")));
  }
  for (const std::string& where : control::texts(status, "kept_aside")) {
    out += fmt::format("  kept aside: what was discarded is in {}; remove it when nobody needs it any more\n", where);
  }
  return out;
}

}  // namespace

std::string render_status(const json& status) {
  std::string out = first_line(status) + "\n\n";
  out += fmt::format("  volume {}, seen from {} ({}), epoch {}, seq {}\n", or_dash(text(status, "volume")), or_dash(text(status, "site")),
                     or_dash(text(status, "role")), number(status, "epoch"), number(status, "seq"));
  out += fmt::format("  risk:  {}\n", danger(status));
  const std::string unmounted = to_mount(status), rest = what_to_do(status);
  if (!unmounted.empty()) out += fmt::format("  to do: {}\n", unmounted);
  if (unmounted.empty() || rest != kNothing) out += fmt::format("  to do: {}\n", rest);
  out += "\n";
  out += sites_table(status) + "\n";
  out += mending(status) + arbiter(status);
  out += fmt::format("  I/O:   {}\n", pending(status));
  out += reservations(status) + kept_aside(status);
  out += fmt::format("  space: {}\n", space(status));
  return out;
}

}  // namespace lockstep::cli
