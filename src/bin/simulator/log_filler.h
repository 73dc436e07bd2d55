// log_filler.h - a program of a host that makes more records than a log holds, as fast as it can.
#pragma once

#include <string>

#include "core/result.h"
#include "runtime/task.h"
#include "sim/process.h"

namespace lockstep::simulator {

/// Makes and removes a symbolic link at `path`, again and again; nothing is left of it. Ends at the first error. Suspends.
runtime::Task<Result<>> fill_log(sim::Process& process, std::string path);

}  // namespace lockstep::simulator
