// R3, R5: programs that a signal ends while what they asked for is under way, or waits for the other site.
#include <cerrno>

#include "served_sites.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

/// A site in sync whose applications have /data open, with what they keep of it.
struct OpenData : ServedSites {
  explicit OpenData(std::uint64_t seed) : ServedSites(seed, false, false) {
    for (const std::size_t site : {kEast, kWest}) {
      (void)call(site, [&](HostCall& c) { return open_it(*hosts[site], "/data", files[site], c); });
      REQUIRE(read(site) == text_of(kOld, kBlockBytes));
    }
  }
  std::string read(std::size_t site) {
    return call(site, [&](HostCall& c) { return read_it(*hosts[site], files[site], c); }).text;
  }
  /// Whoever waits for an answer at `site` gets a signal that ends it.
  void end_programs(std::size_t site) {
    sim::SimKernel& kernel = cluster.process(site).kernel();
    for (const auto& [program, pid] : kernel.mounted()->programs()) {
      kernel.ending.insert(pid);
      kernel.mounted()->signal(program);
    }
  }
  sim::FileHandle files[2];
};

}  // namespace

TEST_CASE("R3, what the primary had done for a program of the secondary that was ended is dropped from the secondary's kernel", "[ended]") {
  OpenData sites(1400 + GENERATE(range(0u, 4u)));
  HostCall write;
  sites.hosts[kWest]->spawn(write_it(*sites.hosts[kWest], sites.files[kWest], 3, write));
  REQUIRE(sites.run_until([&] { return sites.place_of(kEast, text_of(3, kBlockBytes)).has_value(); }));
  sites.line(false);
  REQUIRE_FALSE(write.ended);
  sites.end_programs(kWest);
  REQUIRE(sites.run_until([&] { return write.ended; }));
  CHECK(write.error == EINTR);
  CHECK(sites.read(kWest) == text_of(kOld, kBlockBytes));  // kept from now on
  sites.line(true);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync() && sites.place_of(kWest, text_of(3, kBlockBytes)).has_value(); }));
  for (const std::size_t site : {kEast, kWest}) {
    const bool is_new = sites.read(site) == text_of(3, kBlockBytes);
    CHECK(is_new);
  }
}

TEST_CASE("R5, what nobody had done for a program that was ended is not done when the sites meet again", "[ended]") {
  OpenData sites(1410 + GENERATE(range(0u, 4u)));
  sites.line(false);
  HostCall write;
  sites.hosts[kWest]->spawn(write_it(*sites.hosts[kWest], sites.files[kWest], 3, write));
  sites.run_for(std::chrono::milliseconds(100));
  REQUIRE_FALSE(write.ended);
  sites.end_programs(kWest);
  REQUIRE(sites.run_until([&] { return write.ended; }));
  CHECK(write.error == EINTR);
  sites.run_for(std::chrono::seconds(5));  // the session is over, and with it what was sent
  sites.line(true);
  REQUIRE(sites.run_until([&] { return sites.cluster.in_sync(); }));
  sites.run_for(std::chrono::seconds(1));
  for (const std::size_t site : {kEast, kWest}) {
    CHECK_FALSE(sites.place_of(site, text_of(3, kBlockBytes)).has_value());
    const bool is_old = sites.read(site) == text_of(kOld, kBlockBytes);
    CHECK(is_old);
  }
}

TEST_CASE("what is in force at the primary is answered, be its program ended or not", "[ended]") {
  OpenData sites(1420);
  sites.line(false);
  HostCall write;
  sites.hosts[kEast]->spawn(write_it(*sites.hosts[kEast], sites.files[kEast], 3, write));
  REQUIRE(sites.run_until([&] { return sites.place_of(kEast, text_of(3, kBlockBytes)).has_value(); }));
  sites.end_programs(kEast);
  sites.run_for(std::chrono::milliseconds(500));
  CHECK_FALSE(write.ended);
  sites.line(true);
  REQUIRE(sites.run_until([&] { return write.ended && sites.cluster.in_sync(); }));
  CHECK(!write.error);
  for (const std::size_t site : {kEast, kWest}) {
    const bool is_new = sites.read(site) == text_of(3, kBlockBytes);
    CHECK(is_new);
  }
}
