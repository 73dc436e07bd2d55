// What the simulated arbiter does beyond the conformance suite: its faults, drawn by chance, and no more than that.
#include "sim/arbiter.h"

#include <set>

#include "catch.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::RegisterState;
using runtime::Stop;
using runtime::SwapResult;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

Task<void> swap_into(runtime::Register& at, std::uint64_t expected, std::string value, Duration timeout, Result<SwapResult>& result) {
  Stop stop;
  result = co_await at.swap(expected, std::move(value), timeout, stop);
}

Task<void> read_into(runtime::Register& at, Duration timeout, Result<RegisterState>& result) {
  Stop stop;
  result = co_await at.read(timeout, stop);
}

/// A universe with an arbiter, and two machines that run one process each.
struct Sites {
  explicit Sites(std::uint64_t seed)
      : universe(seed),
        arbiter(universe.add_arbiter()),
        alpha(universe.add_machine("alpha")),
        beta(universe.add_machine("beta")),
        a(&alpha.start()),
        b(&beta.start()) {}
  Result<SwapResult> swap(Process& from, std::uint64_t expected, std::string value, Duration timeout = 2s) {
    Result<SwapResult> result;
    run(from, swap_into(*from.world().arbiter, expected, std::move(value), timeout, result));
    return result;
  }
  Result<RegisterState> read(Process& from, Duration timeout = 2s) {
    Result<RegisterState> result;
    run(from, read_into(*from.world().arbiter, timeout, result));
    return result;
  }
  Universe universe;
  Arbiter& arbiter;
  Machine &alpha, &beta;
  Process *a, *b;
};

constexpr std::uint64_t kSeeds = 200;

/// How often what `count` counts happens in so many seeds.
template <class Count>
std::uint64_t of_seeds(Count count) {
  std::uint64_t n = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) n += count(seed) ? 1 : 0;
  return n;
}

std::uint64_t story(std::uint64_t seed) {
  Sites sites(seed);
  sites.arbiter.weather = {.refused_permille = 200, .lost_permille = 200, .late_permille = 200, .unanswered_permille = 200};
  for (int i = 0; i < 10; ++i) {
    const auto state = sites.read(*sites.a);
    if (!state) continue;
    Result<SwapResult> mine, theirs;
    sites.a->spawn(swap_into(*sites.a->world().arbiter, state->revision, "a", 1s, mine));
    sites.b->spawn(swap_into(*sites.b->world().arbiter, state->revision, "b", 1s, theirs));
    sites.arbiter.set_available(i != 5);
    sites.arbiter.set_reachable(sites.beta, i != 7);
    sites.universe.run_for(3s);
    if (mine && theirs) REQUIRE(mine->swapped + theirs->swapped <= 1);
  }
  return sites.universe.trace();
}

}  // namespace

TEST_CASE("a process has an arbiter if its universe had one before") {
  Universe universe(1);
  Machine& machine = universe.add_machine("alpha");
  CHECK(machine.start().world().arbiter == nullptr);
  universe.add_arbiter();
  CHECK(machine.start().world().arbiter != nullptr);
}

TEST_CASE("the same seed gives the same faults, another one others") {
  std::set<std::uint64_t> traces;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    CHECK(story(seed) == story(seed));
    traces.insert(story(seed));
  }
  CHECK(traces.size() == 19);
}

TEST_CASE("without faults every swap is answered, and takes time") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Sites sites(seed);
    const Instant start = sites.universe.now();
    const auto swapped = sites.swap(*sites.a, 0, "x");
    REQUIRE(swapped);
    CHECK(swapped->swapped);
    const Duration took = sites.universe.now() - start;
    CHECK(took > 3 * sites.arbiter.weather.delay_min);
    CHECK(took < 3 * sites.arbiter.weather.delay_max + 1ms);
  }
}

TEST_CASE("a refused connection changes nothing") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Sites sites(seed);
    sites.arbiter.weather.refused_permille = 1000;
    const auto swapped = sites.swap(*sites.a, 0, "x");
    REQUIRE(!swapped.has_value());
    CHECK(swapped.error().code == Errc::unavailable);
    sites.universe.run_for(1h);
    CHECK(sites.arbiter.state() == RegisterState{});
  }
}

