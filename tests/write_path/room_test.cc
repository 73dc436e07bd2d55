// A disk that is full at one site only: ENOSPC at both, nothing half done, and no fault.
#include <cerrno>

#include "sim/key_value.h"
#include "scene.h"

using namespace lockstep;
using namespace lockstep::write_path;
using State = controller::Controller::State;

namespace {

constexpr Duration kLimit = std::chrono::minutes(2);

/// Runs `call` at `site` to its end. 0, or its errno.
int error_of(Scene& scene, std::size_t site, Call call) {
  Answer answer;
  scene.start(site, call, answer);
  REQUIRE(scene.run_until_answered(answer));
  CHECK(answer.made == !answer.error);
  return answer.error ? answer.error->posix : 0;
}

bool both_know(Scene& scene, bool is_short) {
  return scene.universe().run_until([&] {
    for (const std::size_t site : {kEast, kWest}) {
      const controller::Controller& c = scene.cluster.site(site).controller();
      if ((c.short_here() || c.short_there()) != is_short) return false;
    }
    return true;
  }, kLimit);
}

}  // namespace

TEST_CASE("one site without room for metadata: what needs some is refused at both, and works again when there is room", "[room]") {
  const std::size_t full = GENERATE(kEast, kWest);
  const std::size_t writer = GENERATE(kEast, kWest);
  Scene scene(700 + full);
  sim::KeyWeather& weather = scene.cluster.machine(full).key_store().weather;
  const std::uint64_t free = weather.free;
  weather.free = 1 << 20;
  REQUIRE(both_know(scene, true));
  CHECK(error_of(scene, writer, Call::create) == ENOSPC);
  CHECK(error_of(scene, writer, Call::overwrite) == 0);
  CHECK(error_of(scene, writer, Call::rename) == 0);
  for (const std::size_t site : {kEast, kWest}) {
    CHECK_FALSE(scene.content(site, "/names/new"));
    CHECK(scene.cluster.site(site).controller().state() == State::in_sync);
    CHECK(scene.cluster.site(site).controller().problem().find("no room for metadata") != std::string::npos);
  }
  weather.free = free;
  REQUIRE(both_know(scene, false));
  CHECK(error_of(scene, writer, Call::create) == 0);
  CHECK(error_of(scene, writer, Call::append) == 0);
  scene.settle();
  CHECK(simulator::difference(scene.cluster).value_or("none") == "none");
}

TEST_CASE("a site without room that is away holds nobody back; the one that goes on is told when it returns", "[room]") {
  Scene scene(710, true);
  scene.cluster.machine(kWest).key_store().weather.free = 1 << 20;
  REQUIRE(both_know(scene, true));
  scene.forget(kWest);
  scene.cluster.kill(kWest);
  REQUIRE(scene.universe().run_until([&] { return scene.cluster.site(kEast).controller().state() == State::alone; }, kLimit));
  CHECK(error_of(scene, kEast, Call::create) == 0);
  scene.cluster.start(kWest);
  REQUIRE(scene.universe().run_until([&] { return scene.cluster.in_sync(); }, kLimit));
  REQUIRE(both_know(scene, true));
  CHECK(error_of(scene, kEast, Call::append) == ENOSPC);
}
