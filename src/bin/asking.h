// asking.h - one question to a running daemon, and what the commands say to people.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace lockstep::cli {

/// To standard error, with the name of the program.
void complain(std::string_view text);
/// To standard output, as it is.
void print(std::string_view text);
/// Asks the daemon at `control`, and complains when there is no answer or the answer is an error; null then. `on_line` gets the
/// lines before the answer. Without `patience` it waits for as long as it takes.
[[nodiscard]] nlohmann::json ask(const std::string& control, const nlohmann::json& request, const std::function<void(const nlohmann::json&)>& on_line,
                                 std::optional<std::chrono::milliseconds> patience = std::nullopt);
/// Somebody at the terminal answers `question` with "yes"; else complains that nothing was changed.
[[nodiscard]] bool confirmed(std::string_view question);

}  // namespace lockstep::cli
