// volume_path.h - paths below the mount, as the volume knows them.
#pragma once

#include <optional>
#include <string>

namespace lockstep::cli {

/// `path` from the root of the volume that is mounted at `mount`. It is not looked at: the mount may wait for the other site. Nullopt: it is
/// not below the mount, which has been complained about.
[[nodiscard]] std::optional<std::string> path_in_volume(const std::string& path, const std::string& mount);

}  // namespace lockstep::cli
