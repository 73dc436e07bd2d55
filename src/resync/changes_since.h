// changes_since.h - what was changed at this site behind an effect, per path: what its administrator loses who discards it.
//
// The operation log says it: names that came or went, objects whose attributes, extents or extended attributes are others. What the log has forgotten
// stands in keys of this site (controller/forgotten_changes.h), per object: that it was changed, under all names that it has now; of a directory
// also that it lost names, but not which. No clock is asked, so none can hide anything.
//
// An overwrite in place stands in the log as the times of its file, which are written a while later (timing.settle); those that still wait are given as
// `unsettled`. One that was followed by a kill sooner than that is missing.
//
// The list comes in parts, each of the objects in a range of their numbers, so that memory does not depend on how long it is. A part costs one reading of
// the log and a few of all directory entries.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "area/area.h"
#include "core/result.h"
#include "runtime/key_value.h"

namespace lockstep::resync {

/// About so many names and objects are in a part.
inline constexpr std::size_t kChangesAtOnce = 50'000;
/// So many names that one directory lost are listed.
inline constexpr std::size_t kRemovedPerDirectoryMax = 10'000;

struct Change {
  enum class What : std::uint8_t { made, removed, changed } what{};  ///< a name that is there, one that is not; an object
  InodeId inode;                                                      ///< of a name that was removed: kNoInode
  std::string path;                                                   ///< from the root; empty: it has no name
  bool in_log = true;                                                 ///< false: changed, renamed or made: the log has forgotten which
};
[[nodiscard]] std::string_view name_of(Change::What what);

struct ChangesSince {
  std::vector<Change> changes;         ///< by path
  std::uint64_t effects = 0;           ///< of the log that were looked at
  bool complete = true;                ///< false: the log lost some of it
  bool removals_complete = true;       ///< false: directories lost names that are not listed; they hold nothing that could be kept
  std::optional<InodeId> next;         ///< the next part begins with this object; nullopt: this was the last one
};

struct ChangesQuestion {
  Seq since;
  std::vector<InodeId> unsettled;
  InodeId from;                        ///< the first object of this part
  std::size_t at_once = kChangesAtOnce;
  std::function<bool()> ends;          ///< it is to end; empty: it never is
};

/// Changes of effects with a seq above `since`, and of objects in `unsettled`, while both may change. Errc::io, Errc::corrupt; Errc::stopped:
/// `ends` said so. Suspends.
runtime::Task<Result<ChangesSince>> changes_since(area::Log& log, runtime::KeyValue& keys, ChangesQuestion question);

}  // namespace lockstep::resync
