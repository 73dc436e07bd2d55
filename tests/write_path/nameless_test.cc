// Objects without a name: they stay for as long as a host of either site has them open, and no longer.
#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

struct HostCall {
  bool ended = false;
  std::optional<int> error;
  void end(const auto& result) {
    if (!result) error = result.error().posix;
    ended = true;
  }
};

runtime::Task<void> open_data(sim::Process& process, sim::FileHandle& file, HostCall& call) {
  const Result<sim::FileHandle> opened = co_await sim::Host(process).open("/data", O_RDWR, 0);
  if (opened) file = *opened;
  call.end(opened);
}

runtime::Task<void> unlink_data(sim::Process& process, HostCall& call) { call.end(co_await sim::Host(process).unlink("/data")); }

runtime::Task<void> close_file(sim::Process& process, sim::FileHandle file, HostCall& call) { call.end(co_await sim::Host(process).close(file)); }

runtime::Task<void> write_and_read(sim::Process& process, sim::FileHandle file, std::string text, std::string& read, HostCall& call) {
  sim::Host host(process);
  const Result<std::uint64_t> written = co_await host.write(file, 0, text);
  const Result<std::string> there = written ? co_await host.read(file, 0, text.size()) : std::unexpected(written.error());
  if (there) read = *there;
  call.end(there);
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
    HostCall call;
    sim::FileHandle file;
    hosts[site]->spawn(open_data(*hosts[site], file, call));
    await(call);
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
  HostCall unlinked, closed, written;
  sites.hosts[kEast]->spawn(unlink_data(*sites.hosts[kEast], unlinked));
  sites.run_for(std::chrono::milliseconds(100));
  REQUIRE_FALSE(unlinked.ended);
  sites.hosts[kEast]->spawn(close_file(*sites.hosts[kEast], here, closed));
  sites.run_for(std::chrono::milliseconds(100));
  sites.deafen(kEast, false);
  sites.await(unlinked);
  sites.await(closed);
  sites.run_for(std::chrono::seconds(5));
  const std::string text = text_of(7, kBlockBytes);
  std::string read;
  sites.hosts[kWest]->spawn(write_and_read(*sites.hosts[kWest], there, text, read, written));
  sites.await(written);
  CHECK(read == text);
  HostCall last;
  sites.hosts[kWest]->spawn(close_file(*sites.hosts[kWest], there, last));
  sites.await(last);
  sites.run_for(std::chrono::seconds(1));
  for (const std::size_t site : {kEast, kWest}) CHECK(sites.nameless(site) == 0);
}

TEST_CASE("a file that only a site had open which died goes when that one is back", "[nameless]") {
  Sites sites(891);
  sites.open(kWest);
  HostCall unlinked;
  sites.hosts[kEast]->spawn(unlink_data(*sites.hosts[kEast], unlinked));
  sites.await(unlinked);
  sites.run_for(std::chrono::seconds(1));
  CHECK(sites.nameless(kEast) == 1);
  sites.cluster.kill(kWest);
  sites.start_again(kWest);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  sites.run_for(std::chrono::seconds(1));
  for (const std::size_t site : {kEast, kWest}) CHECK(sites.nameless(site) == 0);
}
