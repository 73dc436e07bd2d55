// watch_command.h - `lockstep watch`: what inotify can't tell, changes that the other site made among them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bin/exit_status.h"
#include "config/config.h"

namespace lockstep::cli {

struct WatchCommand {
  std::vector<std::string> paths;
  bool recursive = false;
  bool json = false;
  std::uint64_t count = 0;  ///< ends after so many changes; 0: not
};

/// kNo: nothing is left to watch. kCouldNot: also when the daemon ends.
[[nodiscard]] ExitStatus watch(const config::Site& site, const WatchCommand& command);

}  // namespace lockstep::cli
