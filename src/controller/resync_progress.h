// resync_progress.h - how far a site is with being made equal to another, for people.
#pragma once

#include <string>

#include "core/types.h"

namespace lockstep::controller {

struct ResyncProgress {
  std::string stage;               ///< what is going on: "metadata", "blocks", "making it last"
  std::uint64_t granules = 0;      ///< to be compared, and of these
  std::uint64_t granules_done = 0;
  std::uint64_t bytes_copied = 0;  ///< that were different
  std::uint64_t keys = 0;          ///< that were compared or fetched
  std::uint64_t records = 0;       ///< effects sent
  Instant since;                   ///< the start
  Instant moved;                   ///< last progress
};

}  // namespace lockstep::controller
