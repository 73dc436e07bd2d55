#include "bin/watch_view.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

#include "control/members.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::number, control::text;

std::string on_one_line(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\') {
      out += fmt::format("\\{:03o}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string what_of(const json& change) {
  const std::string what = text(change, "what");
  if (what == "written") {
    const std::uint64_t first = number(change, "offset");
    return fmt::format("written {}-{}", first, first + number(change, "length") - 1);
  }
  if (what == "resized") return fmt::format("resized {}", number(change, "size"));
  if (what == "xattr" || what == "xattr-removed") return what + " " + on_one_line(text(change, "xattr"));
  return what;
}

std::string below(const std::string& mount, const std::string& path) { return on_one_line(path == "/" ? mount : mount + path); }

}  // namespace

std::string render_change(const json& change, const std::string& mount) {
  const std::uint64_t time_us = number(change, "time_us");
  const auto seconds = static_cast<std::time_t>(time_us / 1'000'000);
  std::string out = fmt::format("{:%Y-%m-%d %H:%M:%S}.{:06}  {:<10} {:<24} {}", fmt::localtime(seconds), time_us % 1'000'000, text(change, "site"),
                                what_of(change), below(mount, text(change, "path")));
  if (const std::string to = text(change, "to"); !to.empty()) out += " -> " + below(mount, to);
  return out;
}

}  // namespace lockstep::cli
