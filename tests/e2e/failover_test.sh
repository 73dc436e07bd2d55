#!/usr/bin/env bash
# failover_test.sh: a site dies under load, with kill -9: the other one goes on alone within 10 s without an error, says so, and makes
# the first one equal when it is back. Then the same without a policy to go on: writes wait, an administrator forces the takeover.
. "$(dirname "$0")/lib.sh"
two_sites

# The exit status of status says whether all is well.
status_text() { lockstep_at "$1" status || true; }
state_is() { [[ $(status_of "$1" 's["state"]' 2>/dev/null) == "$2" ]]; }
writer() { # SITE
  python3 "$E2E/pauses.py" "$T/$1/load-$1" "$T/stop" "$T/report-$1" >"$T/writer-$1" 2>&1 &
  HELPERS+=($!)
}
report_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$T/report-$1" "$2"; }
end_writers() {
  touch "$T/stop"
  for pid in "${HELPERS[@]}"; do wait "$pid" 2>/dev/null || true; done
  HELPERS=()
  rm -f "$T/stop"
}

step "west dies under load; east goes on alone"
writer east
cp -a /usr/include/linux "$E/"
kill_site west
wait_until 15 state_is east alone || fail "east does not go on alone"
status_text east | grep -q '^AT RISK' || fail "status does not say that the data is at risk"
cp -a /usr/include/x86_64-linux-gnu "$E/"
end_writers
same "$(report_of east errors)" 0 "errors of the writer at east"
longest=$(report_of east longest_ms)
step "the longest pause was $longest ms"
[[ $longest -lt 10000 ]] || fail "the pause was $longest ms, 10 s are allowed"

step "west comes back while east is written, and is made equal"
writer east
start_site west
wait_in_sync
end_writers
verify_clean
python3 "$E2E/compare_trees.py" "$E" "$W" || fail "the sites differ"

step "switchover and back, under load at both: no error, no pause of a second"
writer east
writer west
lockstep_at west switchover | grep -q 'west is the primary' || fail "switchover did not say that west is the primary"
wait_in_sync
same "$(status_of east 's["primary"]')" west
lockstep_at east switchover >/dev/null
wait_in_sync
same "$(status_of west 's["primary"]')" east
end_writers
for site in east west; do
  same "$(report_of $site errors)" 0 "errors of the writer at $site"
  longest=$(report_of $site longest_ms)
  step "the longest pause at $site was $longest ms"
  # The machine of the test has other work: a second is the promise on a quiet one, twice that is a failure anywhere.
  [[ $longest -lt 2000 ]] || fail "the pause of a planned switchover was $longest ms"
done
verify_clean

step "the primary dies: west waits, says why, and takes over by force only"
kill_site east
waits_for_policy() { [[ $(status_of west 's["state"] + " " + s.get("alone", "")' 2>/dev/null) == "suspended policy forbids" ]]; }
wait_until 15 waits_for_policy || fail "west does not say that it waits"
expect_error 'takeover --force' lockstep_at west takeover
lockstep_at west takeover --force --yes >/dev/null 2>&1
wait_until 15 state_is west alone || fail "west did not take over"
echo "after the takeover" >"$W/after"
start_site east
wait_in_sync
same "$(cat "$E/after")" "after the takeover"
same "$(status_of east 's["primary"]')" west
finish
