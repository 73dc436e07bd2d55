#include "sim/process.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "sim/arbiter.h"
#include "sim/clock.h"
#include "sim/disk.h"
#include "sim/kernel.h"
#include "sim/key_value.h"
#include "sim/machine.h"
#include "sim/net.h"

namespace lockstep::sim {
namespace {

constexpr std::uint64_t kResumesPerPassMax = 5'000'000;
constexpr Duration kPassDelayMax{3000};

runtime::Task<void> start_in_a_pass(Process& process, runtime::Task<void> task) {
  co_await process.delay(Duration::zero());
  co_await std::move(task);
}

}  // namespace

Process::Process(Machine& machine, std::string name)
    : universe_(machine.universe()),
      machine_(machine),
      name_(std::move(name)),
      prng_(machine.prng().fork("process")),
      tasks_(*this) {
  disk_ = std::make_unique<SimDisk>(*this, machine.storage());
  keys_ = std::make_unique<SimKeyValue>(*this, machine.key_store());
  net_ = std::make_unique<SimNet>(*this, universe_.network());
  clock_ = std::make_unique<SimClock>(*this, machine.clock_settings());
  random_ = std::make_unique<SimRandom>(prng_.fork("random"));
  kernel_ = std::make_unique<SimKernel>(*this, machine.prng().fork("kernel"));
  world_ = std::make_unique<runtime::World>(runtime::World{*this, *disk_, *keys_, *net_, *clock_, *random_, *kernel_});
  if (Arbiter* const arbiter = universe_.arbiter(); arbiter != nullptr) {
    arbiter_ = std::make_unique<SimRegister>(*this, *arbiter);
    world_->arbiter = arbiter_.get();
  }
}

Process::~Process() {
  while (!objects_.empty()) objects_.pop_back();
}

void Process::post(std::coroutine_handle<> h) {
  ready_.push_back(h);
  wake();
}

void Process::at_end_of_pass(runtime::PassHook& hook) {
  hooks_.add(hook);
  wake();
}

void Process::wake() {
  if (!alive_ || pass_scheduled_) return;
  if (in_pass_) {
    again_ = true;
    return;
  }
  pass_scheduled_ = true;
  const Duration paused = std::max(paused_until_ - universe_.now(), Duration::zero());
  universe_.after(paused + prng_.between(Duration::zero(), kPassDelayMax), this, [this] { pass(); });
}

void Process::pass() {
  pass_scheduled_ = false;
  if (paused()) return wake();
  in_pass_ = true;
  for (std::uint64_t resumed = 0; alive_ && !ready_.empty(); ++resumed) {
    if (resumed == kResumesPerPassMax)
      throw Livelock(fmt::format("seed {}: a pass of {} does not end", universe_.seed(), name_));
    const auto h = ready_.front();
    ready_.pop_front();
    h.resume();
  }
  again_ = false;
  if (alive_) hooks_.run();
  in_pass_ = false;
  if (again_ || !ready_.empty()) wake();
}

void Process::spawn(runtime::Task<void> task) { tasks_.spawn(start_in_a_pass(*this, std::move(task))); }

void Process::pause(Duration time) { paused_until_ = std::max(paused_until_, universe_.now() + time); }

void Process::when_running(std::function<void()> what) {
  if (!paused()) return what();
  universe_.after(paused_until_ - universe_.now(), this, [this, what = std::move(what)] { when_running(what); });
}

void Process::Delay::await_suspend(std::coroutine_handle<> h) {
  Process* owner = &process;
  process.universe().after(delay, owner, [owner, h] { owner->post(h); });
}

}  // namespace lockstep::sim
