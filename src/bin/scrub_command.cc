#include "bin/scrub_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "bin/asking.h"
#include "bin/units.h"
#include "config/values.h"
#include "control/lines.h"
#include "control/members.h"
#include "core/types.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::flag, control::is_true, control::member, control::number, control::text, control::texts;

void show_progress(const json& line) {
  const json& progress = member(line, "progress");
  if (!progress.is_object()) return;
  const std::uint64_t blocks = number(progress, "blocks"), of = std::max<std::uint64_t>(number(progress, "of"), 1);
  fmt::print(stderr, "\r{:3} % of {} read, {} blocks bad, {} repaired", std::min<std::uint64_t>(blocks * 100 / of, 100),
             human_bytes(of * kBlockBytes), number(progress, "bad"), number(progress, "repaired"));
  std::fflush(stderr);
}

std::string render(const json& answer) {
  const std::uint64_t bad = number(answer, "bad"), left = number(answer, "left"), unknown = number(answer, "unknown");
  std::string out = fmt::format("{}: {} blocks ({}) of {} were read; ", is_true(answer, "good") ? "GOOD" : "BAD", number(answer, "blocks"),
                                human_bytes(number(answer, "bytes")), text(answer, "site"));
  out += bad == 0 ? std::string("all match their checksums\n") : fmt::format("{} were bad, {} are repaired\n", bad, number(answer, "repaired"));
  const std::vector<std::string> first = texts(answer, "first_left");
  for (const std::string& place : first) out += "  still bad: " + place + "\n";
  if (first.size() < left) out += fmt::format("  ... and {} more\n", left - first.size());
  if (left != 0) out += fmt::format("to do: {}; when the other site is in sync, scrub again; what stays bad is to be restored\n", text(answer, "why"));
  if (unknown != 0) out += fmt::format("to do: {} keys that say which blocks are in use can't be understood: lockstep fsck, with the daemon stopped\n", unknown);
  return out;
}

}  // namespace

ExitStatus scrub(const std::string& control, const ScrubCommand& command) {
  std::uint64_t rate = 0;
  if (!command.rate.empty()) {
    const Result<std::uint64_t> parsed = config::parse_size(command.rate);
    if (!parsed || *parsed == 0) {
      fmt::print(stderr, "lockstep: --rate {}: {}\n", command.rate, parsed ? "must be above 0" : parsed.error().text);
      return kCouldNot;
    }
    rate = *parsed;
  }
  const bool show = !command.json && ::isatty(STDERR_FILENO) == 1;
  const json answer = ask(control, {{"command", "scrub"}, {"rate", rate}}, [&](const json& line) { if (show) show_progress(line); });
  if (show) fmt::print(stderr, "\r{:70}\r", "");
  if (answer.is_null()) return kCouldNot;
  if (!flag(answer, "good")) {
    fmt::print(stderr, "lockstep: lockstepd did not say whether the blocks are good; is it of the version of this program?\n");
    return kCouldNot;
  }
  const std::string out = command.json ? control::to_line(answer) : render(answer);
  std::fwrite(out.data(), 1, out.size(), stdout);
  return is_true(answer, "good") ? kYes : kNo;
}

}  // namespace lockstep::cli
