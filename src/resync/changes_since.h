// changes_since.h - what was changed at this site behind an effect, per path: what its administrator loses who discards it.
//
// The operation log says it: names that came or went, objects whose attributes, extents or extended attributes are others. An overwrite in place
// stands there as the times of its file, which are written a while later (timing.settle); those that still wait are given as `unsettled`. One that was
// followed by a kill sooner than that is missing.
#pragma once

#include <string>
#include <vector>

#include "area/area.h"
#include "core/result.h"
#include "runtime/key_value.h"

namespace lockstep::resync {

/// No more names and objects are gathered.
inline constexpr std::size_t kChangesMax = 20'000;

struct Change {
  enum class What : std::uint8_t { made, removed, changed } what{};  ///< a name that is there, one that is not; an object
  InodeId inode;                                                      ///< of a name that was removed: kNoInode
  std::string path;                                                   ///< from the root; empty: it has no name
};
[[nodiscard]] std::string_view name_of(Change::What what);

struct ChangesSince {
  std::vector<Change> changes;  ///< by path
  std::uint64_t effects = 0;    ///< that were looked at
  bool complete = true;         ///< false: the log has forgotten some of it
  bool cut_short = false;       ///< more than kChangesMax
};

/// Changes of effects with a seq above `since`, and of objects in `unsettled`. Reads the log and the names of all directories once, while both may
/// change. Errc::io, Errc::corrupt. Suspends.
runtime::Task<Result<ChangesSince>> changes_since(area::Log& log, runtime::KeyValue& keys, Seq since, std::vector<InodeId> unsettled);

}  // namespace lockstep::resync
