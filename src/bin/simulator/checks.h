// checks.h - what must hold of both areas, whatever the hosts saw.
#pragma once

#include <optional>
#include <string>

#include "bin/simulator/cluster.h"

namespace lockstep::simulator {

/// At any moment: every block that differs between the sites is suspect at one of them at least, and every block that is
/// not on the medium is suspect on the medium (C1, C6). What is not, or nullopt. Requires: no area is being replaced.
[[nodiscard]] std::optional<std::string> not_suspect(Cluster& cluster);
/// At any moment: whoever is armed (M5) was promised something by the other site. Which is not, or nullopt.
[[nodiscard]] std::optional<std::string> armed_without_promise(Cluster& cluster);
/// Runs `scrub` at a site: what is left bad, or nullopt. Requires: both up, in sync.
[[nodiscard]] std::optional<std::string> scrubbed(Cluster& cluster, std::size_t site);
/// Keys, blocks and checksums that differ between the sites, or nullopt. Requires: both up, in sync, nothing going on.
[[nodiscard]] std::optional<std::string> difference(Cluster& cluster, bool blocks_too = true);
/// What an examination of an area finds (fsck, with its data), or nullopt. Requires: its daemon is down.
[[nodiscard]] std::optional<std::string> unsound(Cluster& cluster, std::size_t site);

}  // namespace lockstep::simulator
