#!/usr/bin/env bash
# waiting_test.sh: what programs do while their site waits for the other one. They wait, and go on by themselves; a signal that they handle changes
# nothing; one that ends them ends them at once, and what they waited for has not happened.
. "$(dirname "$0")/lib.sh"
two_sites
echo here >"$E/file"
mkdir "$E/directory"
same "$(cat "$W/file")" here
tail -f /dev/null <"$W/file" & # has it open
HELPERS+=($!)
is_waiting() { [[ $(first_line_of west) == WAITING* ]]; }
# Its request is with the daemon: the kernel lets nobody go by itself.
is_held() { [[ $(cat "/proc/$1/wchan" 2>/dev/null) == request_wait_answer ]]; }
ended() { [[ ! -d /proc/$1 || $(awk '{ print $3 }' "/proc/$1/stat" 2>/dev/null) == Z ]]; }

step "a program that waits for a reservation of the other site is ended: what it wanted to write is not written"
lockstep_at east reserve "$E/file" >/dev/null
for site in east west; do lockstep_at $site reserve --list | grep -q file || fail "$site does not list the reservation"; done
sh -c 'echo never >>"$1"' - "$W/file" &
writer=$!
HELPERS+=("$writer")
wait_until 10 is_held $writer || fail "a write to what the other site has reserved does not wait"
kill -TERM $writer
wait_until 5 ended $writer || fail "a program that waits for a reservation does not end"
lockstep_at east release "$E/file" >/dev/null
same "$(cat "$W/file" "$E/file" | tr '\n' ' ')" "here here "

step "programs that are in the middle of changes when the other site goes can be ended"
busy=()
for n in 1 2 3; do
  python3 - "$W/directory/$n" <<'END' &
import os, sys
os.mkdir(sys.argv[1])
n = 0
while True:
    n += 1
    with open(f"{sys.argv[1]}/{n % 10}", "w") as f:
        f.write("x" * 100)
    os.rename(f"{sys.argv[1]}/{n % 10}", f"{sys.argv[1]}/moved")
END
  busy+=($!)
  HELPERS+=($!)
done
all_began() { for n in 1 2 3; do [[ -e $W/directory/$n/moved ]] || return 1; done; }
wait_until 10 all_began || fail "the programs do not begin"

step "the other site is away: programs wait"
kill -9 "${PID[east]}"
reap east
wait_until 20 is_waiting || fail "west does not say that it waits"
for program in "${busy[@]}"; do wait_until 10 is_held "$program" || fail "a program goes on without the other site"; done
for program in "${busy[@]}"; do
  kill -TERM "$program"
  wait_until 5 ended "$program" || fail "a program that made changes when the other site went does not end"
done
serves_nobody() { [[ $(status_of west 's["serving"]') == False ]]; }
wait_until 10 serves_nobody || fail "west serves its hosts without the other site"
waiters=()
waits() { # SIGNAL COMMAND...
  local signal=$1
  shift
  "$@" >"$T/waiter.out" 2>&1 &
  waiters+=("$signal $!")
  HELPERS+=($!)
  wait_until 10 is_held $! || fail "$*: does not wait: $(cat "$T/waiter.out")"
}
waits TERM ls "$W"
waits KILL stat "$W/file"
waits HUP touch "$W/new"
waits TERM mkdir "$W/made"
waits KILL rm "$W/file"
waits TERM mv "$W/file" "$W/moved"
waits ABRT truncate -s 0 "$W/file"
waits TERM df "$W"
waits KILL setfattr -n user.x -v y "$W/file"
waits TERM ln -s target "$W/symlink"
waits TERM flock "$W/directory" true
# It handles SIGALRM and SIGUSR1, several times, and never sees an error of the volume.
python3 - "$W/file" "$T/patient" >"$T/patient.out" 2>&1 <<'END' &
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
os.stat(sys.argv[1])
open(sys.argv[2], "w").write("done")
END
patient=$!
HELPERS+=("$patient")
wait_until 10 is_held $patient || fail "a patient program does not wait"

step "they are ended"
for waiter in "${waiters[@]}"; do
  read -r signal pid <<<"$waiter"
  kill -"$signal" "$pid"
  wait_until 5 ended "$pid" || fail "process $pid, which waits, does not end by SIG$signal: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
done
kill -USR1 $patient
is_held $patient || fail "a program that handles signals waits no longer: $(cat "$T/patient.out")"
# This one handles signals, too, and is killed then.
python3 -c '
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
os.stat(sys.argv[1])' "$W/file" &
handles=$!
HELPERS+=("$handles")
wait_until 10 is_held $handles || fail "a program does not wait"
kill -USR1 $handles
sleep 0.5 # it would have been let go by then
is_held $handles || fail "a program that handles a signal waits no longer"
kill -KILL $handles
wait_until 5 ended $handles || fail "a program that was told a signal before can't be killed"

step "the other site is back: who waited goes on, and of the others nothing happened"
start_site east
wait_in_sync
wait_until 10 ended $patient || fail "a program that waited does not go on"
same "$(cat "$T/patient")" "done" "$(cat "$T/patient.out")"
python3 "$E2E/compare_trees.py" "$E" "$W" || fail "the sites differ"
for mount in "$E" "$W"; do
  same "$(ls -A "$mount" | tr '\n' ' ')" "directory file " "what is in $mount"
  same "$(cat "$mount/file")" here
  same "$(getfattr -d "$mount/file" 2>/dev/null)" "" "extended attributes"
done
finish
