// universe.h - virtual time: a queue of events in the order (time, number), run on one thread.
//
// Nothing here or below it looks at the real clock, at addresses or at hash order, so a seed fixes every run:
// trace() of two runs with the same seed and the same calls is the same number.
//
// What a killed process leaves behind (its objects, coroutine frames, pending events) is neither run nor destroyed: its
// coroutines stand in the middle of something, and their destructors would rightly object. It is kept in a graveyard
// that is never freed. So a kill costs the memory that the process had; whoever runs many seeds with large processes
// runs each in a child of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/types.h"
#include "sim/prng.h"

namespace lockstep::sim {

class Arbiter;
class Machine;
class Network;
class Process;

/// A universe that runs on and on: more events than allowed, or a pass that does not end.
class Livelock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Universe {
 public:
  /// Names an event, for cancel(). 0 names none.
  using EventId = std::uint64_t;

  explicit Universe(std::uint64_t seed);
  ~Universe();
  Universe(const Universe&) = delete;

  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] Prng& prng() { return prng_; }

  /// Adds a machine; lives as long as the universe. Its name is its host name in addresses.
  Machine& add_machine(const std::string& name);
  [[nodiscard]] const std::vector<std::unique_ptr<Machine>>& machines() const { return machines_; }
  [[nodiscard]] Network& network() { return *network_; }
  /// Adds an arbiter, which the processes started from here on reach as World::arbiter. Requires: there is none.
  Arbiter& add_arbiter();
  /// Null: there is none.
  [[nodiscard]] Arbiter* arbiter() { return arbiter_.get(); }

  /// Calls `what` after `delay`. With an `owner` only if that is still alive then.
  EventId after(Duration delay, Process* owner, std::function<void()> what);
  /// Nothing happens if it is over.
  void cancel(EventId id);

  /// Runs until `done()` (asked before the first and after every event); false: `limit` passed first.
  /// Throws Livelock.
  bool run_until(const std::function<bool()>& done, Duration limit);
  /// Runs for that long, whatever happens. Throws Livelock.
  void run_for(Duration time);
  /// How many events may run between two calls of run_...().
  void set_events_max(std::uint64_t n) { events_max_ = n; }

  /// Mixes `what` into the trace: every event does, and so do writes and messages.
  void note(std::uint64_t what) { trace_ = (trace_ ^ what) * 0x9E3779B97F4A7C15u + (trace_ >> 29); }
  [[nodiscard]] std::uint64_t trace() const { return trace_; }

  /// Takes the events of a process that was killed to the graveyard, or drops them (it ended).
  void forget_events_of(const Process* owner, bool bury);
  /// Keeps `remains` for ever.
  static void bury(std::shared_ptr<void> remains);

 private:
  struct Event {
    Process* owner;
    std::function<void()> what;
  };
  bool step(Instant limit);

  std::uint64_t seed_;
  Prng prng_;
  Instant now_{1'000'000'000};
  std::uint64_t next_event_ = 1;
  std::uint64_t trace_ = 0;
  std::uint64_t events_max_ = 20'000'000;
  std::map<std::pair<std::int64_t, EventId>, Event> queue_;
  std::map<EventId, std::int64_t> times_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Arbiter> arbiter_;
  std::vector<std::unique_ptr<Machine>> machines_;
};

}  // namespace lockstep::sim
