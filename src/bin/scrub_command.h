// scrub_command.h - `lockstep scrub`.
#pragma once

#include <string>

#include "bin/exit_status.h"

namespace lockstep::cli {

struct ScrubCommand {
  std::string rate;  ///< bytes a second, as a size; empty: no limit
  bool json = false;
};

/// Has the daemon at `control` read its site's blocks; shows how far it is on a terminal, then the sum. kYes: all were good or
/// are repaired.
[[nodiscard]] ExitStatus scrub(const std::string& control, const ScrubCommand& command);

}  // namespace lockstep::cli
