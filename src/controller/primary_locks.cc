// Locks whose site is gone (M9): of an earlier start of its daemon they go at once, since the mount they were taken on has gone
// with it; of a site that was left behind they stay for a grace time.
#include "controller/primary.h"
#include "core/log.h"

namespace lockstep::controller {

/// Returns how many went.
runtime::Task<std::uint64_t> Primary::break_locks(SiteId site, std::uint64_t stays, bool waits_only) {
  std::uint64_t gone = 0;
  wire::Outcome outcome;
  do {
    wire::Operation operation;
    operation.kind = wire::OpKind::break_locks;
    operation.lock.owner = {site, stays, 0};
    operation.lock.wait = waits_only;
    outcome = co_await by_itself(std::move(operation));
    if (outcome.error == 0) gone += outcome.value;
  } while (outcome.error == 0 && outcome.value > 0);
  co_return gone;
}

runtime::Task<void> Primary::locks_of_earlier_starts(std::uint64_t boot) {
  const std::uint64_t here = co_await break_locks(replica_.self, options_.boot, false);
  const std::uint64_t there = co_await break_locks(options_.peer, boot, false);
  if (here + there > 0) log::info("{} advisory locks were of an earlier start of a site's daemon, and are gone", here + there);
}

runtime::Task<void> Primary::locks_left_behind() {
  const std::uint64_t session = sessions_;
  runtime::Clock& clock = replica_.world.clock;
  const Instant until = clock.now() + options_.lock_grace;
  co_await break_locks(replica_.self, options_.boot, false);
  co_await break_locks(options_.peer, 0, true);
  const bool slept = co_await clock.sleep_until(until, stop_);
  // One that is being made equal has returned; if that ends early, its time begins anew.
  if (!slept || !alone_ || session_ != nullptr || session != sessions_) co_return;
  const std::uint64_t gone = co_await break_locks(options_.peer, 0, false);
  if (gone > 0) {
    log::warning("the other site has been away for the grace time of locks: {} advisory locks of its hosts are broken; those who held them "
                 "get errors when it is back", gone);
  }
}

}  // namespace lockstep::controller
