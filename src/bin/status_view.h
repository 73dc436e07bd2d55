// status_view.h - the answer of `status` as one screen: is the data safe, what would make it unsafe, what to do.
//
// A function of the JSON alone. Members that are missing show as "-".
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace lockstep::cli {

/// The first line says in one word where the data stands:
///   SAFE      all sites are in sync and I/O goes on
///   WAITING   I/O waits; what was acknowledged is at all sites
///   STOPPING  the daemon ends
///   UNKNOWN   the daemon answered a state that this program does not know
[[nodiscard]] std::string render_status(const nlohmann::json& status);

}  // namespace lockstep::cli
