// scrub.h - reads the blocks of this site that files have against their checksums, while in use, and repairs those that are bad.
//
//   each extent, in the order of the area: read, compare; a bad block: Controller::repair(), which takes it from the other site
//
// Reads this site's area only, so both sites can be scrubbed at the same time. What is written while it runs is read where the
// scrub has not been yet. Memory: one stretch of 1 MiB. One at a time.
#pragma once

#include <string>
#include <vector>

#include "controller/controller.h"
#include "runtime/world.h"

namespace lockstep::resync {

struct ScrubReport {
  bool complete = false;         ///< false: it ended early; `problem` says why
  std::string problem;
  std::uint64_t blocks = 0;      ///< that were read
  std::uint64_t of = 0;          ///< blocks that files have, about
  std::uint64_t bad = 0;         ///< that did not match their checksum or could not be read
  std::uint64_t repaired = 0;
  std::uint64_t unknown = 0;     ///< reverse keys that can't be understood: their blocks were not read
  std::vector<std::uint64_t> named;  ///< the first of those that are still bad
  std::string why;               ///< why the last of them is
  [[nodiscard]] bool good() const { return complete && bad == repaired && unknown == 0; }
};

class Scrub {
 public:
  Scrub(runtime::World& world, controller::Controller& controller) : world_(world), controller_(controller), replica_(controller.replica()) {}

  /// Is told how far it is, about once a second.
  class Watcher {
   public:
    /// False: the scrub is to end. Suspends.
    virtual runtime::Task<bool> progress(const ScrubReport& so_far) = 0;

   protected:
    ~Watcher() = default;
  };
  /// `rate`: bytes a second at most, 0: no limit. `stop`: ends it early. Suspends.
  runtime::Task<ScrubReport> run(std::uint64_t rate, Watcher& watcher, runtime::Stop& stop);
  /// Of the one that runs; null: none does.
  [[nodiscard]] const ScrubReport* running() const { return running_; }

 private:
  runtime::Task<void> go(std::uint64_t rate, Watcher& watcher, runtime::Stop& stop, ScrubReport& report);
  runtime::Task<Result<>> look(BlockRange blocks, ScrubReport& report);

  runtime::World& world_;
  controller::Controller& controller_;
  controller::Replica& replica_;
  const ScrubReport* running_ = nullptr;
};

}  // namespace lockstep::resync
