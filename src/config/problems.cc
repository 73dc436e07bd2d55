#include "config/problems.h"

#include <fmt/format.h>

#include "config/config.h"
#include "core/check.h"

namespace lockstep::config {

bool Problems::full() const { return kept_.size() == kProblemsMax; }

void Problems::add(std::uint32_t line, std::string_view key, std::string_view text) {
  ++found_;
  if (full()) return;
  keys_.emplace(key);
  std::string place = line == 0 ? file_ : fmt::format("{}:{}", file_, line);
  kept_.emplace(line, key.empty() ? fmt::format("{}: {}", place, text) : fmt::format("{}: {}: {}", place, key, text));
}

Error Problems::error() const {
  CHECK(!empty());
  std::string text;
  for (const auto& [line, problem] : kept_) text.append(text.empty() ? "" : "\n").append(problem);
  if (found_ > kept_.size()) text += fmt::format("\n{}: and {} more mistakes", file_, found_ - kept_.size());
  return Error{Errc::invalid, 0, std::move(text)};
}

}  // namespace lockstep::config
