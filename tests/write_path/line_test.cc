// A range that is exclusive, at either site, makes a request wait in line; reserve_test.cc has what is reserved.
#include <algorithm>

#include "scene.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

constexpr Duration kLong = std::chrono::seconds(20);

bool has(const Scene& scene, std::size_t site, Step step) {
  return std::any_of(scene.seen().begin(), scene.seen().end(),
                     [&](const Seen& s) { return s.site == site && s.event.step == step; });
}

void finish(Scene& scene, const Answer& answer) {
  REQUIRE(scene.run_until_answered(answer));
  REQUIRE(answer.made);
  scene.settle();
  REQUIRE(answer.count == 1);
  REQUIRE(simulator::difference(scene.cluster) == std::nullopt);
  for (std::size_t site : {kEast, kWest}) REQUIRE(scene.content(site, "/data")->substr(3 * kBlockBytes, kBlockBytes) == text_of(kNew, kBlockBytes));
}

}  // namespace

TEST_CASE("exclusive at the primary, requests of both sites wait in line (claims 28, 30, 33, 39, 43)", "[line]") {
  const std::size_t asker = GENERATE(kEast, kWest);
  INFO("asked at " << kSites[asker]);
  Scene scene(7);
  Held held(scene, kEast);
  scene.record();
  Answer answer;
  scene.start(asker, Call::overwrite, answer);
  scene.universe().run_for(kLong);
  REQUIRE(answer.count == 0);
  REQUIRE(has(scene, kEast, Step::queued));
  for (std::size_t site : {kEast, kWest}) {
    REQUIRE_FALSE(has(scene, site, Step::exclusive));
    REQUIRE_FALSE(has(scene, site, Step::area_written));
  }
  for (const Seen& seen : scene.seen()) REQUIRE((seen.new_blocks[kEast] == 0 && seen.new_blocks[kWest] == 0));
  held.release();
  finish(scene, answer);
  // Its turn came, then (its data was not kept while it waited) the data travelled after the grant, then it was written.
  std::vector<Step> expected{Step::queued, Step::exclusive};
  if (asker == kWest) expected.insert(expected.end(), {Step::grant_sent, Step::data_received});
  expected.insert(expected.end(), {Step::planned, Step::area_written});
  std::vector<Step> found;
  for (const Seen& seen : scene.steps_of_request()) {
    if (seen.site == kEast && std::find(expected.begin(), expected.end(), seen.event.step) != expected.end()) {
      found.push_back(seen.event.step);
      REQUIRE(seen.new_blocks[kEast] == (seen.event.step == Step::area_written ? 1 : 0));
      REQUIRE(seen.new_blocks[kWest] == 0);
    }
  }
  REQUIRE(found == expected);
}

TEST_CASE("exclusive at the secondary, its host's request is not forwarded (claims 28, 29, 36, 39, 45, 48)", "[line]") {
  Scene scene(8);
  Held held(scene, kWest);
  scene.record();
  Answer answer;
  scene.start(kWest, Call::overwrite, answer);
  scene.universe().run_for(kLong);
  REQUIRE(answer.count == 0);
  REQUIRE(has(scene, kWest, Step::asked));
  REQUIRE_FALSE(has(scene, kWest, Step::forward_sent));
  REQUIRE_FALSE(has(scene, kEast, Step::forward_received));
  held.release();
  finish(scene, answer);
}

TEST_CASE("exclusive at the secondary, the primary's request is not written there and not answered (claims 28, 36, 45)",
          "[line]") {
  Scene scene(9);
  Held held(scene, kWest);
  scene.record();
  Answer answer;
  scene.start(kEast, Call::overwrite, answer);
  scene.universe().run_for(kLong);
  REQUIRE(answer.count == 0);
  REQUIRE(has(scene, kWest, Step::mirror_received));
  REQUIRE_FALSE(has(scene, kWest, Step::exclusive));
  REQUIRE_FALSE(has(scene, kWest, Step::area_written));
  REQUIRE_FALSE(has(scene, kEast, Step::released));
  held.release();
  finish(scene, answer);
}
