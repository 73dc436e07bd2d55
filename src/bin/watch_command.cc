#include "bin/watch_command.h"

#include <fmt/format.h>

#include <cstdio>

#include "bin/asking.h"
#include "bin/volume_path.h"
#include "bin/watch_view.h"
#include "control/client.h"
#include "control/lines.h"
#include "control/members.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::is_true, control::member, control::number, control::text;

/// Prints a line of the daemon; what is no change goes to standard error.
void show(const json& line, const config::Site& site, bool& watching) {
  if (const json& change = member(line, "change"); change.is_object()) {
    print(render_change(change, site.mount) + "\n");
    std::fflush(stdout);
  } else if (const std::uint64_t missed = number(line, "missed"); missed != 0) {
    print(fmt::format("{} changes were missed: they came faster than they were read\n", missed));
    std::fflush(stdout);
  } else if (is_true(line, "passed_over")) {
    print(fmt::format("changes were missed: {} was away, and has been made equal to the other site\n", site.name));
    std::fflush(stdout);
  } else if (const json& began = member(line, "watching"); began.is_object()) {
    if (!watching) fmt::print(stderr, "lockstep: watching, {} directories\n", number(began, "directories"));
    watching = true;
  }
}

}  // namespace

ExitStatus watch(const config::Site& site, const WatchCommand& command) {
  json paths = json::array();
  for (const std::string& path : command.paths) {
    const std::optional<std::string> inside = path_in_volume(path, site.mount);
    if (!inside) return kCouldNot;
    paths.push_back(*inside);
  }
  Result<control::Client> client = control::Client::connect(site.control);
  if (!client) {
    complain(client.error().text);
    return kCouldNot;
  }
  json request{{"command", "watch"}, {"paths", std::move(paths)}, {"recursive", command.recursive}};
  if (command.count != 0) request["count"] = command.count;
  bool watching = false;
  const auto on_line = [&](const json& line) {
    if (!command.json) return show(line, site, watching);
    watching = true;
    print(control::to_line(line));
    std::fflush(stdout);
  };
  const Result<json> answer = client->call(request, on_line, std::nullopt);
  if (!answer && watching) {
    complain(fmt::format("lockstepd of {} has ended, and the watch with it; what changes from here on is not told. Start it, then watch again",
                         site.name));
    return kCouldNot;
  }
  if (!answer || answer->contains("error")) {
    complain(answer ? text(*answer, "error") : answer.error().text);
    return kCouldNot;
  }
  if (!is_true(*answer, "gone")) return kYes;
  complain("what was watched is not there any more, or was moved away from where it was watched");
  return kNo;
}

}  // namespace lockstep::cli
