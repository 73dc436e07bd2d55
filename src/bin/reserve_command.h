// reserve_command.h - `lockstep reserve` and `lockstep release`: paths in the mount become objects of the volume.
#pragma once

#include <string>

#include "bin/exit_status.h"
#include "config/config.h"

namespace lockstep::cli {

struct ReserveCommand {
  std::string path;
  std::string range;     ///< as given; empty: the whole object
  bool wait = false;     ///< the default, said
  bool busy = false;
  bool list = false;
  bool breaks = false;
  bool force = false;    ///< break without asking
  bool json = false;
};

[[nodiscard]] ExitStatus reserve(const config::Site& site, const ReserveCommand& command);
[[nodiscard]] ExitStatus release(const config::Site& site, const ReserveCommand& command);

}  // namespace lockstep::cli
