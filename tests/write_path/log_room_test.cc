// C5: a log is no longer than it is made, and whoever needs room in it gets some: what the other site has stable is forgotten, and that is said in time.
#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

constexpr Duration kLittle = std::chrono::seconds(3);  // less than a lost connection takes to be noticed

}  // namespace

TEST_CASE("C5, records that fill the logs faster than heartbeats come wait for little, and part nobody", "[log room]") {
  const std::size_t site = GENERATE(kEast, kWest);
  const bool arbiter = GENERATE(false, true);
  ServedSites sites(900, arbiter);
  const Epoch epoch = sites.controller(kEast).epoch();
  const Instant before = sites.cluster.universe().now();
  for (int round = 0; round < 3; ++round) sites.fill_log(site);
  CHECK(sites.cluster.universe().now() - before < 3 * kLittle);
  CHECK(sites.cluster.in_sync());
  CHECK(sites.controller(kEast).epoch() == epoch);
  for (const std::size_t each : {kEast, kWest}) {
    const area::Log& log = sites.controller(each).replica().area.log();
    CHECK(log.forgotten() > Seq{});
    CHECK(log.bytes_used() <= log.bytes());
  }
}

TEST_CASE("C5, a site that comes back with a full log gets room for what it missed", "[log room]") {
  const std::size_t away = GENERATE(kEast, kWest);
  const bool catches_up = GENERATE(false, true);  // else all of it is compared
  ServedSites sites(901, true);
  sites.fill_log(kEast);
  sites.cluster.kill(away);
  REQUIRE(sites.run_until([&] { return sites.state(1 - away) == ServedSites::State::alone; }));
  if (!catches_up) sites.fill_log(1 - away);
  sites.make_directory(1 - away, "/missed");
  sites.start_again(away);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  sites.fill_log(away);
  CHECK(sites.cluster.in_sync());
}
