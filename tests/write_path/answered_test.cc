// R5 over restarts and losses of power: a request whose sender never heard what became of it takes effect once, and whole.
#include <cstring>

#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

/// The first number of each block that is not an old one.
std::string summary(const std::string& text) {
  std::string all = std::to_string(text.size() / kBlockBytes) + " blocks";
  for (std::size_t block = 0; (block + 1) * kBlockBytes <= text.size(); ++block) {
    std::uint64_t value = 0;
    std::memcpy(&value, text.data() + block * kBlockBytes, sizeof value);
    if (value != kOld) all += ", block " + std::to_string(block) + ": " + std::to_string(value);
  }
  return all;
}

struct Sites : ServedSites {
  explicit Sites(std::uint64_t seed, bool arbiter = false) : ServedSites(seed, arbiter) {}
  /// Nothing that the primary says arrives.
  void silence_primary() { cluster.universe().network().block(cluster.machine(kEast), cluster.machine(kWest), true); }
  bool east_alone() {
    return run_until([&] { return cluster.site(kEast).ready() && state(kEast) == State::alone; });
  }
  /// The secondary is made equal, and serves its hosts already.
  bool west_is_live_target() {
    return run_until([&] {
      return cluster.site(kWest).ready() && controller(kWest).secondary() != nullptr && controller(kWest).secondary()->live() &&
             !controller(kWest).secondary()->in_sync();
    });
  }
  void make_west_a_target() {
    cluster.kill(kWest);
    REQUIRE(east_alone());
    start_again(kWest);
    REQUIRE(west_is_live_target());
  }
  /// `asked` takes effect at the primary, and its sender does not hear of it.
  void take_effect_unheard(std::optional<std::uint64_t> block, Write& asked) {
    const Seq before = controller(kEast).seq();
    start(kWest, block, 1, asked);
    // Its answer is on the way then.
    REQUIRE(run_until([&] { return controller(kEast).seq() > before; }));
    silence_primary();
  }
  /// Both meet, the request is answered, and both have `expected`.
  void settle(const Write& asked, const std::string& expected) {
    line(true);
    REQUIRE(run_until([&] { return cluster.in_sync() && asked.ended; }));
    CHECK(!asked.error);
    for (const std::size_t site : {kEast, kWest}) {
      const std::string there = content(site);
      INFO("at " << kSites[site] << ": " << summary(there));
      CHECK((there == expected));
    }
  }
};

runtime::Task<void> make_file(sim::Process& process, std::string path, InodeId& made, bool& ended) {
  sim::Host host(process);
  const Result<sim::FileHandle> file = co_await host.open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
  if (file) {
    made = (*file)->inode;
    co_await host.close(*file);
  }
  ended = true;
}

runtime::Task<void> sync_log(controller::Replica& replica, bool& done) {
  const Result<> synced = co_await replica.area.log().sync();
  done = synced.has_value();
}

}  // namespace

TEST_CASE("R5, a forwarded write whose primary went on alone and was restarted is not written again over what came later", "[answered]") {
  const bool append = GENERATE(false, true);
  const int restarts = GENERATE(1, 2);
  const bool of_target = GENERATE(false, true);
  const bool log_forgets = GENERATE(false, true);
  Sites sites(820);
  if (of_target) {
    sites.make_west_a_target();
  }
  Write asked, later;
  sites.take_effect_unheard(append ? std::nullopt : std::optional<std::uint64_t>(0), asked);
  REQUIRE(sites.east_alone());
  REQUIRE_FALSE(asked.ended);
  sites.start(kEast, 0, 2, later);
  REQUIRE(sites.run_until([&] { return later.ended; }));
  REQUIRE(!later.error);
  if (log_forgets) sites.fill_log(kEast);
  for (int i = 0; i < restarts; ++i) {
    sites.cluster.kill(kEast);
    sites.start_again(kEast);
    REQUIRE(sites.east_alone());
  }
  sites.settle(asked, append ? data_with({2}, {1}) : data_with({2}));
}

TEST_CASE("R5, an append of a target takes effect once although its source was restarted before it acknowledged anything alone", "[answered]") {
  const bool in_order = GENERATE(false, true), log_forgets = GENERATE(false, true);
  CAPTURE(in_order, log_forgets);
  Sites sites(824);
  sites.make_west_a_target();
  Write asked;
  sites.take_effect_unheard(std::nullopt, asked);
  const auto& log = sites.controller(kEast).replica().area.log();
  REQUIRE(sites.run_until([&] { return sites.controller(kEast).replica().logged() == sites.controller(kEast).seq(); }));
  const Seq appended = log.last();
  if (log_forgets) {
    sites.cluster.process(kEast).spawn(sites.controller(kEast).replica().log_room());
    REQUIRE(sites.run_until([&] { return log.forgotten() >= appended; }));
  }
  REQUIRE(sites.state(kEast) != Sites::State::alone);
  if (in_order) {
    REQUIRE(sites.cluster.stop(kEast));
  } else {
    sites.cluster.kill(kEast);
  }
  sites.start_again(kEast);
  REQUIRE(sites.east_alone());
  Write later;
  sites.start(kEast, 0, 2, later);
  REQUIRE(sites.run_until([&] { return later.ended; }));
  sites.settle(asked, data_with({2}, {1}));
}