TEST_CASE("a lost request, a lost answer and a late request are all the same to the caller") {
  const auto unknown_and_then = [](unsigned ArbiterWeather::* fault, Duration later) {
    return of_seeds([&](std::uint64_t seed) {
      Sites sites(seed);
      sites.arbiter.weather.*fault = 1000;
      const auto swapped = sites.swap(*sites.a, 0, "x");
      if (swapped.has_value()) return false;  // it was late, but not too late
      REQUIRE(swapped.error().code == Errc::unknown);
      sites.universe.run_for(later);
      return sites.arbiter.state().revision != 0;
    });
  };
  CHECK(unknown_and_then(&ArbiterWeather::lost_permille, 1h) == 0);
  CHECK(unknown_and_then(&ArbiterWeather::unanswered_permille, 0s) == kSeeds);
  const std::uint64_t soon = unknown_and_then(&ArbiterWeather::late_permille, 5s);
  const std::uint64_t at_last = unknown_and_then(&ArbiterWeather::late_permille, 1h);
  CHECK(soon > 0);
  CHECK(at_last > soon);
}

TEST_CASE("a late swap does nothing once another one was made") {
  const std::uint64_t late = of_seeds([](std::uint64_t seed) {
    Sites sites(seed);
    sites.arbiter.weather.late_permille = 1000;
    const auto first = sites.swap(*sites.a, 0, "late");
    if (first.has_value()) return false;
    sites.arbiter.weather.late_permille = 0;
    const auto second = sites.swap(*sites.b, 0, "in time");
    REQUIRE(second.has_value());
    const RegisterState state = sites.arbiter.state();
    CHECK(second->now == state);
    sites.universe.run_for(1h);
    CHECK(sites.arbiter.state() == state);
    return second->swapped;
  });
  CHECK(late > kSeeds / 2);
}

TEST_CASE("a machine that is cut off gets unavailable, the other one is served") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Sites sites(seed);
    sites.arbiter.set_reachable(sites.alpha, false);
    const Instant start = sites.universe.now();
    const auto unread = sites.read(*sites.a);
    REQUIRE(!unread.has_value());
    CHECK(unread.error().code == Errc::unavailable);
    CHECK(sites.universe.now() - start >= 2s);
    const auto swapped = sites.swap(*sites.a, 0, "x");
    REQUIRE(!swapped.has_value());
    CHECK(swapped.error().code == Errc::unavailable);
    CHECK(sites.swap(*sites.b, 0, "y").has_value());
    sites.arbiter.set_reachable(sites.alpha, true);
    CHECK(sites.read(*sites.a)->value == "y");
  }
}

TEST_CASE("a cut while a swap is under way leaves it unknown; some of them happen when it heals") {
  std::uint64_t unknown = 0, before = 0, after = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Sites sites(seed);
    Result<SwapResult> result;
    sites.a->spawn(swap_into(*sites.a->world().arbiter, 0, "x", 2s, result));
    sites.universe.run_for(20ms);
    sites.arbiter.set_reachable(sites.alpha, false);
    REQUIRE(sites.universe.run_until([&] { return sites.a->idle(); }, 1h));
    if (result.has_value()) continue;
    if (result.error().code == Errc::unknown) ++unknown;
    if (sites.arbiter.state().revision != 0) {
      ++before;
      CHECK(result.error().code == Errc::unknown);
    }
    sites.arbiter.set_reachable(sites.alpha, true);
    sites.universe.run_for(1h);
    if (sites.arbiter.state().revision != 0) {
      ++after;
      CHECK(result.error().code == Errc::unknown);
    }
  }
  CHECK(before > 0);
  CHECK(after > before);
  CHECK(unknown > after);
}

TEST_CASE("a swap that was sent goes its way though its process is killed, or its machine loses power") {
  const std::uint64_t happened = of_seeds([](std::uint64_t seed) {
    Sites sites(seed);
    Result<SwapResult> result;
    sites.a->spawn(swap_into(*sites.a->world().arbiter, 0, "x", 2s, result));
    sites.universe.run_for(20ms);
    if (seed % 2 == 0)
      sites.alpha.kill(*sites.a);
    else
      sites.alpha.lose_power();
    const bool before = sites.arbiter.state().revision != 0;
    sites.universe.run_for(1s);
    return !before && sites.arbiter.state().revision != 0;
  });
  CHECK(happened > 0);
  CHECK(happened < kSeeds);
}

TEST_CASE("an administrator may put back an older state") {
  Sites sites(1);
  const auto first = sites.swap(*sites.a, 0, "first");
  const auto second = sites.swap(*sites.b, first->now.revision, "second");
  REQUIRE(second->swapped);
  sites.arbiter.restore(first->now);
  CHECK(*sites.read(*sites.b) == first->now);
  sites.arbiter.restore(RegisterState{});
  CHECK(*sites.read(*sites.b) == RegisterState{});
}
