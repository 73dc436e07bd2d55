// The fault "arbiter lost before a site": the arbiter goes, the primary is armed or is about to be, and then a site or the line goes, too.
#include "bin/simulator/checks.h"
#include "bin/simulator/faults.h"

namespace lockstep::simulator {

using std::chrono::seconds;

void Faults::lose_arbiter_first() {
  if (!cluster_.arbitrated() || !cluster_.in_sync() || cluster_.replacing() || failing_ || forking_) return;
  const Instant began = cluster_.universe().now();
  sim::Arbiter& arbiter = cluster_.arbiter();
  arbiter.set_available(false);
  const auto armed = [&] { return is_armed(0) || is_armed(1); };
  cluster_.universe().run_until(armed, added_.chance(800) ? seconds(15) : added_.between({}, seconds(9)));
  count(armed() ? "arbiter lost, primary armed" : "arbiter lost, nobody armed");
  for (std::uint64_t strikes = 1 + added_.below(2); strikes > 0 && stage_.failure.empty(); --strikes) {
    strike_without_arbiter();
    if (added_.chance(300)) arbiter.set_available(true);
    run_some(seconds(12));
    if (added_.chance(300)) arbiter.set_available(!arbiter.available());
    for (std::size_t i = 0; i < 2; ++i) {
      if (!cluster_.up(i) && added_.chance(800)) cluster_.start(i);
    }
    if (added_.chance(800)) open_line();
    run_some(seconds(12));
    if (const auto wrong = armed_without_promise(cluster_)) stage_.fail(*wrong);
  }
  open_line();
  if (added_.chance(700)) arbiter.set_available(true);
  make_up_for(began);
}

void Faults::strike_without_arbiter() {
  const std::size_t which = added_.below(2);
  switch (added_.below(5)) {
    case 0:
    case 1:
      network().partition(east(), west(), true);
      return count("line cut without an arbiter");
    case 2:
    case 3:
      if (cluster_.up(which)) cluster_.kill(which);
      down_for(which, {});
      return count("kill without an arbiter");
    default:
      power_gone(which);
      return count("loss of power without an arbiter");
  }
}

bool Faults::is_armed(std::size_t which) {
  return ready(which) && cluster_.site(which).controller().keeper().state().armed;
}

}  // namespace lockstep::simulator
