#include <set>

#include "catch.h"
#include "conformance/world_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::Stop;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

Task<void> sleeps_until_the_deadline(WorldMaker& maker) {
  runtime::Clock& clock = maker.world().clock;
  Stop stop;
  for (const Duration d : {Duration(0), Duration(1ns), Duration(3ms), Duration(20ms)}) {
    const Instant deadline = clock.now() + d;
    const bool slept = co_await clock.sleep_until(deadline, stop);
    CHECK(slept);
    CHECK(clock.now() >= deadline);
  }
  const Instant past{clock.now().ns - 1'000'000};
  const bool slept = co_await clock.sleep_until(past, stop);
  CHECK(slept);
}

Task<void> sleep_long(runtime::Clock& clock, Stop& stop, int& outcome) {
  const bool slept = co_await clock.sleep_until(clock.now() + 24h, stop);
  outcome = slept ? 1 : 2;
}

Task<void> a_stop_ends_sleeps(WorldMaker& maker) {
  runtime::World& world = maker.world();
  Stop stop, other;
  runtime::Scope scope(world.scheduler);
  int first = 0, second = 0;
  scope.spawn(sleep_long(world.clock, stop, first));
  scope.spawn(sleep_long(world.clock, stop, second));
  co_await world.clock.sleep_until(world.clock.now() + 2ms, other);
  CHECK(first == 0);
  stop.request();
  CHECK(first == 0);  // never resumed inside the call
  scope.close();
  co_await scope.join();
  CHECK(first == 2);
  CHECK(second == 2);
  const bool again = co_await world.clock.sleep_until(world.clock.now() + 24h, stop);
  CHECK(!again);
}

Task<void> note_after(runtime::Clock& clock, Stop& stop, Duration d, std::vector<int>& order, int n) {
  co_await clock.sleep_until(clock.now() + d, stop);
  order.push_back(n);
}

Task<void> sleeps_end_in_order(WorldMaker& maker) {
  runtime::World& world = maker.world();
  Stop stop;
  std::vector<int> order;
  runtime::Scope scope(world.scheduler);
  scope.spawn(note_after(world.clock, stop, 60ms, order, 3));
  scope.spawn(note_after(world.clock, stop, 5ms, order, 1));
  scope.spawn(note_after(world.clock, stop, 30ms, order, 2));
  scope.close();
  co_await scope.join();
  const std::vector<int> expected{1, 2, 3};
  CHECK(order == expected);
}

}  // namespace

TEST_CASE("a sleep ends at its deadline, not before") {
  const auto maker = make_world();
  maker->run(sleeps_until_the_deadline(*maker));
}

TEST_CASE("a stop ends a sleep") {
  const auto maker = make_world();
  maker->run(a_stop_ends_sleeps(*maker));
}

TEST_CASE("sleeps end in the order of their deadlines") {
  const auto maker = make_world();
  maker->run(sleeps_end_in_order(*maker));
}

TEST_CASE("the clock does not go back, and the calendar is past 2024") {
  const auto maker = make_world();
  runtime::Clock& clock = maker->world().clock;
  Instant last = clock.now();
  for (int i = 0; i < 1000; ++i) {
    const Instant now = clock.now();
    REQUIRE(now >= last);
    last = now;
  }
  CHECK(clock.wall() > WallTime{1'700'000'000'000'000'000});
}

TEST_CASE("random numbers and identities differ") {
  const auto maker = make_world();
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(maker->world().random.next());
  CHECK(seen.size() == 1000);
  CHECK(runtime::make_uuid(maker->world().random) != runtime::make_uuid(maker->world().random));
}
