#include "catch.h"
#include "conformance/world_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::Event;
using runtime::PassHook;
using runtime::Scheduler;
using runtime::Scope;
using runtime::Task;

namespace {

struct Repost {
  Scheduler& scheduler;
  explicit Repost(Scheduler& s) : scheduler(s) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> h) { scheduler.post(h); }
  void await_resume() const {}
};

struct Recorder final : PassHook {
  Recorder(std::vector<std::string>& l, std::string n) : log(l), name(std::move(n)) {}
  void end_of_pass() override { log.push_back(name); }
  std::vector<std::string>& log;
  std::string name;
};

struct Repeating final : PassHook {
  explicit Repeating(Scheduler& s, Event& d) : scheduler(s), done(d) {}
  void end_of_pass() override {
    if (++runs < 3) {
      scheduler.at_end_of_pass(*this);
    } else {
      done.set();
    }
  }
  Scheduler& scheduler;
  Event& done;
  int runs = 0;
};

Task<void> wait_and_note(Event& event, std::vector<std::string>& log, std::string name) {
  co_await event.wait();
  log.push_back(name);
}

Task<void> posts_keep_their_order(WorldMaker& maker) {
  Scheduler& scheduler = maker.world().scheduler;
  std::vector<std::string> log;
  Event event(scheduler);
  Scope scope(scheduler);
  for (const char* name : {"a", "b", "c", "d"}) scope.spawn(wait_and_note(event, log, name));
  event.set();
  log.push_back("set");  // nobody was resumed inside the call
  scope.close();
  co_await scope.join();
  const std::vector<std::string> expected{"set", "a", "b", "c", "d"};
  CHECK(log == expected);
}

Task<void> hooks_run_last_and_once(WorldMaker& maker) {
  Scheduler& scheduler = maker.world().scheduler;
  std::vector<std::string> log;
  Recorder first(log, "hook 1"), second(log, "hook 2");
  Event event(scheduler);
  Scope scope(scheduler);
  scheduler.at_end_of_pass(first);
  scheduler.at_end_of_pass(second);
  scheduler.at_end_of_pass(first);
  scope.spawn(wait_and_note(event, log, "task"));
  event.set();
  co_await Repost(scheduler);
  co_await Repost(scheduler);
  log.push_back("self");
  scope.close();
  co_await scope.join();
  runtime::Stop stop;
  co_await maker.world().clock.sleep_until(maker.world().clock.now() + std::chrono::milliseconds(1), stop);
  const std::vector<std::string> expected{"task", "self", "hook 1", "hook 2"};
  CHECK(log == expected);
}

Task<void> hooks_come_back(WorldMaker& maker) {
  Scheduler& scheduler = maker.world().scheduler;
  Event done(scheduler);
  Repeating hook(scheduler, done);
  scheduler.at_end_of_pass(hook);
  co_await done.wait();
  CHECK(hook.runs == 3);
}

}  // namespace

TEST_CASE("posted coroutines are resumed in order, never inside the call") {
  const auto maker = make_world();
  maker->run(posts_keep_their_order(*maker));
}

TEST_CASE("hooks run once, in order, when nothing is ready any more") {
  const auto maker = make_world();
  maker->run(hooks_run_last_and_once(*maker));
}

TEST_CASE("a hook may ask for its next run, though nothing else happens") {
  const auto maker = make_world();
  maker->run(hooks_come_back(*maker));
}
