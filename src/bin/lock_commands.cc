#include "bin/lock_commands.h"

#include <fmt/format.h>

#include <optional>

#include "bin/asking.h"
#include "bin/volume_path.h"
#include "control/lines.h"
#include "control/members.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::is_true, control::member, control::number, control::text;

std::string render(const json& lock) {
  std::string range = "whole file";
  if (lock.contains("first")) {
    range = lock.contains("last") ? fmt::format("bytes {}-{}", number(lock, "first"), number(lock, "last"))
                                  : fmt::format("bytes {}-", number(lock, "first"));
  }
  return fmt::format("{:<12} {:<6} {:<6} {:<6} pid {:<8} inode {:<10} {}\n", text(lock, "site"), text(lock, "kind"), text(lock, "type"),
                     is_true(lock, "waits") ? "waits" : "holds", number(lock, "pid"), number(lock, "inode"), range);
}

}  // namespace

ExitStatus show_locks(const std::string& control, const std::string& mount, const LocksCommand& command) {
  json request{{"command", "locks"}};
  if (!command.path.empty()) {
    const std::optional<std::string> path = path_in_volume(command.path, mount);
    if (!path) return kCouldNot;
    request["path"] = *path;
  }
  json all = json::array();
  const auto take = [&](const json& line) {
    const json& lock = member(line, "lock");
    if (!lock.is_object()) return;
    if (command.json) {
      all.push_back(lock);
    } else {
      print(render(lock));
    }
  };
  const json answer = ask(control, request, take, std::nullopt);
  if (answer.is_null()) return kCouldNot;
  if (command.json) print(control::to_line(json{{"locks", std::move(all)}}));
  return number(answer, "locks") > 0 ? kYes : kNo;
}

ExitStatus break_locks(const std::string& control, const std::string& mount, const LocksCommand& command) {
  const std::optional<std::string> path = path_in_volume(command.path, mount);
  if (!path) return kCouldNot;
  json request{{"command", "locks-break"}, {"path", *path}};
  if (!command.holder.empty()) request["holder"] = command.holder;
  const json answer = ask(control, request, {}, std::nullopt);
  if (answer.is_null()) return kCouldNot;
  print(text(answer, "text") + "\n");
  return kYes;
}

}  // namespace lockstep::cli
