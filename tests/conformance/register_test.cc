// The arbiter's register: compare-and-swap, and what an outage leaves of it.
#include <fmt/format.h>

#include "catch.h"
#include "conformance/register_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::Register;
using runtime::RegisterState;
using runtime::Stop;
using runtime::SwapResult;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

constexpr Duration kLong = 10s;
/// How much longer than its timeout a call may take: a machine with much to do is slow.
constexpr Duration kGrace = 3s;

Task<RegisterState> must_read(Register& from) {
  Stop stop;
  const auto state = co_await from.read(kLong, stop);
  INFO((state ? std::string() : state.error().text));
  REQUIRE(state.has_value());
  co_return *state;
}

Task<SwapResult> must_swap(Register& at, std::uint64_t expected, std::string value) {
  Stop stop;
  const auto result = co_await at.swap(expected, std::move(value), kLong, stop);
  INFO((result ? std::string() : result.error().text));
  REQUIRE(result.has_value());
  co_return *result;
}

Task<void> never_written(RegisterMaker& maker) {
  const RegisterState state = co_await must_read(maker.here());
  CHECK(state == RegisterState{});
}

Task<void> a_swap_is_seen_everywhere(RegisterMaker& maker) {
  const SwapResult first = co_await must_swap(maker.here(), 0, "one");
  CHECK(first.swapped);
  CHECK(first.now.revision > 0);
  CHECK(first.now.value == "one");
  for (Register* at : {&maker.here(), &maker.there()}) {
    const RegisterState state = co_await must_read(*at);
    CHECK(state == first.now);
  }
  const SwapResult second = co_await must_swap(maker.there(), first.now.revision, "two");
  CHECK(second.swapped);
  CHECK(second.now.revision > first.now.revision);
  const RegisterState state = co_await must_read(maker.here());
  CHECK(state == RegisterState{second.now.revision, "two"});
}

Task<void> another_revision_changes_nothing(RegisterMaker& maker) {
  const SwapResult ahead = co_await must_swap(maker.here(), 12345, "no");
  CHECK(ahead == SwapResult{});
  const SwapResult first = co_await must_swap(maker.here(), 0, "one");
  const SwapResult second = co_await must_swap(maker.here(), first.now.revision, "two");
  REQUIRE(second.swapped);
  for (const std::uint64_t expected : {std::uint64_t{0}, first.now.revision, second.now.revision + 1, ~std::uint64_t{0} >> 1}) {
    const SwapResult not_made = co_await must_swap(maker.there(), expected, "three");
    CHECK(not_made == SwapResult{false, second.now});
  }
  const RegisterState state = co_await must_read(maker.here());
  CHECK(state == second.now);
}

Task<void> a_value_is_any_bytes(RegisterMaker& maker) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  std::string longest;
  for (std::size_t i = 0; i < runtime::kRegisterBytesMax; ++i) longest += static_cast<char>(i * 7 % 251);
  std::uint64_t revision = 0;
  for (const std::string& value : {all, std::string(), longest, std::string(1, '\0')}) {
    const SwapResult made = co_await must_swap(maker.here(), revision, value);
    REQUIRE(made.swapped);
    const bool same = made.now.value == value;
    CHECK(same);
    const RegisterState state = co_await must_read(maker.there());
    const bool read_the_same = state == made.now;
    CHECK(read_the_same);
    revision = made.now.revision;
  }
}

Task<void> swap_into(Register& at, std::uint64_t expected, std::string value, SwapResult& result) {
  result = co_await must_swap(at, expected, std::move(value));
}

Task<void> of_two_swaps_one_is_made(RegisterMaker& maker) {
  std::uint64_t revision = 0;
  for (int round = 0; round < 10; ++round) {
    SwapResult a, b;
    runtime::Scope scope(maker.scheduler());
    scope.spawn(swap_into(maker.here(), revision, fmt::format("a{}", round), a));
    scope.spawn(swap_into(maker.there(), revision, fmt::format("b{}", round), b));
    scope.close();
    co_await scope.join();
    CHECK(a.swapped != b.swapped);
    CHECK(a.now == b.now);
    CHECK(a.now.value == fmt::format("{}{}", a.swapped ? 'a' : 'b', round));
    revision = a.now.revision;
  }
}

Task<void> count_up(Register& at, int times) {
  RegisterState state = co_await must_read(at);
  for (int done = 0; done < times;) {
    const int number = state.value.empty() ? 0 : std::stoi(state.value);
    const SwapResult result = co_await must_swap(at, state.revision, std::to_string(number + 1));
    if (result.swapped) ++done;
    state = result.now;
  }
}

Task<void> calls_overlap(RegisterMaker& maker) {
  runtime::Scope scope(maker.scheduler());
  for (int i = 0; i < 4; ++i) scope.spawn(count_up(i % 2 == 0 ? maker.here() : maker.there(), 5));
  scope.close();
  co_await scope.join();
  const RegisterState state = co_await must_read(maker.here());
  CHECK(state.value == "20");
}

