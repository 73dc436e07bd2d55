// children.h - seeds run in processes of their own: what a seed abandons goes with it, and a crash is a failure like any other.
#pragma once

#include <functional>

#include "bin/simulator/run.h"

namespace lockstep::simulator {

/// Runs seeds from `each.seed` on, `jobs` at a time, until `count` were begun or `done(seed, result)`, called for each as it ends,
/// gives false. A seed that dies has a failure that says how. Now and then a seed runs twice: one that does not repeat fails.
void run_in_children(const RunOptions& each, std::uint64_t count, std::size_t jobs,
                     const std::function<bool(std::uint64_t seed, const RunResult& result)>& done);

}  // namespace lockstep::simulator
