// daemon_commands.h - the commands that ask a running daemon. Each prints and returns the exit status.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "bin/exit_status.h"

namespace lockstep::cli {

/// Says on stderr what went wrong.
void complain(std::string_view text);
/// Asks the daemon, and complains when there is no answer or the answer is an error; null then. `on_line`: for each line before
/// the answer; no `patience`: no limit of time.
[[nodiscard]] nlohmann::json ask(const std::string& control, const nlohmann::json& request,
                                 const std::function<void(const nlohmann::json&)>& on_line,
                                 std::optional<std::chrono::milliseconds> patience);
/// Somebody at the terminal answers `question` with "yes"; else complains that nothing was changed.
[[nodiscard]] bool confirmed(std::string_view question);

/// What `trace` is to show.
struct TraceOptions {
  bool follow = false;       ///< go on until interrupted
  bool profile = false;      ///< costs of each step instead of steps
  std::uint64_t count = 0;   ///< so many lines at most; 0: all
};

/// `control` is the path of the daemon's control socket; `json` prints the answer as it came.
[[nodiscard]] ExitStatus show_status(const std::string& control, bool json);
[[nodiscard]] ExitStatus verify(const std::string& control, bool json);
/// The other site becomes primary, or the one named `to`; no request fails.
[[nodiscard]] ExitStatus switch_over(const std::string& control, const std::string& to);
/// Says what may be lost, asks (unless `yes`), and has this site go on alone.
[[nodiscard]] ExitStatus take_over(const std::string& control, bool force, bool yes);
/// The new area of `site` is welcome.
[[nodiscard]] ExitStatus replace(const std::string& control, const std::string& site);
/// What `site` has of its own since the sites diverged goes.
[[nodiscard]] ExitStatus resolve(const std::string& control, const std::string& site);
[[nodiscard]] ExitStatus trace(const std::string& control, const TraceOptions& options);

}  // namespace lockstep::cli