TEST_CASE("R5, a write whose data the only member lost with its power goes there again", "[answered]") {
  int lost = 0;
  for (std::uint64_t seed = 840; seed < 856; ++seed) {
    INFO("seed " << seed);
    Sites sites(seed);
    sites.make_west_a_target();
    Write asked;
    sites.take_effect_unheard(std::nullopt, asked);
    bool stable = false;
    sites.cluster.process(kEast).spawn(sync_log(sites.controller(kEast).replica(), stable));
    REQUIRE(sites.run_until([&] { return stable; }));
    REQUIRE_FALSE(asked.ended);
    sites.cluster.lose_power(kEast);
    const Bytes extents = sites.cluster.machine(kEast).storage().peek("extents");
    const std::string record = text_of(1, kBlockBytes);
    lost += ::memmem(extents.data(), extents.size(), record.data(), record.size()) == nullptr;
    sites.start_again(kEast);
    REQUIRE(sites.east_alone());
    sites.settle(asked, data_with({}, {1}));
  }
  CHECK(lost > 0);
}

TEST_CASE("R5, a forwarded write that a primary took back, which wanted to go alone and was killed, is written again", "[answered]") {
  const bool append = GENERATE(false, true);
  Sites sites(860, true);
  Write asked;
  sites.take_effect_unheard(append ? std::nullopt : std::optional<std::uint64_t>(0), asked);
  sites.cluster.arbiter().set_available(false);
  sites.run_for(std::chrono::seconds(5));
  CHECK(sites.controller(kEast).finding() == controller::AloneFinding::ask_arbiter);
  REQUIRE_FALSE(asked.ended);
  sites.cluster.kill(kEast);
  sites.start_again(kEast);
  sites.settle(asked, append ? data_with({}, {1}) : data_with({1}));
}

TEST_CASE("R5, what a primary does by itself does not make the other site forget its host's requests", "[answered]") {
  Sites sites(880);
  sim::Host host(*sites.hosts[kEast]);
  sim::FileHandle file;
  REQUIRE(!sites.call(kEast, [&](HostCall& call) { return open_it(*sites.hosts[kEast], "/records", file, call); }).error);
  REQUIRE(!sites.call(kEast, [&](HostCall& call) { return end_with(host.unlink("/records"), call); }).error);
  const auto known = [&] {
    std::size_t count = 0;
    sites.controller(kWest).replica().results.for_all(SiteId{0}, [&](const RequestId& id, const controller::Results::Entry&) { count += id.boot != 0; });
    return count;
  };
  REQUIRE(sites.run_until([&] { return known() == 0; }));
  // The other site has what is asked for now, and its word that it has does not arrive.
  sites.cluster.universe().network().block(sites.cluster.machine(kWest), sites.cluster.machine(kEast), true);
  Write asked;
  sites.start(kEast, std::nullopt, 1, asked);
  REQUIRE(sites.run_until([&] { return known() == 1; }));
  HostCall closed;
  sites.hosts[kEast]->spawn(end_with(host.close(file), closed));
  const Seq before = sites.controller(kWest).replica().applied();
  REQUIRE(sites.run_until([&] { return sites.controller(kWest).replica().applied() > before; }));  // the file is removed
  REQUIRE_FALSE(asked.ended);
  CHECK(known() == 1);
}

TEST_CASE("what is made after a loss of power has no number of something that was lost", "[answered]") {
  int lost = 0;
  for (std::uint64_t seed = 890; seed < 900; ++seed) {
    INFO("seed " << seed);
    Sites sites(seed);
    sites.cluster.kill(kWest);
    REQUIRE(sites.east_alone());
    const auto make = [&](const std::string& path) {
      InodeId made;
      bool ended = false;
      sites.hosts[kEast]->spawn(make_file(*sites.hosts[kEast], path, made, ended));
      REQUIRE(sites.run_until([&] { return ended; }));
      REQUIRE(made != kNoInode);
      return made;
    };
    const std::uint64_t files = sites.cluster.site(kEast).volume().statistics().files;
    const InodeId before = make("/before");
    sites.cluster.lose_power(kEast);
    sites.start_again(kEast);
    REQUIRE(sites.east_alone());
    lost += sites.cluster.site(kEast).volume().statistics().files == files;
    CHECK(make("/after").value > before.value);
  }
  CHECK(lost > 0);
}

TEST_CASE("what was being made stable when a daemon was killed is stable when that is answered", "[answered]") {
  const std::size_t killed = GENERATE(kEast, kWest), asker = 1 - killed;
  INFO("killed: " << kSites[killed]);
  ServedSites sites(910 + killed, false, false);
  for (const std::size_t site : {kEast, kWest}) sites.medium(site).write_back_permille = 0;
  sim::Host host(*sites.hosts[asker]);
  sim::FileHandle file;
  REQUIRE(!sites.call(asker, [&](HostCall& call) { return open_it(*sites.hosts[asker], "/data", file, call); }).error);
  REQUIRE(!sites.call(asker, [&](HostCall& call) { return write_it(*sites.hosts[asker], file, 1, call); }).error);
  sites.medium(killed).slow = std::chrono::seconds(1);
  HostCall synced;
  sites.hosts[asker]->spawn(end_with(host.fsync(file, false), synced));
  sites.run_for(std::chrono::milliseconds(500));
  REQUIRE_FALSE(synced.ended);
  sites.cluster.kill(killed);
  sites.medium(killed).slow = {};
  sites.start_again(killed);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync() && synced.ended; }));
  CHECK(!synced.error);
  for (const std::size_t site : {kEast, kWest}) sites.cluster.lose_power(site);
  for (const std::size_t site : {kEast, kWest}) {
    const Bytes extents = sites.cluster.machine(site).storage().peek("extents");
    const std::string written = text_of(1, kBlockBytes);
    INFO("at " << kSites[site]);
    CHECK(::memmem(extents.data(), extents.size(), written.data(), written.size()) != nullptr);
  }
  for (const std::size_t site : {kEast, kWest}) sites.start_again(site);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  for (const std::size_t site : {kEast, kWest}) CHECK((sites.content(site) == data_with({1})));
}
