// posix_hosts.h - hosts that make, move, change and remove the same few names at both sites at once, judged by posix_check.h.
#pragma once

#include "bin/simulator/hosts.h"

namespace lockstep::simulator {

/// Works until the stage is quiet, in a new directory whenever too much about the last one is uncertain.
runtime::Task<void> work_on_names(sim::Process& process, Stage& stage, std::uint64_t number);
/// Looks at every name there through this machine's mount.
runtime::Task<void> look_at_names(sim::Process& process, Stage& stage, bool& done);

}  // namespace lockstep::simulator
