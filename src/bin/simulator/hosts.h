// hosts.h - simulated applications: each is a coroutine in a process of its machine that outlives the daemon.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bin/simulator/history.h"
#include "sim/host.h"
#include "sim/machine.h"

namespace lockstep::simulator {

/// What all hosts of a run share.
struct Stage {
  explicit Stage(std::uint64_t seed) : prng(seed) {}
  History history;
  sim::Prng prng;
  bool quiet = false;               ///< hosts end after their present call
  std::uint64_t files = 0, blocks = 0, doomed = 0;
  std::string failure;              ///< the first thing that may not be
  bool verbose = false;
  // Counting under a lock.
  Value counted = 0;                ///< the highest number whose write was acknowledged
  std::shared_ptr<sim::Mount> holder;  ///< the mount of who has the lock; null: nobody
  bool fsyncs = false, mappings = false, directs = false, names = true, appends = true;

  void fail(const std::string& what) {
    if (failure.empty()) failure = what;
  }
};

/// Bytes of a block that holds `value`; 0 is a block of zeros.
[[nodiscard]] std::string block_of(Value value);
/// The value that a block holds; nullopt: no whole block of one value.
[[nodiscard]] std::optional<Value> value_of(const std::string& block);

/// Works until the stage is quiet: reads and writes blocks, appends records, makes and removes names.
runtime::Task<void> work(sim::Process& process, Stage& stage, std::uint64_t number);
/// Adds one to the number in a file under a lock of all of it, until the stage is quiet: nobody else has it then, and no number is
/// lost. `number` tells the lockers of a site apart.
runtime::Task<void> count_under_lock(sim::Process& process, Stage& stage, std::uint64_t number);
/// Makes the files that hosts write blocks of. Suspends.
runtime::Task<void> set_up(sim::Process& process, Stage& stage, bool& done);
/// Reads everything back through this machine's mount and says what may not be.
runtime::Task<void> look_at_all(sim::Process& process, Stage& stage, std::string site, bool& done);

}  // namespace lockstep::simulator
