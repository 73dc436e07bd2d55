#include "bin/simulator/run.h"

#include <fmt/format.h>

#include <memory>

#include "bin/simulator/checks.h"
#include "bin/simulator/cluster.h"
#include "bin/simulator/crowd.h"
#include "bin/simulator/faults.h"
#include "bin/simulator/hosts.h"
#include "bin/simulator/posix_hosts.h"
#include "core/probe.h"

namespace lockstep::simulator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Blocks of an area that is hardly larger than what hosts work on.
constexpr std::uint64_t kTightBlocks = 80, kTightSpread = 100;
constexpr Duration kSettleLimit = std::chrono::minutes(3);

/// A third of the seeds has an arbiter, a tenth flushes every write, a twentieth reads past the kernel's caches. In half of them directories are
/// contended for a short time only, again and again. In one in eight the area is tight. `added`, `tight`: what was added later, so that a seed
/// keeps what it had.
ClusterOptions draw_options(sim::Prng& prng, sim::Prng added, sim::Prng tight) {
  ClusterOptions options;
  options.arbiter = prng.chance(333);
  options.stable = prng.chance(100);
  options.strict = prng.chance(50);
  if (prng.chance(200)) options.slow_peer = seconds(4);
  options.alone = options.arbiter || !prng.chance(150);
  if (added.chance(500)) options.contended = milliseconds(added.below(500));
  if (tight.chance(125)) options.area_bytes = (kTightBlocks + tight.below(kTightSpread)) * kBlockBytes;
  return options;
}

class Runner {
 public:
  explicit Runner(const RunOptions& options)
      : prng_(options.seed ^ 0x5EEDull),
        cluster_(options.seed, draw_options(prng_, sim::Prng(options.seed ^ 0xC047E4Dull), sim::Prng(options.seed ^ 0x71647ull))),
        stage_(options.seed * 2 + 1),
        added_(options.seed ^ 0xADDEDull),
        reserving_(options.seed ^ 0x4E5E4Eull),
        apart_(options.seed ^ 0xA9A27ull),
        crowd_(cluster_, stage_, reserving_),
        faults_(cluster_, stage_, crowd_, prng_, added_, apart_, result_.faults) {
    stage_.verbose = options.verbose;
    stage_.nothing_in_flight = [this] { return nothing_in_flight(); };
    stage_.orderer = [this] { return orderer(); };
    rare_ = options.rare;
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
    if (!stage_.holds.all().empty()) result_.faults["asked to reserve"] += stage_.holds.all().size();
    if (stage_.holds.breaks() != 0) result_.faults["asked to break a reservation"] += stage_.holds.breaks();
    if (stage_.refused_nowhere != 0) result_.faults["told ESTALE of a directory that just moved"] += stage_.refused_nowhere;
    if (stage_.refused_busy != 0) result_.faults["told EBUSY"] += stage_.refused_busy;
    if (stage_.history.gone() != 0) result_.faults["acknowledged and discarded"] += stage_.history.gone();
    if (stage_.full != 0) result_.faults["area full"] += stage_.full;
    for (const auto& ground : stage_.grounds) {
      result_.faults["calls judged by POSIX"] += ground->check.judged();
      if (ground->check.gave_up()) result_.faults["too many calls at once for the POSIX model"] += 1;
    }
    if (stage_.verified != 0) result_.faults["verified"] += stage_.verified;
    for (const Probe* probe = Probe::first(); probe != nullptr; probe = probe->next()) result_.probes[probe->name()] += probe->count();
    return std::move(result_);
  }

 private:
  void draw_hosts() {
    stage_.files = 1 + prng_.below(3);
    stage_.blocks = 2 + prng_.below(12);
    stage_.fsyncs = prng_.chance(300);
    stage_.directs = prng_.chance(300);
    stage_.names = prng_.chance(700);
    stage_.appends = prng_.chance(700);
    stage_.fills = prng_.chance(100);
    stage_.tight = cluster_.options().area_bytes < ClusterOptions{}.area_bytes;
    if (prng_.chance(300)) stage_.lockers = 1 + prng_.below(2);
    stage_.stable = cluster_.options().stable;
    if (stage_.stable) stage_.history.always_stable();
    stage_.reserves = reserving_.chance(250);
    stage_.keeps = stage_.reserves && reserving_.chance(300);
    if (stage_.posix_prng.chance(250)) stage_.posix_hosts = 1 + stage_.posix_prng.below(2);
  }

  void run_phases() {
    faults_.draw(rare_);
    draw_hosts();
    const std::uint64_t hosts_per_site = 1 + prng_.below(3);
    if (!cluster_.format()) return stage_.fail(cluster_.problem());
    for (std::size_t i = 0; i < 2; ++i) cluster_.start(i);
    if (!wait_in_sync("at first")) return;
    faults_.begin();
    bool made = false;
    crowd_.at(0).spawn(set_up(crowd_.at(0), stage_, made));
    if (!wait_for([&] { return made; })) return stage_.fail("the first files could not be made");
    crowd_.start_all(hosts_per_site);
    faults_.trouble();
    faults_.heal();
    if (!wait_in_sync("after the faults ended")) return;
    // Work goes on for a moment in peace, then everything must end.
    cluster_.universe().run_for(milliseconds(100));
    stage_.quiet = true;
    bool over = true, broken = true;
    if (stage_.reserves) {
      over = broken = false;
      administration().spawn(break_all(administration(), stage_, cluster_, over, broken));
    }
    if (!wait_for([&] { return crowd_.idle(); })) return stage_.fail(unanswered());
    over = true;
    if (!wait_for([&] { return broken; })) return stage_.fail("what is reserved can't be broken");
    if (stage_.keeps) reserve_at_last();
    look();
  }

