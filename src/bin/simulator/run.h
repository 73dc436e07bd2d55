// run.h - one seed: a cluster, hosts at both sites, faults; then quiet, and what must hold.
//
// The seed draws everything: whether there is an arbiter, how writes are acknowledged, the weather of disks and network, what
// breaks (faults.h), what the hosts do. First the hosts work while faults come (safety); then the faults end and everything
// must come to rest within a bound (liveness): both daemons in sync, every request answered, both areas and key stores the
// same, and each sound by itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lockstep::simulator {

struct RunOptions {
  std::uint64_t seed = 0;
  unsigned rare = 1;            ///< the rare faults (Faults::kAdded) strike in so many times as many seeds
  bool verbose = false;         ///< print faults and hosts' calls as they happen
};

struct RunResult {
  std::string failure;          ///< empty: all held
  std::uint64_t trace = 0;      ///< the same for every run of this seed
  std::uint64_t acknowledged = 0;
  std::map<std::string, std::uint64_t> faults;  ///< how many of each kind
  std::map<std::string, std::uint64_t> probes;  ///< how often each rare place in the code was reached; 0 too
};

/// Runs one seed to its end. What was killed in it stays in memory: run many seeds in processes of their own.
[[nodiscard]] RunResult run(const RunOptions& options);

}  // namespace lockstep::simulator
