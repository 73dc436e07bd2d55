#include "catch.h"
#include "sim/key_value.h"
#include "sim/network.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

/// Counts its steps where the test can see them.
Task<void> write_on_and_on(runtime::World& world, int& steps) {
  runtime::Scope scope(world.scheduler);  // its destructor would object to a task that has not ended
  runtime::Event never(world.scheduler);
  const auto wait = [](runtime::Event& event) -> Task<void> { co_await event.wait(); };
  scope.spawn(wait(never));
  const auto file = world.disk.open("file");
  runtime::Stop stop;
  for (int i = 0;; ++i) {
    write_text(**file, 0, std::string(1, static_cast<char>('a' + i % 26)));
    const runtime::KeyBatch batch{{"n", std::to_string(i)}};
    REQUIRE(world.keys.apply(batch).has_value());
    ++steps;
    if (i % 3 == 0) co_await world.clock.sleep_until(world.clock.now() + 1ms, stop);
  }
}

struct Probe {
  explicit Probe(bool& g) : gone(g) {}
  ~Probe() { gone = true; }
  bool& gone;
};

}  // namespace

TEST_CASE("a killed process does nothing any more") {
  Universe universe(1);
  Machine& machine = universe.add_machine("alpha");
  Process& process = machine.start();
  run(process, make_file(process.world().disk, "file", 4096));
  int steps = 0;
  process.spawn(write_on_and_on(process.world(), steps));
  universe.run_for(Duration(10ms));
  CHECK(steps > 5);
  const int before = steps;
  const std::uint64_t writes = machine.storage().writes();
  machine.kill(process);
  universe.run_for(Duration(1s));
  CHECK(steps == before);
  CHECK(machine.storage().writes() == writes);
}

TEST_CASE("killed at its n-th write, a process has written n - 1 times") {
  for (std::uint64_t n = 1; n < 10; ++n) {
    Universe universe(n);
    Machine& machine = universe.add_machine("alpha");
    Process& process = machine.start();
    run(process, make_file(process.world().disk, "file", 4096));
    machine.storage().before_write = [&](std::uint64_t i) {
      if (i == n) machine.kill(process);
    };
    int steps = 0;
    process.spawn(write_on_and_on(process.world(), steps));
    universe.run_for(Duration(1s));
    CHECK(machine.processes().empty());
    const char expected = n == 1 ? '\0' : static_cast<char>('a' + n - 2);
    CHECK(static_cast<char>(machine.storage().peek("file")[0]) == expected);
    CHECK(machine.key_store().applied() <= n - 1);
  }
}

TEST_CASE("stores of a process that is killed meanwhile do not reach the file") {
  Universe universe(1);
  Machine& machine = universe.add_machine("alpha");
  Process& process = machine.start();
  run(process, make_file(process.world().disk, "file", 4096));
  auto mapping = std::move(*process.world().disk.map("file"));
  mapping->bytes()[0] = std::byte{'a'};
  machine.kill(process);
  mapping->bytes()[0] = std::byte{'b'};
  mapping->bytes()[1] = std::byte{'b'};
  CHECK(machine.storage().peek("file")[0] == std::byte{'a'});
  CHECK(machine.storage().peek("file")[1] == std::byte{});
  Universe::bury(std::shared_ptr<void>(std::move(mapping)));
}

TEST_CASE("a kill gives the lock of the disk back, and so does an end") {
  Universe universe(1);
  Machine& machine = universe.add_machine("alpha");
  Process& first = machine.start();
  REQUIRE(first.world().disk.lock().has_value());
  Process& second = machine.start("tool");
  const auto refused = second.world().disk.lock();
  REQUIRE(!refused.has_value());
  CHECK(refused.error().text.find(first.name()) != std::string::npos);
  machine.kill(first);
  CHECK(second.world().disk.lock().has_value());
  machine.end(second);
  CHECK(machine.start().world().disk.lock().has_value());
}

TEST_CASE("objects of a process are destroyed at its end and abandoned at a kill") {
  Universe universe(1);
  Machine& machine = universe.add_machine("alpha");
  bool gone = false;
  Process& first = machine.start();
  first.make<Probe>(gone);
  machine.end(first);
  CHECK(gone);
  gone = false;
  Process& second = machine.start();
  second.make<Probe>(gone);
  machine.kill(second);
  universe.run_for(Duration(1s));
  CHECK(!gone);
}

TEST_CASE("a create that is interrupted leaves a shorter file") {
  Universe universe(1);
  Machine& machine = universe.add_machine("alpha");
  Process& process = machine.start();
  const std::uint64_t bytes = 256 << 20;
  process.spawn(make_file(process.world().disk, "file", bytes));
  universe.run_for(Duration(10ms));
  machine.kill(process);
  universe.run_for(Duration(10s));
  CHECK(machine.storage().has("file"));
  CHECK(machine.storage().peek("file").size() < bytes);
}

TEST_CASE("the machine's boot id changes with a loss of power only") {
  Universe universe(1);
  Machine& machine = universe.add_machine("alpha");
  const Uuid first = machine.boot_id();
  machine.kill(machine.start());
  CHECK(machine.boot_id() == first);
  machine.lose_power();
  CHECK(machine.boot_id() != first);
}
