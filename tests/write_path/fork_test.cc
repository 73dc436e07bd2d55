// After a takeover by force: what is recorded, what can be read, and what an administrator makes of it.
#include <fcntl.h>

#include <algorithm>

#include "area/log_format.h"
#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;
using nlohmann::json;
using State = controller::Controller::State;

namespace {

runtime::Task<void> open_and_write(sim::Process& process, std::string path, std::uint64_t value, sim::FileHandle& file, HostCall& call) {
  sim::Host host(process);
  const Result<sim::FileHandle> opened = co_await host.open(path, O_RDWR | O_CREAT, 0644);
  if (opened) {
    file = *opened;
    const Result<std::uint64_t> written = co_await host.write(file, 0, text_of(value, kBlockBytes));
    if (!written) call.error = written.error().posix;
  } else {
    call.error = opened.error().posix;
  }
  call.ended = true;
}

/// Two sites with an arbiter, which the primary does not reach; the line between them is cut.
struct Parted : ServedSites {
  explicit Parted(std::uint64_t seed) : ServedSites(seed, true) {
    line(false);
    REQUIRE(run_until([&] { return !controller(kEast).connected() && !controller(kWest).connected(); }));
  }
  /// Each goes on alone, west because an administrator says so.
  void go_on_apart() {
    REQUIRE(run_until([&] { return state(kEast) == State::alone; }));
    json answer;
    do {  // it may be just looking for itself whether it may go on
      answer = command(kWest, {{"command", "takeover"}, {"confirmed", true}});
    } while (answer.value("error", "").find("try again in a moment") != std::string::npos);
    REQUIRE(answer.value("ok", false));
    REQUIRE(run_until([&] { return state(kWest) == State::alone; }));
  }
  /// West's daemon is killed and started anew when the line is back: it does not go on alone before they have met.
  void meet_as_diverged() {
    cluster.kill(kWest);
    cluster.start(kWest);
    line(true);
    REQUIRE(run_until([&] { return cluster.site(kWest).ready() && state(kWest) == State::diverged && controller(kWest).serving(); }));
  }
  /// Both go on apart, /data begins with 1 at east and with 2 at west, and they meet.
  void diverge() {
    go_on_apart();
    write(kEast, 1);
    write(kWest, 2);
    meet_as_diverged();
  }
  /// Gives the file, open.
  sim::FileHandle write(std::size_t site, std::uint64_t value, std::string path = "/data") {
    HostCall call;
    sim::FileHandle file;
    hosts[site]->spawn(open_and_write(*hosts[site], std::move(path), value, file, call));
    REQUIRE(run_until([&] { return call.ended; }));
    REQUIRE(!call.error);
    return file;
  }
};

}  // namespace

TEST_CASE("a takeover by force that the arbiter is slow to take is recorded once", "[fork]") {
  Parted sites(700);
  sites.cluster.arbiter().set_reachable(sites.cluster.machine(kEast), false);
  // Longer than the watch for a site on its own takes to look again, shorter than it takes to ask the arbiter by itself.
  sites.cluster.arbiter().weather.delay_min = sites.cluster.arbiter().weather.delay_max = std::chrono::milliseconds(100);
  const std::size_t entries = sites.controller(kWest).keeper().membership().history().size();
  REQUIRE(sites.command(kWest, {{"command", "takeover"}, {"confirmed", true}}).contains("ok"));
  REQUIRE(sites.run_until([&] { return sites.controller(kWest).state() == State::alone; }));
  const auto& history = sites.controller(kWest).keeper().membership().history();
  CHECK(history.size() == entries + 1);
  CHECK(history.back().forced);
}

TEST_CASE("a site that has diverged can be read for as long as it takes to decide, open files too", "[fork]") {
  Parted sites(701);
  sites.diverge();  // it has no lease, and needs none
  sim::FileHandle file;
  REQUIRE(!sites.call(kWest, [&](HostCall& call) { return open_it(*sites.hosts[kWest], "/data", file, call); }).error);
  sites.cluster.universe().run_for(std::chrono::minutes(1));
  const HostCall read = sites.call(kWest, [&](HostCall& call) { return read_it(*sites.hosts[kWest], file, call); });
  CHECK(read.error.value_or(0) == 0);
  CHECK(read.text == text_of(2, kBlockBytes));
  CHECK(sites.controller(kWest).state() == State::diverged);
}

