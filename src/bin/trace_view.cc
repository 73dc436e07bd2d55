#include "bin/trace_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "control/members.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::member, control::number, control::text;

std::string plain(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// A number with one decimal, or "-".
std::string amount(const json& row, const char* name) {
  const json& value = member(row, name);
  return value.is_number() ? fmt::format("{:.1f}", value.get<double>()) : "-";
}

}  // namespace

std::string render_step(const json& step) {
  constexpr std::array<std::string_view, 7> kColumns = {"at_us", "request", "site", "step", "object", "range", "status"};
  const std::uint64_t at_us = number(step, "at_us");
  std::string out = fmt::format("{:>6}.{:06}  {:<14} {:<10} {:<20} {:<14} {:<20} {}", at_us / 1000000, at_us % 1000000, text(step, "request"),
                                text(step, "site"), text(step, "step"), text(step, "object"), text(step, "range"), text(step, "status"));
  if (!step.is_object()) return out;
  for (const auto& [name, value] : step.items()) {
    if (std::find(kColumns.begin(), kColumns.end(), name) == kColumns.end()) out += fmt::format(" {}={}", name, plain(value));
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

std::string profile_heading() {
  return fmt::format("{:<5} {:<10} {:<28} {:>10} {:>10} {:>10} {:>8} {:>8}", "PATH", "SITE", "STEP", "US", "SYSCALLS", "SWITCHES", "HOPS", "COUNT");
}

std::string render_profile(const json& row) {
  return fmt::format("{:<5} {:<10} {:<28} {:>10} {:>10} {:>10} {:>8} {:>8}", text(row, "path"), text(row, "site"), text(row, "step"),
                     amount(row, "us"), amount(row, "syscalls"), amount(row, "switches"), amount(row, "hops"), number(row, "count"));
}

}  // namespace lockstep::cli
