// rules.h - what must hold between the values of a configuration, each of which is right by itself.
//
//   timing   heartbeat * 3 <= peer_timeout    one lost ping is not a lost site
//            reconnect <= reconnect_max
//            name_drop < peer_timeout         an answer that waits for a kernel lock is not a lost site
//   limits   inline <= window <= memory / 2   what is in flight lies in memory, beside the caches
//   volume   primary is one of the sites; there are two
//   site     addresses differ; areas, mount points and control sockets of one machine do not lie in each other. An
//            area below a mount point of the volume would wait for itself.
#pragma once

#include <functional>
#include <string_view>

#include "config/config.h"
#include "config/problems.h"

namespace lockstep::config {

/// The line at which a key stands in the file, or its section if it does not; 0: neither does.
using LineOf = std::function<std::uint32_t(std::string_view key)>;

/// Adds to `problems` every rule that `config` breaks. `primary` is the text of volume.primary. Keys that already have
/// a problem are left alone.
void check_rules(Config& config, std::string_view primary, const LineOf& line_of, Problems& problems);

}  // namespace lockstep::config
