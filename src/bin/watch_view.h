// watch_view.h - lines of `watch` as text. Functions of the JSON alone, but for the zone of local time.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace lockstep::cli {

/// One change, on one line: time, site, what (with bytes, size or attribute), path below `mount`, for a rename " -> " and the new path. Bytes
/// of names that would break the line are written \ooo.
[[nodiscard]] std::string render_change(const nlohmann::json& change, const std::string& mount);

}  // namespace lockstep::cli