TEST_CASE("what a site changed apart is listed and kept as a whole, though its log has forgotten it and it was killed", "[fork]") {
  Parted sites(703);
  sites.go_on_apart();
  sites.write(kEast, 1);
  sites.make_directory(kWest, "/first");
  sites.fill_log(kWest);
  sites.meet_as_diverged();
  const json list = sites.command(kWest, {{"command", "divergence"}});
  CHECK(list.value("complete", false));
  CHECK_FALSE(list.value("removals_complete", true));  // the log has forgotten
  const json resolved = sites.command(kWest, {{"command", "resolve"}, {"discard", "west"}});
  REQUIRE(resolved.contains("kept"));
  CHECK(resolved["kept"]["objects"] == 1);  // what was made first
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
}

TEST_CASE("a site whose log lost what it changed apart says so, and keeps aside what it still knows if it is told to", "[fork]") {
  Parted sites(706);
  sites.go_on_apart();
  sites.write(kEast, 1, "/of east");
  sites.write(kWest, 2, "/of west");
  const auto dies_and_is_back = [&](const std::function<void()>& meanwhile) {
    sites.cluster.kill(kWest);
    meanwhile();
    sites.start_again(kWest);
    REQUIRE(sites.run_until([&] { return sites.cluster.site(kWest).ready() && sites.state(kWest) == State::alone; }));
  };
  dies_and_is_back([] {});  // before it goes on alone its metadata are made stable
  sim::Storage& storage = sites.cluster.machine(kWest).storage();
  dies_and_is_back([&] { storage.corrupt("log", {area::kLogRingOffset, storage.peek("log").size() - area::kLogRingOffset}); });
  sites.write(kWest, 3, "/later");
  sites.meet_as_diverged();
  const json list = sites.command(kWest, {{"command", "divergence"}});
  CHECK_FALSE(list.value("complete", true));
  CHECK(list["changes"] > 0);
  json resolve{{"command", "resolve"}, {"discard", "west"}};
  CHECK_THAT(sites.command(kWest, resolve).dump(), Catch::Contains("incomplete"));
  resolve["partly"] = true;
  const json resolved = sites.command(kWest, resolve);
  REQUIRE(resolved.contains("kept"));
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
}

TEST_CASE("what a host has open, or asks for, of a history that is discarded never becomes something of the other one", "[fork]") {
  Parted sites(704);
  sites.go_on_apart();
  // Two files with one number.
  const sim::FileHandle theirs = sites.write(kEast, 1, "/of east");
  sites.write(kWest, 2, "/of west");
  sites.meet_as_diverged();
  sim::FileHandle ours;
  REQUIRE(!sites.call(kWest, [&](HostCall& call) { return open_it(*sites.hosts[kWest], "/of west", ours, call); }).error);
  REQUIRE(ours->inode == theirs->inode);
  HostCall waiting;
  sites.hosts[kWest]->spawn(write_it(*sites.hosts[kWest], ours, 3, waiting));
  sites.run_for(std::chrono::seconds(1));
  REQUIRE_FALSE(waiting.ended);  // it waits for the administrator
  REQUIRE_FALSE(sites.command(kWest, {{"command", "resolve"}, {"discard", "west"}, {"keep", "none"}}).contains("error"));
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  REQUIRE(sites.run_until([&] { return waiting.ended; }));
  CHECK(waiting.error == ENOTCONN);
  const HostCall written = sites.call(kWest, [&](HostCall& call) { return write_it(*sites.hosts[kWest], ours, 4, call); });
  CHECK(written.error == ENOTCONN);
  sites.run_for(std::chrono::seconds(5));
  const HostCall read = sites.call(kEast, [&](HostCall& call) { return read_it(*sites.hosts[kEast], theirs, call); });
  CHECK(read.text == text_of(1, kBlockBytes));
}

