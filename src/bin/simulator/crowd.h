// crowd.h - the hosts of both machines: started with a machine, gone with its power.
#pragma once

#include <algorithm>
#include <array>

#include "bin/simulator/cluster.h"
#include "bin/simulator/hosts.h"
#include "bin/simulator/posix_hosts.h"
#include "bin/simulator/reservers.h"

namespace lockstep::simulator {

class Crowd {
 public:
  /// `prng`: what is reserved, and when.
  Crowd(Cluster& cluster, Stage& stage, sim::Prng& prng) : cluster_(cluster), stage_(stage), prng_(prng) {}

  /// The process in which the hosts of a machine run; made when first asked for.
  [[nodiscard]] sim::Process& at(std::size_t machine) {
    if (processes_[machine] == nullptr) processes_[machine] = &cluster_.machine(machine).start("hosts");
    return *processes_[machine];
  }
  /// `per_site` hosts begin to work, in a new process: that of before, if any, went with its machine's power.
  void start(std::size_t machine) {
    if (!working_) return;
    processes_[machine] = &cluster_.machine(machine).start("hosts");
    start_hosts(machine);
  }
  void start_all(std::uint64_t per_site) {
    working_ = true;
    per_site_ = per_site;
    for (std::size_t i = 0; i < processes_.size(); ++i) start_hosts(i);
  }
  /// Every host has ended.
  [[nodiscard]] bool idle() { return std::ranges::all_of(processes_, [](const sim::Process* p) { return p == nullptr || p->idle(); }); }

 private:
  void start_hosts(std::size_t machine) {
    for (std::uint64_t n = 0; n < per_site_; ++n) at(machine).spawn(work(at(machine), stage_, n));
    for (std::uint64_t n = 0; n < stage_.lockers; ++n) at(machine).spawn(count_under_lock(at(machine), stage_, n));
    for (std::uint64_t n = 0; n < stage_.posix_hosts; ++n) at(machine).spawn(work_on_names(at(machine), stage_, n));
    if (stage_.tight) at(machine).spawn(make_and_remove(at(machine), stage_));
    if (stage_.reserves) at(machine).spawn(reserve(at(machine), stage_, cluster_, prng_));
  }

  Cluster& cluster_;
  Stage& stage_;
  sim::Prng& prng_;
  bool working_ = false;
  std::uint64_t per_site_ = 0;
  std::array<sim::Process*, 2> processes_{};
};

}  // namespace lockstep::simulator
