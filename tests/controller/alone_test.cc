// Who may go on alone, over all cases, and the arithmetic that keeps a cut-off site from serving then.
#include "controller/alone.h"

#include "catch.h"
#include "controller/lease.h"
#include <map>

using namespace lockstep;
using namespace lockstep::controller;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("over all cases nobody goes on alone who must not") {
  std::map<AloneFinding, int> met;
  for (unsigned bits = 0; bits < 1u << 10; ++bits) {
    for (const int away : {0, 1999, 2000, 2999, 3000}) {
      AloneInput in;
      in.member = bits & 1;
      in.sole = in.member && (bits & 2);
      in.primary = bits & 4;
      in.unproven = bits & 8;
      in.diverged = bits & 16;
      in.arbiter = bits & 32;
      in.policy_primary = bits & 64;
      in.armed = bits & 128;
      in.promised = bits & 256;
      in.left = bits & 512;
      in.away_since = Instant{1'000'000'000};
      in.now = in.away_since + milliseconds(away);
      in.peer_timeout = seconds(2);
      in.takeover_delay = seconds(1);
      const Alone out = decide_alone(in);
      ++met[out.finding];
      const bool goes_on = out.finding == AloneFinding::sole || out.finding == AloneFinding::ask_arbiter ||
                           out.finding == AloneFinding::by_policy || out.finding == AloneFinding::armed;
      if (goes_on) {
        REQUIRE(in.member);                                                    // M4
        REQUIRE_FALSE(in.diverged);
        if (!in.sole) {
          REQUIRE_FALSE(in.unproven);                                          // M6
          REQUIRE_FALSE(in.left);                                              // M8
          REQUIRE(away >= 2000);
          if (in.arbiter && !in.primary) REQUIRE(away >= 3000);
          if (!in.arbiter) REQUIRE((in.primary && in.policy_primary));         // M2
          if (in.arbiter && in.promised) REQUIRE(in.primary);                  // M5
          if (out.finding == AloneFinding::armed) REQUIRE((in.arbiter && in.armed && in.primary));
        }
      }
      if (out.finding == AloneFinding::waiting) REQUIRE(out.until > in.now);
      if (in.sole && !in.diverged) REQUIRE(out.finding == AloneFinding::sole);
    }
  }
  for (const AloneFinding finding :
       {AloneFinding::not_a_member, AloneFinding::unproven, AloneFinding::left, AloneFinding::diverged, AloneFinding::sole, AloneFinding::waiting, AloneFinding::promised, AloneFinding::armed,
        AloneFinding::ask_arbiter, AloneFinding::by_policy, AloneFinding::policy_forbids}) {
    INFO(name_of(finding));
    CHECK(met[finding] > 0);
  }
}

TEST_CASE("the fence of one site ends after the lease of the other, whatever was lost on the way") {
  const LeaseTimes times{.read_lease = seconds(3), .takeover = seconds(5)};
  // B pings A every 500 ms; pings are answered until some moment, some answers are lost, some are late.
  for (int last_answered = 0; last_answered < 20; ++last_answered) {
    for (unsigned lost = 0; lost < 64; ++lost) {
      for (const int delay : {0, 100, 700}) {
        Lease a(times, Instant{0}), b(times, Instant{0});
        for (int n = 0; n <= last_answered; ++n) {
          const Instant sent = Instant{0} + milliseconds(500) * (n + 1);
          const Instant answered = sent + milliseconds(delay);
          a.answered(answered);
          if (!(lost >> (n % 6) & 1)) b.heard(sent);
        }
        REQUIRE(b.serve_until() < a.fence_over());
      }
    }
  }
}

TEST_CASE("a site that was never heard does not serve, and one that says it serves nobody is not waited for") {
  Lease lease({.read_lease = seconds(3), .takeover = seconds(5)}, Instant{1});
  REQUIRE(lease.serve_until() == Instant{});
  REQUIRE(lease.fence_over() == Instant{1} + seconds(5));
  lease.other_serves_nobody();
  REQUIRE(lease.fence_over() == Instant{});
  lease.other_serves(Instant{100});
  REQUIRE(lease.fence_over() == Instant{100} + seconds(5));
  lease.answered(Instant{50});  // never goes back
  REQUIRE(lease.fence_over() == Instant{100} + seconds(5));
}
