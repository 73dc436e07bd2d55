// site.h - one site, put together: area, volume, controller, link, host's side, control socket; start, stop, commands.
//
// Order of start: area (locked) -> volume (keys brought up to date from the log) -> controller -> mount -> link -> control.
// Hosts see the mount at once; their requests wait until the controller opens the gate.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "area/area.h"
#include "config/config.h"
#include "control/server.h"
#include "controller/controller.h"
#include "fuse/host_side.h"
#include "peer/link.h"
#include "resync/damage.h"
#include "resync/keep_aside.h"
#include "resync/scrub.h"
#include "resync/verify.h"
#include "runtime/world.h"
#include "site/remote_commands.h"
#include "site/reserve_commands.h"
#include "site/watch_commands.h"
#include "volume/volume.h"

namespace lockstep::site {

/// What only the program around the site knows.
struct Surroundings {
  Uuid host_boot;                                    ///< of the machine
  std::function<std::uint64_t()> memory_bytes;       ///< resident; null: unknown
  std::function<nlohmann::json()> loop_counters;     ///< null: none
  controller::Costs (*costs)(void*) = nullptr;       ///< for `trace --profile`
  void* costs_with = nullptr;
  bool control = true;                               ///< open the control socket
  runtime::Aside* aside = nullptr;                   ///< where what is discarded can be kept; null: nowhere
  /// Not empty: why this site works without an area (C7), for people. World::disk and World::keys are empty then, and end with the daemon.
  std::string without_area;
  std::function<void()> detached;                    ///< called when the area has failed and the site has to leave(); null: nobody is told
};

class Site final : public control::Commands {
 public:
  Site(runtime::World& world, const config::Config& config, SiteId self, Surroundings surroundings);
  ~Site();

  /// Errc::refused, Errc::corrupt, Errc::io: what is wrong and what to do; nothing runs then. Suspends.
  runtime::Task<Result<>> start();
  /// Takes the mount away, ends what runs, closes the area. Suspends.
  runtime::Task<void> stop();

  /// The area has failed (Surroundings::detached was called, or the daemon is to end): takes the mount away and ends the connection, for a
  /// bounded time; what waits for the area is left as it is, so the program has to end without destroying this. Suspends.
  runtime::Task<void> leave();
  /// The area has failed: the end is leave(), not stop().
  [[nodiscard]] bool failed() const { return controller_ && controller_->replica().failed(); }
  /// Requires: failed().
  [[nodiscard]] std::string why_failed() const { return controller_->problem(); }

  runtime::Task<nlohmann::json> execute(nlohmann::json request, control::Stream& stream) override;

  /// start() ended well and stop() was not called.
  [[nodiscard]] bool ready() const { return ready_ && !stopping_; }
  [[nodiscard]] controller::Controller& controller() { return *controller_; }
  [[nodiscard]] volume::Volume& volume() { return *volume_; }
  [[nodiscard]] area::Area& area() { return *area_; }
  [[nodiscard]] fuse::HostSide& host_side() { return *host_side_; }
  [[nodiscard]] peer::Link& link() { return *link_; }
  [[nodiscard]] resync::Verify* verify() { return verify_ ? &*verify_ : nullptr; }

 private:
  [[nodiscard]] controller::ControllerOptions controller_options() const;
  runtime::Task<Result<>> make_area();
  runtime::Task<void> take_mount_away();
  runtime::Task<void> close_area();
  nlohmann::json status();
  runtime::Task<nlohmann::json> mount();
  runtime::Task<nlohmann::json> switch_over(nlohmann::json request, control::Stream& stream);
  runtime::Task<nlohmann::json> after_switchover(nlohmann::json answer, control::Stream& stream);
  runtime::Task<nlohmann::json> take_over(nlohmann::json request);
  runtime::Task<nlohmann::json> replace(nlohmann::json request);
  runtime::Task<nlohmann::json> replace_arbiter(nlohmann::json request, control::Stream& stream);
  // divergence_commands.cc
  runtime::Task<nlohmann::json> list_divergence(control::Stream& stream);
  runtime::Task<nlohmann::json> resolve(nlohmann::json request, control::Stream& stream);
  runtime::Task<Result<>> keep_own(std::string directory, bool partly, control::Stream& stream, resync::Kept& kept);
  runtime::Task<Result<resync::ChangesSince>> changes_of_own(InodeId from, std::function<bool()> ends);
  void say_discarded(nlohmann::json& status) const;
  runtime::Task<nlohmann::json> list_locks(nlohmann::json request, control::Stream& stream);
  runtime::Task<nlohmann::json> break_locks(nlohmann::json request);
  // scrub_commands.cc
  runtime::Task<nlohmann::json> run_verify(nlohmann::json request, control::Stream& stream);
  runtime::Task<std::string> retake_keys(control::Stream& stream);
  runtime::Task<nlohmann::json> mistrust_keys();
  runtime::Task<nlohmann::json> run_scrub(nlohmann::json request, control::Stream& stream);
  void say_integrity(nlohmann::json& status) const;
  runtime::Task<nlohmann::json> run_trace(nlohmann::json request, control::Stream& stream);
  nlohmann::json step_line(const controller::StepEvent& event) const;
  [[nodiscard]] std::string site_name(SiteId id) const;

  runtime::World& world_;
  const config::Config& config_;
  SiteId self_;
  Surroundings surroundings_;
  Uuid start_;
  std::unique_ptr<area::Area> area_;
  std::unique_ptr<volume::Volume> volume_;
  std::optional<controller::Controller> controller_;
  std::optional<fuse::HostSide> host_side_;
  std::optional<peer::Link> link_;
  std::optional<resync::Verify> verify_;
  std::optional<resync::Scrub> scrub_;
  std::optional<resync::Damage> damage_;
  std::optional<resync::Comparison> comparison_;
  std::optional<RemoteCommands> remote_;
  std::optional<ReserveCommands> reserve_;
  std::optional<WatchCommands> watch_;
  std::optional<control::Server> control_;
  const resync::Kept* keeping_ = nullptr;  ///< what is being kept aside; null: nothing
  std::vector<std::string> kept_;          ///< where something was; kDiscardedDirectory of the area, if it is there at the start
  bool stopping_ = false;
  bool started_ = false;
  bool mounted_ = false;
  bool ready_ = false;
  bool mount_away_ = false;
  bool closed_ = false;
  std::unique_ptr<runtime::Scope> last_;  ///< what may never end when the area has failed
  Instant since_;
};

}  // namespace lockstep::site
