# shellcheck shell=bash
# Two sites on this machine for one end-to-end test. A test file is
#
#   . "$(dirname "$0")/lib.sh"
#   two_sites                 # configuration, areas, daemons, mounts: in sync when it returns
#   ... "$E" and "$W" are the mounts of east and west ...
#   finish                    # both in sync, verify clean, daemons end by themselves, areas sound, logs without alarms
#
# Whatever happens, the trap takes daemons and mounts away. A test that fails prints the end of both logs.
# LOCKSTEP_BUILD: the build directory (default build); LOCKSTEP_TEST_DIR: where areas are made (default /var/tmp).
set -euo pipefail

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=conf/common.sh
. "$E2E/../../conf/common.sh"

BUILD=${LOCKSTEP_BUILD:-$LOCKSTEP_SOURCE/build}
LOCKSTEP=$BUILD/src/bin/lockstep
LOCKSTEPD=$BUILD/src/bin/lockstepd
AREA_SIZE=${AREA_SIZE:-256MiB}

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*" >&2; exit 1; }
step() { printf -- '- %s\n' "$*"; }

[[ $EUID -eq 0 ]] || skip "mounting needs root"
[[ -e /dev/fuse ]] || skip "there is no /dev/fuse"
[[ -x $LOCKSTEPD && -x $LOCKSTEP ]] || fail "$LOCKSTEPD or $LOCKSTEP is not built"

T=$(mktemp -d "${LOCKSTEP_TEST_DIR:-/var/tmp}/lockstep-e2e.XXXXXX")
E=$T/east
W=$T/west
CONFIG=$T/lockstep.toml
declare -A PID=()
HELPERS=() # processes of the test that must not outlive it
MEDIA=()   # mounts of the test that areas are on
declare -A NETNS=() # the network namespace of a site's daemon; none: that of the test

