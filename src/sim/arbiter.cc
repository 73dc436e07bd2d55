#include "sim/arbiter.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/checksum.h"
#include "sim/machine.h"

namespace lockstep::sim {
namespace {

using runtime::RegisterState;
using runtime::SwapResult;
using runtime::Task;

/// How often a request that comes to an obstacle waits for its end; else it is lost.
constexpr unsigned kHeldPermille = 500;
constexpr std::uint64_t kRevisionStepMax = 5;

/// Awaited until the call is answered, its time is over, or `stop` is requested.
class Wait final : private ArbiterCall::Caller, private runtime::Stop::Listener {
 public:
  Wait(ArbiterCall& call, Duration timeout, runtime::Stop& stop) : call_(call), timeout_(timeout), stop_(stop) {}
  bool await_ready() const { return stop_.requested(); }
  void await_suspend(std::coroutine_handle<> h) {
    waiter_ = h;
    call_.caller = this;
    stop_.add(*this);
    timer_ = call_.process.universe().after(timeout_, &call_.process, [this] { over(); });
  }
  void await_resume() const {}

 private:
  void answered() override { over(); }
  void stopped() override { over(); }
  void over() {
    call_.caller = nullptr;
    stop_.remove(*this);
    call_.process.universe().cancel(timer_);
    call_.process.post(waiter_);
  }
  ArbiterCall& call_;
  Duration timeout_;
  runtime::Stop& stop_;
  std::coroutine_handle<> waiter_;
  Universe::EventId timer_ = 0;
};

}  // namespace

bool Arbiter::passes(const ArbiterCall& call) const { return available_ && reachable(call.machine); }

void Arbiter::begin(Call call) {
  Process* const owner = &call->process;
  universe_.after(travel(), owner, [this, call = std::move(call)] { connected(call); });
}

void Arbiter::connected(const Call& call) {
  if (call->caller == nullptr || !reachable(call->machine)) return;
  if (!available_ || prng_.chance(weather.refused_permille))
    return answer(call, fail(Errc::unavailable, "the arbiter refuses the connection"));
  call->sent = true;
  const bool lost = prng_.chance(weather.lost_permille), late = prng_.chance(weather.late_permille);
  if (lost) return;
  const Duration more = late ? prng_.between(Duration::zero(), weather.late_max) : Duration::zero();
  universe_.after(travel() + more, nullptr, [this, call] { arrived(call); });
}

void Arbiter::arrived(const Call& call) {
  if (!passes(*call)) {
    if (prng_.chance(kHeldPermille)) held_.push_back(call);
    return;
  }
  SwapResult result = carry_out(*call);
  if (!prng_.chance(weather.unanswered_permille)) answer(call, std::move(result));
}

SwapResult Arbiter::carry_out(const ArbiterCall& call) {
  if (!call.swap || call.expected != state_.revision) return {false, state_};
  state_.revision += 1 + prng_.below(kRevisionStepMax);
  state_.value = call.value;
  universe_.note(state_.revision);
  universe_.note(checksum(std::as_bytes(std::span(state_.value))));
  return {true, state_};
}

void Arbiter::answer(const Call& call, Result<SwapResult> result) {
  universe_.after(travel(), nullptr, [this, call, result = std::move(result)] {
    // A killed process keeps its callers; they hear of nothing any more.
    if (call->caller == nullptr || !call->process.alive() || !reachable(call->machine)) return;
    call->answer = result;
    call->caller->answered();
  });
}

void Arbiter::set_available(bool on) {
  available_ = on;
  send_held();
}

void Arbiter::set_reachable(const Machine& machine, bool on) {
  if (on)
    cut_off_.erase(&machine);
  else
    cut_off_.insert(&machine);
  send_held();
}

void Arbiter::send_held() {
  for (const Call& call : std::exchange(held_, {})) {
    if (passes(*call))
      universe_.after(travel(), nullptr, [this, call] { arrived(call); });
    else
      held_.push_back(call);
  }
}

void Arbiter::restore(RegisterState state) { state_ = std::move(state); }

Task<Result<SwapResult>> SimRegister::ask(std::shared_ptr<ArbiterCall> call, Duration timeout, runtime::Stop& stop) {
  if (stop.requested()) co_return fail(Errc::stopped, "stopped before the arbiter was asked");
  arbiter_.begin(call);
  Wait wait(*call, timeout, stop);
  co_await wait;
  if (call->answer) co_return *call->answer;
  if (call->swap && call->sent) co_return fail(Errc::unknown, "the arbiter did not answer a swap that was sent");
  if (stop.requested()) co_return fail(Errc::stopped, "stopped while the arbiter was asked");
  co_return fail(Errc::unavailable,
                 fmt::format("the arbiter did not answer within {} ms", timeout / std::chrono::milliseconds(1)));
}

Task<Result<RegisterState>> SimRegister::read(Duration timeout, runtime::Stop& stop) {
  auto call = std::make_shared<ArbiterCall>(process_, process_.machine());
  Result<SwapResult> answer = co_await ask(std::move(call), timeout, stop);
  if (!answer) co_return std::unexpected(answer.error());
  co_return std::move(answer->now);
}

Task<Result<SwapResult>> SimRegister::swap(std::uint64_t expected, std::string value, Duration timeout,
                                           runtime::Stop& stop) {
  CHECK(value.size() <= runtime::kRegisterBytesMax);
  auto call = std::make_shared<ArbiterCall>(process_, process_.machine(), true, expected, std::move(value));
  co_return co_await ask(std::move(call), timeout, stop);
}

}  // namespace lockstep::sim
