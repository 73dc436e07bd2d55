// Objects without a name: they stay for as long as a host of either site has them open, and no longer.
#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

runtime::Task<void> unlink_it(sim::Process& process, std::string path, HostCall& call) {
  sim::Host host(process);
  co_await end_with(host.unlink(path), call);
}

runtime::Task<void> close_it(sim::Process& process, sim::FileHandle file, HostCall& call) {
  sim::Host host(process);
  co_await end_with(host.close(file), call);
}

runtime::Task<void> count_nameless(site::Site& site, std::optional<std::size_t>& count) {
  const Result<std::vector<InodeId>> nameless = co_await site.volume().orphans();
  count = nameless ? nameless->size() : SIZE_MAX;
}

struct Sites : ServedSites {
  explicit Sites(std::uint64_t seed) : ServedSites(seed, false) {}
  void await(const HostCall& call) {
    REQUIRE(run_until([&] { return call.ended; }));
    REQUIRE(call.error.value_or(0) == 0);
  }
  sim::FileHandle open(std::size_t site) {
    sim::FileHandle file;
    await(call(site, [&](HostCall& call) { return open_it(*hosts[site], "/data", file, call); }));
    return file;
  }
  /// What `site` hears of the other one waits.
  void deafen(std::size_t site, bool on) { cluster.universe().network().block(cluster.machine(1 - site), cluster.machine(site), on); }
  std::size_t nameless(std::size_t site) {
    std::optional<std::size_t> count;
    cluster.process(site).spawn(count_nameless(cluster.site(site), count));
    REQUIRE(run_until([&] { return count.has_value(); }));
    return *count;
  }
};

}  // namespace

TEST_CASE("a file that the primary's host closes before the other site has said that it is open there stays", "[nameless]") {
  Sites sites(890);
  const sim::FileHandle here = sites.open(kEast), there = sites.open(kWest);
  sites.deafen(kEast, true);
  HostCall unlinked, closed;
  sites.hosts[kEast]->spawn(unlink_it(*sites.hosts[kEast], "/data", unlinked));
  sites.run_for(std::chrono::milliseconds(100));
  REQUIRE_FALSE(unlinked.ended);
  sites.hosts[kEast]->spawn(close_it(*sites.hosts[kEast], here, closed));
  sites.run_for(std::chrono::milliseconds(100));
  sites.deafen(kEast, false);
  sites.await(unlinked);
  sites.await(closed);
  sites.run_for(std::chrono::seconds(5));
  sim::Process& west = *sites.hosts[kWest];
  sites.await(sites.call(kWest, [&](HostCall& call) { return write_it(west, there, 7, call); }));
  const HostCall read = sites.call(kWest, [&](HostCall& call) { return read_it(west, there, call); });
  CHECK(read.text == text_of(7, kBlockBytes));
  sites.await(sites.call(kWest, [&](HostCall& call) { return close_it(west, there, call); }));
  sites.run_for(std::chrono::seconds(1));
  for (const std::size_t site : {kEast, kWest}) CHECK(sites.nameless(site) == 0);
}

TEST_CASE("a file that only a site had open which died goes when that one is back", "[nameless]") {
  Sites sites(891);
  sites.open(kWest);
  sites.await(sites.call(kEast, [&](HostCall& call) { return unlink_it(*sites.hosts[kEast], "/data", call); }));
  sites.run_for(std::chrono::seconds(1));
  CHECK(sites.nameless(kEast) == 1);
  sites.cluster.kill(kWest);
  sites.start_again(kWest);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  sites.run_for(std::chrono::seconds(1));
  for (const std::size_t site : {kEast, kWest}) CHECK(sites.nameless(site) == 0);
}

TEST_CASE("a file that was removed while its maker was away, before that one had heard of it, was made", "[nameless]") {
  const bool log_forgets = GENERATE(false, true);
  CAPTURE(log_forgets);
  Sites sites(892);
  sim::Process& west = *sites.hosts[kWest];
  sim::FileHandle file;
  HostCall made;
  const Seq before = sites.controller(kEast).seq();
  west.spawn(open_it(west, "/new", file, made, O_RDWR | O_CREAT | O_EXCL));
  REQUIRE(sites.run_until([&] { return sites.controller(kEast).seq() > before; }));
  sites.deafen(kWest, true);
  REQUIRE(sites.run_until([&] { return sites.controller(kEast).state() == Sites::State::alone && sites.cluster.site(kEast).ready(); }));
  REQUIRE_FALSE(made.ended);
  sites.await(sites.call(kEast, [&](HostCall& call) { return unlink_it(*sites.hosts[kEast], "/new", call); }));
  REQUIRE(sites.run_until([&] { return sites.nameless(kEast) == 0; }));
  if (log_forgets) sites.fill_log(kEast);
  sites.deafen(kWest, false);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  sites.await(made);
  const HostCall written = sites.call(kWest, [&](HostCall& call) { return write_it(west, file, 1, call); });
  CHECK(written.error == ESTALE);
  sites.await(sites.call(kWest, [&](HostCall& call) { return close_it(west, file, call); }));
}
