// R2, R5: a daemon dies with something under way. What one site shows, the other does not contradict, and no answer is wrong.
#include "damaged.h"
#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

constexpr std::uint64_t kHalf = kBlockBytes / 2;

runtime::Task<void> read_block(sim::Process& process, sim::FileHandle file, std::uint64_t block, HostCall& call) {
  sim::Host host(process);
  const Result<std::string> bytes = co_await host.read(file, block * kBlockBytes, kBlockBytes);
  if (bytes) call.text = *bytes;
  if (!bytes) call.error = bytes.error().posix;
  call.ended = true;
}

/// Opens /data as soon as it is there.
runtime::Task<void> open_data(sim::Process& process, sim::FileHandle& file, HostCall& call) {
  sim::Host host(process);
  Result<sim::FileHandle> opened = co_await host.open("/data", O_RDONLY, 0);
  while (!opened) opened = co_await host.open("/data", O_RDONLY, 0);
  file = *opened;
  call.ended = true;
}

runtime::Task<void> look_at(sim::Process& process, std::string path, std::optional<runtime::HostAttributes>& found, HostCall& call) {
  sim::Host host(process);
  const Result<runtime::HostAttributes> attributes = co_await host.stat(path);
  if (attributes) found = *attributes;
  call.ended = true;
}

}  // namespace

TEST_CASE("R2, a primary that died under a write serves nobody before the other site's kernel has dropped the old", "[restart]") {
  ServedSites sites(950 + GENERATE(range(0u, 8u)), false);
  sim::FileHandle west;
  (void)sites.call(kWest, [&](HostCall& call) { return open_data(*sites.hosts[kWest], west, call); });
  const HostCall before = sites.call(kWest, [&](HostCall& call) { return read_block(*sites.hosts[kWest], west, kBlock, call); });
  REQUIRE(before.text == text_of(kOld, kBlockBytes));

  // The other half of the block is bad at west, so what the write makes of it there is not complete without the primary.
  const std::optional<std::uint64_t> data = sites.place_of(kWest, text_of(kOld, kDataBlocks * kBlockBytes));
  REQUIRE(data);
  sites.cluster.machine(kWest).storage().corrupt("extents", {*data + kBlock * kBlockBytes, kBlockBytes});
  const Seq last = sites.controller(kEast).seq();
  Answer answer;
  sites.hosts[kEast]->spawn(write_at(*sites.hosts[kEast], kBlock * kBlockBytes, std::string(kHalf, 'n'), answer));
  REQUIRE(sites.run_until([&] { return sites.controller(kWest).replica().applied() > last; }));
  CHECK(answer.count == 0);
  sites.cluster.kill(kEast);
  sites.medium(kWest).slow = std::chrono::milliseconds(200);
  sites.start_again(kEast);

  sim::FileHandle east;
  (void)sites.call(kEast, [&](HostCall& call) { return open_data(*sites.hosts[kEast], east, call); });
  const HostCall new_one = sites.call(kEast, [&](HostCall& call) { return read_block(*sites.hosts[kEast], east, kBlock, call); });
  const HostCall after = sites.call(kWest, [&](HostCall& call) { return read_block(*sites.hosts[kWest], west, kBlock, call); });
  const std::string expected = std::string(kHalf, 'n') + text_of(kOld, kBlockBytes).substr(kHalf);
  const bool right_here = new_one.text == expected, right_there = after.text == expected;
  CHECK(right_here);
  CHECK(right_there);
  sites.medium(kWest).slow = {};
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
}

TEST_CASE("R2, a secondary that died behind a write serves nobody before the primary's kernel has dropped the old", "[restart]") {
  const std::uint64_t locked = kBlock, kept = kBlock + 1;
  ServedSites sites(960, true);
  const auto write = [&](char with, Answer& answer) {
    sites.hosts[kWest]->spawn(write_at(*sites.hosts[kWest], kBlock * kBlockBytes, std::string(2 * kBlockBytes, with), answer));
  };
  Answer before, answer;
  write('b', before);  // the next one needs nothing of the medium
  REQUIRE(sites.run_until([&] { return before.made; }));
  sim::FileHandle east;
  (void)sites.call(kEast, [&](HostCall& call) { return open_data(*sites.hosts[kEast], east, call); });
  (void)sites.call(kEast, [&](HostCall& call) { return read_block(*sites.hosts[kEast], east, kept, call); });

  // A read whose page is locked meanwhile: the drop waits for it.
  sites.medium(kEast).miss_permille = 1000;
  sites.medium(kEast).slow = std::chrono::milliseconds(1500);
  HostCall slow;
  sites.hosts[kEast]->spawn(read_block(*sites.hosts[kEast], east, locked, slow));
  const Seq last = sites.controller(kEast).seq();
  write('n', answer);
  REQUIRE(sites.run_until([&] { return sites.controller(kWest).replica().logged() > last || sites.controller(kWest).replica().applied() > last; }));
  REQUIRE_FALSE(slow.ended);
  sites.run_for(std::chrono::milliseconds(1));
  sites.cluster.kill(kWest);
  sites.start_again(kWest);

  sim::FileHandle west;
  (void)sites.call(kWest, [&](HostCall& call) { return open_data(*sites.hosts[kWest], west, call); });
  const HostCall there = sites.call(kWest, [&](HostCall& call) { return read_block(*sites.hosts[kWest], west, kept, call); });
  const HostCall here = sites.call(kEast, [&](HostCall& call) { return read_block(*sites.hosts[kEast], east, kept, call); });
  const bool equal = here.text == there.text, is_new = there.text == std::string(kBlockBytes, 'n');
  CHECK(is_new);
  CHECK(equal);
  sites.medium(kEast) = {};
  REQUIRE(sites.run_until([&] { return slow.ended && sites.cluster.in_sync(); }));
}

TEST_CASE("R5, EBUSY is no answer for a write that a primary had carried out before it died", "[restart]") {
  ServedSites sites(970, false);
  Write write;
  sites.start(kWest, 3, 1, write);
  REQUIRE(sites.run_until([&] { return sites.place_of(kEast, text_of(1, kBlockBytes)).has_value(); }));
  REQUIRE_FALSE(write.ended);
  sites.cluster.kill(kEast);
  sites.line(false);
  sites.start_again(kEast);
  REQUIRE(sites.run_until([&] { return sites.cluster.site(kEast).ready() && sites.state(kEast) == ServedSites::State::alone; }));
  std::optional<runtime::HostAttributes> data;
  (void)sites.call(kEast, [&](HostCall& call) { return look_at(*sites.hosts[kEast], "/data", data, call); });
  REQUIRE(data);
  nlohmann::json reservation{{"command", "reserve"}, {"path", "/data"}, {"inode", data->inode.value}, {"busy", true}};
  REQUIRE(sites.command(kEast, reservation).contains("ok"));
  sites.line(true);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  sites.run_for(std::chrono::seconds(5));
  CHECK_FALSE(write.ended);
  reservation["command"] = "release";
  REQUIRE(sites.command(kEast, reservation).contains("ok"));
  REQUIRE(sites.run_until([&] { return write.ended; }));
  CHECK_FALSE(write.error);
}
