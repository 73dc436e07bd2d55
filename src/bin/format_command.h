// format_command.h - `lockstep format`: makes the storage area of one site, with the keys of an empty volume.
//
// Works without a daemon, on the area alone; a running daemon's lock keeps it away.
#pragma once

#include <string>

#include "bin/exit_status.h"
#include "config/config.h"

namespace lockstep::cli {

struct FormatCommand {
  bool force = false;
  std::string size;  ///< empty: limits.area
};

[[nodiscard]] ExitStatus format_area(const config::Config& config, SiteId site, const FormatCommand& command);

}  // namespace lockstep::cli
