// Arming the primary while the arbiter is away, see arms.h.
#include "controller/controller.h"
#include "core/log.h"

namespace lockstep::controller {
namespace {

constexpr Duration kSayAgain = std::chrono::seconds(5);

}  // namespace

void Controller::arms(const wire::Arms& message) {
  switch (message.step) {
    case wire::ArmsStep::ask: arms_.to_answer = message.number; break;
    case wire::ArmsStep::promised: arms_.promised = arms_.asked != 0 && message.number == arms_.asked; break;
    case wire::ArmsStep::returned:
      arms_.to_answer = 0;
      arms_.peer_armed = false;
      break;
    case wire::ArmsStep::answers:
      arms_.asked = 0;
      arms_.promised = false;
      arms_.not_before = replica_.world.clock.now() + kSayAgain;
      break;
  }
  arms_changed_.notify_all();
}

void Controller::say_arms(wire::ArmsStep step, std::uint64_t number) {
  peer::Session* const with = session();
  if (with == nullptr) return;
  with->send(wire::Arms{step, number});
  with->flush();
}

runtime::Task<void> Controller::arms_watch() {
  while (!stop_.requested()) {
    const bool settled = state() == State::in_sync && !deciding_ && !leaving_ && !stopping_;
    bool again = false;
    if (settled) again = primary_ ? co_await settle_arms() : co_await settle_promise();
    if (!again) co_await arms_changed_.wait();
  }
}

/// At the primary. True: something was recorded, look again. Suspends.
runtime::Task<bool> Controller::settle_arms() {
  const Instant now = replica_.world.clock.now();
  const wire::SiteState& state = keeper_.state();
  const bool want = options_.alone && keeper_.arbiter_away() && now >= arms_.not_before;
  if (state.armed && !want) {
    arms_.asked = 0;
    arms_.promised = false;  // it is void as soon as this is said
    co_await keeper_.set({.armed = false});
    log::info("this site asks the arbiter again before it goes on alone");
    say_arms(wire::ArmsStep::returned, 0);
    co_return true;
  }
  if (!state.armed && want && arms_.promised) {
    recording_arms_ = true;
    co_await keeper_.set({.armed = true});
    recording_arms_ = false;
    log::warning("the arbiter is away: this site goes on alone if {} is lost, too; {} waits if this one is", options_.peer_name, options_.peer_name);
    co_return true;
  }
  if (!state.armed && want && arms_.asked == 0) {
    if (!co_await still_away() || !primary_) co_return true;
    arms_.promised = false;
    arms_.asked = ++arms_numbers_;
    say_arms(wire::ArmsStep::ask, arms_.asked);
  } else if (!state.armed && !want && arms_.asked != 0) {
    arms_.asked = 0;
    arms_.promised = false;
    say_arms(wire::ArmsStep::returned, 0);
  }
  co_return co_await lift_promise();
}

/// At the secondary, as above.
runtime::Task<bool> Controller::settle_promise() {
  const Instant now = replica_.world.clock.now();
  const wire::SiteState& state = keeper_.state();
  const bool may = options_.alone && keeper_.arbiter_away();
  if (arms_.to_answer != 0 && may && !state.promised) {
    if (!co_await still_away() || !secondary_ || arms_.to_answer == 0) co_return true;
    co_await keeper_.set({.promised = true});
    co_return true;
  }
  if (arms_.to_answer != 0 && may) {
    arms_.peer_armed = true;
    say_arms(wire::ArmsStep::promised, std::exchange(arms_.to_answer, 0));
    log::warning("the arbiter is away: {} goes on alone if it loses this site; this one waits if it loses {}", options_.peer_name,
                 options_.peer_name);
  } else if (arms_.to_answer != 0 || (arms_.peer_armed && !may && now >= arms_.not_before)) {
    arms_.to_answer = 0;
    arms_.not_before = now + kSayAgain;
    say_arms(wire::ArmsStep::answers, 0);
  }
  co_return co_await lift_promise();
}

/// What was seen before may be over. False: the arbiter answers, or the sites are not in sync any more.
runtime::Task<bool> Controller::still_away() {
  co_await keeper_.look_at_arbiter(stop_);
  co_return keeper_.arbiter_away() && state() == State::in_sync && !stop_.requested();
}

runtime::Task<bool> Controller::lift_promise() {
  if (!keeper_.state().promised || arms_.peer_armed || arms_.to_answer != 0) co_return false;
  co_await keeper_.set({.promised = false});
  log::info("{} is not armed: this site may ask the arbiter again", options_.peer_name);
  co_return true;
}

}  // namespace lockstep::controller
