#include "bin/simulator/run.h"

#include <fmt/format.h>

#include "bin/simulator/cluster.h"
#include "bin/simulator/hosts.h"
#include "core/planted.h"
#include "sim/storage.h"

namespace lockstep::simulator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kSettleLimit = std::chrono::minutes(3);

/// What this seed does to the cluster, and how often.
struct Mix {
  bool cuts = false, half_open = false, partitions = false, kills = false;
  bool power = false;       ///< machines lose their power, one at a time: the other site holds what is lost there
  bool absences = false;    ///< a daemon stays away for long enough that the other one goes on alone
  bool arbiter = false;     ///< it goes away, is cut off, loses requests and answers
  bool switchovers = false;
  std::uint64_t hosts_per_site = 1;
  std::uint64_t lockers_per_site = 0;
  Duration length{};
};

Mix draw_mix(sim::Prng& prng, Stage& stage, Cluster& cluster) {
  Mix mix;
  mix.cuts = prng.chance(600);
  mix.half_open = prng.chance(200);
  mix.partitions = prng.chance(300);
  mix.kills = prng.chance(500);
  mix.power = prng.chance(300);
  mix.absences = prng.chance(300);
  mix.arbiter = prng.chance(700);
  mix.switchovers = prng.chance(300);
  mix.hosts_per_site = 1 + prng.below(3);
  mix.length = milliseconds(500 + prng.below(4000));
  stage.files = 1 + prng.below(3);
  stage.blocks = 2 + prng.below(12);
  stage.fsyncs = prng.chance(200);
  stage.directs = prng.chance(300);
  stage.names = prng.chance(700);
  stage.appends = prng.chance(700);
  sim::NetWeather& net = cluster.universe().network().weather;
  net.delay_min = std::chrono::microseconds(20 + prng.below(500));
  net.delay_max = net.delay_min + std::chrono::microseconds(prng.below(5000));
  net.short_send_permille = static_cast<unsigned>(prng.below(300));
  for (std::size_t i = 0; i < 2; ++i) {
    sim::DiskWeather& disk = cluster.machine(i).storage().weather;
    disk.miss_permille = static_cast<unsigned>(prng.below(400));
  }
  if (prng.chance(400)) mix.lockers_per_site = 1 + prng.below(2);
  return mix;
}

class Runner {
 public:
  explicit Runner(const RunOptions& options)
      : options_(options), cluster_(options.seed, {.arbiter = options.seed % 3 == 0}), stage_(options.seed * 2 + 1), prng_(options.seed ^ 0x5EEDull) {
    stage_.verbose = options.verbose;
  }

  RunResult run() {
    try {
      run_phases();
    } catch (const sim::Livelock& e) {
      stage_.fail(fmt::format("livelock: {}", e.what()));
    }
    result_.failure = stage_.failure;
    result_.trace = cluster_.universe().trace();
    result_.acknowledged = stage_.history.acknowledged();
    return std::move(result_);
  }

 private:
  void run_phases() {
    mix_ = draw_mix(prng_, stage_, cluster_);
    if (!cluster_.format()) return stage_.fail(cluster_.problem());
    for (std::size_t i = 0; i < 2; ++i) cluster_.start(i);
    if (!wait_in_sync("at first")) return;
    for (std::size_t i = 0; i < 2; ++i) hosts_[i] = &cluster_.machine(i).start("hosts");
    if (arbitrated()) draw_arbiter();
    bool made = false;
    hosts_[0]->spawn(set_up(*hosts_[0], stage_, made));
    if (!cluster_.universe().run_until([&] { return made || !stage_.failure.empty(); }, kSettleLimit) || !made) {
      return stage_.fail("the first files could not be made");
    }
    for (std::size_t i = 0; i < 2; ++i) start_hosts(i);
    trouble();
    heal();
    if (!wait_in_sync("after the faults ended")) return;
    // Work goes on for a moment in peace, then everything must end.
    cluster_.universe().run_for(milliseconds(100));
    stage_.quiet = true;
    if (!cluster_.universe().run_until([&] { return !stage_.failure.empty() || (hosts_[0]->idle() && hosts_[1]->idle()); },
                                       kSettleLimit)) {
      return stage_.fail("requests of hosts have no answer although nothing is broken any more");
    }
    if (!stage_.failure.empty()) return;
    // Times in memory are written, objects without a name removed, all within the settling time.
    cluster_.universe().run_for(seconds(5));
    if (!wait_in_sync("at the end")) return;
    const auto at_rest = [&] {
      return cluster_.site(0).controller().load().effects == 0 && cluster_.site(1).controller().load().effects == 0;
    };
    if (!cluster_.universe().run_until(at_rest, kSettleLimit)) {
      return stage_.fail("effects stay in flight although nothing is broken any more");
    }
    if (const auto difference = cluster_.difference()) return stage_.fail(*difference);
    for (std::size_t i = 0; i < 2; ++i) {
      bool done = false;
      hosts_[i]->spawn(look_at_all(*hosts_[i], stage_, kSites[i], done));
      if (!cluster_.universe().run_until([&] { return done; }, kSettleLimit)) return stage_.fail("looking at everything does not end");
    }
  }

  bool wait_in_sync(const char* when) {
    const bool in_sync =
        cluster_.universe().run_until([&] { return cluster_.in_sync() || !stage_.failure.empty(); }, kSettleLimit);
    if (!in_sync) {
      std::string why;
      for (std::size_t i = 0; i < 2; ++i) {
        why += fmt::format("; {}: {}", kSites[i],
                           !cluster_.up(i) ? "down" : !cluster_.site(i).ready() ? "not ready" : cluster_.site(i).controller().problem());
      }
      stage_.fail(fmt::format("the sites are not in sync {}{}", when, why));
    }
    return stage_.failure.empty();
  }

