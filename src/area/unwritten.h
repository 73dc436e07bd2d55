// unwritten.h - after a loss of power: blocks that are new to their file and never got its data (C4).
//
// The log says which blocks are new: its records that wrote `fresh`. Such a block holds data of its file if its bytes match
//
//   - a checksum in the last record that made it new, or in a later one, or
//   - the checksum in the table, and that was stored behind that record (table_format.h): of a later overwrite.
//
// Else it holds what another file had left there, or a mixture: zeros are written. Not looked at are blocks of granules that are
// not suspect, and those that a note behind that record says to be stable: whatever they hold is their file's, though it may
// not match. Blocks that can't be read stay errors.
//
// It reads the log once for each kGranulesAtOnce granules that hold new blocks, and each new block once; some 9 KB of memory
// a granule.
#pragma once

#include "area/blocks.h"
#include "area/record_ring.h"
#include "area/suspect_map.h"

namespace lockstep::area {

struct NewBlocks {
  std::uint64_t doubtful = 0;  ///< new, and no note says that they are stable
  std::uint64_t zeroed = 0;
  std::uint64_t unreadable = 0;
};

/// Writes zeros, stable, over new blocks that never got their data. Errc::io; Errc::corrupt: the log can't be understood.
/// Suspends.
runtime::Task<Result<NewBlocks>> zero_unwritten(RecordRing& log, Blocks& blocks, const SuspectMap& suspects,
                                                runtime::Scheduler& scheduler);

}  // namespace lockstep::area
