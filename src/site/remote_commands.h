// remote_commands.h - commands that the other site is to carry out, over the peer channel.
//
// A request and each line of its answer travel as the JSON text that the control socket has. At most kRunning are carried out for
// the other site at a time. When the session ends, what was asked answers with an error.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "control/commands.h"
#include "controller/controller.h"
#include "runtime/world.h"

namespace lockstep::site {

class RemoteCommands final : public controller::Controller::Commands {
 public:
  static constexpr std::size_t kRunning = 8;

  RemoteCommands(runtime::World& world, controller::Controller& controller, control::Commands& here)
      : world_(world), controller_(controller), here_(here), scope_(world.scheduler) {}

  /// Has the other site carry `request` out; its lines go to `stream`, its answer comes back. Suspends.
  runtime::Task<nlohmann::json> ask(nlohmann::json request, control::Stream& stream);
  runtime::Task<void> stop();

  void command(wire::Command command) override;
  void command_answered(wire::CommandAnswer answer) override;
  void session_ended() override;

 private:
  struct Asked {
    std::vector<std::string> lines;
    std::optional<std::string> last;
    bool lost = false;
    runtime::Event changed;
    explicit Asked(runtime::Scheduler& s) : changed(s) {}
  };
  class Answers;
  runtime::Task<void> carry_out(wire::Command command, std::uint64_t session);

  runtime::World& world_;
  controller::Controller& controller_;
  control::Commands& here_;
  std::uint64_t next_ = 1;
  std::uint64_t sessions_ = 0;
  std::map<std::uint64_t, Asked*> asked_;
  runtime::Stop stop_;
  runtime::Scope scope_;
};

}  // namespace lockstep::site
