#include "bin/simulator/log_filler.h"

#include "bin/simulator/cluster.h"
#include "sim/host.h"

namespace lockstep::simulator {

runtime::Task<Result<>> fill_log(sim::Process& process, std::string path) {
  constexpr std::uint64_t kTargetBytes = 4000;
  sim::Host host(process);
  Result<> done;
  for (std::uint64_t written = 0; done && written < kLogBytes; written += kTargetBytes) {
    done = co_await host.symlink(std::string(kTargetBytes, 'x'), path);
    if (done) done = co_await host.unlink(path);
  }
  co_return done;
}

}  // namespace lockstep::simulator
