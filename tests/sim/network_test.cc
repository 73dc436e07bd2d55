#include "sim/network.h"

#include <set>

#include "catch.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::Connection;
using runtime::Stop;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

/// What became of one end.
struct Seen {
  std::string received;
  bool connected = false, closed = false, lost = false;
};

Task<void> receive(Connection& link, Seen& seen) {
  std::vector<std::byte> buffer(100);
  while (true) {
    const auto n = co_await link.receive(buffer);
    if (!n.has_value()) {
      seen.lost = true;
      co_return;
    }
    if (*n == 0) {
      seen.closed = true;
      co_return;
    }
    seen.received += text_of(Bytes(buffer).first(*n));
  }
}

Task<void> serve(runtime::World& world, std::string address, std::string greeting, Seen& seen) {
  auto listener = world.net.listen(address);
  REQUIRE(listener.has_value());
  auto link = co_await (*listener)->accept();
  REQUIRE(link.has_value());
  seen.connected = true;
  const Bytes part = std::as_bytes(std::span(greeting));
  if (!greeting.empty()) REQUIRE((*link)->try_send(std::span(&part, 1)).has_value());
  co_await receive(**link, seen);
}

Task<void> visit(runtime::World& world, std::string address, std::string greeting, Seen& seen) {
  Stop stop;
  auto link = co_await world.net.connect(address, 1s, stop);
  if (!link.has_value()) {
    seen.lost = true;
    co_return;
  }
  seen.connected = true;
  const Bytes part = std::as_bytes(std::span(greeting));
  if (!greeting.empty()) REQUIRE((*link)->try_send(std::span(&part, 1)).has_value());
  co_await receive(**link, seen);
}

/// Two machines with a stream between them; beta connected.
struct Pair {
  explicit Pair(std::uint64_t seed)
      : universe(seed),
        alpha(universe.add_machine("alpha")),
        beta(universe.add_machine("beta")),
        a(alpha.start()),
        b(beta.start()) {
    universe.network().weather.short_send_permille = 0;
  }
  void connect(std::string to_beta = "", std::string to_alpha = "") {
    a.spawn(serve(a.world(), "alpha:1", std::move(to_beta), at_alpha));
    b.spawn(visit(b.world(), "alpha:1", std::move(to_alpha), at_beta));
  }
  Network& network() { return universe.network(); }

  Universe universe;
  Machine& alpha;
  Machine& beta;
  Process& a;
  Process& b;
  Seen at_alpha, at_beta;
};

}  // namespace

TEST_CASE("a cut is seen at both ends") {
  Pair pair(1);
  pair.connect();
  pair.universe.run_for(Duration(50ms));
  REQUIRE(pair.at_alpha.connected);
  REQUIRE(pair.at_beta.connected);
  pair.network().cut(pair.alpha, pair.beta);
  pair.universe.run_for(Duration(50ms));
  CHECK(pair.at_alpha.lost);
  CHECK(pair.at_beta.lost);
}

TEST_CASE("a half-open end does not notice") {
  Pair pair(1);
  pair.connect();
  pair.universe.run_for(Duration(50ms));
  pair.network().cut(pair.alpha, pair.beta, CutNotice::second);
  pair.universe.run_for(Duration(10s));
  CHECK(!pair.at_alpha.lost);
  CHECK(pair.at_beta.lost);
}

TEST_CASE("of what is in flight at a cut some prefix arrives") {
  std::set<std::size_t> lengths;
  std::string text(1000, ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Pair pair(seed);
    pair.network().weather.delay_min = pair.network().weather.delay_max = 5ms;
    pair.connect("", text);
    pair.universe.run_for(Duration(14ms));
    REQUIRE(pair.network().sent(pair.beta, pair.alpha) == text.size());
    REQUIRE(pair.at_alpha.received.empty());
    pair.network().cut(pair.alpha, pair.beta);
    pair.universe.run_for(Duration(1s));
    CHECK(pair.at_alpha.lost);
    CHECK(text.starts_with(pair.at_alpha.received));
    lengths.insert(pair.at_alpha.received.size());
  }
  CHECK(lengths.size() > 10);
}

