// process.h - one run of a program on a machine: its scheduler, its objects, and its side of the world.
//
// A process gets a pass some microseconds after something became ready for it; whatever completes in between is handled
// in the same pass. post() keeps the order of the calls, as promised; the order of completions is varied by their
// latencies.
//
// A killed process is never resumed. Killed in the middle of its own pass (by a hook of a test) it still runs to its
// next suspension, but nothing that it does then reaches the world: every interface looks at alive().
#pragma once

#include <coroutine>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/pass_hooks.h"
#include "runtime/sync.h"
#include "runtime/world.h"
#include "sim/universe.h"

namespace lockstep::sim {

class SimClock;
class SimDisk;
class SimKernel;
class SimKeyValue;
class SimNet;
class SimRandom;
class SimRegister;

class Process final : public runtime::Scheduler {
 public:
  Process(Machine& machine, std::string name);
  ~Process() override;

  void post(std::coroutine_handle<> h) override;
  void at_end_of_pass(runtime::PassHook& hook) override;

  [[nodiscard]] runtime::World& world() { return *world_; }
  [[nodiscard]] SimKernel& kernel() { return *kernel_; }
  [[nodiscard]] Universe& universe() { return universe_; }
  [[nodiscard]] Machine& machine() { return machine_; }
  /// "NAME.NUMBER on MACHINE", for messages.
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool alive() const { return alive_; }

  /// Makes an object of the program. Destroyed in reverse order when the process ends, abandoned when it is killed.
  template <class T, class... A>
  T& make(A&&... arguments) {
    auto object = std::make_shared<T>(std::forward<A>(arguments)...);
    objects_.push_back(object);
    return *object;
  }
  void keep(std::shared_ptr<void> object) { objects_.push_back(std::move(object)); }
  /// Runs `task` from the next pass on.
  void spawn(runtime::Task<void> task);
  /// Every spawned task has ended.
  [[nodiscard]] bool idle() const { return tasks_.running() == 0; }
  /// Gets no pass before `time` is over, as under SIGSTOP.
  void pause(Duration time);
  [[nodiscard]] bool paused() const { return paused_until_ > universe_.now(); }
  /// Calls `what` as soon as it may run: at once unless it is paused. Not if it dies first.
  void when_running(std::function<void()> what);

  /// Awaited: goes on after `delay` of virtual time.
  struct Delay {
    Process& process;
    Duration delay;
    Delay(Process& p, Duration d) : process(p), delay(d) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h);
    void await_resume() const noexcept {}
  };
  Delay delay(Duration d) { return Delay(*this, d); }

 private:
  friend class Machine;
  void wake();
  void pass();
  void die() { alive_ = false; }

  Universe& universe_;
  Machine& machine_;
  std::string name_;
  Prng prng_;
  bool alive_ = true;
  bool pass_scheduled_ = false;
  bool in_pass_ = false;
  bool again_ = false;
  Instant paused_until_;
  std::deque<std::coroutine_handle<>> ready_;
  runtime::PassHooks hooks_;
  std::unique_ptr<SimDisk> disk_;
  std::unique_ptr<SimKeyValue> keys_;
  std::unique_ptr<SimNet> net_;
  std::unique_ptr<SimClock> clock_;
  std::unique_ptr<SimRandom> random_;
  std::unique_ptr<SimKernel> kernel_;
  std::unique_ptr<SimRegister> arbiter_;  // null: the universe has none
  std::unique_ptr<runtime::World> world_;
  runtime::Scope tasks_;
  std::vector<std::shared_ptr<void>> objects_;
};

}  // namespace lockstep::sim
