// The fault "work without an area": the area of a site fails, its daemon begins anew without it, and its hosts work through the other site while lines
// fail and daemons die.
#include "bin/simulator/faults.h"
#include "sim/storage.h"

namespace lockstep::simulator {

using std::chrono::seconds;

namespace {

constexpr Duration kFailingLimit = seconds(3);
/// So long it may take until hosts of a site without an area are served, once nothing keeps them from it.
constexpr Duration kServedLimit = seconds(60);

}  // namespace

void Faults::work_without_area() {
  if (!cluster_.in_sync() || cluster_.replacing() || failing_ || forking_ || taking_over_) return;
  const Instant began = cluster_.universe().now();
  const std::size_t which = added_.below(2), other = 1 - which;
  cluster_.machine(which).storage().weather.write_error_permille = 1000;
  const auto failed = [&] { return cluster_.area_failed(which); };
  if (!cluster_.universe().run_until(failed, kFailingLimit)) return mend_disk(which);  // nobody wrote
  stage_.write_failed();
  down_until_[which] = kNever;
  if (!cluster_.leave(which)) return stage_.fail(cluster_.problem());
  count("area failed, worked without");
  cluster_.start(which, true);
  for (std::uint64_t strikes = added_.below(4); strikes > 0 && stage_.failure.empty(); --strikes) {
    run_some(seconds(4));
    strike_without_area(which);
    run_some(seconds(4));
    if (!cluster_.up(which)) cluster_.start(which, true);
    if (!cluster_.up(other)) cluster_.start(other);
    open_line();
  }
  const auto served = [&] { return ready(which) && cluster_.site(which).controller().state() == controller::Controller::State::diskless; };
  const auto may_carry = [&] {
    return ready(other) && cluster_.site(other).controller().keeper().membership().sole(SiteId{static_cast<std::uint8_t>(other)});
  };
  bool reached = cluster_.universe().run_until(served, kServedLimit);
  if (!reached && may_carry()) reached = cluster_.universe().run_until(served, kServedLimit);  // it may be alone since just now
  if (!reached && may_carry()) return stage_.fail("a site without an area is not served by the other one");
  if (reached) {
    ++counts_["served without an area"];
    run_some(seconds(3));
  }
  end_without_area(which);
  make_up_for(began);
}

void Faults::strike_without_area(std::size_t which) {
  const std::size_t other = 1 - which;
  switch (added_.below(5)) {
    case 0:
      network().cut(east(), west(), sim::CutNotice::both);
      return count("cut, one without an area");
    case 1:
      network().partition(east(), west(), true);
      return count("partition, one without an area");
    case 2:
      if (cluster_.up(which)) cluster_.kill(which);
      return count("kill of one without an area");
    case 3:
      if (cluster_.up(other)) cluster_.kill(other);
      return count("kill of the other one");
    default:
      power_gone(other);
      down_until_[other] = {};
      return count("loss of power of the other one");
  }
}

/// The medium is mended, or a new one is there.
void Faults::end_without_area(std::size_t which) {
  if (cluster_.up(which)) cluster_.kill(which);
  mend_disk(which);
  if (added_.chance(600) || !cluster_.up(1 - which)) {
    down_until_[which] = {};
    cluster_.start(which);
    return count("medium mended");
  }
  if (!cluster_.replace(which)) return stage_.fail(cluster_.problem());
  down_until_[which] = {};
  count("medium replaced");
}

}  // namespace lockstep::simulator
