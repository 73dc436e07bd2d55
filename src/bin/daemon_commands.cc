#include "bin/daemon_commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "bin/asking.h"
#include "bin/status_view.h"
#include "bin/trace_view.h"
#include "bin/units.h"
#include "control/lines.h"
#include "control/members.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::flag, control::is_true, control::member, control::number, control::text, control::texts;

/// A daemon answers status from memory; one that needs longer is stuck.
constexpr std::chrono::seconds kStatusPatience{10};

void show_progress(const json& line) {
  const json& progress = member(line, "progress");
  const std::uint64_t done = number(progress, "blocks"), all = number(progress, "of");
  if (all == 0) return;
  fmt::print(stderr, "\r{:3} % of {} blocks compared", done * 100 / all, all);
  std::fflush(stderr);
}

/// What `verify --repair` did.
std::string render_repairs(const json& answer) {
  std::string out;
  for (const auto& [where, count] : member(answer, "repaired").items()) {
    if (!count.is_number_unsigned() || count.get<std::uint64_t>() == 0) continue;
    out += where == "keys" ? fmt::format("repaired: {} keys were taken from the primary\n", count.get<std::uint64_t>())
                           : fmt::format("repaired: {} blocks at {}\n", count.get<std::uint64_t>(), where);
  }
  const std::vector<std::string> conflicts = texts(answer, "first_conflicts");
  if (!conflicts.empty()) {
    out += fmt::format("{} blocks were good at both sites and different: the primary's were taken. Look whether these files are right:\n",
                       number(answer, "conflicts"));
  }
  for (const std::string& conflict : conflicts) out += "  " + conflict + "\n";
  return out;
}

std::string render_verdict(const json& answer) {
  if (is_true(answer, "equal")) {
    return fmt::format("EQUAL: {} blocks ({}) and {} keys are the same at both sites, at seq {}\n", number(answer, "blocks"),
                       human_bytes(number(answer, "bytes")), number(answer, "keys"), number(answer, "seq"));
  }
  std::string out = fmt::format("DIFFERENT: {} of {} blocks and {} keys are not the same at both sites\n", number(answer, "differences"),
                                number(answer, "blocks"), number(answer, "keys"));
  const std::vector<std::string> first = texts(answer, "first_differences");
  for (const std::string& difference : first) out += "  " + difference + "\n";
  if (first.size() < number(answer, "differences")) out += fmt::format("  ... and {} more\n", number(answer, "differences") - first.size());
  if (is_true(answer, "repair")) return out + "to do: what is bad at both sites has to be restored from elsewhere\n";
  return out + "to do: report this with the logs of both daemons; lockstep verify --repair makes the sites equal\n";
}

/// What a command that changes something answered.
ExitStatus say(const json& answer) {
  if (answer.is_null()) return kCouldNot;
  print(text(answer, "text") + "\n");
  return kYes;
}

}  // namespace

ExitStatus show_status(const std::string& control, bool as_json) {
  const json answer = ask(control, {{"command", "status"}}, {}, kStatusPatience);
  if (answer.is_null()) return kCouldNot;
  print(as_json ? control::to_line(answer) : render_status(answer));
  return text(answer, "state") == "in-sync" ? kYes : kNo;
}

ExitStatus verify(const std::string& control, bool as_json, bool repair) {
  const bool show = !as_json && ::isatty(STDERR_FILENO) == 1;
  // No limit of time: an area may be large, and a verify that waits for the other site goes on when it is back.
  const json answer = ask(control, {{"command", "verify"}, {"repair", repair}}, [&](const json& line) { if (show) show_progress(line); }, std::nullopt);
  if (show) fmt::print(stderr, "\r{:40}\r", "");
  if (answer.is_null()) return kCouldNot;
  if (!flag(answer, "equal")) {
    complain("lockstepd did not say whether the sites are equal; is it of the version of this program?");
    return kCouldNot;
  }
  print(as_json ? control::to_line(answer) : render_repairs(answer) + render_verdict(answer));
  return is_true(answer, "equal") ? kYes : kNo;
}

