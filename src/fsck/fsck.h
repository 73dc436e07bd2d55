// fsck.h - proves that a storage area agrees with itself, and mends what can be mended without guessing.
//
// Offline: nobody else has the area. What must be true is the table in rules.h.
//
//   log       records that the keys do not contain yet are applied to the keys, as every start does; without `repair`
//             they are not made stable. So what is examined is what a start would find.
//   memory    a fixed amount: keys are gone through in order. Names are counted for as many objects at a time as
//             memory_bytes hold (16 bytes an object), blocks by sums of each group (24 bytes a group) and, where sums
//             differ, group by group.
//   repair    changes go to the keys and are flushed; then everything is examined again. Before the first change the
//             notice is given: from then on the metadata may differ from the other site's.
//
// Cost: three readings of the directory entries (one more for each memory_bytes / 16 objects), three or four of all
// other keys; with `data` every allocated block once. A million small files: 19 s of one core, 120 MB of memory.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/result.h"
#include "fsck/report.h"
#include "runtime/disk.h"
#include "runtime/key_value.h"
#include "runtime/scheduler.h"

namespace lockstep::fsck {

/// The area, and the time that a directory made by a repair gets. The keys are those of its file `meta`.
struct Target {
  runtime::Scheduler& scheduler;
  runtime::Disk& disk;
  runtime::KeyValue& keys;
  WallTime now;
};

struct Options {
  bool repair = false;
  bool data = false;                                 ///< read every allocated block
  std::size_t memory_bytes = 192u << 20;             ///< for counting names
  void (*phase)(void*, std::string_view) = nullptr;  ///< called at the start of each phase, with `with`
  void* with = nullptr;
};

/// Who must know that a repair made the metadata of this site other than that of the others.
class RepairNotice {
 public:
  virtual ~RepairNotice() = default;
  /// Called once, before the first key is changed. An error: nothing is changed, the examination ends with it.
  virtual Result<> metadata_may_differ() = 0;
};

struct Outcome {
  Report report;      ///< of the examination, with what was mended
  Report afterwards;  ///< of the examination after a repair that changed something, without contents; empty otherwise
  bool repaired = false;
  /// Nothing is left that is not as it should be.
  [[nodiscard]] bool sound() const {
    return repaired ? afterwards.total() == 0 && report.of(Rule::bad_block) == 0 : report.total() == 0;
  }
};

/// Takes the area's lock and looks whether it is an area. To be asked before its keys are opened.
/// Errc::refused: in use, not an area, of another format. Errc::corrupt: both superblocks. Suspends.
runtime::Task<Result<>> can_be_examined(runtime::Disk& disk);

/// Examines. An error: it could not be. Errc::refused: the keys are being replaced by those of another site. Suspends.
runtime::Task<Result<Outcome>> examine(Target target, Options options, RepairNotice& notice);

}  // namespace lockstep::fsck
