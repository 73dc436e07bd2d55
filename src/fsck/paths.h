// paths.h - names and paths of objects: those that findings are about, and any others.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "fsck/examination.h"

namespace lockstep::fsck {

/// Gives each finding the path of its object, if it has one: for at most kPathsMax objects. One reading of the
/// directory entries, if there is anything to look for. Errc::io. Suspends.
inline constexpr std::size_t kPathsMax = 1000;
runtime::Task<Result<>> find_paths(Examination& x);

/// Every name of each of `objects`, by one reading of the directory entries; keys may change meanwhile. Errc::io. Suspends.
struct NameOfObject {
  InodeId object, directory;
  std::string name;
};
runtime::Task<Result<std::vector<NameOfObject>>> names_of(runtime::KeyValue& keys, std::set<InodeId> objects);

/// A path of each of `objects` that is reached from the root; keys may change meanwhile. As costly as find_paths(). Errc::io. Suspends.
runtime::Task<Result<std::map<InodeId, std::string>>> paths_of(runtime::KeyValue& keys, std::set<InodeId> objects);

}  // namespace lockstep::fsck