  [[nodiscard]] bool arbitrated() const { return options_.seed % 3 == 0; }

  void start_hosts(std::size_t i) {
    for (std::uint64_t n = 0; n < mix_.hosts_per_site; ++n) hosts_[i]->spawn(work(*hosts_[i], stage_, n));
    for (std::uint64_t n = 0; n < mix_.lockers_per_site; ++n) hosts_[i]->spawn(count_under_lock(*hosts_[i], stage_, n));
  }

  void draw_arbiter() {
    if (!mix_.arbiter) return;
    sim::ArbiterWeather& weather = cluster_.arbiter().weather;
    weather.refused_permille = static_cast<unsigned>(prng_.below(200));
    weather.lost_permille = static_cast<unsigned>(prng_.below(100));
    weather.late_permille = static_cast<unsigned>(prng_.below(100));
    weather.unanswered_permille = static_cast<unsigned>(prng_.below(200));
  }

  void arbiter_fault() {
    sim::Arbiter& arbiter = cluster_.arbiter();
    if (prng_.chance(500)) {
      arbiter.set_available(!arbiter.available());
      count(arbiter.available() ? "arbiter back" : "arbiter away");
    } else {
      const sim::Machine& machine = cluster_.machine(prng_.below(2));
      arbiter.set_reachable(machine, !arbiter.reachable(machine));
      count(arbiter.reachable(machine) ? "arbiter reached again" : "arbiter out of reach");
    }
  }

  /// Of one machine, while both sites hold everything.
  void power_loss() {
    if (!cluster_.in_sync()) return;
    const std::size_t which = prng_.below(2);
    cluster_.lose_power(which);
    hosts_[which] = &cluster_.machine(which).start("hosts");
    start_hosts(which);
    count("loss of power");
  }

  void absence() {
    const std::size_t which = prng_.below(2);
    if (!cluster_.up(which) || !cluster_.up(1 - which)) return;
    cluster_.kill(which);
    count("long absence");
    cluster_.universe().run_for(milliseconds(2000 + prng_.below(14'000)));
    cluster_.start(which);
  }

  void switchover() {
    for (std::size_t i = 0; i < 2; ++i) {
      if (!cluster_.up(i) || !cluster_.site(i).ready() || cluster_.site(i).controller().primary() == nullptr) continue;
      cluster_.process(i).spawn(hand_over(cluster_.site(i)));
      count("switchover");
      return;
    }
  }

  static runtime::Task<void> hand_over(site::Site& site) { co_await site.controller().switch_over(); }

  void count(const std::string& fault) {
    ++result_.faults[fault];
    if (options_.verbose) fmt::print("{:>12} FAULT {}\n", cluster_.universe().now().ns / 1000, fault);
  }

  void trouble() {
    sim::Network& network = cluster_.universe().network();
    sim::Machine& east = cluster_.machine(0);
    sim::Machine& west = cluster_.machine(1);
    const Instant end = cluster_.universe().now() + mix_.length;
    while (cluster_.universe().now() < end && stage_.failure.empty()) {
      cluster_.universe().run_for(std::chrono::microseconds(500 + prng_.below(300'000)));
      for (std::size_t i = 0; i < 2; ++i) {
        if (!cluster_.up(i) && prng_.chance(700)) cluster_.start(i);
      }
      const std::uint64_t what = prng_.below(8);
      if (what == 4 && mix_.power) power_loss();
      if (what == 5 && mix_.absences && prng_.chance(500)) absence();
      if (what == 6 && mix_.switchovers) switchover();
      if (what == 7 && mix_.arbiter && arbitrated()) arbiter_fault();
      if (what == 0 && mix_.cuts) {
        const bool half = mix_.half_open && prng_.chance(300);
        network.cut(east, west, half ? (prng_.chance(500) ? sim::CutNotice::first : sim::CutNotice::second) : sim::CutNotice::both);
        count(half ? "cut, half open" : "cut");
        if (prng_.chance(300)) {
          const bool to_west = prng_.chance(500);
          network.cut_next_after(to_west ? east : west, to_west ? west : east, prng_.below(20'000));
          count("cut at a byte");
        }
      } else if (what == 1 && mix_.partitions) {
        network.partition(east, west, true);
        count("partition");
        cluster_.universe().run_for(milliseconds(1 + prng_.below(5000)));
        network.partition(east, west, false);
      } else if (what == 2 && mix_.kills) {
        const std::size_t which = prng_.below(2);
        if (cluster_.up(which)) {
          cluster_.kill(which);
          count(which == 0 ? "kill of the primary" : "kill of the secondary");
        }
        if (prng_.chance(200) && cluster_.up(1 - which)) {
          cluster_.kill(1 - which);
          count("kill of both");
        }
      }
    }
  }

  void heal() {
    if (arbitrated()) {
      cluster_.arbiter().weather = {};
      cluster_.arbiter().set_available(true);
      for (std::size_t i = 0; i < 2; ++i) cluster_.arbiter().set_reachable(cluster_.machine(i), true);
    }
    for (std::size_t i = 0; i < 2; ++i) {
      if (!cluster_.up(i)) cluster_.start(i);
    }
  }

  RunOptions options_;
  Cluster cluster_;
  Stage stage_;
  sim::Prng prng_;
  Mix mix_;
  std::array<sim::Process*, 2> hosts_{};
  RunResult result_;
};

}  // namespace

RunResult run(const RunOptions& options) {
  // What a kill abandons refers to its runner: it is kept as well.
  static std::vector<std::unique_ptr<Runner>> kept;
  kept.push_back(std::make_unique<Runner>(options));
  return kept.back()->run();
}

}  // namespace lockstep::simulator
