// cluster.h - two simulated machines, each with an area and (when it is up) the daemon's own Site on it.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "sim/arbiter.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/process.h"
#include "sim/universe.h"
#include "site/site.h"

namespace lockstep::simulator {

inline constexpr std::array<const char*, 2> kSites = {"east", "west"};  // east is the primary

inline constexpr std::uint64_t kLogBytes = 1u << 20;

struct ClusterOptions {
  std::uint64_t area_bytes = 24u << 20;
  bool alone = true;      ///< the primary goes on alone when the other site is away
  bool arbiter = false;   ///< there is one, in the universe
  bool stable = false;    ///< ack = "stable"
  bool strict = false;    ///< coherence = "strict"
  Duration slow_peer = std::chrono::seconds(30);
  Duration contended = std::chrono::seconds(60);
};

class Cluster {
 public:
  explicit Cluster(std::uint64_t seed, ClusterOptions options = {});

  /// Makes both areas. False: it failed; said in problem().
  bool format();
  /// Starts the daemon of a site whose daemon is not up; without its area if that is said.
  void start(std::size_t index, bool without_area = false);
  void kill(std::size_t index);
  /// The machine loses its power: its daemon and its hosts are gone, and what was not synced may be.
  void lose_power(std::size_t index);
  [[nodiscard]] bool up(std::size_t index) const { return daemons_[index].process != nullptr; }
  /// Its daemon is up, and has read what its area says.
  [[nodiscard]] bool running(std::size_t index) { return up(index) && !*daemons_[index].failed && site(index).ready(); }
  /// Its daemon is up, without its area.
  [[nodiscard]] bool without_area(std::size_t index) const { return up(index) && daemons_[index].without_area; }
  /// Both daemons are up and in sync.
  [[nodiscard]] bool in_sync();
  /// An orderly end of the daemon.
  bool stop(std::size_t index);
  /// The area of a site that is up has failed: the daemon wants to end, or could not start.
  [[nodiscard]] bool area_failed(std::size_t index) const;
  /// The end of a daemon whose area has failed. Requires: area_failed().
  bool leave(std::size_t index);

  [[nodiscard]] sim::Universe& universe() { return universe_; }
  [[nodiscard]] sim::Machine& machine(std::size_t index) { return *universe_.machines()[index]; }
  [[nodiscard]] site::Site& site(std::size_t index) { return *daemons_[index].site; }
  /// Requires: options.arbiter.
  [[nodiscard]] sim::Arbiter& arbiter() { return *arbiter_; }
  [[nodiscard]] sim::Process& process(std::size_t index) { return *daemons_[index].process; }

  /// A new area at the site, which lost its own; the other site's administrator says that it is welcome. Requires: it is
  /// down, the other one is up. False: said in problem().
  bool replace(std::size_t index);
  /// A new area has not caught up yet.
  [[nodiscard]] bool replacing();

  [[nodiscard]] const ClusterOptions& options() const { return options_; }
  [[nodiscard]] bool arbitrated() const { return arbiter_ != nullptr; }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  struct Daemon {
    sim::Process* process = nullptr;
    site::Site* site = nullptr;
    std::shared_ptr<bool> failed;    ///< it could not start
    std::shared_ptr<bool> detached;  ///< its area failed and it has to leave
    bool without_area = false;
  };
  bool format(std::size_t index);
  void ask_for_new_store();

  ClusterOptions options_;
  std::optional<std::size_t> replaced_;
  sim::Universe universe_;
  sim::Arbiter* arbiter_ = nullptr;
  config::Config config_;
  std::array<Daemon, 2> daemons_;
  std::string problem_;
};

}  // namespace lockstep::simulator
