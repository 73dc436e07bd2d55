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
  bool resting = false;             ///< hosts wait before their next call
  std::uint64_t files = 0, blocks = 0, doomed = 0;
  std::string failure;              ///< the first thing that may not be
  bool verbose = false;
  bool fsyncs = false, directs = false, names = true, appends = true;
  bool fills = false;               ///< hosts fill the area, and take ENOSPC for an answer
  bool rot = false;                 ///< blocks of one site go bad: EIO is an answer while no other one is in sync
  std::uint64_t full = 0;           ///< how often one of them did
  std::uint64_t verified = 0;       ///< comparisons of both sites that ended
  // Counting under a lock.
  std::uint64_t lockers = 0;        ///< hosts of each site that do
  Value counted = 0;                ///< the highest number whose write was acknowledged
  std::shared_ptr<sim::Mount> holder;  ///< the mount of who has the lock; null: nobody

  void fail(const std::string& what) {
    if (failure.empty()) failure = what;
  }
};

/// Bytes of a block that holds `value`; 0 is a block of zeros.
[[nodiscard]] std::string block_of(Value value);
/// The value that a block, or a part of one, holds; nullopt: more than one, or none.
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
