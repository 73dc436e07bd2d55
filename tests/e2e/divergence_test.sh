#!/usr/bin/env bash
# divergence_test.sh: both sites are changed apart after a takeover by force: they notice, refuse, and are resolved by an administrator.
. "$(dirname "$0")/lib.sh"
two_sites
# The exit status of status says whether all is well.
status_text() { lockstep_at "$1" status || true; }
state_is() { [[ $(status_of "$1" 's["state"]' 2>/dev/null) == "$2" ]]; }
echo both >"$E/common"
echo both >"$E/to-remove"
echo both >"$E/untouched"
expect_error 'have not diverged' lockstep_at east divergence

step "west is forced to go on, and changes something"
kill_site east
lockstep_at west takeover --force --yes >/dev/null 2>&1
wait_until 15 state_is west alone || fail "west did not take over"
echo west >"$W/of-west"
echo west >>"$W/common"
rm "$W/to-remove"
kill_site west

step "east knows nothing of it, goes on alone by policy, and changes something"
start_site east
wait_until 30 state_is east alone || fail "east does not go on alone"
echo east >"$E/of-east"

step "they meet: diverged, at both"
start_site west
wait_until 20 state_is west diverged || fail "west does not say that the sites have diverged"
grep -q DIVERGED "$T/east.log" || fail "the log of east does not say that the sites have diverged"
status_text west | grep -q '^DIVERGED' || fail "status does not say so in its first line"
status_text west | grep -q 'resolve --discard' || fail "status does not say what to do"
same "$(cat "$E/of-east")" east "east, which goes on alone, is read"

step "each says what it has of its own"
wait_until 20 state_is west diverged
for site in east west; do
  list=$(lockstep_at $site divergence) || fail "$site does not list what it has of its own"
  grep -q "^  made  *//*of-$site\$" <<<"$list" || fail "$site does not list what was made there: $list"
done
grep -q '^  changed  */common$' <<<"$(lockstep_at west divergence)" || fail "west does not list what was changed there"
grep -q '^  removed  */to-remove$' <<<"$(lockstep_at west divergence)" || fail "west does not list what was removed there"
! grep -q 'untouched' <<<"$(lockstep_at east divergence; lockstep_at west divergence)" || fail "what nobody changed is listed"
python3 -c 'import json, sys; a = json.loads(sys.argv[1]); assert a["complete"] and a["site"] == "west" and {"what": "removed", "path": "/to-remove"} in a["changes"], a' \
  "$(lockstep_at west divergence --json)" || fail "divergence --json"

step "west's changes go"
expect_error 'has to be asked itself' lockstep_at east resolve --discard west
lockstep_at west resolve --discard west >/dev/null
wait_in_sync
same "$(cat "$W/of-east")" east
same "$(cat "$W/common")" both
same "$(cat "$W/to-remove")" both
expect_error 'have not diverged' lockstep_at west divergence
[[ ! -e $W/of-west ]] || fail "what west wrote apart is still there"
finish
