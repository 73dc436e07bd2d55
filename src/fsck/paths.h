// paths.h - the paths of objects that findings are about.
#pragma once

#include "fsck/examination.h"

namespace lockstep::fsck {

/// Gives each finding the path of its object, if it has one: for at most kPathsMax objects. One reading of the
/// directory entries, if there is anything to look for. Errc::io. Suspends.
inline constexpr std::size_t kPathsMax = 1000;
runtime::Task<Result<>> find_paths(Examination& x);

}  // namespace lockstep::fsck
