// reserve_commands.h - the commands of the control socket about reservations; lockstep(1) lists their members.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "config/config.h"
#include "control/commands.h"
#include "controller/controller.h"

namespace lockstep::site {

class ReserveCommands {
 public:
  ReserveCommands(const config::Config& config, SiteId self, runtime::Clock& clock, controller::Controller& controller,
                  const volume::Volume& volume)
      : config_(config), self_(self), clock_(clock), controller_(controller), volume_(volume) {}

  [[nodiscard]] static bool knows(std::string_view command);
  /// Requires: knows(request's command). Suspends: a reservation waits in line behind what is exclusive.
  runtime::Task<nlohmann::json> execute(nlohmann::json request, control::Stream& stream);
  /// For status: how many there are, whose, and which requests of this site's host wait for one; null: none.
  [[nodiscard]] nlohmann::json summary() const;

 private:
  runtime::Task<nlohmann::json> reserve(nlohmann::json request);
  runtime::Task<nlohmann::json> release(nlohmann::json request);
  runtime::Task<nlohmann::json> list(control::Stream& stream);
  [[nodiscard]] std::string name_of(SiteId site) const;

  const config::Config& config_;
  SiteId self_;
  runtime::Clock& clock_;
  controller::Controller& controller_;
  const volume::Volume& volume_;
};

}  // namespace lockstep::site
