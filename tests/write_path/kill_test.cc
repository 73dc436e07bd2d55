// Either daemon is killed at every step of a request, and started again: one application, one answer, at most one effect.
#include "check_effect.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

std::size_t count_steps(std::uint64_t seed, std::size_t site, Call call) {
  Scene scene(seed);
  scene.record();
  Answer answer;
  scene.start(site, call, answer);
  REQUIRE(scene.run_until_answered(answer));
  scene.universe().run_for(std::chrono::milliseconds(5));
  return scene.seen().size();
}

void kill_at(std::uint64_t seed, std::size_t site, Call call, std::size_t step, std::size_t victim) {
  Scene scene(seed);
  scene.record();
  std::string what;
  scene.at_step = [&](std::size_t number) {
    if (number != step || !what.empty()) return;
    what = std::string(controller::name_of(scene.seen().back().event.step)) + " at " + kSites[scene.seen().back().site];
    scene.forget(victim);
    scene.cluster.kill(victim);
  };
  Answer answer;
  scene.start(site, call, answer);
  REQUIRE(scene.universe().run_until([&] { return !what.empty(); }, std::chrono::minutes(1)));
  INFO(name_of(call) << " at " << kSites[site] << ", seed " << seed << ", " << kSites[victim] << " killed at step " << step << ": " << what);
  scene.universe().run_for(std::chrono::milliseconds(50));
  scene.cluster.start(victim);
  REQUIRE(scene.run_until_answered(answer));
  scene.settle();
  REQUIRE(answer.count == 1);
  if (site != victim) REQUIRE(answer.made);
  // Where the application's own daemon died, the mount went with it: the answer may say so, and what it asked for stands or not.
  if (!answer.made) REQUIRE((answer.error && answer.error->posix == ENOTCONN));
  const std::size_t effects = effects_of(scene, call);
  REQUIRE(effects <= 1);
  if (answer.made) REQUIRE(effects == 1);
}

}  // namespace

TEST_CASE("R5, R6: either daemon is killed at every step of a request", "[kill]") {
  const std::size_t site = GENERATE(kEast, kWest);
  const Call call = GENERATE(Call::overwrite, Call::append, Call::create, Call::rename);
  const std::uint64_t seed = 60 + static_cast<std::uint64_t>(call) * 2 + site;
  const std::size_t steps = count_steps(seed, site, call);
  REQUIRE(steps >= 12);
  for (std::size_t step = 1; step <= steps; ++step) {
    for (const std::size_t victim : {kEast, kWest}) kill_at(seed, site, call, step, victim);
  }
}
