// C7: after a failed write or sync a site gives up its part; the other one goes on, and no host gets an error for it.
#include <fcntl.h>

#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;
using State = controller::Controller::State;

namespace {

/// Two sites with hosts; the primary may go on alone.
struct Sites : ServedSites {
  explicit Sites(std::uint64_t seed, bool arbiter = false) : ServedSites(seed, arbiter) {}
  /// The medium of `site` is mended, and its daemon started again: both are in sync and equal, with `expected` at the first blocks.
  void mend(std::size_t site, const std::vector<std::uint64_t>& expected) {
    medium(site) = {};
    cluster.kill(site);
    start_again(site);
    REQUIRE(run_until([&] { return cluster.in_sync(); }));
    cluster.universe().run_for(std::chrono::seconds(3));
    for (const std::size_t at : {kEast, kWest}) CHECK(content(at) == data_with(expected));
    REQUIRE(run_until([&] { return cluster.in_sync(); }));
    const std::optional<std::string> difference = simulator::difference(cluster);
    CHECK(difference.value_or("none") == "none");
  }
};

}  // namespace

TEST_CASE("C7, the secondary's medium fails: the primary goes on, and nothing acknowledged is lost", "[detach]") {
  const bool sync = GENERATE(false, true);
  const std::size_t writer = GENERATE(kEast, kWest);
  Sites sites(500 + writer);
  Write first, second;
  (sync ? sites.medium(kWest).sync_error_permille : sites.medium(kWest).write_error_permille) = 1000;
  sites.start(writer, 0, 1, first);
  REQUIRE(sites.run_until([&] { return sites.state(kWest) == State::detached; }));
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::alone; }));
  sites.start(kEast, 1, 2, second);
  REQUIRE(sites.run_until([&] { return second.ended; }));
  CHECK(!second.error);
  // An error of a sync may come after the acknowledgement; a write that can't be written is never acknowledged by this site.
  if (writer == kEast) {
    REQUIRE(sites.run_until([&] { return first.ended; }));
    CHECK(!first.error);
  } else if (!sync) {
    CHECK(!first.ended);
  }
  const std::string now = sites.content(kEast);
  const bool took_place = now.substr(0, kBlockBytes) == text_of(1, kBlockBytes);
  CHECK((took_place || !first.ended));
  sites.mend(kWest, {took_place ? 1 : kOld, 2});
}

TEST_CASE("C7, the primary's medium fails for a moment: it hands over, and its host has its answer", "[detach]") {
  const std::size_t writer = GENERATE(kEast, kWest);
  Sites sites(510 + writer);
  // The write of the data fails; what is written down after that does not.
  sim::Storage& storage = sites.cluster.machine(kEast).storage();
  unsigned writes = 0;
  storage.before_write = [&](std::uint64_t) { sites.medium(kEast).write_error_permille = writes++ == 0 ? 1000 : 0; };
  Write first, second;
  sites.start(writer, 0, 1, first);
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::detached; }));
  REQUIRE(sites.run_until([&] { return sites.state(kWest) == State::alone; }));
  REQUIRE(sites.run_until([&] { return first.ended; }));
  CHECK(!first.error);
  sites.start(kWest, 1, 2, second);
  REQUIRE(sites.run_until([&] { return second.ended; }));
  CHECK(!second.error);
  CHECK(sites.content(kWest).substr(0, 2 * kBlockBytes) == text_of(1, kBlockBytes) + text_of(2, kBlockBytes));
  storage.before_write = nullptr;
  sites.mend(kEast, {1, 2});
}

TEST_CASE("C7, the primary's medium fails, and the other site hears nothing of it: the two go on when they meet", "[detach]") {
  Sites sites(515);
  simulator::Cluster& cluster = sites.cluster;
  cluster.universe().network().block(cluster.machine(kEast), cluster.machine(kWest), true);
  sim::Storage& storage = cluster.machine(kEast).storage();
  unsigned writes = 0;
  storage.before_write = [&](std::uint64_t) { sites.medium(kEast).write_error_permille = writes++ == 0 ? 1000 : 0; };
  Write appended;
  sites.start(kEast, std::nullopt, 1, appended);
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::detached; }));
  REQUIRE(sites.run_until([&] { return cluster.site(kEast).controller().keeper().membership().sole(SiteId{1}); }));
  CHECK_FALSE(appended.ended);
  storage.before_write = nullptr;
  cluster.kill(kWest);
  sites.start_again(kWest);
  cluster.universe().network().block(cluster.machine(kEast), cluster.machine(kWest), false);
  sites.mend(kEast, {});
}

TEST_CASE("C7, the primary's medium fails for good: the other site goes on when it is told to", "[detach]") {
  Sites sites(520);
  sites.medium(kEast).write_error_permille = 1000;
  Write first, second;
  sites.start(kEast, 0, 1, first);
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::detached; }));
  sites.cluster.universe().run_for(std::chrono::seconds(20));
  CHECK(sites.state(kWest) == State::suspended);  // no arbiter: it can't know that east does not go on
  CHECK(!first.ended);
  bool forced = false;
  std::string problem;
  const auto force = [](simulator::Cluster& cluster, std::string& why, bool& done) -> runtime::Task<void> {
    why = co_await cluster.site(kWest).controller().take_over_forced();
    done = true;
  };
  sites.cluster.process(kWest).spawn(force(sites.cluster, problem, forced));
  REQUIRE(sites.run_until([&] { return forced; }));
  CHECK(problem.empty());
  REQUIRE(sites.run_until([&] { return sites.state(kWest) == State::alone; }));
  sites.start(kWest, 1, 2, second);
  REQUIRE(sites.run_until([&] { return second.ended; }));
  CHECK(!second.error);
  const bool took_place = sites.content(kWest).substr(0, kBlockBytes) == text_of(1, kBlockBytes);
  sites.mend(kEast, {took_place ? 1 : kOld, 2});
}

TEST_CASE("C7, the primary's medium fails for good, with an arbiter: the other site goes on by itself", "[detach]") {
  Sites sites(530, true);
  sites.medium(kEast).write_error_permille = 1000;
  Write first, second;
  sites.start(kEast, 0, 1, first);
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::detached; }));
  REQUIRE(sites.run_until([&] { return sites.state(kWest) == State::alone; }));
  sites.start(kWest, 1, 2, second);
  REQUIRE(sites.run_until([&] { return second.ended; }));
  CHECK(!second.error);
  CHECK(!first.ended);
  const bool took_place = sites.content(kWest).substr(0, kBlockBytes) == text_of(1, kBlockBytes);
  sites.mend(kEast, {took_place ? 1 : kOld, 2});
}

TEST_CASE("C7, the only member's medium fails: changes wait, reads go on, and status says why", "[detach]") {
  Sites sites(540);
  sites.cluster.kill(kWest);
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::alone; }));
  sites.medium(kEast).write_error_permille = 1000;
  Write first;
  sites.start(kEast, 0, 1, first);
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::detached; }));
  sites.cluster.universe().run_for(std::chrono::seconds(20));
  CHECK(!first.ended);
  CHECK(sites.content(kEast).substr(kBlockBytes, kBlockBytes) == text_of(kOld, kBlockBytes));
  CHECK(sites.cluster.site(kEast).controller().problem().find("failed") != std::string::npos);
}
