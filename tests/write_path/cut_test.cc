// TCP is cut at every message boundary of a request, and inside messages: one application, one answer, one effect.
#include <algorithm>
#include <set>

#include "check_effect.h"
#include "wire/codec.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

/// What is cut, besides where.
struct Case {
  std::uint64_t seed = 0;
  std::size_t site = 0;
  Call call{};
  bool both_ask = false;                ///< the other site's host makes the same call at the same time
  bool again = false;                   ///< the next connection is cut too, in its first bytes
  std::optional<Duration> held;         ///< the range is exclusive at the primary for so long
};

/// The calls of a case, under way.
struct Calls {
  Calls(Scene& s, const Case& c) : scene(s), both(c.both_ask) {
    if (c.held) {
      claim.emplace(scene, kEast);
      scene.universe().after(*c.held, nullptr, [this] { claim->release(); });
    }
    scene.start(c.site, c.call, answers[0]);
    if (both) scene.start(1 - c.site, c.call, answers[1]);
  }
  void require_success() {
    for (std::size_t i = 0; i < (both ? 2 : 1); ++i) {
      REQUIRE(scene.run_until_answered(answers[i]));
      write_path::require_success(answers[i]);
    }
  }
  Scene& scene;
  bool both;
  std::optional<Held> claim;
  Answer answers[2];
};

/// What goes each way between a call's start and some time after its end.
struct Traffic {
  std::string bytes[2];  // by the site that sends
};

Traffic learn(const Case& c) {
  Scene scene(c.seed);
  Traffic traffic;
  scene.network().tap = [&](const sim::Machine& from, const sim::Machine&, Bytes bytes) {
    traffic.bytes[&from == &scene.cluster.machine(kEast) ? kEast : kWest].append(reinterpret_cast<const char*>(bytes.data()),
                                                                               bytes.size());
  };
  Calls calls(scene, c);
  calls.require_success();
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

void cut_at(const Case& c, std::size_t sender, std::uint64_t place) {
  INFO(name_of(c.call) << " at " << kSites[c.site] << ", seed " << c.seed << ", cut after " << place << " bytes of " << kSites[sender]);
  Scene scene(c.seed);
  scene.record();
  const std::uint64_t sessions = scene.cluster.site(kEast).link().sessions();
  sim::Prng prng(c.seed * 977 + place);
  scene.network().cut_after(scene.cluster.machine(sender), scene.cluster.machine(1 - sender), place);
  if (c.again) {
    const std::size_t next = prng.below(2);
    scene.network().cut_next_after(scene.cluster.machine(next), scene.cluster.machine(1 - next), prng.below(1500));
  }
  Calls calls(scene, c);
  calls.require_success();
  scene.settle();
  // The cut took place, here or (behind the last byte) at the next ping.
  REQUIRE(scene.cluster.site(kEast).link().sessions() > sessions);
  REQUIRE(effects_of(scene, c.call) == (c.both_ask ? 2 : 1));
  require_planned_once(scene);
}

void cut_everywhere(Case c) {
  c.seed = 40 + static_cast<std::uint64_t>(c.call) * 2 + c.site;
  const Traffic traffic = learn(c);
  std::size_t cuts = 0;
  for (std::size_t sender : {kEast, kWest}) {
    for (const std::uint64_t place : places(traffic.bytes[sender])) {
      cut_at(c, sender, place);
      ++cuts;
    }
  }
  REQUIRE(cuts >= 12);  // at least one message each way
}

Case any_call() {
  Case c;
  c.site = GENERATE(kEast, kWest);
  c.call = GENERATE(Call::overwrite, Call::append, Call::create, Call::rename);
  return c;
}

}  // namespace

TEST_CASE("R5, R6, the connection is cut at every message boundary and inside messages", "[cut]") { cut_everywhere(any_call()); }

TEST_CASE("R5, R6, the connection is cut, and the next one in its first bytes", "[cut]") {
  Case c = any_call();
  c.again = true;
  cut_everywhere(c);
}

TEST_CASE("R5, R6, the connection is cut while a request waits in line, or when its turn has come", "[cut]") {
  Case c;
  c.site = GENERATE(kEast, kWest);
  c.call = Call::overwrite;
  c.again = GENERATE(false, true);
  // Released before the sites have met again, or after.
  c.held = GENERATE(std::chrono::milliseconds(20), std::chrono::milliseconds(1200));
  cut_everywhere(c);
}

TEST_CASE("R5, R6, the connection is cut while both sites' hosts append", "[cut]") {
  Case c;
  c.site = GENERATE(kEast, kWest);
  c.call = Call::append;
  c.both_ask = true;
  c.again = GENERATE(false, true);
  cut_everywhere(c);
}
