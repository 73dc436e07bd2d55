#!/usr/bin/env bash
# locks_test.sh: advisory locks exclude each other across sites, can be waited for and interrupted, and last over switchover and the
# death of a primary; they go with the daemon of their holders, or a grace time after its site was left behind; whose lock is broken
# gets EIO.
. "$(dirname "$0")/lib.sh"
configure
write_config "$CONFIG" "" "[timing]" 'lock_grace = "10s"'
for site in east west; do lockstep_at $site format >/dev/null; done
for site in east west; do start_site $site; done
wait_in_sync
LOCKS=$E2E/locks.py

state_is() { [[ $(status_of "$1" 's["state"]' 2>/dev/null) == "$2" ]]; }
says() { [[ $(cat "$T/state-$1" 2>/dev/null) == "$2" ]]; }


# holder NAME hold|wait KIND PATH: a process that takes a lock; what it says is in state-NAME, what it reads is written to its descriptor
declare -A INPUT=() HOLDER=()
holder() {
  local name=$1 fd
  rm -f "$T/state-$name" "$T/input-$name"
  mkfifo "$T/input-$name"
  python3 "$LOCKS" "$2" "$3" "$4" "$T/state-$name" <"$T/input-$name" 2>"$T/errors-$name" &
  HOLDER[$name]=$!
  HELPERS+=($!)
  exec {fd}>"$T/input-$name"
  INPUT[$name]=$fd
}
end_holder() {
  local fd=${INPUT[$1]}
  kill "${HOLDER[$1]}" 2>/dev/null || true
  wait "${HOLDER[$1]}" 2>/dev/null || true
  exec {fd}>&-
}
holds() { holder "$1" hold "$2" "$3"; wait_until 20 says "$1" held || fail "$1 does not get its lock: $(cat "$T/errors-$1")"; }
is_free() { timeout 20 python3 "$LOCKS" try "$1" "$2"; }
is_held() { ! is_free "$1" "$2"; }
locks_at() { { lockstep_at "$1" locks "${@:2}" || true; } }
no_locks() { [[ -z $(locks_at "$1") ]]; }

step "calls: from east, from west, and within one site"
timeout 300 python3 "$LOCKS" calls "$E" "$W" || fail "locks between east and west"
timeout 300 python3 "$LOCKS" calls "$W" "$E" || fail "locks between west and east"
timeout 300 python3 "$LOCKS" calls "$W" "$W" || fail "locks at west"
for site in east west; do wait_until 20 no_locks $site || fail "locks are left at $site: $(locks_at $site)"; done

step "two processes at each site count under a lock"
for lock in flock posix; do
  echo 0 >"$E/number"
  counters=()
  for path in "$E" "$W"; do
    timeout 300 python3 "$LOCKS" count "$path/number" "$path/$lock" 2000 &
    counters+=($!)
    HELPERS+=($!)
  done
  for pid in "${counters[@]}"; do wait "$pid" || fail "counting under $lock failed"; done
  same "$(tr -d ' ' <"$E/number" | head -n 1)" 4000 "updates under $lock"
done

step "sqlite at both sites, with its own locking"
counters=()
for path in "$E" "$W"; do
  timeout 300 python3 "$LOCKS" sqlite "$path/base" 100 &
  counters+=($!)
  HELPERS+=($!)
done
for pid in "${counters[@]}"; do wait "$pid" || fail "sqlite failed"; done
same "$(python3 -c 'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute("SELECT COUNT(*), COUNT(DISTINCT n), (SELECT * FROM pragma_integrity_check) FROM t").fetchone())' "$E/base")" \
  "200 200 ok" "rows of sqlite"

step "lockstep locks names holder and waiter"
touch "$E/listed"
holds one posix "$E/listed"
holder two wait posix "$W/listed"
lists() { [[ $(locks_at "$1" | grep -c "inode") == "$2" ]]; }
for site in east west; do
  wait_until 20 lists $site 2 || fail "not two lines at $site: $(locks_at $site)"
  locks_at $site "$T/$site/listed" | grep -qE "^east +fcntl +write +holds +pid ${HOLDER[one]} " || fail "the holder is not listed at $site: $(locks_at $site)"
  locks_at $site "$T/$site/listed" | grep -qE "^west +fcntl +write +waits +pid ${HOLDER[two]} " || fail "the waiter is not listed at $site: $(locks_at $site)"