TEST_CASE("a planned cut lets exactly so many bytes through") {
  const std::string text = "0123456789";
  for (std::uint64_t k = 0; k <= text.size(); ++k) {
    Pair pair(k);
    pair.network().cut_next_after(pair.beta, pair.alpha, k);
    pair.connect("", text);
    pair.universe.run_for(Duration(1s));
    CHECK(pair.at_alpha.received == text.substr(0, k));
    CHECK(pair.at_alpha.lost);
    CHECK(pair.at_beta.lost);
  }
}

TEST_CASE("a planned cut is for one stream") {
  Pair pair(1);
  pair.network().cut_next_after(pair.alpha, pair.beta, 2);
  pair.connect("hello", "");
  pair.universe.run_for(Duration(1s));
  CHECK(pair.at_beta.received == "he");
  Seen again_a, again_b;
  pair.a.spawn(serve(pair.a.world(), "alpha:2", "hello", again_a));
  pair.b.spawn(visit(pair.b.world(), "alpha:2", "", again_b));
  pair.universe.run_for(Duration(1s));
  CHECK(again_b.received == "hello");
  CHECK(!again_b.lost);
}

TEST_CASE("a partition holds what is sent and lets connects time out") {
  Pair pair(1);
  pair.connect("", "");
  pair.universe.run_for(Duration(50ms));
  pair.network().partition(pair.alpha, pair.beta, true);
  Seen other;
  pair.b.spawn(visit(pair.b.world(), "alpha:1", "", other));
  pair.universe.run_for(Duration(2s));
  CHECK(other.lost);
  CHECK(!pair.at_alpha.lost);
  CHECK(!pair.at_beta.lost);
}

TEST_CASE("what was held arrives when the partition ends") {
  Pair pair(1);
  pair.network().weather.delay_min = pair.network().weather.delay_max = 5ms;
  pair.connect("", "held");
  pair.universe.run_for(Duration(13ms));
  REQUIRE(pair.network().sent(pair.beta, pair.alpha) == 4);
  pair.network().partition(pair.alpha, pair.beta, true);
  pair.universe.run_for(Duration(1s));
  CHECK(pair.at_alpha.received.empty());
  pair.network().partition(pair.alpha, pair.beta, false);
  pair.universe.run_for(Duration(1s));
  CHECK(pair.at_alpha.received == "held");
}

TEST_CASE("a kill closes the streams of the process behind what it sent") {
  Pair pair(1);
  pair.connect("", "farewell");
  pair.universe.run_until([&] { return pair.at_beta.connected; }, Duration(1s));
  pair.universe.run_for(Duration(10'000));
  pair.beta.kill(pair.b);
  pair.universe.run_for(Duration(1s));
  CHECK(pair.at_alpha.received == "farewell");
  CHECK(pair.at_alpha.closed);
}

TEST_CASE("a machine that loses its power says nothing") {
  Pair pair(1);
  pair.connect();
  pair.universe.run_for(Duration(50ms));
  pair.beta.lose_power();
  pair.universe.run_for(Duration(10s));
  CHECK(pair.at_alpha.connected);
  CHECK(!pair.at_alpha.closed);
  CHECK(!pair.at_alpha.lost);
}

TEST_CASE("a listener of a killed process is gone, and its address free") {
  Pair pair(1);
  pair.a.spawn(serve(pair.a.world(), "alpha:1", "", pair.at_alpha));
  pair.universe.run_for(Duration(1ms));
  pair.alpha.kill(pair.a);
  pair.b.spawn(visit(pair.b.world(), "alpha:1", "", pair.at_beta));
  pair.universe.run_for(Duration(100ms));
  CHECK(pair.at_beta.lost);
  CHECK(pair.alpha.start().world().net.listen("alpha:1").has_value());
}

TEST_CASE("unix addresses are of one machine") {
  Pair pair(1);
  pair.a.spawn(serve(pair.a.world(), "unix:/run/x", "", pair.at_alpha));
  pair.b.spawn(visit(pair.b.world(), "unix:/run/x", "", pair.at_beta));
  pair.universe.run_for(Duration(100ms));
  CHECK(pair.at_beta.lost);
  Seen local;
  pair.a.spawn(visit(pair.a.world(), "unix:/run/x", "near", local));
  pair.universe.run_for(Duration(100ms));
  CHECK(pair.at_alpha.received == "near");
}

TEST_CASE("nobody can listen on another machine's address") {
  Pair pair(1);
  CHECK(pair.a.world().net.listen("beta:1").error().code == Errc::refused);
  CHECK(pair.a.world().net.listen("nowhere:1").error().code == Errc::refused);
}