cleanup() {
  local status=$? site pid medium netns
  trap - EXIT
  set +e
  if [[ $status -ne 0 && $status -ne 77 ]]; then
    for site in east west; do
      [[ -f $T/$site.log ]] && { echo "--- end of the log of $site"; tail -n 25 "$T/$site.log"; } >&2
    done
    for site in east west; do
      timeout 3 "$LOCKSTEP" --config "$CONFIG" --site $site status >&2
      [[ -n ${PID[$site]:-} ]] && cat "/proc/${PID[$site]}/wchan" 2>/dev/null >&2
    done
  fi
  for pid in "${HELPERS[@]}"; do kill -9 "$pid" 2>/dev/null; done
  for site in "${!PID[@]}"; do kill -9 "${PID[$site]}" 2>/dev/null; done
  for site in east west; do take_mount_away "$T/$site"; done
  for medium in "${MEDIA[@]}"; do umount -l "$medium" 2>/dev/null; done
  for netns in "${NETNS[@]}"; do ip netns del "$netns" 2>/dev/null; done
  if [[ -n ${LOCKSTEP_TEST_KEEP:-} && $status -ne 0 ]]; then
    echo "kept: $T" >&2
  else
    rm -rf --one-file-system "$T"
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

lockstep_at() { local site=$1; shift; "$LOCKSTEP" --config "$CONFIG" --site "$site" "$@"; }

# status_of SITE EXPRESSION: a Python expression over the status `s`
status_of() {
  { lockstep_at "$1" status --json || true; } | python3 -c 'import json, sys; s = json.load(sys.stdin); print(eval(sys.argv[1]))' "$2"
}

first_line_of() { (lockstep_at "$1" status || true) | head -n 1; }
says_first() { [[ $(first_line_of "$1") =~ $2 ]]; }
# A site that waits may still read for as long as its leave to serve lasts.
comes_to_say() { # SITE SECONDS REGULAR-EXPRESSION
  wait_until "$2" says_first "$1" "$3" || fail "the first line of the status of $1 is '$(first_line_of "$1")' after $2 s, not '$3'"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# write_config FILE [LINE...]: the configuration of the two sites; LINEs go below [options]
write_config() {
  local file=$1
  shift
  cat >"$file" <<END
[volume]
name = "e2e"
id = "$VOLUME_ID"
primary = "east"

[site.east]
address = "${ADDRESS_EAST:-127.0.0.1}:$PORT"
area = "$T/area-east"
mount = "$E"
control = "$T/east.sock"

[site.west]
address = "${ADDRESS_WEST:-127.0.0.1}:$((PORT + 1))"
area = "$T/area-west"
mount = "$W"
control = "$T/west.sock"

[limits]
area = "$AREA_SIZE"
log = "16MiB"

[options]
log_level = "info"
END
  printf '%s\n' "$@" >>"$file"
}

# configure: chooses ports and writes the configuration
configure() {
  VOLUME_ID=$(cat /proc/sys/kernel/random/uuid)
  for ((PORT = 20000 + $$ * 2 % 5000; ; PORT += 2)); do
    ((PORT < 25000)) || fail "no free ports"
    if port_is_free "$PORT" && port_is_free $((PORT + 1)); then break; fi
  done
  write_config "$CONFIG"
  mkdir -p "$E" "$W"
}

# A child that ended and was not waited for has no program; one that was just forked has another one than lockstepd.
is_running() { [[ -n ${PID[$1]:-} && -n $(readlink "/proc/${PID[$1]}/exe" 2>/dev/null) ]]; }
in_state() { is_running "$1" || fail "lockstepd of $1 has ended"; [[ $(state_of "$(lockstep_at "$1" status --json 2>/dev/null)") == "$2" ]]; }
wait_for_state() { wait_until "${3:-30}" in_state "$1" "$2" || fail "$1 is not $2 after ${3:-30} s"; }
mounted_and_in_sync() { in_state "$1" in-sync && is_mounted "$T/$1"; }
wait_in_sync() {
  local site
  for site in east west; do wait_until 60 mounted_and_in_sync $site || fail "$site is not in sync after 60 s"; done
}

start_site() {
  take_mount_away "$T/$1"
  start_daemon "$@"
}
# start_daemon SITE [CONFIGURATION]: whatever is mounted there
start_daemon() {
  local where=()
  [[ -z ${NETNS[$1]:-} ]] || where=(nsenter "--net=/run/netns/${NETNS[$1]}")
  setsid "${where[@]}" "$LOCKSTEPD" --config "${2:-$CONFIG}" --site "$1" >>"$T/$1.log" 2>&1 </dev/null &
  PID[$1]=$!
}
has_ended() { ! is_running "$1"; }
reap() { wait "${PID[$1]}" 2>/dev/null || true; unset "PID[$1]"; }
# stop_sites SITE...: ends them all as an administrator would, at the same time
stop_sites() {
  local site status=0
  for site in "$@"; do kill "${PID[$site]}"; done
  for site in "$@"; do
    wait_until 30 has_ended "$site" || fail "lockstepd of $site does not end 30 s after SIGTERM"
    wait "${PID[$site]}" || status=$?
    unset "PID[$site]"
    [[ $status -eq 0 ]] || fail "lockstepd of $site ended with status $status"
    ! is_mounted "$T/$site" || fail "lockstepd of $site left its mount behind"
  done
}
kill_site() {
  kill -9 "${PID[$1]}"
  reap "$1"
  take_mount_away "$T/$1"
}

two_sites() {
  configure
  local site
  for site in east west; do lockstep_at $site format >/dev/null; done
  for site in east west; do start_site $site; done
  wait_in_sync
}

pid_has_ended() { [[ -z $(readlink "/proc/$1/exe" 2>/dev/null) ]]; }
# at_both SECONDS COMMAND...: COMMAND... SITE MOUNT for both sites at the same time; both have to succeed within SECONDS
at_both() {
  local limit=$1 site
  local -A run=()
  shift
  for site in east west; do
    "$@" $site "$T/$site" >"$T/$1-$site.out" 2>&1 &
    run[$site]=$!
    HELPERS+=($!)
  done
  for site in east west; do
    wait_until "$limit" pid_has_ended "${run[$site]}" || { tail -n 20 "$T/$1-$site.out" >&2; fail "$1 at $site has not ended after $limit s"; }
    wait "${run[$site]}" || { tail -n 40 "$T/$1-$site.out" >&2; fail "$1 at $site failed"; }
  done
}

verify_clean() { timeout 120 "$LOCKSTEP" --config "$CONFIG" --site east verify || fail "verify is not clean"; }

ALARMS='broken invariant|AddressSanitizer|UndefinedBehavior|runtime error:|LeakSanitizer|terminate called'
scan_logs() {
  local site
  for site in east west; do
    if grep -aEn "$ALARMS" "$T/$site.log" >&2; then fail "the log of $site has an alarm"; fi
  done
}

# areas_sound: examines both areas, whose daemons have ended
areas_sound() {
  local site out
  for site in east west; do
    out=$(timeout 120 "$LOCKSTEP" fsck --data "$T/area-$site" 2>&1) || fail "the area of $site is not sound: $out"
  done
}

finish() {
  step "both in sync, verify, stop, fsck"
  wait_in_sync
  verify_clean
  stop_sites east west
  areas_sound
  scan_logs
  echo ok
}

# expect_error TEXT COMMAND...: COMMAND fails, and says TEXT (an extended regular expression)
expect_error() {
  local text=$1 out
  shift
  if out=$("$@" 2>&1); then fail "this should have failed: $*"; fi
  grep -qE -- "$text" <<<"$out" || fail "$* failed, but said: $out; expected: $text"
}
same() { [[ $1 == "$2" ]] || fail "${3:-values differ}: '$1' and '$2'"; }
