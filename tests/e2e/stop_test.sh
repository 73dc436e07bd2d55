#!/usr/bin/env bash
# stop_test.sh: daemons are stopped (SIGSTOP) under load, for less and for longer than the other site and the arbiter wait, and continued. A stopped
# site serves nothing stale: not from its kernel's caches while it is stopped, not by its daemon when it goes on. The other one goes on, and has
# no error; afterwards both are in sync, and nothing acknowledged is lost. Then the same without an arbiter, where a secondary waits.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/net.sh"

PAUSE=10000 # ms: the promise for an unplanned takeover with the default timers
stop_daemon() { kill -STOP "${PID[$1]}"; }
continue_daemon() { kill -CONT "${PID[$1]}"; }
epoch_of() { status_of "$1" 's["epoch"]'; }
rest() { python3 -c 'import random, sys, time; time.sleep(random.uniform(float(sys.argv[1]), float(sys.argv[2])))' "$1" "$2"; }
primary_is() { # SITE: makes it so
  [[ $(status_of "$1" 's["primary"]') == "$1" ]] || lockstep_at "$1" switchover >/dev/null
  wait_in_sync
  same "$(status_of east 's["primary"]')" "$1"
}
is_cut_off() { ! timeout 1 stat "$T/$1/." >/dev/null 2>&1; }
ROUND=0
# briefly SITE SECONDS: no application anywhere has an error
briefly() {
  local site
  ROUND=$((ROUND + 1))
  step "$1, the $(status_of "$1" 's["role"]'), is stopped for $2 s"
  begin_load "r$ROUND"
  stop_daemon "$1"
  sleep "$2" # how long it is stopped is what is tested
  continue_daemon "$1"
  wait_in_sync
  for site in east west; do goes_on $site 15; done
  end_load "r$ROUND" $PAUSE east west
}
# for_long SITE: the other one goes on alone; applications at SITE may have errors
for_long() {
  local other began
  other=$(other_of "$1")
  ROUND=$((ROUND + 1))
  step "$1, the $(status_of "$1" 's["role"]'), is stopped until $other has gone on"
  begin_load "r$ROUND"
  began=$(date +%s%N)
  stop_daemon "$1"
  expect_status "$other" 20 "alone $other $other writable sole"
  goes_on "$other" 10
  step "  went on after $((($(date +%s%N) - began) / 1000000)) ms"
  expect_first_line "$other" "^AT RISK: only $other holds what is written now; $1 is away"
  is_cut_off "$1" || fail "the mount of $1 is served without its daemon, after $other has gone on"
  goes_on "$other" 10
  continue_daemon "$1"
  wait_in_sync
  same "$(status_of "$1" 's["primary"]')" "$other" "primary, says $1"
  goes_on "$other" 10
  end_load "r$ROUND" $PAUSE "$other"
}

net_up
use_arbiter
format_and_start
told() { says "$1" 's["arbiter"]["up_to_date"]' True; }
wait_until 10 told east || fail "the arbiter was not told of the membership"
watch_status
step "with an arbiter"
for site in west east; do
  before=$(epoch_of east)
  briefly $site 1
  same "$(epoch_of east)" "$before" "the epoch, after a stop shorter than the peer timeout"
  briefly $site 2.5
  primary_is east
done
for_long west
for_long east
for_long east
primary_is east

step "both are stopped, and continued one after the other"
begin_load both
stop_daemon east
stop_daemon west
rest 7 8
continue_daemon west
rest 0 2
continue_daemon east
wait_in_sync
end_load both 0
primary_is "$(status_of east 's["primary"]')"

step "the arbiter is stopped, then the primary: the other one waits for the arbiter"
primary_is east
begin_load arbiter
kill -STOP "$ETCD_PID"
stop_daemon east
expect_status west 20 "suspended east east+west waits ask arbiter"
wait_until 10 says west 's["arbiter"]["reachable"]' False || fail "west does not say that the arbiter is away"
same "$(status_of west 's["state"]')" suspended
kill -CONT "$ETCD_PID"
expect_status west 20 "alone west west writable sole"
continue_daemon east
wait_in_sync
end_load arbiter 30000 west

# One stop behind the other leaves little of a lease: a mount may be cut off, and its applications have errors.
step "20 stops of either, at any time, for any time up to 3 s"
begin_load many
for _ in $(seq 20); do
  site=$([[ $((RANDOM % 2)) -eq 0 ]] && echo east || echo west)
  stop_daemon "$site"
  rest 0.1 3
  continue_daemon "$site"
  rest 0 1
done
wait_in_sync
end_load many 0
for site in east west; do
  echo "after the stops" >"$T/$site/after-$site"
  same "$(cat "$T/$(other_of $site)/after-$site")" "after the stops"
done
verify_clean
end_watching
stop_sites east west

step "without an arbiter: the primary goes on without the secondary, never the other way round"
rm -f "$T/stop-watching"
write_config "$CONFIG"
format_and_start
watch_status
primary_is east
for_long west
ROUND=$((ROUND + 1))
begin_load "r$ROUND"
stop_daemon east
expect_status west 15 "suspended east east+west waits policy forbids"
comes_to_say west 10 '^WAITING: reads and writes wait for east'
rest 4 5
same "$(status_of west 's["state"]')" suspended
continue_daemon east
wait_in_sync
same "$(status_of west 's["primary"]')" east
for site in east west; do goes_on $site 15; done
end_load "r$ROUND" 30000 west
verify_clean
end_watching
finish
