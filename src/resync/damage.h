// damage.h - says which files bad blocks were met in: one line of the log each, and the last ones for status.
//
// Finding a path reads the names of all directories, so it is done beside what met the block, for many blocks at a time. At most
// kWaiting wait for that; more are only counted.
#pragma once

#include <deque>

#include "resync/places.h"
#include "runtime/sync.h"
#include "runtime/world.h"

namespace lockstep::resync {

class Damage {
 public:
  static constexpr std::size_t kWaiting = 256;
  static constexpr std::size_t kKept = 32;

  explicit Damage(runtime::World& world) : world_(world), noted_(world.scheduler), scope_(world.scheduler) {}

  void start() { scope_.spawn(loop()); }
  /// Suspends.
  runtime::Task<void> stop();
  /// `block` was bad. `why`: why it still is; empty: it was repaired.
  void note(std::uint64_t block, std::string why);

  struct Event {
    Place place;
    std::string why;
  };
  /// The last kKept, oldest first.
  [[nodiscard]] const std::deque<Event>& events() const { return events_; }

 private:
  runtime::Task<void> loop();

  runtime::World& world_;
  std::deque<Event> waiting_;  // without a path
  std::uint64_t unnamed_ = 0;
  std::deque<Event> events_;
  runtime::Event noted_;
  bool stopping_ = false;
  runtime::Scope scope_;
};

}  // namespace lockstep::resync