TEST_CASE("a site that lost its power and was forced to go on diverges from the primary, and either of them can be told to discard what it has", "[fork]") {
  const std::size_t discards = GENERATE(kEast, kWest);
  ServedSites sites(705, false, false);  // nobody goes on alone
  // The logs have forgotten the first effects of the epoch in which they part, which both have.
  sites.fill_log(kEast);
  REQUIRE(sites.controller(kEast).replica().area.log().forgotten() > first_seq_of(sites.controller(kEast).epoch()));
  sites.line(false);
  Write waits;
  sites.start(kEast, 0, 1, waits);
  REQUIRE(sites.run_until([&] { return !sites.controller(kEast).connected() && !sites.controller(kWest).connected(); }));
  REQUIRE_FALSE(waits.ended);
  // One that may lack what was acknowledged is forced to go on: the primary may have been told otherwise than it, so they diverge.
  sites.cluster.lose_power(kWest);
  sites.start_again(kWest);
  REQUIRE(sites.run_until([&] { return sites.cluster.site(kWest).ready() && sites.controller(kWest).finding() == controller::AloneFinding::unproven; }));
  const nlohmann::json told = sites.command(kWest, {{"command", "takeover"}});
  CHECK_THAT(told.dump(), Catch::Contains("this site lost power"));
  sites.command(kWest, {{"command", "takeover"}, {"confirmed", true}});
  REQUIRE(sites.run_until([&] { return sites.state(kWest) == State::alone; }));
  sites.line(true);
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == State::diverged; }));
  for (const std::size_t site : {kEast, kWest}) CHECK(sites.command(site, {{"command", "divergence"}}).value("complete", false));
  // What waits for the other site does not hold this up.
  const nlohmann::json answer = sites.command(discards, {{"command", "resolve"}, {"discard", discards == kEast ? "east" : "west"}});
  REQUIRE(answer.value("ok", false));
  if (discards == kEast) CHECK(answer["kept"]["objects"] > 0);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync() && waits.ended; }));
  CHECK(waits.error.value_or(0) == (discards == kEast ? ENOTCONN : 0));
  CHECK(sites.controller(1 - discards).primary() != nullptr);
  for (const std::size_t site : {kEast, kWest}) CHECK(sites.content(site) == (discards == kEast ? data_with({}) : data_with({1})));
}

TEST_CASE("a forwarded request is answered whose last duty the primary has done between its SYNCED and the other site's", "[fork]") {
  Scene scene(702);
  // A reservation waits for the write that was committed before it, of which only the answer is lost.
  scene.network().weather.delay_min = scene.network().weather.delay_max = std::chrono::milliseconds(5);
  const std::uint64_t sent = scene.network().sent(scene.cluster.machine(kWest), scene.cluster.machine(kEast));
  std::optional<json> reserved;
  scene.start_command(kWest, {{"command", "reserve"}, {"inode", scene.inode("/records").value}, {"path", "/records"}}, reserved);
  REQUIRE(scene.universe().run_until(
      [&] { return scene.network().sent(scene.cluster.machine(kWest), scene.cluster.machine(kEast)) > sent; }, std::chrono::seconds(1)));
  scene.cluster.process(kWest).pause(std::chrono::milliseconds(300));
  Answer written;
  scene.start(kEast, Call::overwrite, written);
  scene.universe().run_for(std::chrono::milliseconds(50));
  scene.network().cut(scene.cluster.machine(kEast), scene.cluster.machine(kWest), sim::CutNotice::both);
  REQUIRE(scene.run_until_answered(written));
  REQUIRE(scene.universe().run_until([&] { return reserved.has_value(); }, std::chrono::minutes(1)));
  CHECK(reserved->contains("ok"));
  CHECK_FALSE(reserved->contains("error"));
}

TEST_CASE("both sites are told to discard: the one that hears it of the other one refuses, and keeps what it has", "[fork]") {
  Parted sites(707);
  sites.diverge();
  sites.medium(kEast).miss_permille = 1000;  // what is kept aside there takes a while
  sites.medium(kEast).slow = std::chrono::seconds(1);
  std::optional<json> east, west;
  sites.start_command(kEast, {{"command", "resolve"}, {"discard", "east"}}, east);
  sites.start_command(kWest, {{"command", "resolve"}, {"discard", "west"}, {"keep", "none"}}, west);
  REQUIRE(sites.run_until([&] { return east && west; }));
  sites.medium(kEast) = {};
  CHECK(west->contains("ok"));
  CHECK_THAT(east->value("error", ""), Catch::Contains("nothing was discarded here"));
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  for (const std::size_t site : {kEast, kWest}) {
    INFO("what " << kSites[site] << " has is " << sites.content(site).size() << " bytes");
    const bool of_east = sites.content(site).starts_with(text_of(1, kBlockBytes));
    CHECK(of_east);
  }
}
