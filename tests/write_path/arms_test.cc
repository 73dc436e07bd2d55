// M5: who goes on when the arbiter is lost first; and that a site that was let go does not come back beside the other one.
#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;
using controller::AloneFinding;
using std::chrono::seconds;

namespace {

struct Sites : ServedSites {
  explicit Sites(std::uint64_t seed, bool alone = true) : ServedSites(seed, true, alone) {}
  void arbiter(bool on) { cluster.arbiter().set_available(on); }
  void arbiter(std::size_t site, bool reached) { cluster.arbiter().set_reachable(cluster.machine(site), reached); }
  /// Armed without a promise at any moment on the way: a failure.
  bool arm() {
    bool broken = false;
    const bool armed = run_until([&] {
      broken = broken || (remembered(kEast).armed && !remembered(kWest).promised);
      return remembered(kEast).armed || broken;
    });
    CHECK_FALSE(broken);
    CHECK_FALSE(remembered(kWest).armed);
    return armed && !broken;
  }
  bool nobody_armed() {
    bool broken = false;
    const bool over = run_until([&] {
      broken = broken || (remembered(kEast).armed && !remembered(kWest).promised);
      return !remembered(kEast).armed && !remembered(kWest).promised;
    });
    CHECK_FALSE(broken);
    return over;
  }
};

}  // namespace

TEST_CASE("M5, the arbiter is lost, then the secondary: the armed primary goes on, and says so to the arbiter later", "[arms]") {
  Sites sites(800);
  sites.arbiter(false);
  REQUIRE(sites.arm());
  SECTION("its daemon") { sites.cluster.kill(kWest); }
  SECTION("the line, and the arbiter is back before") {
    sites.line(false);
    sites.arbiter(true);
  }
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == ServedSites::State::alone; }));
  CHECK_FALSE(sites.controller(kEast).keeper().membership().in_force().forced);
  sites.arbiter(true);
  sites.run_for(seconds(20));
  if (sites.cluster.up(kWest)) CHECK(sites.controller(kWest).finding() == AloneFinding::promised);
  CHECK(sites.controller(kEast).keeper().published());
  sites.line(true);
  if (!sites.cluster.up(kWest)) sites.cluster.start(kWest);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  CHECK(sites.nobody_armed());
}

TEST_CASE("M5, the arbiter is lost, then the armed primary: the secondary waits for it, or for an administrator", "[arms]") {
  Sites sites(801);
  sites.arbiter(false);
  REQUIRE(sites.arm());
  sites.cluster.kill(kEast);
  sites.arbiter(true);
  sites.run_for(seconds(30));
  CHECK(sites.state(kWest) == ServedSites::State::suspended);
  CHECK(sites.controller(kWest).finding() == AloneFinding::promised);
  SECTION("it comes back") {
    sites.cluster.start(kEast);
    REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
    CHECK(sites.nobody_armed());
  }
  SECTION("it is lost") {
    REQUIRE(sites.command(kWest, {{"command", "takeover"}, {"confirmed", true}}).contains("ok"));
    REQUIRE(sites.run_until([&] { return sites.state(kWest) == ServedSites::State::alone; }));
    CHECK_FALSE(sites.remembered(kWest).promised);
  }
}

TEST_CASE("M5, the arbiter comes back before anything else is lost: it decides again", "[arms]") {
  Sites sites(802);
  sites.arbiter(false);
  REQUIRE(sites.arm());
  sites.arbiter(true);
  REQUIRE(sites.nobody_armed());
  sites.cluster.kill(kEast);
  CHECK(sites.run_until([&] { return sites.state(kWest) == ServedSites::State::alone; }));
}

TEST_CASE("M5, a switchover while the primary is armed: nobody is armed who is not the primary", "[arms]") {
  Sites sites(803);
  sites.arbiter(false);
  REQUIRE(sites.arm());
  REQUIRE(sites.command(kEast, {{"command", "switchover"}}).contains("ok"));
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync() && sites.controller(kWest).primary() != nullptr; }));
  CHECK_FALSE(sites.remembered(kEast).armed);
  REQUIRE(sites.run_until([&] { return sites.remembered(kWest).armed; }));
  CHECK(sites.remembered(kEast).promised);
  CHECK_FALSE(sites.remembered(kWest).promised);
}

TEST_CASE("M5, a secondary that reaches the arbiter promises nothing", "[arms]") {
  Sites sites(804);
  sites.arbiter(kEast, false);
  SECTION("from the start") {}
  SECTION("again") {
    sites.arbiter(false);
    REQUIRE(sites.arm());
    sites.arbiter(true);
    REQUIRE(sites.nobody_armed());
  }
  SECTION("although it had promised, and the primary gave the arms back by itself") {
    sites.arbiter(kEast, true);
    sites.arbiter(false);
    REQUIRE(sites.arm());
    sites.arbiter(kWest, false);
    sites.arbiter(true);
    REQUIRE(sites.nobody_armed());
    sites.arbiter(kWest, true);
    sites.arbiter(kEast, false);
  }
  sites.run_for(seconds(20));
  CHECK_FALSE(sites.remembered(kEast).armed);
  CHECK_FALSE(sites.remembered(kWest).promised);
  sites.cluster.kill(kEast);
  CHECK(sites.run_until([&] { return sites.state(kWest) == ServedSites::State::alone; }));
}

TEST_CASE("M5, alone = \"never\": both wait for the arbiter", "[arms]") {
  Sites sites(805, false);
  sites.arbiter(false);
  sites.run_for(seconds(20));
  CHECK_FALSE(sites.remembered(kEast).armed);
  sites.line(false);
  sites.run_for(seconds(20));
  for (const std::size_t site : {kEast, kWest}) {
    CHECK(sites.state(site) == ServedSites::State::suspended);
    CHECK(sites.controller(site).finding() == AloneFinding::ask_arbiter);
  }
}

TEST_CASE("M8, a secondary that was let go and never heard of it does not go on beside the primary", "[arms]") {
  Sites sites(806);
  sites.arbiter(kEast, false);  // the primary can't tell it
  sites.cluster.universe().network().block(sites.cluster.machine(kEast), sites.cluster.machine(kWest), true);
  REQUIRE(sites.cluster.stop(kWest));
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == ServedSites::State::alone; }));
  sites.line(false);
  sites.cluster.start(kWest);
  sites.run_for(seconds(30));
  CHECK(sites.state(kWest) == ServedSites::State::suspended);
  CHECK(sites.controller(kWest).finding() == AloneFinding::left);
  sites.line(true);
  CHECK(sites.run_until([&] { return sites.cluster.in_sync(); }));
}
