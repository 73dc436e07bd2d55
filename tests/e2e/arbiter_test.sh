#!/usr/bin/env bash
# arbiter_test.sh: with a real etcd as arbiter either site goes on by itself when the other one dies; without it only a primary that was armed
# before, and a secondary that promised to wait waits.
. "$(dirname "$0")/lib.sh"
command -v etcd >/dev/null || fail "etcd is not installed: apt-get install etcd-server"
state_is() { [[ $(status_of "$1" 's["state"]' 2>/dev/null) == "$2" ]]; }

ETCD_NAME=only
start_etcd() {
  etcd --data-dir "$T/etcd" --name "$ETCD_NAME" --listen-client-urls "http://127.0.0.1:$ETCD" --advertise-client-urls "http://127.0.0.1:$ETCD" \
    --listen-peer-urls "http://127.0.0.1:$((ETCD + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((ETCD + 1))" \
    --initial-cluster-token "$ETCD_NAME" --initial-cluster "$ETCD_NAME=http://127.0.0.1:$((ETCD + 1))" --unsafe-no-fsync >"$T/etcd.log" 2>&1 &
  ETCD_PID=$!
  HELPERS+=("$ETCD_PID")
  wait_until 20 etcd_answers || fail "etcd does not answer: $(tail -n 3 "$T/etcd.log")"
}
etcd_answers() { python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=1)' "http://127.0.0.1:$ETCD/health" 2>/dev/null; }

configure
ETCD=$((PORT + 5000))
write_config "$CONFIG" "" "[arbiter]" "endpoints = [\"http://127.0.0.1:$ETCD\"]"
start_etcd
for site in east west; do lockstep_at $site format >/dev/null; done
for site in east west; do start_site $site; done
wait_in_sync
told() { [[ $(status_of "$1" 's["arbiter"]["up_to_date"]') == True ]]; }
wait_until 10 told east || fail "the arbiter was not told of the membership"

step "the primary dies with a request of west under way: west takes over by itself"
work() {
  local n
  for n in $(seq 2000); do
    echo "$n" >"$W/n$n" || exit 1
    [[ ! -e $T/stop ]] || break
  done
  touch "$T/worker"
}
work 2>"$T/worker.err" &
HELPERS+=($!)
made_some() { [[ -e $W/n200 ]]; }
wait_until 30 made_some || fail "the worker does not get on"
began=$(date +%s%N)
kill_site east
wait_until 15 state_is west alone || fail "west does not take over"
echo "went on" >"$W/after"
step "west went on after $((($(date +%s%N) - began) / 1000000)) ms"
touch "$T/stop"
worker_done() { [[ -e $T/worker ]]; }
wait_until 20 worker_done || fail "west's host got an error: $(cat "$T/worker.err")"
same "$(status_of west 's["primary"]')" west

step "east comes back as secondary"
start_site east
wait_in_sync
same "$(cat "$E/after")" "went on"
same "$(status_of east 's["primary"]')" west
wait_until 10 told west || fail "the arbiter was not told that east is back"

step "the primary and the arbiter go at once: east waits, and says so"
arms() { [[ $(status_of "$1" "s['arbiter']['armed'], s['arbiter']['promised']") == "($2, $3)" ]]; }
alone_says() { [[ $(status_of "$1" 's["state"] + " " + s.get("alone", "")' 2>/dev/null) == "suspended $2" ]]; }
kill_site west
kill -9 "$ETCD_PID"
wait_until 20 alone_says east "ask arbiter" || fail "east does not say that it waits for the arbiter"

step "the arbiter comes back: east goes on"
start_etcd
wait_until 20 state_is east alone || fail "east does not go on"
echo "again" >"$E/again"
start_site west
wait_in_sync
same "$(cat "$W/again")" again
wait_until 10 told east || fail "the arbiter was not told that west is back"

step "the arbiter goes: both go on, and east, the primary, is armed; then west goes too: east goes on"
kill -9 "$ETCD_PID"
echo "without arbiter" >"$W/without"
same "$(cat "$E/without")" "without arbiter"
wait_until 20 arms east True False || fail "the primary is not armed"
arms west False True || fail "the secondary does not say that it promised to wait"
kill_site west
wait_until 15 state_is east alone || fail "an armed primary does not go on alone"
echo "armed" >"$E/armed"

step "the arbiter comes back and is told; west follows: nobody is armed any more"
start_etcd
wait_until 20 told east || fail "the arbiter was not told that east went on alone"
start_site west
wait_in_sync
same "$(cat "$W/armed")" armed
nobody_armed() { arms east False False && arms west False False; }
wait_until 20 nobody_armed || fail "the primary is still armed, or the secondary still waits"

step "the arbiter goes, then the armed primary: west waits for it, even when the arbiter is back"
kill -9 "$ETCD_PID"
wait_until 20 arms east True False || fail "the primary is not armed again"
kill_site east
wait_until 20 alone_says west promised || fail "west does not say that it promised to wait"
[[ $(lockstep_at west status || true) == *"bring east back: while the arbiter was away"* ]] || fail "status does not say what to do: $(lockstep_at west status)"
start_etcd
reaches() { [[ $(status_of "$1" 's["arbiter"]["reachable"]') == True ]]; }
wait_until 20 reaches west || fail "west does not reach the arbiter"
alone_says west promised || fail "west broke its promise"
start_site east
wait_in_sync
wait_until 20 nobody_armed || fail "the primary is still armed, or the secondary still waits"

step "the arbiter forgets: both sites say so, and it is told again"
replace_etcd() { # its name and token: others make it another etcd
  kill -9 "$ETCD_PID" 2>/dev/null || true # it may be dead
  rm -rf --one-file-system "$T/etcd"
  ETCD_NAME=$1
  start_etcd
}
away() { [[ $(status_of "$1" 's["arbiter"]["reachable"]') == False ]]; }
kill -9 "$ETCD_PID"
for site in east west; do wait_until 15 away $site || fail "$site does not say that the arbiter is away"; done
replace_etcd only
both_told() { told east && told west; }
wait_until 20 both_told || fail "an arbiter that lost what it knew was not told again"

step "another etcd takes its place: it is accepted when somebody says so, and then decides"
replace_etcd another
refused() { [[ $(status_of "$1" 's["arbiter"]["problem"]') == *"lockstep replace --arbiter"* ]]; }
for site in east west; do wait_until 15 refused $site || fail "$site does not say that another etcd answers"; done
lockstep_at west replace --arbiter
both_told || wait_until 10 both_told || fail "the new arbiter was not told of the membership"
kill_site "$(status_of east 's["primary"]')"
survivor=east
[[ -n ${PID[east]:-} ]] || survivor=west
wait_until 20 state_is $survivor alone || fail "$survivor does not go on with the new arbiter"
for site in east west; do [[ -n ${PID[$site]:-} ]] || start_site $site; done
wait_in_sync
finish
