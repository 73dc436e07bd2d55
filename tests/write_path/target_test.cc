// A site with effects that the other one never had is made equal, and dies on the way: nothing of them is left, wherever it died.
#include <cstring>

#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;
using State = controller::Controller::State;

namespace {

struct Sites : ServedSites {
  explicit Sites(std::uint64_t seed) : ServedSites(seed, true) {}
  /// East is killed with an effect that makes the file longer and that nobody else has; west took over.
  void leave_one_behind() {
    cluster.universe().network().block(cluster.machine(kEast), cluster.machine(kWest), true);
    const Seq before = controller(kEast).seq();
    Write asked;
    start(kEast, std::nullopt, 1, asked);
    REQUIRE(run_until([&] { return controller(kEast).seq() > before && controller(kEast).replica().logged() > before; }));
    REQUIRE_FALSE(asked.ended);
    cluster.kill(kEast);
    REQUIRE(run_until([&] { return state(kWest) == State::alone; }));
    line(true);
  }
};

/// A write of the primary's host that stands in its area only, and goes bad there.
struct Rotten : ServedSites {
  Write asked;
  explicit Rotten(std::uint64_t seed, std::optional<std::uint64_t> block) : ServedSites(seed, false, false) {
    line(false);
    start(kEast, block, 1, asked);
    std::optional<std::uint64_t> at;
    REQUIRE(run_until([&] { return (at = place_of(kEast, text_of(1, kBlockBytes))).has_value(); }));
    REQUIRE_FALSE(asked.ended);
    cluster.machine(kEast).storage().corrupt("extents", {*at + 512, 4});
  }
};

}  // namespace

TEST_CASE("C8, a block that goes bad before the other site has it is sent as the request has it", "[target]") {
  const bool append = GENERATE(false, true);
  Rotten sites(870, append ? std::nullopt : std::optional<std::uint64_t>(0));
  // What is on its way is lost with the connection.
  REQUIRE(sites.run_until([&] { return !sites.controller(kEast).connected() && !sites.controller(kWest).connected(); }));
  sites.line(true);
  REQUIRE(sites.run_until([&] { return sites.asked.ended && sites.cluster.in_sync(); }));
  REQUIRE(!sites.asked.error);
  const std::string expected = append ? data_with({}, {1}) : data_with({1});
  for (const std::size_t site : {kEast, kWest}) CHECK((sites.content(site) == expected));
}

TEST_CASE("C2, of blocks in flight one that is bad at the primary comes from the secondary", "[target]") {
  Rotten sites(871, 0);
  for (const std::size_t site : {kEast, kWest}) sites.cluster.kill(site);
  sites.line(true);
  for (const std::size_t site : {kEast, kWest}) sites.start_again(site);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  for (const std::size_t site : {kEast, kWest}) CHECK((sites.content(site) == data_with({})));
}

TEST_CASE("C5, what a target had of its own is taken back although it died while it was made equal", "[target]") {
  Sites sites(860);
  sites.leave_one_behind();
  sites.start_again(kEast);
  const auto of_the_other = [&] {
    return sites.cluster.up(kEast) && sites.cluster.site(kEast).ready() && !sites.controller(kEast).keeper().membership().has(SiteId{0});
  };
  SECTION("right after it took over the other one's history") { REQUIRE(sites.run_until(of_the_other)); }
  SECTION("when it knew that it has something of its own") {
    REQUIRE(sites.run_until([&] { return of_the_other() && sites.remembered(kEast).incomplete; }));
  }
  SECTION("when that was taken back") {
    REQUIRE(sites.run_until([&] { return of_the_other() && sites.remembered(kEast).incomplete; }));
    REQUIRE(sites.run_until([&] { return !sites.remembered(kEast).incomplete; }));
  }
  sites.cluster.kill(kEast);
  Write later;
  sites.start(kWest, 2, 3, later);
  REQUIRE(sites.run_until([&] { return later.ended; }));
  REQUIRE(!later.error);
  sites.start_again(kEast);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  const std::string expected = data_with({kOld, kOld, 3});
  for (const std::size_t site : {kEast, kWest}) CHECK((sites.content(site) == expected));
}
