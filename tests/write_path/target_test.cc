// A site with effects that the other one never had is made equal, and dies on the way: nothing of them is left, wherever it died.
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

}  // namespace

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
  std::string expected = text_of(kOld, kDataBlocks * kBlockBytes);
  expected.replace(2 * kBlockBytes, kBlockBytes, text_of(3, kBlockBytes));
  for (const std::size_t site : {kEast, kWest}) CHECK((sites.content(site) == expected));
}