ExitStatus mount(const std::string& control) { return say(ask(control, {{"command", "mount"}}, {}, std::nullopt)); }

ExitStatus switch_over(const std::string& control, const std::string& to) {
  return say(ask(control, {{"command", "switchover"}, {"to", to}}, {}, std::nullopt));
}

ExitStatus take_over(const std::string& control, bool force, bool yes) {
  const json first = ask(control, {{"command", "takeover"}}, {}, kStatusPatience);
  if (first.is_null()) return kCouldNot;
  if (!force) {
    complain("a site takes over by itself where that is safe; where it does not, lockstep status says why. To make it go on all the "
             "same, see what may be lost below, and say: lockstep takeover --force");
    for (const std::string& loss : texts(first, "losses")) fmt::print(stderr, "  - {}\n", loss);
    return kNo;
  }
  fmt::print(stderr, "This site will go on alone. What that may lose:\n");
  for (const std::string& loss : texts(first, "losses")) fmt::print(stderr, "  - {}\n", loss);
  if (!yes && !confirmed("Go on?")) return kNo;
  return say(ask(control, {{"command", "takeover"}, {"confirmed", true}}, {}, std::nullopt));
}

ExitStatus replace(const std::string& control, const std::string& site) {
  return say(ask(control, {{"command", "replace"}, {"site", site}}, {}, kStatusPatience));
}

ExitStatus replace_arbiter(const std::string& control) {
  return say(ask(control, {{"command", "replace-arbiter"}}, {}, std::nullopt));
}

ExitStatus resolve(const std::string& control, const ResolveCommand& command) {
  json request{{"command", "resolve"}, {"discard", command.discard}, {"partly", command.partly}};
  if (command.keep == "none") {
    request["keep"] = command.keep;
  } else if (!command.keep.empty()) {
    // The daemon has another working directory.
    std::string path = std::filesystem::absolute(command.keep).lexically_normal();
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    request["keep"] = std::move(path);
  }
  return say(ask(control, request, {}, std::nullopt));
}

ExitStatus show_divergence(const std::string& control, bool as_json) {
  json changes = json::array();
  bool forgotten = false;
  const auto show = [&](const json& line) {
    const json& change = member(line, "change");
    if (!change.is_object()) return;
    if (as_json) {
      changes.push_back(change);
    } else {
      const bool marked = is_true(change, "forgotten");
      forgotten = forgotten || marked;
      print(fmt::format("  {:<8} {}\n", text(change, "what") + (marked ? "*" : ""), text(change, "path")));
    }
  };
  json answer = ask(control, {{"command", "divergence"}}, show, std::nullopt);
  if (answer.is_null()) return kCouldNot;
  if (as_json) {
    answer["changes"] = std::move(changes);
    print(control::to_line(answer));
    return kYes;
  }
  print(fmt::format("{} changes at {} since the sites parted (effect {})\n", number(answer, "changes"), text(answer, "site"), number(answer, "since_seq")));
  if (!is_true(answer, "complete")) print("INCOMPLETE: the log lost the first of them; compare the two mounts\n");
  if (forgotten) print("* not in the log any more: changed, renamed or made\n");
  if (!is_true(answer, "removals_complete")) print("more names were removed than are listed\n");
  return kYes;
}

ExitStatus trace(const std::string& control, const TraceOptions& options) {
  bool first = true;
  const auto show = [&](const json& line) {
    if (const json& row = member(line, "profile"); row.is_object()) {
      if (first) print(profile_heading() + "\n");
      print(render_profile(row) + "\n");
    } else if (const json& step = member(line, "trace"); step.is_object()) {
      print(render_step(step) + "\n");
    } else if (const std::uint64_t missed = number(line, "missed"); missed != 0) {
      print(fmt::format("... {} steps are missing here: they came faster than they were read\n", missed));
    }
    first = false;
    std::fflush(stdout);
  };
  json request = {{"command", "trace"}, {"follow", options.follow}, {"profile", options.profile}};
  if (options.count != 0) request["count"] = options.count;
  const json answer = ask(control, request, show, std::nullopt);
  return answer.is_null() ? kCouldNot : kYes;
}

}  // namespace lockstep::cli
