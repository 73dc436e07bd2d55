// lease.h - until when this site may answer reads, and from when on it may acknowledge alone (M3).
//
//      this site                                     the other site
//      ping n sent at t0 ------------------------->  answers (its own ping echoes n) at t1
//      may serve until t0 + read_lease               may acknowledge alone from t1 + takeover on
//
// t0 < t1 and read_lease < takeover: so this site has stopped before the other one goes on, without a common clock. The
// difference of the two pays for dropping what the kernel keeps, and for clocks that run at different speeds.
//
// Plain arithmetic: no clock, no waiting.
#pragma once

#include <algorithm>

#include "core/types.h"

namespace lockstep::controller {

struct LeaseTimes {
  Duration read_lease{};
  Duration takeover{};
};

class Lease {
 public:
  /// `start`: of this daemon. What an earlier one answered is not known: it counts as if just now.
  Lease(LeaseTimes times, Instant start) : times_(times), answered_(start) {}

  /// The other site is known to have received something that this site sent at `sent`.
  void heard(Instant sent) {
    heard_ = std::max(heard_, sent);
    ever_heard_ = true;
  }
  /// This site tells the other one that it has received something of it.
  void answered(Instant now) { answered_ = std::max(answered_, now); }
  /// The other site said that it serves nobody: nothing is to be waited for.
  void other_serves_nobody() { other_quiet_ = true; }
  /// The other site begins to serve (again).
  void other_serves(Instant now) {
    other_quiet_ = false;
    answered(now);
  }

  /// Its zero: not at all.
  [[nodiscard]] Instant serve_until() const { return ever_heard_ ? heard_ + times_.read_lease : Instant{}; }
  /// The first moment at which no other site serves by what this one answered.
  [[nodiscard]] Instant fence_over() const { return other_quiet_ ? Instant{} : answered_ + times_.takeover; }

 private:
  LeaseTimes times_;
  Instant heard_;
  bool ever_heard_ = false;
  Instant answered_;
  bool other_quiet_ = false;
};

}  // namespace lockstep::controller
