// Whether this site's hosts are served (M3): admitted by catching up or by going on alone, and for as long as the lease lasts.
#include "controller/controller.h"
#include "core/log.h"

namespace lockstep::controller {

/// A primary that goes on alone by policy is the only one who can: nobody else serves or writes unless an administrator forces it. One that
/// has handed over is that no longer, however long it takes until the two meet in their new roles.
bool Controller::needs_lease() const {
  return keeper_.has_arbiter() || !options_.alone || !primary_ || keeper_.membership().in_force().primary != options_.self;
}

bool Controller::may_serve() const {
  if (!admitted_ || stopping_ || (!primary_ && !secondary_)) return false;
  if (state() == State::diverged) return keeper_.membership().sole(options_.self);  // to be compared, not to be changed
  if ((primary_ && primary_->alone()) || !needs_lease()) return true;
  return replica_.world.clock.now() < lease_.serve_until();
}

void Controller::session_live() {
  admitted_ = true;
  problem_.clear();
  lease_.other_serves(replica_.world.clock.now());
  role_changed_.notify_all();  // readers that wait for blocks of the other site
  link_->ping_now();
  update_gate();
}

void Controller::heard(Instant sent) {
  lease_.heard(sent);
  if (gate_open_) update_gate();
  if (admitted_ && !gate_open_) update_gate();
}

void Controller::update_gate() { gate_changed_.notify_all(); }

runtime::Task<void> Controller::gate_loop() {
  while (!stop_.requested()) {
    if (may_serve()) {
      // Whoever goes on alone, or has diverged and can be read, is the only one who counts there.
      const bool leased = needs_lease() && !(primary_ && primary_->alone()) && state() != State::diverged;
      // The other site goes on at `takeover`; the watchdog comes half way between.
      gate_->serve_until(leased ? lease_.serve_until() + (options_.takeover - options_.read_lease) / 2 : HostGate::kNoDeadline);
      if (!gate_open_) gate_->open();
      gate_open_ = true;
    } else if (gate_open_) {
      if (admitted_ && !stopping_) log::warning("the other site was not heard for the read lease: hosts of this site wait from now on");
      // A session that is still live renews the lease when the other site is heard again.
      admitted_ = admitted_ && writable();
      gate_open_ = false;
      gate_closing_ = true;
      co_await gate_->close();
      gate_->serve_until(HostGate::kNoDeadline);
      gate_closing_ = false;
      gate_closed_.notify_all();
      continue;
    }
    co_await gate_changed_.wait();
  }
}

/// Looks at the lease when it may be over.
runtime::Task<void> Controller::lease_watch() {
  runtime::Clock& clock = replica_.world.clock;
  for (;;) {
    const Instant now = clock.now();
    const Instant over = lease_.serve_until();
    const bool slept = co_await clock.sleep_until(gate_open_ && over > now ? over : now + options_.heartbeat, stop_);
    if (!slept) co_return;
    if (gate_open_ && !may_serve()) update_gate();
  }
}

runtime::Task<void> Controller::close_gate() {
  admitted_ = false;
  update_gate();
  while ((gate_open_ || gate_closing_) && !stop_.requested()) co_await gate_closed_.wait();
}

/// M8: an other site that answers, but too slowly, is taken out: hosts wait for it no longer.
runtime::Task<void> Controller::slow_watch() {
  runtime::Clock& clock = replica_.world.clock;
  if (options_.slow_peer == Duration{}) co_return;
  while (co_await clock.sleep_until(clock.now() + options_.slow_peer / 8, stop_)) {
    if (!primary_ || !primary_->in_sync()) continue;
    const Instant oldest = primary_->load().oldest;
    if (oldest == Instant{} || clock.now() - oldest < options_.slow_peer) continue;
    log::warning("site {} has not answered an effect for {} s: it is taken out of the in-sync set", options_.peer_name,
                 std::chrono::duration_cast<std::chrono::seconds>(clock.now() - oldest).count());
    removing_slow_ = true;
    link_->drop_session();
  }
}

}  // namespace lockstep::controller
