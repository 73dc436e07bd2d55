// The area here failed (C7): this site gives up its part, so that the other one can go on.
//
//     primary, in sync     nothing more is committed; it is written down here that the other site is the only member and primary, and
//                          that this area can't be relied on; the other site records it, which it does behind every effect that it
//                          was given: these are answered here. Hosts of this site are served no more; the connection ends.
//     secondary            it is written down that this area can't be relied on; the connection ends, and the primary takes this site
//                          out as one that is gone.
//     only member          nobody else has what was acknowledged: it stays, and answers reads; changes wait.
//
// Where nothing can be written down any more, a primary does not hand over: started again with its old state it could go on beside the other
// one. The other site then needs the arbiter, or an administrator.
#include "controller/controller.h"
#include "core/log.h"

namespace lockstep::controller {

runtime::Task<void> Controller::detach_watch() {
  while (!replica_.failed()) {
    if (stop_.requested()) co_return;
    co_await failed_.wait();
  }
  const bool only = keeper_.membership().sole(options_.self);
  if (primary_) primary_->hold();
  if (primary_ && primary_->in_sync()) {
    co_await hand_over_failing();
  } else if (!only) {
    const bool written = co_await keeper_.give_up(std::nullopt);
    if (!written) log::warning("that this area can't be relied on could not be written into it: do not start this site with it before it is checked");
  }
  link_->end();
  update_gate();
  if (on_detached) on_detached(!only);
}

runtime::Task<void> Controller::hand_over_failing() {
  // What the other site was given, and has not said that it has, may never have arrived; nor will this entry then, before the two meet again.
  const Seq base = std::max(primary_->logged_there(), Seq{first_seq_of(epoch()).value - 1});
  const EpochEntry entry = keeper_.next(options_.peer, SiteSet{options_.peer}, base);
  const bool written = co_await keeper_.give_up(entry);
  if (!written) {
    log::error("this site can't hand over: that can't be written down here any more. {}", keeper_.has_arbiter()
               ? "The other site goes on through the arbiter"
               : "To make the other site go on, say there: lockstep takeover --force; do not start this site with this area again");
    co_return;
  }
  Result<> told = fail(Errc::unavailable, {});
  if (primary_ && primary_->in_sync()) told = co_await primary_->say_membership();
  if (!told || !primary_) {
    log::error("the other site went away before it had recorded that it is the primary; it learns it when this site is started again");
    co_return;
  }
  log::warning("{} goes on alone in epoch {}", options_.peer_name, epoch().value);
  primary_->complete_forward();
  co_await close_gate();
  if (peer::Session* const with = session(); with != nullptr) {
    with->send(wire::Leave{"its area has failed"});
    with->flush();
  }
}

}  // namespace lockstep::controller