  bool nothing_in_flight() {
    for (std::size_t i = 0; i < 2; ++i) {
      if (cluster_.running(i) && cluster_.site(i).controller().primary() != nullptr) return cluster_.site(i).controller().load().effects == 0;
    }
    return false;
  }

  /// The primary of the last epoch that a site knows; the one before if none can be asked.
  std::size_t orderer() {
    Epoch last;
    std::size_t primary = stage_.ordered_by;
    for (std::size_t i = 0; i < 2; ++i) {
      if (!cluster_.running(i)) continue;
      const controller::EpochEntry& now = cluster_.site(i).controller().keeper().membership().in_force();
      if (now.number < last) continue;
      last = now.number;
      primary = now.primary.value;
    }
    return primary;
  }

  /// Where an administrator of a site works at the end, apart from its hosts.
  sim::Process& administration() {
    if (administration_ == nullptr) administration_ = &cluster_.machine(0).start("administration");
    return *administration_;
  }

  /// What stands reserved when everything is compared.
  void reserve_at_last() {
    for (std::size_t i = 0; i < 2; ++i) {
      bool done = false;
      crowd_.at(i).spawn(reserve_to_the_end(crowd_.at(i), stage_, cluster_, reserving_, done));
      if (!wait_for([&] { return done; })) return stage_.fail("reserving does not end");
    }
  }

  /// All is quiet: both sites hold the same, and what the hosts were told.
  void look() {
    // Times in memory are written, objects without a name removed, all within the settling time.
    cluster_.universe().run_for(seconds(5));
    if (!wait_in_sync("at the end")) return;
    const auto at_rest = [&] {
      return cluster_.site(0).controller().load().effects == 0 && cluster_.site(1).controller().load().effects == 0;
    };
    if (!wait_for(at_rest)) return stage_.fail("effects stay in flight although nothing is broken any more");
    if (stage_.rot) {  // in use everything is good again; what nobody uses may differ
      for (std::size_t i = 0; i < 2; ++i) check(scrubbed(cluster_, i));
      check(difference(cluster_, false));
    } else {
      check(difference(cluster_));
      check(not_suspect(cluster_));
    }
    check(reservations_wrong(cluster_, stage_));
    for (std::size_t i = 0; i < 2; ++i) {
      bool done = false;
      crowd_.at(i).spawn(look_at_all(crowd_.at(i), stage_, kSites[i], done));
      if (!wait_for([&] { return done; })) return stage_.fail("looking at everything does not end");
      if (stage_.posix_hosts == 0) continue;
      done = false;
      crowd_.at(i).spawn(look_at_names(crowd_.at(i), stage_, done));
      if (!wait_for([&] { return done; })) return stage_.fail("looking at names does not end");
    }
    for (std::size_t i = 0; i < 2; ++i) {
      if (!cluster_.stop(i)) return stage_.fail(cluster_.problem());
    }
    for (std::size_t i = 0; i < 2; ++i) check(unsound(cluster_, i));
  }

  std::string unanswered() {
    std::string text = "requests of hosts have no answer although nothing is broken any more";
    for (std::size_t i = 0; i < 2; ++i) {
      text += fmt::format("; {}: hosts {}, {} requests at its mount, {} at its controller", kSites[i], crowd_.at(i).idle() ? "idle" : "waiting",
                          cluster_.machine(i).mount()->pending(), cluster_.site(i).controller().load().requests);
      for (const auto& [op, inode] : cluster_.machine(i).mount()->waiting()) {
        text += fmt::format(", operation {} of inode {}", static_cast<int>(op), inode.value);
      }
      for (const auto& [inode, locks] : cluster_.site(i).volume().locks().files()) {
        text += fmt::format(", locks of inode {}: {} held, {} waiting", inode.value, locks.held().size(), locks.waiting().size());
      }
    }
    return text;
  }

  void check(const std::optional<std::string>& wrong) {
    if (wrong) stage_.fail(*wrong);
  }

  bool wait_for(const std::function<bool()>& what) {
    return cluster_.universe().run_until([&] { return !stage_.failure.empty() || what(); }, kSettleLimit);
  }

  bool wait_in_sync(const char* when) {
    // A daemon that is stopped (SIGSTOP) would say what was true before.
    const auto said = [&] { return cluster_.in_sync() && !cluster_.process(0).paused() && !cluster_.process(1).paused(); };
    if (!wait_for(said)) {
      std::string why;
      for (std::size_t i = 0; i < 2; ++i) {
        why += fmt::format("; {}: {}", kSites[i],
                           !cluster_.up(i) ? "down" : !cluster_.site(i).ready() ? "not ready" : cluster_.site(i).controller().problem());
      }
      stage_.fail(fmt::format("the sites are not in sync {}{}", when, why));
    }
    return stage_.failure.empty();
  }

  sim::Prng prng_;
  Cluster cluster_;
  Stage stage_;
  sim::Prng added_, reserving_, apart_;
  sim::Process* administration_ = nullptr;
  Crowd crowd_;
  RunResult result_;
  Faults faults_;
  unsigned rare_ = 1;
};

}  // namespace

RunResult run(const RunOptions& options) {
  // What a kill abandons refers to its runner: it is kept as well.
  static std::vector<std::unique_ptr<Runner>> kept;
  kept.push_back(std::make_unique<Runner>(options));
  return kept.back()->run();
}

}  // namespace lockstep::simulator
