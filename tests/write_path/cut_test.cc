// TCP is cut at every message boundary of a request, and inside messages: one application, one answer, one effect.
#include <algorithm>
#include <set>

#include "check_effect.h"
#include "wire/codec.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

/// What goes each way between a call's start and some time after its end.
struct Traffic {
  std::string bytes[2];  // by the site that sends
};

Traffic learn(std::uint64_t seed, std::size_t site, Call call) {
  Scene scene(seed);
  Traffic traffic;
  scene.network().tap = [&](const sim::Machine& from, const sim::Machine&, Bytes bytes) {
    traffic.bytes[&from == &scene.cluster.machine(kEast) ? kEast : kWest].append(reinterpret_cast<const char*>(bytes.data()),
                                                                               bytes.size());
  };
  Answer answer;
  scene.start(site, call, answer);
  REQUIRE(scene.run_until_answered(answer));
  scene.universe().run_for(std::chrono::milliseconds(5));
  scene.network().tap = nullptr;
  return traffic;
}

/// Every boundary between frames, and for each frame places inside its header, its body and its payload.
std::set<std::uint64_t> places(const std::string& bytes) {
  std::set<std::uint64_t> places{0};
  std::uint64_t at = 0;
  while (at < bytes.size()) {
    REQUIRE(at + wire::kHeaderBytes <= bytes.size());
    const auto header = wire::decode_header(std::as_bytes(std::span(bytes)).subspan(at, wire::kHeaderBytes));
    REQUIRE(header.has_value());
    const std::uint64_t end = at + wire::kHeaderBytes + header->body_bytes + header->payload_bytes;
    places.insert({at + 1, at + wire::kHeaderBytes, at + wire::kHeaderBytes + header->body_bytes / 2, end - 1, end});
    at = end;
  }
  REQUIRE(at == bytes.size());
  return places;
}

void cut_at(std::uint64_t seed, std::size_t site, Call call, std::size_t sender, std::uint64_t place, bool again) {
  INFO(name_of(call) << " at " << kSites[site] << ", seed " << seed << ", cut after " << place << " bytes of " << kSites[sender]
                     << (again ? ", and again" : ""));
  Scene scene(seed);
  scene.record();
  const std::uint64_t sessions = scene.cluster.site(kEast).link().sessions();
  sim::Prng prng(seed * 977 + place);
  scene.network().cut_after(scene.cluster.machine(sender), scene.cluster.machine(1 - sender), place);
  if (again) {
    const std::size_t next = prng.below(2);
    scene.network().cut_next_after(scene.cluster.machine(next), scene.cluster.machine(1 - next), prng.below(1500));
  }
  Answer answer;
  scene.start(site, call, answer);
  REQUIRE(scene.run_until_answered(answer));
  require_success(answer);
  scene.settle();
  // The cut took place, here or (behind the last byte) at the next ping.
  REQUIRE(scene.cluster.site(kEast).link().sessions() > sessions);
  require_one_effect(scene, call);
  require_planned_once(scene);
}

void cut_everywhere(std::size_t site, Call call, bool again) {
  const std::uint64_t seed = 40 + static_cast<std::uint64_t>(call) * 2 + site;
  const Traffic traffic = learn(seed, site, call);
  std::size_t cuts = 0;
  for (std::size_t sender : {kEast, kWest}) {
    for (const std::uint64_t place : places(traffic.bytes[sender])) {
      cut_at(seed, site, call, sender, place, again);
      ++cuts;
    }
  }
  REQUIRE(cuts >= 12);  // at least one message each way
}

}  // namespace

TEST_CASE("R5, R6: the connection is cut at every message boundary and inside messages", "[cut]") {
  const std::size_t site = GENERATE(kEast, kWest);
  const Call call = GENERATE(Call::overwrite, Call::append, Call::create, Call::rename);
  cut_everywhere(site, call, false);
}

TEST_CASE("R5, R6: and the next connection somewhere in its first bytes", "[cut]") {
  const std::size_t site = GENERATE(kEast, kWest);
  const Call call = GENERATE(Call::overwrite, Call::append, Call::create, Call::rename);
  cut_everywhere(site, call, true);
}
