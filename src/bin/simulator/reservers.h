// reservers.h - administrators and programs who reserve what hosts work on, release it, and break what others have left.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "bin/simulator/cluster.h"
#include "bin/simulator/hosts.h"

namespace lockstep::simulator {

/// What a daemon said to a command. `known` false: it was gone before it said anything, or was not there.
struct Answer {
  bool known = false;
  nlohmann::json said;
  Instant at;
  [[nodiscard]] bool ok() const { return known && !said.contains("error"); }
  [[nodiscard]] std::string error() const { return known && said.contains("error") ? said["error"].get<std::string>() : std::string(); }
};

/// Asks the daemon of a site, as the command line does: over when the daemon dies. Runs in `process`.
runtime::Task<Answer> command(sim::Process& process, Cluster& cluster, std::size_t site, nlohmann::json request);

/// Until the stage is quiet: reserves parts of what hosts work on, holds them for a while, releases them; breaks what the other site
/// has reserved now and then, and more often while that is down or apart. In the end it releases what it has.
runtime::Task<void> reserve(sim::Process& process, Stage& stage, Cluster& cluster, sim::Prng& prng);
/// Breaks what is still reserved, until `over`: nobody is left who would release it.
runtime::Task<void> break_all(sim::Process& process, Stage& stage, Cluster& cluster, const bool& over, bool& done);
/// Reserves a few parts that stay.
runtime::Task<void> reserve_to_the_end(sim::Process& process, Stage& stage, Cluster& cluster, sim::Prng& prng, bool& done);
/// What the two sites have as reserved, compared with what they were told; nullopt: as it should be. Requires: in sync, nothing going on.
[[nodiscard]] std::optional<std::string> reservations_wrong(Cluster& cluster, const Stage& stage);

}  // namespace lockstep::simulator
