// lock_commands.h - lockstep locks, lockstep locks break.
#pragma once

#include <string>

#include "bin/exit_status.h"

namespace lockstep::cli {

struct LocksCommand {
  std::string path;    ///< below the mount; empty: every file
  std::string holder;  ///< break: the site whose locks go; empty: of every site
  bool json = false;
};

/// Who holds advisory locks, and who waits for them. kNo: nobody.
ExitStatus show_locks(const std::string& control, const std::string& mount, const LocksCommand& command);
/// Takes the locks on a file away; files through which they were held get EIO.
ExitStatus break_locks(const std::string& control, const std::string& mount, const LocksCommand& command);

}  // namespace lockstep::cli
