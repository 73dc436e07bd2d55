#include <set>

#include "catch.h"
#include "sim/key_value.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::Task;

namespace {

void apply_numbered(Process& process, int from, int to) {
  for (int i = from; i <= to; ++i) {
    const runtime::KeyBatch batch{{"last", std::to_string(i)}, {"n" + std::to_string(i), ""}};
    REQUIRE(process.world().keys.apply(batch).has_value());
  }
}

Task<void> flush(runtime::KeyValue& keys) {
  const auto flushed = co_await keys.flush();
  REQUIRE(flushed.has_value());
}

/// The number of batches that are there; fails if it is not a prefix.
int prefix_of(const KeyMap& keys) {
  const auto last = keys.find("last");
  const int n = last == keys.end() ? 0 : std::stoi(last->second);
  CHECK(keys.size() == (n == 0 ? 0u : static_cast<std::size_t>(n) + 1));
  for (int i = 1; i <= n; ++i) CHECK(keys.contains("n" + std::to_string(i)));
  return n;
}

}  // namespace

TEST_CASE("after a kill the keys are those of the last flush, if none is under way: nothing becomes stable by itself") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Universe universe(seed);
    Machine& machine = universe.add_machine("alpha");
    Process& process = machine.start();
    apply_numbered(process, 1, 3);
    run(process, flush(process.world().keys));
    apply_numbered(process, 4, 6);
    machine.kill(process);
    CHECK(prefix_of(machine.key_store().keys()) == 3);
  }
}

TEST_CASE("a flush that did not end promises nothing") {
  std::set<int> found;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Universe universe(seed);
    Machine& machine = universe.add_machine("alpha");
    Process& process = machine.start();
    apply_numbered(process, 1, 2);
    process.spawn(flush(process.world().keys));
    universe.run_for(Duration(10'000));
    machine.kill(process);
    found.insert(prefix_of(machine.key_store().keys()));
  }
  CHECK(found == std::set<int>{0, 1, 2});
}

TEST_CASE("keys go on from where a crash left them") {
  Universe universe(5);
  Machine& machine = universe.add_machine("alpha");
  for (int round = 0; round < 20; ++round) {
    Process& process = machine.start();
    const int n = prefix_of(machine.key_store().keys());
    apply_numbered(process, n + 1, n + 5);
    CHECK(prefix_of(machine.key_store().keys()) == n + 5);
    machine.lose_power();
  }
}

TEST_CASE("an orderly end keeps what was flushed, as the real store does") {
  Universe universe(5);
  Machine& machine = universe.add_machine("alpha");
  Process& process = machine.start();
  apply_numbered(process, 1, 3);
  run(process, flush(process.world().keys));
  apply_numbered(process, 4, 5);
  machine.end(process);
  CHECK(prefix_of(machine.key_store().keys()) == 3);
}
