// trace_view.h - lines of `trace` and `trace --profile` as text in columns. Functions of the JSON alone.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace lockstep::cli {

/// One step of one request: time since the daemon's start, request, site, step, object and range, status. Members that
/// this program does not know follow as name=value.
[[nodiscard]] std::string render_step(const nlohmann::json& step);

/// The heading and the row of one step's costs: median microseconds, system calls, context switches, thread hops.
[[nodiscard]] std::string profile_heading();
[[nodiscard]] std::string render_profile(const nlohmann::json& row);

}  // namespace lockstep::cli
