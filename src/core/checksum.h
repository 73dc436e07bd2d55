// checksum.h - XXH3-64, the one checksum of blocks, frames and records.
#pragma once

#include "core/types.h"

namespace lockstep {

/// XXH3-64 of `bytes`, seed 0. Of one block it is what the checksum table stores and what travels in effects.
[[nodiscard]] std::uint64_t checksum(Bytes bytes);
/// The checksum of a block of zeros.
[[nodiscard]] std::uint64_t zero_block_checksum();

}  // namespace lockstep