/// In an outage a swap is unavailable or unknown; afterwards what was unavailable never happened, and what is unknown did or did
/// not, but once.
Task<void> an_outage(RegisterMaker& maker) {
  SwapResult last = co_await must_swap(maker.here(), 0, "before");
  for (int round = 0; round < 4; ++round) {
    Stop stop;
    maker.set_available(false);
    const Instant start = maker.clock().now();
    const auto read = co_await maker.here().read(200ms, stop);
    REQUIRE(!read.has_value());
    CHECK(read.error().code == Errc::unavailable);
    CHECK(!read.error().text.empty());
    const auto swapped = co_await maker.here().swap(last.now.revision, fmt::format("during {}", round), 200ms, stop);
    REQUIRE(!swapped.has_value());
    const Errc code = swapped.error().code;
    CHECK((code == Errc::unavailable || code == Errc::unknown));
    CHECK(!swapped.error().text.empty());
    CHECK(maker.clock().now() - start < 400ms + kGrace);
    maker.set_available(true);

    RegisterState state = co_await must_read(maker.there());
    const bool happened = state.revision != last.now.revision;
    CHECK(state.value == (happened ? fmt::format("during {}", round) : last.now.value));
    if (happened) CHECK(code == Errc::unknown);
    // Another swap settles it: made, the earlier one can't happen any more; not made, that one did.
    last = co_await must_swap(maker.there(), state.revision, fmt::format("after {}", round));
    if (!last.swapped) {
      CHECK(code == Errc::unknown);
      CHECK(last.now.value == fmt::format("during {}", round));
    }
    co_await maker.clock().sleep_until(maker.clock().now() + 50ms, stop);
    state = co_await must_read(maker.here());
    CHECK(state == last.now);
  }
}

Task<void> stopped_before(RegisterMaker& maker) {
  Stop stop;
  stop.request();
  const auto read = co_await maker.here().read(kLong, stop);
  REQUIRE(!read.has_value());
  CHECK(read.error().code == Errc::stopped);
  const auto swapped = co_await maker.here().swap(0, "never", kLong, stop);
  REQUIRE(!swapped.has_value());
  CHECK(swapped.error().code == Errc::stopped);
  const RegisterState state = co_await must_read(maker.there());
  CHECK(state == RegisterState{});
}

Task<void> read_and_note(Register& at, Stop& stop, std::optional<Errc>& code) {
  const auto read = co_await at.read(1h, stop);
  REQUIRE(!read.has_value());
  code = read.error().code;
}

Task<void> swap_and_note(Register& at, Stop& stop, std::optional<Errc>& code) {
  const auto swapped = co_await at.swap(0, "perhaps", 1h, stop);
  REQUIRE(!swapped.has_value());
  code = swapped.error().code;
}

Task<void> stopped_meanwhile(RegisterMaker& maker, Duration before_stop) {
  maker.set_available(false);
  Stop stop, never;
  std::optional<Errc> read, swapped;
  runtime::Scope scope(maker.scheduler());
  scope.spawn(read_and_note(maker.here(), stop, read));
  scope.spawn(swap_and_note(maker.here(), stop, swapped));
  if (before_stop > Duration::zero()) co_await maker.clock().sleep_until(maker.clock().now() + before_stop, never);
  const Instant start = maker.clock().now();
  stop.request();
  scope.close();
  co_await scope.join();
  CHECK(maker.clock().now() - start < kGrace);
  maker.set_available(true);
  // A connection that was refused was over before.
  CHECK((read == Errc::stopped || read == Errc::unavailable));
  CHECK((swapped == Errc::stopped || swapped == Errc::unavailable || swapped == Errc::unknown));
  const RegisterState state = co_await must_read(maker.there());
  if (state.revision != 0) CHECK(swapped == Errc::unknown);
}

}  // namespace

TEST_CASE("a register that was never written has revision 0 and no value") {
  const auto maker = make_register();
  maker->run(never_written(*maker));
}

TEST_CASE("a swap gives a higher revision, and is seen by every site") {
  const auto maker = make_register();
  maker->run(a_swap_is_seen_everywhere(*maker));
}

TEST_CASE("a swap with another revision than the register's changes nothing, and tells what is there") {
  const auto maker = make_register();
  maker->run(another_revision_changes_nothing(*maker));
}

TEST_CASE("a value is any bytes, up to 64 KiB") {
  const auto maker = make_register();
  maker->run(a_value_is_any_bytes(*maker));
}

TEST_CASE("of two swaps of one revision one is made, and both learn which") {
  const auto maker = make_register();
  maker->run(of_two_swaps_one_is_made(*maker));
}

TEST_CASE("calls overlap, and none is lost") {
  const auto maker = make_register();
  maker->run(calls_overlap(*maker));
}

TEST_CASE("in an outage a swap did not happen, or nobody knows") {
  const auto maker = make_register();
  maker->run(an_outage(*maker));
}

TEST_CASE("a register asks nothing once stopped") {
  const auto maker = make_register();
  maker->run(stopped_before(*maker));
}

TEST_CASE("a stop ends calls under way") {
  for (const Duration before : {Duration(0ms), Duration(100ms)}) {
    const auto maker = make_register();
    maker->run(stopped_meanwhile(*maker, before));
  }
}
