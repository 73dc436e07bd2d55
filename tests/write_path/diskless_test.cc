// C7: the area of a site has failed, and its hosts work through the other one.
#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;
using State = controller::Controller::State;

namespace {

struct Bare : ServedSites {
  using ServedSites::ServedSites;
  /// The area of `site` fails while its host writes, and the daemon leaves.
  void lose_area(std::size_t site) {
    medium(site).write_error_permille = medium(site).sync_error_permille = 1000;
    Write failing;
    start(1 - site, 0, 1, failing);
    REQUIRE(run_until([&] { return cluster.area_failed(site); }));
    REQUIRE(cluster.leave(site));
    REQUIRE(run_until([&] { return failing.ended; }));
    REQUIRE(!failing.error);
  }
  void start_without(std::size_t site) {
    hosts[site] = &cluster.machine(site).start("applications");
    cluster.start(site, true);
  }
  bool served(std::size_t site) {
    return run_until([&] { return cluster.site(site).ready() && state(site) == State::diskless; });
  }
  void write(std::size_t site, std::optional<std::uint64_t> block, std::uint64_t value) {
    Write asked;
    start(site, block, value, asked);
    REQUIRE(run_until([&] { return asked.ended; }));
    REQUIRE(!asked.error);
  }
  void mend(std::size_t site) {
    medium(site).write_error_permille = medium(site).sync_error_permille = 0;
    start_again(site);
    REQUIRE(run_until([&] { return cluster.in_sync(); }));
  }
};

}  // namespace

TEST_CASE("C7, hosts of a site whose area failed read and write through the other one, which alone holds what is written", "[diskless]") {
  const std::size_t bare = GENERATE(kWest, kEast);
  const std::size_t whole = 1 - bare;
  Bare sites(900, bare == kEast);
  sites.lose_area(bare);
  sites.start_without(bare);
  REQUIRE(sites.served(bare));
  CHECK(sites.state(whole) == State::alone);
  CHECK((sites.content(bare) == data_with({1})));
  sites.write(bare, 1, 2);
  sites.write(bare, std::nullopt, 3);
  sites.write(whole, std::nullopt, 4);
  for (const std::size_t site : {bare, whole}) CHECK((sites.content(site) == data_with({1, 2}, {3, 4})));
  SECTION("its medium is mended: it is made equal from what it had") {}
  SECTION("its daemon dies: it begins anew with nothing, and still reads everything") {
    sites.cluster.kill(bare);
    sites.start_without(bare);
    REQUIRE(sites.served(bare));
    CHECK((sites.content(bare) == data_with({1, 2}, {3, 4})));
  }
  SECTION("the daemon that it works through dies: what waited is carried out once") {
    sites.line(false);
    sites.run_for(std::chrono::milliseconds(10));
    Write asked;
    sites.start(bare, 1, 5, asked);
    sites.run_for(std::chrono::seconds(1));
    REQUIRE_FALSE(asked.ended);
    sites.cluster.kill(whole);
    sites.line(true);
    sites.start_again(whole);
    REQUIRE(sites.run_until([&] { return asked.ended; }));
    REQUIRE(!asked.error);
    sites.write(bare, 1, 2);
  }
  sites.cluster.kill(bare);
  sites.mend(bare);
  for (const std::size_t site : {bare, whole}) CHECK((sites.content(site) == data_with({1, 2}, {3, 4})));
  const nlohmann::json answer = sites.command(whole, {{"command", "verify"}});
  CHECK(answer.value("equal", false));
}

TEST_CASE("C7, a site without an area serves nobody while the other one does not go on alone, and never goes on alone itself", "[diskless]") {
  Bare sites(901, false);
  sites.cluster.kill(kEast);  // the primary, and west waits for it
  sites.medium(kWest).write_error_permille = 1000;
  sites.cluster.kill(kWest);
  sites.start_without(kWest);
  sites.run_for(std::chrono::seconds(20));
  REQUIRE(sites.cluster.site(kWest).ready());
  CHECK_FALSE(sites.controller(kWest).serving());
  const nlohmann::json answer = sites.command(kWest, {{"command", "takeover"}, {"confirmed", true}});
  CHECK(answer.value("error", "").find("without an area") != std::string::npos);
  CHECK(sites.controller(kWest).state() != State::alone);
  sites.start_again(kEast);
  REQUIRE(sites.served(kWest));
  CHECK(sites.state(kEast) == State::alone);
}
