// hosts.h - simulated applications: each is a coroutine in a process of its machine that outlives the daemon.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "bin/simulator/history.h"
#include "bin/simulator/holds.h"
#include "bin/simulator/posix_check.h"
#include "sim/host.h"
#include "sim/machine.h"

namespace lockstep::simulator {

/// What all hosts of a run share.
struct Stage {
  explicit Stage(std::uint64_t seed) : prng(seed), posix_prng(seed ^ 0x9051Cull) {}
  History history;
  Holds holds;
  sim::Prng prng;
  bool quiet = false;               ///< hosts end after their present call
  bool resting = false;             ///< hosts wait before their next call
  std::array<bool, 2> idle{};       ///< those of one site do
  [[nodiscard]] bool rests(std::size_t site) const { return resting || idle[site]; }
  std::uint64_t files = 0, blocks = 0, doomed = 0;
  std::string failure;              ///< the first thing that may not be
  bool verbose = false;
  bool stable = false;              ///< whatever is acknowledged is on both media
  bool fsyncs = false, directs = false, names = true, appends = true;
  bool fills = false;               ///< hosts fill the area
  bool tight = false;               ///< the area is hardly larger than what they work on
  /// ENOSPC is an answer.
  [[nodiscard]] bool may_be_full() const { return fills || tight; }
  bool rot = false;                 ///< blocks of one site go bad: EIO is an answer while no other one is in sync
  std::uint64_t full = 0;           ///< how often one of them did
  std::uint64_t verified = 0;       ///< comparisons of both sites that ended
  // Counting under a lock.
  std::uint64_t lockers = 0;        ///< hosts of each site that do
  struct Counter {
    Value counted = 0;              ///< the highest number whose write was acknowledged
    std::shared_ptr<sim::Mount> holder;  ///< the mount of who has the lock; null: nobody
    std::size_t holder_site = 0;
  };
  std::array<Counter, 2> counters;  ///< the second one's only while the sites are apart
  std::shared_ptr<sim::Mount> holder_before;  ///< who had it when they parted
  std::uint64_t meetings = 0;       ///< how often they came together again
  [[nodiscard]] Counter& counter(std::size_t site) { return counters[history.apart() ? site : 0]; }
  // Reserving.
  bool reserves = false;            ///< sites reserve what hosts work on: EBUSY is an answer while it may be so
  bool keeps = false;               ///< some of it stays reserved to the end
  std::uint64_t refused_busy = 0;   ///< how often a host got that answer
  std::uint64_t refused_nowhere = 0;  ///< calls on names that met a directory which could not be put where the other site had moved it; not judged

  // Names (posix_hosts.h).
  struct Ground {
    std::string top;                ///< the directory in which they work
    posix::Check check;
  };
  std::vector<std::unique_ptr<Ground>> grounds;  ///< the last one is in use, the others may have calls under way
  std::uint64_t posix_hosts = 0;    ///< of each site
  std::size_t ordered_by = 0;
  std::uint64_t tops = 0, posix_sizes = 0;  ///< that were given to directories and files so far
  bool counter_may_be_torn = false;
  std::uint64_t losses = 0;         ///< how often something that was acknowledged may have gone
  sim::Prng posix_prng;

  // What the histories are told.
  void power_lost(Instant at) {
    history.power_lost();
    if (!stable) stop_judging_names();
    holds.doubt_all(at);
  }
  /// Of one of two sites that are apart.
  void power_lost(std::size_t site, Instant at) {
    history.power_lost(site);
    ++losses;
    holds.doubt_all(at);
  }
  /// A medium failed in the middle of a write.
  void write_failed() {
    history.write_failed();
    counter_may_be_torn = true;
  }
  void part(std::size_t primary, Instant at) {
    history.part(primary, at);
    stop_judging_names();
    holds.doubt_all(at);
    counters[1] = counters[0];
    holder_before = counters[0].holder;
  }
  /// Set by who knows the sites. Whatever took effect so far stands at both sites, and their kernels keep nothing of what was before.
  std::function<bool()> nothing_in_flight;
  /// Which site orders what happens: another one may lack what the one before had in flight.
  std::function<std::size_t()> orderer;
  /// Before something about names begins or is judged.
  void look_at_sites() {
    if (const std::size_t now = orderer(); std::exchange(ordered_by, now) != now) {
      names_may_be_undone();
    } else if (nothing_in_flight()) {
      for (const auto& ground : grounds) ground->check.seen_by_all();
    }
  }
  /// What is in flight may be lost with the site that ordered it.
  void names_may_be_undone() {
    for (const auto& ground : grounds) ground->check.may_be_undone();
  }
  void stop_judging_names() {
    ++losses;
    for (const auto& ground : grounds) ground->check.stop();
  }
  void part_both(Instant at) { history.part_both(at); }
  void join(std::size_t survivor, Instant at) {
    history.join(survivor, at);
    came_together(survivor, at);
  }
  void discard(std::size_t site, Instant said, Instant at) {
    if (const std::uint64_t after = history.discard(site, said, at); after != 0) {
      fail(std::to_string(after) + " changes were acknowledged by a site after an administrator said that what it has of its own goes");
    }
    came_together(1 - site, at);
  }
  void came_together(std::size_t survivor, Instant at) {
    ++losses;
    holds.doubt_all(at);
    // Whoever had it then, at the other site, may have given it back there; and the survivor took it away when it went on alone.
    const bool gone = counters[survivor].holder == holder_before && counters[survivor].holder_site != survivor;
    counters[0] = counters[survivor];
    if (gone) counters[0].holder = nullptr;
    ++meetings;
  }

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
/// Makes files, some of them stable, and removes them, until the stage is quiet: where there is little space, what is freed is wanted at once.
runtime::Task<void> make_and_remove(sim::Process& process, Stage& stage);
/// Adds one to the number in a file under a lock of all of it, until the stage is quiet: nobody else has it then, and no number is
/// lost. `number` tells the lockers of a site apart.
runtime::Task<void> count_under_lock(sim::Process& process, Stage& stage, std::uint64_t number);
/// Makes the files that hosts write blocks of. Suspends.
runtime::Task<void> set_up(sim::Process& process, Stage& stage, bool& done);
/// Reads everything back through this machine's mount and says what may not be.
runtime::Task<void> look_at_all(sim::Process& process, Stage& stage, std::string site, bool& done);
struct Look {
  std::string when;  ///< for messages
  bool over = false;  ///< nobody waits for it any more, and what it meets from here on is no fault
  bool done = false;
};
/// The same of the blocks of the files that are there from the beginning, at any time.
runtime::Task<void> look_at_files(sim::Process& process, Stage& stage, Look& look);

/// The file that hosts write blocks of.
[[nodiscard]] std::string data_file(std::uint64_t n);
/// The one that `process` is a program of, 0 or 1.
[[nodiscard]] std::size_t site_of(sim::Process& process);
/// Whether it happened is not known: the mount or the daemon is gone, or the program was ended meanwhile.
[[nodiscard]] bool lost(const Error& error);

}  // namespace lockstep::simulator
