// daemon_commands.h - the commands that ask a running daemon: status, verify, trace. Each prints and returns the exit status.
#pragma once

#include <cstdint>
#include <string>

#include "bin/exit_status.h"

namespace lockstep::cli {

/// What `trace` is to show.
struct TraceOptions {
  bool follow = false;       ///< go on until interrupted
  bool profile = false;      ///< costs of each step instead of steps
  std::uint64_t count = 0;   ///< so many lines at most; 0: all
};

/// `control` is the path of the daemon's control socket; `json` prints the answer as it came.
[[nodiscard]] ExitStatus show_status(const std::string& control, bool json);
[[nodiscard]] ExitStatus verify(const std::string& control, bool json);
[[nodiscard]] ExitStatus trace(const std::string& control, const TraceOptions& options);

}  // namespace lockstep::cli
