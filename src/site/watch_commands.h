// watch_commands.h - the command `watch` of the control socket, and who tells the watches what takes force.
//
// While no watch runs the write path does not know of this.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "config/config.h"
#include "control/commands.h"
#include "controller/effect_observer.h"
#include "controller/replica.h"
#include "site/watch.h"

namespace lockstep::site {

class WatchCommands final : private controller::EffectObserver {
 public:
  /// At one time; other clients of the control socket are to have room.
  static constexpr std::size_t kWatchesMax = 8;
  static constexpr std::size_t kPathsMax = 64;

  WatchCommands(runtime::World& world, const config::Config& config, controller::Replica& replica)
      : world_(world), config_(config), replica_(replica) {}

  /// Runs a watch until it ends or the client goes. Suspends.
  runtime::Task<nlohmann::json> execute(nlohmann::json request, control::Stream& stream);

 private:
  void in_force(const wire::Effect& effect) override;
  void passed_over(bool keys) override;
  void enter(Watch& watch);
  void leave(Watch& watch);

  runtime::World& world_;
  const config::Config& config_;
  controller::Replica& replica_;
  std::vector<Watch*> watches_;
  Seq told_;  // what comes again is not told again
};

}  // namespace lockstep::site
