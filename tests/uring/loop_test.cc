// Rules of the loop: order, timers, hooks, watches, pool, cancelling.
#include "uring/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "catch.h"
#include "real_world.h"
#include "uring/descriptor.h"
#include "uring/ring_call.h"
#include "uring/signals.h"

namespace lockstep::uring {
namespace {

using runtime::Task;
using std::chrono::microseconds;
using std::chrono::milliseconds;

struct Bench {
  explicit Bench(LoopOptions options = LoopOptions()) : loop(Loop::make(options).value()) {}
  std::unique_ptr<Loop> loop;
  Pool pool{*loop, 2, "ls-test"};
  RealClock clock{*loop};
};

Task<void> note(Bench& bench, std::vector<int>& order, int number, runtime::Event& event) {
  co_await event.wait();
  order.push_back(number);
}

Task<void> wake_in_order(Bench& bench, std::vector<int>& order) {
  runtime::Scope scope(*bench.loop);
  runtime::Event event(*bench.loop);
  for (int i = 0; i < 5; ++i) scope.spawn(note(bench, order, i, event));
  event.set();
  CHECK(order.empty());  // nobody is resumed from within set()
  co_await scope.join();
}

TEST_CASE("woken coroutines run in the order in which they waited") {
  Bench bench;
  std::vector<int> order;
  bench.loop->run(wake_in_order(bench, order));
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

struct CountingHook final : runtime::PassHook {
  explicit CountingHook(runtime::Event& e) : event(e) {}
  void end_of_pass() override {
    ++runs;
    event.set();
  }
  runtime::Event& event;
  int runs = 0;
};

Task<void> ask_for_hook(Bench& bench) {
  runtime::Event event(*bench.loop);
  CountingHook hook(event);
  for (int i = 0; i < 3; ++i) bench.loop->at_end_of_pass(hook);
  CHECK(hook.runs == 0);
  co_await event.wait();
  CHECK(hook.runs == 1);
}

TEST_CASE("a hook runs once at the end of the pass, and what it wakes runs next") {
  Bench bench;
  bench.loop->run(ask_for_hook(bench));
}

Task<void> sleep_then_note(Bench& bench, std::vector<int>& order, int number, runtime::Stop& stop) {
  const bool slept = co_await bench.clock.sleep_until(Loop::now() + milliseconds(number), stop);
  order.push_back(slept ? number : -number);
}

Task<void> sleep_many(Bench& bench, std::vector<int>& order) {
  runtime::Scope scope(*bench.loop);
  runtime::Stop never, stop;
  for (const int ms : {9, 3, 7, 1, 5}) scope.spawn(sleep_then_note(bench, order, ms, never));
  scope.spawn(sleep_then_note(bench, order, 10'000, stop));
  const bool slept = co_await bench.clock.sleep_until(Loop::now() + milliseconds(4), never);
  CHECK(slept);
  stop.request();
  co_await scope.join();
}

TEST_CASE("sleepers wake by their deadlines, a stopped one at once") {
  Bench bench;
  std::vector<int> order;
  const Instant start = Loop::now();
  bench.loop->run(sleep_many(bench, order));
  CHECK(std::erase(order, -10'000) == 1);
  CHECK(order == std::vector<int>{1, 3, 5, 7, 9});
  CHECK(Loop::now() - start >= milliseconds(9));
  CHECK(Loop::now() - start < std::chrono::seconds(5));
}

struct NotingTimer final : Timer {
  void fire() override { fired.push_back(number); }
  NotingTimer(std::vector<int>& f, int n) : fired(f), number(n) {}
  std::vector<int>& fired;
  int number;
};

TEST_CASE("timers fire in order of deadline, then of adding, whatever was removed meanwhile") {
  Timers timers;
  std::vector<int> fired, expected;
  std::vector<std::unique_ptr<NotingTimer>> all;
  for (int i = 0; i < 200; ++i) all.push_back(std::make_unique<NotingTimer>(fired, i));
  for (int i = 0; i < 200; ++i) timers.add(*all[i], Instant{(i * 37) % 20});
  for (int i = 0; i < 200; i += 3) timers.remove(*all[i]);
  for (int deadline = 0; deadline < 20; ++deadline) {
    for (int i = 0; i < 200; ++i) {
      if (i % 3 != 0 && (i * 37) % 20 == deadline) expected.push_back(i);
    }
  }
  timers.fire_due(Instant{19});
  CHECK(timers.empty());
  CHECK(fired == expected);
}

Task<void> run_jobs(Bench& bench, int& sum) {
  for (int i = 0; i < 100; ++i) {
    auto work = [i] { return i; };
    sum += co_await bench.pool.run(work);
  }
}

Task<void> run_jobs_in_parallel(Bench& bench, int& sum) {
  runtime::Scope scope(*bench.loop);
  for (int i = 0; i < 20; ++i) scope.spawn(run_jobs(bench, sum));
  co_await scope.join();
}

TEST_CASE("jobs of the pool come back, each once") {
  Bench bench;
  int sum = 0;
  bench.loop->run(run_jobs_in_parallel(bench, sum));
  CHECK(sum == 20 * 4950);
  CHECK(bench.loop->statistics().pool_hops == 2000);
}

Task<void> work_for(Bench& bench, milliseconds time) {
  auto work = [time] {
    std::this_thread::sleep_for(time);
    return true;
  };
  co_await bench.pool.run(work);
}

TEST_CASE("a job wakes a loop that sleeps") {
  Bench bench;
  for (int i = 0; i < 5; ++i) bench.loop->run(work_for(bench, milliseconds(10)));
  CHECK(bench.loop->statistics().sleeps >= 5);
}

struct OneRead final : Watcher {
  explicit OneRead(Loop& loop, int fd) : event(loop), fd_(fd), watch(loop.watch(fd, *this)) {}
  void readable() override {
    ++calls;
    char byte = 0;
    if (::read(fd_, &byte, 1) == 1) ++bytes;
    if (bytes == 3) event.set();
    watch->arm();
  }
  runtime::Event event;
  int fd_;
  std::unique_ptr<Watch> watch;
  int calls = 0, bytes = 0;
};

Task<void> wait_for(runtime::Event& event) { co_await event.wait(); }

TEST_CASE("a watch misses nothing, though only one byte is read at a time") {
  Bench bench;
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
  const Descriptor out(ends[0]), in(ends[1]);
  REQUIRE(::write(in.get(), "abc", 3) == 3);
  {
    OneRead reader(*bench.loop, out.get());
    reader.watch->arm();
    reader.watch->arm();
    bench.loop->run(wait_for(reader.event));
    CHECK(reader.calls == 3);
  }
  // The watch is gone while its poll was armed; what completes it tells nobody.
  REQUIRE(::write(in.get(), "d", 1) == 1);
  bench.loop->run(work_for(bench, milliseconds(1)));
}

Task<void> cancel_poll(Bench& bench, int fd, int& result) {
  RingCall call(*bench.loop, RingRequest::poll(fd, POLLIN));
  runtime::Scope scope(*bench.loop);
  struct Canceller {
    static Task<void> later(Bench& b, RingCall& c) {
      runtime::Stop never;
      co_await b.clock.sleep_until(Loop::now() + milliseconds(2), never);
      c.cancel();
    }
  };
  scope.spawn(Canceller::later(bench, call));
  result = co_await call;
  call.cancel();  // too late: nothing happens
  co_await scope.join();
}

TEST_CASE("a cancelled call is answered") {
  Bench bench;
  const Descriptor fd(::eventfd(0, EFD_CLOEXEC));
  int result = 0;
  bench.loop->run(cancel_poll(bench, fd.get(), result));
  CHECK(result == -ECANCELED);
}

Task<void> poll_one(Bench& bench, int fd, int& done) {
  RingCall call(*bench.loop, RingRequest::poll(fd, POLLIN));
  const int events = co_await call;
  if ((events & POLLIN) != 0) ++done;
}

Task<void> poll_many(Bench& bench, std::vector<Descriptor>& fds, int& done) {
  runtime::Scope scope(*bench.loop);
  for (const Descriptor& fd : fds) {
    for (int i = 0; i < 40; ++i) scope.spawn(poll_one(bench, fd.get(), done));
  }
  for (const Descriptor& fd : fds) {
    const std::uint64_t one = 1;
    REQUIRE(::write(fd.get(), &one, sizeof one) == sizeof one);
  }
  co_await scope.join();
}

TEST_CASE("more operations than either ring holds all complete") {
  LoopOptions options;
  options.entries = 16;
  Bench bench(options);
  std::vector<Descriptor> fds;
  for (int i = 0; i < 50; ++i) fds.emplace_back(::eventfd(0, EFD_CLOEXEC));
  int done = 0;
  bench.loop->run(poll_many(bench, fds, done));
  CHECK(done == 2000);
}

Task<void> expect_for(Bench& bench, milliseconds time) {
  runtime::Stop never;
  co_await bench.clock.sleep_until(Loop::now() + time, never);
}

TEST_CASE("a loop that waits long learns to sleep at once") {
  Bench bench;
  for (int i = 0; i < 20; ++i) bench.loop->run(expect_for(bench, milliseconds(3)));
  const Statistics& s = bench.loop->statistics();
  CHECK(s.sleeps >= 20);
  CHECK(s.spins < 10);  // it learned that these waits are long
}

TEST_CASE("a loop whose spin is 0 never polls") {
  LoopOptions options;
  options.spin = Duration::zero();
  Bench bench(options);
  bench.loop->run(work_for(bench, milliseconds(1)));
  CHECK(bench.loop->statistics().yields == 0);
}

TEST_CASE("SIGTERM sets the event and says which signal it was") {
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  {
    Bench bench;
    runtime::Event asked(*bench.loop);
    auto signals = Signals::make(*bench.loop, asked);
    REQUIRE(signals);
    ::raise(SIGTERM);
    bench.loop->run(wait_for(asked));
    CHECK((*signals)->last() == SIGTERM);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace lockstep::uring
