// R5 over restarts: a request that took effect, and whose sender never heard of it, does not take effect again.
#include <fcntl.h>

#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

struct HostCall {
  bool ended = false;
  std::optional<int> error;
};

runtime::Task<void> write_first_block(sim::Process& process, std::uint64_t value, bool append, HostCall& call) {
  sim::Host host(process);
  const Result<sim::FileHandle> file = co_await host.open("/data", append ? O_RDWR | O_APPEND : O_RDWR, 0);
  if (file) {
    const Result<std::uint64_t> written = co_await host.write(*file, 0, text_of(value, kBlockBytes));
    if (!written) call.error = written.error().posix;
    co_await host.close(*file);
  } else {
    call.error = file.error().posix;
  }
  call.ended = true;
}

runtime::Task<void> read_all(sim::Process& process, std::string& text, bool& ended) {
  sim::Host host(process);
  const Result<sim::FileHandle> file = co_await host.open("/data", O_RDONLY, 0);
  if (file) {
    const Result<std::string> bytes = co_await host.read(*file, 0, (kDataBlocks + 2) * kBlockBytes);
    if (bytes) text = *bytes;
    co_await host.close(*file);
  }
  ended = true;
}

}  // namespace

TEST_CASE("R5, a forwarded write whose primary went on alone and was restarted is not written again over what came later", "[answered]") {
  const bool append = GENERATE(false, true);
  const int restarts = GENERATE(1, 2);
  ServedSites sites(820, false);
  HostCall asked, later;
  // The primary hears of the request, and nothing that it says arrives.
  sites.hosts[kWest]->spawn(write_first_block(*sites.hosts[kWest], 1, append, asked));
  const Seq before = sites.controller(kEast).seq();
  sites.run_until([&] { return sites.controller(kWest).load().requests > 0; });
  sites.cluster.universe().network().block(sites.cluster.machine(kEast), sites.cluster.machine(kWest), true);
  REQUIRE(sites.run_until([&] { return sites.controller(kEast).seq() > before; }));
  REQUIRE(sites.run_until([&] { return sites.state(kEast) == ServedSites::State::alone; }));
  REQUIRE_FALSE(asked.ended);
  sites.hosts[kEast]->spawn(write_first_block(*sites.hosts[kEast], 2, false, later));
  REQUIRE(sites.run_until([&] { return later.ended; }));
  REQUIRE(!later.error);
  for (int i = 0; i < restarts; ++i) {
    sites.cluster.kill(kEast);
    sites.hosts[kEast] = &sites.cluster.machine(kEast).start("applications");
    sites.cluster.start(kEast);
    REQUIRE(sites.run_until([&] { return sites.cluster.site(kEast).ready() && sites.state(kEast) == ServedSites::State::alone; }));
  }
  sites.line(true);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync() && asked.ended; }));
  CHECK(!asked.error);
  std::string expected = text_of(kOld, kDataBlocks * kBlockBytes);
  expected.replace(0, kBlockBytes, text_of(2, kBlockBytes));
  if (append) expected += text_of(1, kBlockBytes);
  for (const std::size_t site : {kEast, kWest}) {
    std::string text;
    bool ended = false;
    sites.hosts[site]->spawn(read_all(*sites.hosts[site], text, ended));
    REQUIRE(sites.run_until([&] { return ended; }));
    CHECK(text == expected);
  }
}
