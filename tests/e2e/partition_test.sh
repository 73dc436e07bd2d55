#!/usr/bin/env bash
# partition_test.sh [without|with]: the lines between two sites and their arbiter are cut, in every combination that matters, both ways and one way, and flap;
# under load from both sites. Whoever may go on goes on in bounded time, the other one waits, both say so; nothing acknowledged is lost,
# nothing stale is read, no application gets an error, and everything mends by itself. Then the same without an arbiter.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/net.sh"

PAUSE=10000 # ms: the promise for an unplanned takeover with the default timers
FLAPS=25000 # ms: what a line that fails again and again may cost who may go on; each time it may begin anew
SHORT_FLAPS=${FLAP_TIMES:-12}
LONG_FLAPS=$(((SHORT_FLAPS + 3) / 4))
no_more_at() { # SITE: nothing is acknowledged there while another site makes progress
  local before
  before=$(acknowledged "$1")
  goes_on "$(other_of "$1")" 15
  same "$(acknowledged "$1")" "$before" "steps acknowledged at $1, which waits"
}
# survives SITE CUT...: does the cut; SITE goes on alone as primary, the other one waits; healed, both are in sync
survives() {
  local site=$1 other waits_for="ask arbiter"
  other=$(other_of "$1")
  shift
  [[ -n ${ARBITER:-} ]] || waits_for="policy forbids"
  [[ -z ${ARMED:-} ]] || waits_for="promised"
  step "cut: ${*//_/ }: $site goes on"
  local began
  began=$(date +%s%N)
  local line
  for line in "$@"; do ${line//:/ }; done
  expect_status "$site" 15 "alone $site $site writable sole"
  goes_on "$site" 10
  step "  went on after $((($(date +%s%N) - began) / 1000000)) ms"
  wait_until 15 says "$other" 's["state"] + " " + s["alone"] + " " + str(s["serving"]) + str(s["writable"])' "suspended $waits_for FalseFalse" ||
    fail "$other says: $(status_of "$other" "$EVERYTHING")"
  expect_first_line "$site" "^AT RISK: only $site holds what is written now; $other is away"
  expect_first_line "$other" "^WAITING: reads and writes wait for $site"
  same "$(status_of "$site" '[x["connected"] for x in s["sites"] if x["name"] == s["peer"]]')" "[False]" "$site's connection to $other"
  no_more_at "$other"
  heal
  mends "$site"
}
# mends PRIMARY: both in sync, and both write
mends() {
  wait_in_sync
  local site
  for site in east west; do
    same "$(status_of "$site" 's["primary"] + " " + "+".join(s["in_sync"])')" "$1 east+west" "primary and members, says $site"
    expect_first_line "$site" '^SAFE'
    goes_on "$site" 15
  done
}
flap() { # TIMES DOWN UP: the line between the sites, in seconds of at most
  for _ in $(seq "$1"); do
    set_line east west down
    python3 -c 'import random, sys, time; time.sleep(random.uniform(0, float(sys.argv[1])))' "$2"
    set_line east west up
    python3 -c 'import random, sys, time; time.sleep(random.uniform(0, float(sys.argv[1])))' "$3"
  done
}
flaps() { # NAME MS SITE...: a load of its own, see end_load; which site is primary in the end is not said
  begin_load "$1"
  step "$SHORT_FLAPS flaps, shorter than the peer timeout"
  flap "$SHORT_FLAPS" 0.5 0.5
  wait_in_sync
  step "$LONG_FLAPS flaps, as long as the timers"
  flap "$LONG_FLAPS" 6 3
  wait_in_sync
  for site in east west; do goes_on $site 15; done
  end_load "$@"
}
primary_is() { # SITE: makes it so
  [[ $(status_of east 's["primary"]') == "$1" ]] || lockstep_at east switchover >/dev/null
  wait_in_sync
}

without_arbiter() {
  step "without an arbiter: the primary goes on, the secondary waits"
  format_and_start
  watch_status
  begin_load without
  survives east cut_both:east:west
  survives east cut:east:west
  survives east cut:west:east
  end_load without $PAUSE east
  flaps without-flaps $FLAPS east
  verify_clean
  end_watching
}

net_up
if [[ ${1:-} != with ]]; then
  without_arbiter
  [[ ${1:-} != without ]] || { finish; exit; }
  stop_sites east west
fi
ARBITER=yes
rm -f "$T/stop-watching"
use_arbiter
format_and_start
told() { says "$1" 's["arbiter"]["up_to_date"]' True; }
wait_until 10 told east || fail "the arbiter was not told of the membership"
step "with an arbiter: whoever reaches it goes on"
watch_status
begin_load with
primary_is east
survives east cut_both:east:west
survives east cut:east:west
survives east cut:west:east
survives east cut_both:west:east cut_both:west:arbiter

step "cut: either site from the arbiter only: both go on, and that one says that it is away"
away() { says "$1" 's["arbiter"]["reachable"]' False; }
for site in east west; do
  cut_both $site arbiter
  wait_until 15 away $site || fail "$site does not say that the arbiter is away"
  for each in east west; do goes_on $each 15; done
  for each in east west; do in_state $each in-sync || fail "$each is not in sync without the line from $site to the arbiter"; done
  heal
done
step "cut: the primary from the arbiter; then handed over: the arbiter is told by the other one"
cut_both east arbiter
lockstep_at east switchover >/dev/null
wait_in_sync
wait_until 10 told west || fail "the arbiter was not told of the switchover"
lockstep_at west switchover >/dev/null
wait_in_sync
wait_until 15 away east || fail "east does not say that the arbiter is away"
for site in east west; do goes_on $site 15; done
heal
wait_until 15 told east || fail "the arbiter was not told when it was back"

step "cut: everything from everything at once: both wait, and mend when their line is back"
cut_both east arbiter
cut_both west arbiter
cut_both east west
for site in east west; do expect_status $site 15 "suspended east east+west waits ask arbiter"; done
for site in east west; do comes_to_say $site 10 '^WAITING: reads and writes wait'; done
before=$(acknowledged east)-$(acknowledged west)
wait_until 10 away east || fail "east does not say that the arbiter is away"
(lockstep_at east status || true) | grep -q 'arbiter: AWAY' || fail "the status of east does not say that the arbiter is away"
same "$(acknowledged east)-$(acknowledged west)" "$before" "steps acknowledged at both, which wait"
for place in east west; do in_net $place nft flush chain inet cuts in; done
in_net east nft add rule inet cuts in iifname to-arbiter drop
in_net west nft add rule inet cuts in iifname to-arbiter drop
mends east

step "the arbiter stays out of reach of both: the primary is armed, and goes on when the sites are parted, too"
armed_is() { says east 's["arbiter"]["armed"]' "$1" && says west 's["arbiter"]["promised"]' "$1"; }
wait_until 20 armed_is True || fail "the primary is not armed"
ARMED=yes
survives east cut_both:east:west
ARMED=
wait_until 20 armed_is False || fail "the primary is still armed, or the secondary still waits for it"

step "the primary's line to the arbiter, then everything of it: the other one takes over"
cut_both east arbiter
survives west cut_both:east:west
survives west cut_both:east:west cut_both:east:arbiter
step "the secondary's line to the arbiter, then that to the primary: the primary goes on"
cut_both east arbiter
survives west cut_both:east:west cut:arbiter:east
end_load with 20000 # twice an unplanned takeover in a row: the arbiter's answer is waited for
flaps with-flaps 120000 east west
verify_clean
end_watching
finish
