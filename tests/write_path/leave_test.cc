// M8: a site that is stopped while the other one is just lost: whoever has everything is known when they meet, and goes on by itself no more.
#include <cstring>

#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;
using controller::AloneFinding;

TEST_CASE("M8, the primary loses its power and the secondary is stopped at once: what was acknowledged is there", "[leave]") {
  const bool arbiter = GENERATE(false, true);
  const bool primary_first = GENERATE(false, true);
  int lost = 0;
  for (std::uint64_t seed = 870; seed < 880; ++seed) {
    INFO("seed " << seed);
    ServedSites sites(seed, arbiter);
    Write write;
    sites.start(kEast, 0, 1, write);
    REQUIRE(sites.run_until([&] { return write.ended; }));
    REQUIRE(!write.error);
    sites.cluster.lose_power(kEast);
    REQUIRE(sites.cluster.stop(kWest));
    const Bytes extents = sites.cluster.machine(kEast).storage().peek("extents");
    const std::string block = text_of(1, kBlockBytes);
    lost += ::memmem(extents.data(), extents.size(), block.data(), block.size()) == nullptr;
    sites.start_again(primary_first ? kEast : kWest);
    sites.run_for(std::chrono::seconds(10));  // longer than either waits for the other one
    CHECK(sites.controller(primary_first ? kEast : kWest).finding() == (primary_first ? AloneFinding::unproven : AloneFinding::left));
    sites.start_again(primary_first ? kWest : kEast);
    REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
    for (const std::size_t site : {kEast, kWest}) CHECK(sites.content(site) == data_with({1}));
    CHECK_FALSE(sites.remembered(kWest).left);
  }
  CHECK(lost > 0);
}

TEST_CASE("M8, the primary dies and the secondary is stopped at once: they go on where they were, and it may take over again", "[leave]") {
  ServedSites sites(880, true);
  const Epoch epoch = sites.controller(kEast).epoch();
  sites.cluster.kill(kEast);
  REQUIRE(sites.cluster.stop(kWest));
  sites.start_again(kWest);
  sites.start_again(kEast);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync() && !sites.remembered(kWest).left; }));
  CHECK(sites.controller(kEast).epoch() == epoch);
  sites.cluster.kill(kEast);
  REQUIRE(sites.run_until([&] { return sites.state(kWest) == ServedSites::State::alone; }));
}

TEST_CASE("M8, a primary leaves unheard, and the other one dies: overwrites, which are in no log, do not part them", "[leave]") {
  const bool switched = GENERATE(false, true);
  ServedSites sites(881, false);
  const std::size_t first = switched ? kWest : kEast, other = 1 - first;
  if (switched) {
    REQUIRE(sites.command(kEast, {{"command", "switchover"}}).value("ok", false));
    REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  }
  Write write;
  sites.start(first, 0, 1, write);
  REQUIRE(sites.run_until([&] { return write.ended; }));
  REQUIRE(!write.error);
  REQUIRE(sites.controller(first).replica().logged() < sites.controller(first).seq());
  const Epoch epoch = sites.controller(first).epoch();
  sites.line(false);
  REQUIRE(sites.cluster.stop(first));
  CHECK(sites.controller(other).epoch() == epoch);
  sites.cluster.kill(other);
  sites.line(true);
  for (const std::size_t site : {first, other}) sites.start_again(site);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  CHECK(sites.controller(first).epoch() > Epoch{epoch.value + 1});
  for (const std::size_t site : {kEast, kWest}) CHECK(sites.content(site) == data_with({1}));
}

TEST_CASE("a daemon stops although the other site asked for a comparison, and is gone", "[leave]") {
  for (int moment = 0; moment < 20; ++moment) {
    INFO("moment " << moment);
    ServedSites sites(890, false, false);
    for (const std::uint64_t value : {1, 2}) {  // the second one changes nothing but data and time, which is settled before keys are compared
      Write write;
      sites.start(kEast, 0, value, write);
      REQUIRE(sites.run_until([&] { return write.ended; }));
    }
    std::optional<nlohmann::json> answer;
    sites.start_command(kWest, {{"command", "verify"}}, answer);
    sites.run_for(std::chrono::microseconds(200 * moment));
    sites.line(false);
    REQUIRE(sites.cluster.stop(kEast));
  }
}

TEST_CASE("R2, a primary that has handed over serves its hosts no longer than its lease lasts", "[leave]") {
  ServedSites sites(1300 + GENERATE(range(0u, 4u)), false);
  sim::FileHandle east;
  (void)sites.call(kEast, [&](HostCall& call) { return open_it(*sites.hosts[kEast], "/data", east, call); });
  REQUIRE(sites.call(kEast, [&](HostCall& call) { return read_it(*sites.hosts[kEast], east, call); }).text == text_of(kOld, kBlockBytes));
  std::optional<nlohmann::json> answer;
  sites.start_command(kEast, {{"command", "switchover"}}, answer);
  REQUIRE(sites.run_until([&] { return sites.controller(kWest).keeper().membership().in_force().primary == SiteId{kWest}; }));
  sites.line(false);  // before the two meet in their new roles
  REQUIRE(sites.run_until([&] { return sites.state(kWest) == ServedSites::State::alone; }));
  Write write;
  sites.start(kWest, 0, 5, write);
  REQUIRE(sites.run_until([&] { return write.ended; }));
  REQUIRE(!write.error);
  HostCall read;
  sites.hosts[kEast]->spawn(read_it(*sites.hosts[kEast], east, read));
  sites.run_for(std::chrono::seconds(5));
  CHECK_FALSE(read.ended);
  sites.line(true);
  REQUIRE(sites.run_until([&] { return read.ended && sites.cluster.in_sync(); }));
  const bool is_new = read.text == text_of(5, kBlockBytes);
  CHECK(is_new);
}
