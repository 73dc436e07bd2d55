// rules.h - what must hold between the values of a configuration, each of which is right by itself.
//
//   timing   heartbeat * 2 < peer_timeout     one lost ping is not a lost site
//            peer_timeout < read_lease        a site knows that the other is lost before it has to stop serving
//            read_lease + 1 s <= takeover     a site that was cut off has stopped, and its host has dropped what it
//                                             cached, before the other one acknowledges what only it has
//            slow_peer 0, or above heartbeat  a healthy peer is not slow
//            patience 0, or above peer_timeout + takeover_delay + takeover
//                                             a takeover is a pause for a host, not an error
//            reconnect <= reconnect_max
//            name_drop < peer_timeout         an answer that waits for a kernel lock is not a lost site
//   limits   inline <= window <= memory / 2   what is in flight lies in memory, beside the caches
//   arbiter  certificate and private_key come together; with ca they are for https endpoints only
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
