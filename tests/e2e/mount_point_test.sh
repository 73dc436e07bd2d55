#!/usr/bin/env bash
# mount_point_test.sh: a mount comes in the place of one that is dead, was cut off or is of a discarded history, while programs go on making files by
# its path. They wait or get errors; what they are told is done is in the volume, and never in the directory below the mount.
. "$(dirname "$0")/lib.sh"
two_sites
state_is() { [[ $(status_of "$1" 's["state"]' 2>/dev/null) == "$2" ]]; }
mounts_at() { awk -v at="$1" '$5 == at' /proc/self/mountinfo | wc -l; }
made() { wc -l <"$T/made-$1"; }
makes_more() { [[ $(made "$1") -gt $2 ]]; }
# in_place SITE: in sync, one mount, and programs go on
in_place() {
  wait_in_sync
  local before
  before=$(made "$1")
  wait_until 20 makes_more "$1" "$before" || fail "no file is made at $1: $(tail -n 1 "$T/maker-$1")"
  same "$(mounts_at "$T/$1")" 1 "mounts at $1"
}
# maker SITE ROUND: makes files until $T/stop is there, and writes down the names of those that are made and closed
maker() {
  : >"$T/made-$1"
  python3 - "$T/$1" "$2-$1" "$T/made-$1" "$T/stop" >"$T/maker-$1" 2>&1 <<'END' &
import errno, os, sys, time
mount, prefix, made, stop = sys.argv[1:]
n = 0
with open(made, "a", buffering=1) as out:
    while not os.path.exists(stop):
        n += 1
        name = f"{prefix}-{n}"
        try:
            with open(f"{mount}/{name}", "x") as f:
                f.write(name)
        except OSError as e:
            if e.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
                raise
            time.sleep(0.001)
            continue
        out.write(name + "\n")
        time.sleep(0.002)
END
  MAKER[$1]=$!
  HELPERS+=($!)
}
ended() { [[ ! -d /proc/$1 ]]; }
# end_makers FROM-EAST FROM-WEST: both end, and all that was made behind those lines is there
end_makers() {
  local site from
  touch "$T/stop"
  for site in east west; do
    wait_until 20 ended "${MAKER[$site]}" || fail "the program at $site hangs"
    wait "${MAKER[$site]}" || fail "the program at $site failed: $(tail -n 3 "$T/maker-$site")"
  done
  for site in east west; do
    from=$1
    [[ $site == east ]] || from=$2
    python3 -c '
import sys
for name in open(sys.argv[1]).read().split()[int(sys.argv[2]):]:
    for mount in sys.argv[3:]:
        with open(f"{mount}/{name}") as f:
            assert f.read() == name' "$T/made-$site" "$from" "$E" "$W" || fail "a file that was made and closed at $site is not in the volume"
  done
  rm "$T/stop"
}
# below SITE: what is in the directory below the mount
below() { unshare -m --propagation private sh -c 'umount -l "$1" && ls -A "$1"' - "$T/$1"; }
declare -A MAKER=()

step "daemons are killed, and started anew"
maker east first
maker west first
for site in east west east; do
  in_place $site
  kill -9 "${PID[$site]}"
  reap $site
  start_daemon $site
  in_place $site
done
grep -q 'took away the mount of a daemon that is gone' "$T/east.log" || fail "the log of east does not say that a dead mount was there"

step "the watchdog cuts the mount of a stopped daemon off"
kill -STOP "${PID[west]}"
wait_until 20 state_is east alone || fail "east does not go on alone"
is_cut_off() { ! timeout 1 stat "$W/." >/dev/null 2>&1; }
wait_until 10 is_cut_off || fail "the mount of west is served without its daemon"
kill -CONT "${PID[west]}"
in_place west
grep -q 'the mount was cut off and is there again' "$T/west.log" || fail "the log of west does not say that the mount is there again"
end_makers 0 0

step "what a site has of its own is discarded: its mount is made again; what is written once that is said is in the volume"
kill_site east
lockstep_at west takeover --force --yes >/dev/null 2>&1
wait_until 15 state_is west alone || fail "west did not take over"
echo west >"$W/of-west"
kill_site west
start_site east
wait_until 30 state_is east alone || fail "east does not go on alone"
start_site west
wait_until 20 state_is west diverged || fail "west does not say that the sites have diverged"
maker east second
maker west second # waits: nothing is changed at a site that has diverged
wait_until 20 makes_more east 20 || fail "no file is made at east: $(cat "$T/maker-east")"
kill -STOP "${PID[west]}"
lockstep_at east resolve --discard east --keep none >/dev/null
said=$(made east)
kill -CONT "${PID[west]}"
in_place east
# The last one may have been made, and not been written down, when what east has was discarded.
end_makers $((said + 1)) 0
step "an administrator unmounts, in use and not: status says so, and lockstep mount brings it back"
not_mounted() { same "$(status_of "$1" 's["mount"]["mounted"]')" False "mounted, says the status of $1"; }
umount "$W"
not_mounted west
lockstep_at west status | grep -q "to do: the volume is not mounted at this site.* lockstep --site west mount" || fail "status does not say that nothing is mounted"
lockstep_at west mount | grep -q "is mounted at $W again" || fail "lockstep mount does not say what it did"
same "$(cat "$W/of-west")" west "read after lockstep mount"
exec 7<"$E/of-west"
umount -l "$E"
not_mounted east
lockstep_at east mount >/dev/null
same "$(cat "$E/of-west")" west "read after lockstep mount"
exec 7<&-
lockstep_at east mount | grep -q "is mounted at $E\$" || fail "lockstep mount of what is mounted"
for site in east west; do
  same "$(status_of $site 's["mount"]["mounted"]')" True "mounted, says the status of $site"
  same "$(mounts_at "$T/$site")" 1 "mounts at $site"
  lockstep_at $site status | grep -q '^  to do: nothing' || fail "status of $site has something to do"
done
for site in east west; do same "$(below $site)" "" "what is in the directory below the mount of $site"; done
[[ $(cat "$E/of-west") == west ]] || fail "the other site's changes went"
finish
for site in east west; do same "$(ls -A "$T/$site")" "" "what is in the directory where $site was mounted"; done
