// exit_status.h - what the programs return; lockstep(1), "EXIT STATUS".
#pragma once

namespace lockstep::cli {

enum ExitStatus : int {
  kYes = 0,       ///< done, or the answer is yes
  kNo = 1,        ///< the answer is no: not in sync, not equal, mistakes in the configuration
  kCouldNot = 2,  ///< no answer: wrong usage, no daemon, an error
};

}  // namespace lockstep::cli