done
same "$(locks_at west --json | python3 -c 'import json, sys; print([(l["site"], l["waits"], l["first"], "last" in l) for l in json.load(sys.stdin)["locks"]])')" \
  "[('east', False, 0, False), ('west', True, 0, False)]" "locks as JSON"
expect_error 'not below' lockstep_at east locks /etc/passwd
expect_error 'there is no /nothing' lockstep_at east locks "$E/nothing"

step "switchover: the holder holds, the waiter waits, at both sites"
for to in west east; do
  lockstep_at "$([[ $to == west ]] && echo east || echo west)" switchover --to $to >/dev/null
  wait_in_sync
  same "$(status_of east 's["primary"]')" $to
  lists east 2 || fail "after the switchover to $to: $(locks_at east)"
  is_held posix "$W/listed" || fail "after the switchover to $to the lock is free"
done
end_holder one
wait_until 20 says two held || fail "who waited did not get the lock"
end_holder two

step "the primary is killed: a lock of the other site's host is kept, its own are gone when it is back"
touch "$E/kept" "$E/lost"
holds kept ofd "$W/kept"
holds lost flock "$E/lost"
holder after wait flock "$W/lost"
wait_until 20 lists west 3 || fail "not three lines: $(locks_at west)"
kill_site east
start_site east
wait_in_sync
wait_until 20 says after held || fail "the lock of a daemon that was killed stays"
is_held ofd "$E/kept" || fail "the lock of a site that waited is gone"
echo "still mine" >&"${INPUT[kept]}"
wait_until 20 says kept "wrote still mine" || fail "the holder can't write: $(cat "$T/state-kept")"
end_holder kept
end_holder after
end_holder lost

step "a site is left behind: its locks are kept for the grace time, then broken"
touch "$E/behind"
holds behind posix "$W/behind"
kill_site west
wait_until 15 state_is east alone || fail "east does not go on alone"
is_held posix "$E/behind" || fail "the lock of a site that was just left behind is free"
holder heir wait posix "$E/behind"
wait_until 40 says heir held || fail "the lock was not broken after the grace time"
start_site west
wait_in_sync
is_held posix "$W/behind" || fail "west does not know of the lock at east"
end_holder heir
end_holder behind

step "a site is cut off for longer than the grace time: who held a lock there is told when it is back"
touch "$E/fenced" "$E/other"
holds fenced posix "$W/fenced"
holds bystander posix "$W/other"
kill -STOP "${PID[west]}"
wait_until 20 state_is east alone || fail "east does not go on alone"
is_free_now() { is_free posix "$E/fenced"; }
wait_until 40 is_free_now || fail "the lock was not broken after the grace time"
kill -CONT "${PID[west]}"
wait_in_sync
# It ends when it is told: then nobody reads any more.
fenced_or_gone() { (trap '' PIPE; echo x >&"${INPUT[fenced]}") 2>/dev/null || true; [[ $(cat "$T/state-fenced") == failed* ]]; }
wait_until 20 fenced_or_gone || fail "the holder of a broken lock goes on writing: $(cat "$T/state-fenced")"
end_holder fenced
end_holder bystander

step "lockstep locks break: the holder gets EIO, others the lock"
touch "$E/broken"
holds broken flock "$W/broken"
echo one >&"${INPUT[broken]}"
wait_until 20 says broken "wrote one" || fail "a holder can't write"
lockstep_at east locks break "$E/broken" --holder east | grep -q '^0 locks' || fail "locks of the wrong site were broken"
lockstep_at east locks break "$E/broken" --holder west | grep -q '^1 locks' || fail "the lock was not broken"
is_free flock "$E/broken" || fail "the lock is still held"
echo two >&"${INPUT[broken]}"
wait_until 20 says broken "failed EIO" || fail "the holder of a broken lock was told: $(cat "$T/state-broken")"
echo three >"$W/broken" || fail "others at that site can't write"
end_holder broken
for site in east west; do wait_until 20 no_locks $site || fail "locks are left at $site: $(locks_at $site)"; done
finish
