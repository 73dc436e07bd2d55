// group_compare.h - the blocks of one group: what extents have of it, against what reverse keys say.
#pragma once

#include <cstdint>
#include <vector>

#include "core/types.h"
#include "volume/keys_format.h"

namespace lockstep::fsck {

/// Allocated blocks one behind the other, as part of a file.
struct OwnedRun {
  std::uint64_t address = 0;
  volume::Owner owner;
  bool readable = true;  ///< of a reverse key: its value can be understood
  bool operator==(const OwnedRun&) const = default;
  [[nodiscard]] std::uint64_t end() const { return address + owner.count; }
};

/// A number that is the same for equal runs, and different for others as surely as checksums are.
[[nodiscard]] std::uint64_t digest_of(const OwnedRun& run);

struct GroupVerdict {
  struct Overlap {
    OwnedRun first, second;
  };
  std::vector<Overlap> overlaps;
  struct Missing {
    OwnedRun run;        ///< has this reverse key
    bool other = false;  ///< there is one, with another value: `there`
    OwnedRun there;
  };
  std::vector<Missing> missing;  ///< reverse keys to be put
  std::vector<OwnedRun> stray;   ///< reverse keys to be deleted
  std::uint64_t allocated = 0;   ///< blocks that some extent has
};

/// `extents`: the runs that extent maps have of the group; `reverse`: the reverse keys that start in it. In any order.
/// Runs that overlap another are not judged otherwise. One whose reverse key is there and not readable counts as
/// missing; a stray that is not readable too.
[[nodiscard]] GroupVerdict compare_group(std::vector<OwnedRun> extents, std::vector<OwnedRun> reverse);

}  // namespace lockstep::fsck
