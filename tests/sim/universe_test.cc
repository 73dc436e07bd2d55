#include <set>
#include <vector>

#include "catch.h"
#include "sim/key_value.h"
#include "sim/network.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::Stop;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

Task<void> talk(runtime::World& world, std::string address) {
  Stop stop;
  auto link = co_await world.net.connect(address, 1s, stop);
  if (!link.has_value()) co_return;
  std::vector<std::byte> buffer(2000);
  for (int i = 0; i < 20; ++i) {
    for (std::byte& b : buffer) b = static_cast<std::byte>(world.random.next());
    const Bytes parts[] = {Bytes(buffer).first(static_cast<std::size_t>(i) * 100)};
    if (!(*link)->try_send(parts).has_value()) co_return;
    co_await world.clock.sleep_until(world.clock.now() + 3ms, stop);
  }
}

Task<void> listen(runtime::World& world, std::string address) {
  auto listener = world.net.listen(address);
  auto link = co_await (*listener)->accept();
  auto file = world.disk.open("file");
  std::vector<std::byte> buffer(512);
  std::uint64_t at = 0;
  while (true) {
    const auto n = co_await (*link)->receive(buffer);
    if (!n.has_value() || *n == 0) co_return;
    const Bytes parts[] = {Bytes(buffer).first(*n)};
    if (!(*file)->write_now(at, parts).has_value()) co_return;
    at += *n;
    co_await (*file)->sync({0, at});
    const runtime::KeyBatch batch{{"at", std::to_string(at)}};
    if (!world.keys.apply(batch).has_value()) co_return;
  }
}

/// A run with disks, keys, streams, a kill and a loss of power; what it came to.
std::uint64_t story(std::uint64_t seed) {
  Universe universe(seed);
  Machine& alpha = universe.add_machine("alpha");
  Machine& beta = universe.add_machine("beta");
  Process& a = alpha.start();
  Process& b = beta.start();
  run(a, make_file(a.world().disk, "file", 1 << 20));
  a.spawn(listen(a.world(), "alpha:1000"));
  b.spawn(talk(b.world(), "alpha:1000"));
  universe.run_for(Duration(40ms));
  alpha.kill(a);
  universe.run_for(Duration(20ms));
  alpha.lose_power();
  universe.run_for(Duration(1s));
  universe.note(alpha.key_store().keys().size());
  return universe.trace();
}

Task<void> spin(runtime::Scheduler& scheduler) {
  struct Again {
    runtime::Scheduler& s;
    explicit Again(runtime::Scheduler& x) : s(x) {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> h) { s.post(h); }
    void await_resume() const {}
  };
  while (true) co_await Again(scheduler);
}

Task<void> tick(runtime::Clock& clock) {
  Stop stop;
  while (true) co_await clock.sleep_until(clock.now() + 1us, stop);
}

Task<void> sleep_once(runtime::Clock& clock, Duration d) {
  Stop stop;
  co_await clock.sleep_until(clock.now() + d, stop);
}

}  // namespace

TEST_CASE("the same seed gives the same run") {
  for (std::uint64_t seed = 1; seed < 20; ++seed) CHECK(story(seed) == story(seed));
}

TEST_CASE("other seeds give other runs") {
  std::set<std::uint64_t> traces;
  for (std::uint64_t seed = 1; seed < 20; ++seed) traces.insert(story(seed));
  CHECK(traces.size() == 19);
}

TEST_CASE("a pass that does not end is reported") {
  Universe universe(1);
  Process& process = universe.add_machine("alpha").start();
  process.spawn(spin(process));
  CHECK_THROWS_AS(universe.run_for(Duration(1s)), Livelock);
}

TEST_CASE("a universe that runs on and on is reported") {
  Universe universe(1);
  universe.set_events_max(10'000);
  Process& process = universe.add_machine("alpha").start();
  process.spawn(tick(process.world().clock));
  CHECK_THROWS_AS(universe.run_for(Duration(1h)), Livelock);
}

TEST_CASE("run_until gives up at its limit, and when nothing is left to happen") {
  Universe universe(1);
  CHECK(!universe.run_until([] { return false; }, Duration(1s)));
  Process& process = universe.add_machine("alpha").start();
  process.spawn(sleep_once(process.world().clock, Duration(2s)));
  CHECK(!universe.run_until([&] { return process.idle(); }, Duration(1s)));
  CHECK(universe.run_until([&] { return process.idle(); }, Duration(2s)));
}

TEST_CASE("a clock that drifts sleeps by its own time") {
  for (const std::int64_t ppm : {-300, 0, 300}) {
    Universe universe(3);
    Machine& alpha = universe.add_machine("alpha");
    alpha.clock_settings().drift_ppm = ppm;
    Process& process = alpha.start();
    const Instant before = universe.now();
    run(process, sleep_once(process.world().clock, Duration(1000s)));
    const double slept_ms = static_cast<double>((universe.now() - before).count()) / 1e6;
    CHECK(slept_ms == Approx(1'000'000.0 - static_cast<double>(ppm)).margin(1.0));
  }
}

TEST_CASE("a paused process does nothing, and then goes on") {
  Universe universe(1);
  Process& process = universe.add_machine("alpha").start();
  process.spawn(sleep_once(process.world().clock, Duration(10ms)));
  process.pause(Duration(5s));
  universe.run_for(Duration(4s));
  CHECK(!process.idle());
  universe.run_for(Duration(2s));
  CHECK(process.idle());
}

TEST_CASE("chance is even enough") {
  Prng prng(42);
  int counts[7] = {};
  for (int i = 0; i < 70'000; ++i) ++counts[prng.below(7)];
  for (const int n : counts) CHECK(n == Approx(10'000).epsilon(0.05));
  int hits = 0;
  for (int i = 0; i < 100'000; ++i) hits += prng.chance(100) ? 1 : 0;
  CHECK(hits == Approx(10'000).epsilon(0.05));
}
