// fsck_command.h - "lockstep fsck": examines an area that no daemon has.
#pragma once

#include <string>

namespace lockstep::cli {

struct FsckCommand {
  std::string area;  ///< directory
  bool repair = false;
  bool data = false;
};

/// As fsck(8) has them; lockstep(1), "EXIT STATUS".
enum FsckStatus : int {
  kSound = 0,       ///< nothing was found
  kRepaired = 1,    ///< everything that was found was mended
  kLeft = 2,        ///< something is left that is not as it should be
  kNotChecked = 3,  ///< it could not be examined, or not to the end
};

/// Prints a line for each finding, and one that sums up.
FsckStatus fsck_area(const FsckCommand& command);

}  // namespace lockstep::cli
