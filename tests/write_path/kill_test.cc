// Either daemon is killed at every step of a request and before every write to its medium, and started again: one
// application, one answer, at most one effect.
#include <fmt/format.h>

#include "check_effect.h"
#include "sim/storage.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

struct Case {
  std::uint64_t seed = 0;
  std::size_t site = 0;
  Call call{};
  bool both_ask = false;     ///< the other site's host makes the same call at the same time
  bool again = false;        ///< either daemon is killed once more while the sites catch up
};

/// How much there is to be killed at.
struct Extent {
  std::size_t steps = 0;
  std::uint64_t writes[2] = {};
};

Extent learn(const Case& c) {
  Scene scene(c.seed);
  scene.record();
  Extent extent;
  for (std::size_t i : {kEast, kWest}) extent.writes[i] = scene.cluster.machine(i).storage().writes();
  Answer answers[2];
  scene.start(c.site, c.call, answers[0]);
  if (c.both_ask) scene.start(1 - c.site, c.call, answers[1]);
  REQUIRE(scene.run_until_answered(answers[0]));
  if (c.both_ask) REQUIRE(scene.run_until_answered(answers[1]));
  scene.universe().run_for(std::chrono::milliseconds(5));
  extent.steps = scene.seen().size();
  for (std::size_t i : {kEast, kWest}) extent.writes[i] = scene.cluster.machine(i).storage().writes() - extent.writes[i];
  return extent;
}

/// A run of the case in which one daemon dies at one moment.
class Death {
 public:
  Death(const Case& c, std::size_t victim) : scene(c.seed), case_(c), victim_(victim) { scene.record(); }

  void at_step(std::size_t step) {
    scene.at_step = [this, step](std::size_t number) {
      if (number != step || dead_) return;
      what_ = fmt::format("at step {}, {} at {}", step, controller::name_of(scene.seen().back().event.step), kSites[scene.seen().back().site]);
      kill();
    };
  }
  void before_write(std::uint64_t write) {
    sim::Storage& storage = scene.cluster.machine(victim_).storage();
    const std::uint64_t number = storage.writes() + write;
    storage.before_write = [this, write, number](std::uint64_t n) {
      if (n != number || dead_) return;
      what_ = fmt::format("before its write {}", write);
      kill();
    };
  }

  void run() {
    Answer answers[2];
    scene.start(case_.site, case_.call, answers[0]);
    if (case_.both_ask) scene.start(1 - case_.site, case_.call, answers[1]);
    REQUIRE(scene.universe().run_until([&] { return dead_; }, std::chrono::minutes(1)));
    INFO(name_of(case_.call) << " at " << kSites[case_.site] << ", seed " << case_.seed << ", " << kSites[victim_] << " killed " << what_);
    scene.universe().run_for(std::chrono::milliseconds(50));
    scene.cluster.start(victim_);
    bool died[2] = {victim_ == kEast, victim_ == kWest};
    if (case_.again) {
      // Somewhere between the start of the daemon and the time when everything is well again.
      sim::Prng prng(case_.seed * 1009 + scene.seen().size());
      scene.universe().run_for(std::chrono::microseconds(prng.below(400'000)));
      const std::size_t next = prng.below(2);
      scene.forget(next);
      scene.cluster.kill(next);
      died[next] = true;
      scene.universe().run_for(std::chrono::milliseconds(50));
      scene.cluster.start(next);
    }
    std::size_t least = 0;
    const std::size_t most = case_.both_ask ? 2 : 1;
    for (std::size_t i = 0; i < most; ++i) {
      const Answer& answer = answers[i];
      REQUIRE(scene.run_until_answered(answer));
      if (!died[i == 0 ? case_.site : 1 - case_.site]) REQUIRE(answer.made);
      // Where the application's own daemon died the mount went with it: the answer may say so, and what it asked for stands or not.
      if (!answer.made) REQUIRE((answer.error && answer.error->posix == ENOTCONN));
      least += answer.made ? 1 : 0;
    }
    scene.settle();
    for (std::size_t i = 0; i < most; ++i) REQUIRE(answers[i].count == 1);
    const std::size_t effects = effects_of(scene, case_.call);
    REQUIRE(effects >= least);
    REQUIRE(effects <= most);
  }

 private:
  void kill() {
    dead_ = true;
    scene.forget(victim_);
    scene.cluster.kill(victim_);
  }
  Scene scene;
  Case case_;
  std::size_t victim_;
  bool dead_ = false;
  std::string what_;
};

void kill_at_every_moment(Case c) {
  c.seed = 60 + static_cast<std::uint64_t>(c.call) * 2 + c.site;
  const Extent extent = learn(c);
  REQUIRE(extent.steps >= 12);
  for (const std::size_t victim : {kEast, kWest}) {
    for (std::size_t step = 1; step <= extent.steps; ++step) {
      Death death(c, victim);
      death.at_step(step);
      death.run();
    }
    REQUIRE(extent.writes[victim] > 0);
    for (std::uint64_t write = 1; write <= extent.writes[victim]; ++write) {
      Death death(c, victim);
      death.before_write(write);
      death.run();
    }
  }
}

void kill_everywhere(const Case& c) {
  INFO(name_of(c.call) << " at " << kSites[c.site]);
  in_a_child([&] { kill_at_every_moment(c); });
}

Case any_call() {
  Case c;
  c.site = GENERATE(kEast, kWest);
  c.call = GENERATE(Call::overwrite, Call::append, Call::create, Call::rename);
  return c;
}

}  // namespace

TEST_CASE("R5, R6, either daemon is killed at every step of a request and before every write", "[kill]") { kill_everywhere(any_call()); }

TEST_CASE("R5, R6, either daemon is killed, and one once more while they catch up", "[kill]") {
  Case c = any_call();
  c.again = true;
  kill_everywhere(c);
}

TEST_CASE("R5, R6, either daemon is killed while both sites' hosts append", "[kill]") {
  Case c;
  c.site = GENERATE(kEast, kWest);
  c.call = Call::append;
  c.both_ask = true;
  c.again = GENERATE(false, true);
  kill_everywhere(c);
}
