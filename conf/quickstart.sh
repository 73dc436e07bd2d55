#!/usr/bin/env bash
# One volume, two sites, this machine.
#
#   sudo conf/quickstart.sh [up|down|status] [DIR]        default: up, /tmp/lockstep
#
#   up      installs what is missing, builds, formats DIR/area-east and DIR/area-west, starts a daemon for each of the
#           sites "east" (the primary) and "west", mounts the volume at DIR/east and DIR/west, and shows that it works.
#           What is already there stays: a second up is harmless, also after a reboot.
#   down    unmounts, stops the daemons and removes what up made, the data included
#   status  what `lockstep status` says at both sites
#
#   LOCKSTEP_QUICKSTART_SIZE   of each area, when it is made (default 4GiB)
#   LOCKSTEP_QUICKSTART_PORT   first of two TCP ports on 127.0.0.1 (default: the first free pair from 7400)
set -euo pipefail
# shellcheck source=conf/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SITES=(east west)
PATIENCE=60 # seconds for the daemons to become in sync

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_ports() {
  local port
  for ((port = 7400; port < 7500; port += 2)); do
    if port_is_free "$port" && port_is_free $((port + 1)); then
      echo "$port"
      return
    fi
  done
  die "no two free TCP ports in a row between 7400 and 7500" "set LOCKSTEP_QUICKSTART_PORT to the first of two free ports"
}

write_configuration() {
  [[ ! -f $DIR/lockstep.toml ]] || return 0
  local port=${LOCKSTEP_QUICKSTART_PORT:-}
  [[ -n $port ]] || port=$(free_ports)
  cat >"$DIR/lockstep.toml.new" <<END
# Made by conf/quickstart.sh. Two sites on one machine; lockstep.toml(5) describes every key.
[volume]
name = "quickstart"
id = "$(cat /proc/sys/kernel/random/uuid)"
primary = "east"

[site.east]
address = "127.0.0.1:$port"
area = "$DIR/area-east"
mount = "$DIR/east"
control = "$DIR/east.sock"

[site.west]
address = "127.0.0.1:$((port + 1))"
area = "$DIR/area-west"
mount = "$DIR/west"
control = "$DIR/west.sock"

[limits]
area = "${LOCKSTEP_QUICKSTART_SIZE:-4GiB}"
END
  "$LOCKSTEP" --config "$DIR/lockstep.toml.new" config check ||
    die "the configuration has a mistake" "check LOCKSTEP_QUICKSTART_SIZE and LOCKSTEP_QUICKSTART_PORT, and that DIR has no odd characters"
  mv "$DIR/lockstep.toml.new" "$DIR/lockstep.toml"
}

pid_of() { cat "$DIR/$1.pid" 2>/dev/null || true; }
is_running() { runs_as "$(pid_of "$1")" lockstepd; }

format_area() {
  local site=$1 force=()
  # The mark stands from before the first byte to after the last: an area that was being formatted is formatted again.
  if [[ -e $DIR/area-$site.unfinished ]]; then force=(--force); elif [[ -e $DIR/area-$site ]]; then return 0; fi
  say "formatting $DIR/area-$site"
  touch "$DIR/area-$site.unfinished"
  mkdir -p "$DIR/area-$site"
  "$LOCKSTEP" --config "$DIR/lockstep.toml" --site "$site" format "${force[@]}" ||
    die "the area of $site was not formatted" "see the line above; on a full disk set LOCKSTEP_QUICKSTART_SIZE=1GiB, then: $0 down $DIR, $0 up $DIR"
  rm "$DIR/area-$site.unfinished"
}

start_site() {
  local site=$1
  if is_running "$site"; then return 0; fi
  take_mount_away "$DIR/$site"
  mkdir -p "$DIR/$site"
  say "starting lockstepd for $site"
  setsid nohup "$LOCKSTEPD" --config "$DIR/lockstep.toml" --site "$site" >>"$DIR/$site.log" 2>&1 </dev/null &
  echo $! >"$DIR/$site.pid"
  # From here on the number stands for lockstepd; if it has ended already, the wait for the sites says so.
  wait_until 5 is_running "$site" || true
}

site_state() { state_of "$("$LOCKSTEP" --config "$DIR/lockstep.toml" --site "$1" status --json 2>/dev/null)"; }

both_in_sync() {
  local site
  for site in "${SITES[@]}"; do
    if ! is_running "$site"; then
      tail -n 5 "$DIR/$site.log" >&2
      die "lockstepd for $site ended" "see the lines above and $DIR/$site.log"
    fi
    [[ $(site_state "$site") == in-sync ]] || return 1
    is_mounted "$DIR/$site" || return 1
  done
}

demonstrate() {
  local from to what
  for from in east west; do
    if [[ $from == east ]]; then to=west what=src; else to=east what=man; fi
    say "" "copying $what into $DIR/$from, comparing at $DIR/$to:"
    [[ -e $DIR/$from/from-$from ]] || cp -a "$LOCKSTEP_SOURCE/$what" "$DIR/$from/from-$from"
    diff -r "$LOCKSTEP_SOURCE/$what" "$DIR/$to/from-$from" ||
      die "$DIR/$to/from-$from differs from $LOCKSTEP_SOURCE/$what" "if you changed one of them, remove $DIR/$to/from-$from; else this is a bug of Lockstep: keep $DIR and report it"
    say "  the same $(find "$DIR/$to/from-$from" -type f | wc -l) files at $to"
  done
}

up() {
  require_root "$@"
  [[ -e /dev/fuse ]] || modprobe fuse 2>/dev/null || true
  [[ -e /dev/fuse ]] || die "this machine has no /dev/fuse" "load the kernel module fuse, or start the container with --device /dev/fuse --cap-add SYS_ADMIN"
  install_packages build
  say "building (the first time takes minutes)"
  build_in build "${RELEASE_OPTIONS[@]}" -- src/bin/lockstep src/bin/lockstepd
  mkdir -p "$DIR"
  touch "$DIR/.lockstep-quickstart"
  write_configuration
  local site
  for site in "${SITES[@]}"; do format_area "$site"; done
  for site in "${SITES[@]}"; do start_site "$site"; done
  wait_until $PATIENCE both_in_sync || {
    tail -n 5 "$DIR/east.log" "$DIR/west.log" >&2
    die "the sites are not in sync after $PATIENCE seconds" "see the logs above, and: $0 status $DIR"
  }
  demonstrate
  say "" "lockstep status at east:"
  "$LOCKSTEP" --config "$DIR/lockstep.toml" --site east status
  say "" "lockstep verify (compares every block and every key of both areas):"
  "$LOCKSTEP" --config "$DIR/lockstep.toml" --site east verify || die "the areas differ" "this is a bug of Lockstep: keep $DIR and report it"
  cat <<END

It runs. The volume is mounted at $DIR/east and $DIR/west; what is written at one is at the other when write returns.

Try:
  cp -a /usr/include $DIR/east/ && diff -r /usr/include $DIR/west/include
  export LOCKSTEP_CONFIG=$DIR/lockstep.toml LOCKSTEP_SITE=east PATH=\$PATH:$LOCKSTEP_SOURCE/build/src/bin
  lockstep status                  # is the data safe?
  lockstep trace --follow          # the steps of every request, as they happen
  lockstep trace --profile         # what they cost
  kill -9 \$(cat $DIR/west.pid)      # lose a site: I/O waits, and goes on after the next line
  $0 up $DIR
  $0 down $DIR     # stop and remove all of it
END
}

all_stopped() { local site; for site in "${SITES[@]}"; do if is_running "$site"; then return 1; fi; done; }

down() {
  require_root "$@"
  [[ -e $DIR ]] || { say "nothing at $DIR"; return 0; }
  [[ -e $DIR/.lockstep-quickstart ]] || die "$DIR was not made by this script" "name the directory that was given to up"
  local site
  for site in "${SITES[@]}"; do if is_running "$site"; then kill "$(pid_of "$site")"; fi; done
  if ! wait_until 30 all_stopped; then
    say "a daemon did not end within 30 seconds and is killed"
    for site in "${SITES[@]}"; do if is_running "$site"; then kill -9 "$(pid_of "$site")"; fi; done
  fi
  for site in "${SITES[@]}"; do
    take_mount_away "$DIR/$site" || die "$DIR/$site can't be unmounted" "umount -l $DIR/$site, then run this again"
    rm -rf --one-file-system "$DIR/area-$site" "$DIR/area-$site.unfinished"
    rm -f "$DIR/$site.log" "$DIR/$site.pid" "$DIR/$site.sock"
    [[ ! -d $DIR/$site ]] || rmdir "$DIR/$site"
  done
  rm -f "$DIR/lockstep.toml" "$DIR/lockstep.toml.new" "$DIR/.lockstep-quickstart"
  rmdir "$DIR" 2>/dev/null || say "left in $DIR, not made here: $(ls -A "$DIR")"
  say "stopped and removed"
}

status() {
  [[ -f $DIR/lockstep.toml ]] || { say "nothing at $DIR; start it with: sudo $0 up $DIR"; return 1; }
  local site result=0
  for site in "${SITES[@]}"; do
    say "--- $site"
    "$LOCKSTEP" --config "$DIR/lockstep.toml" --site "$site" status || result=1
  done
  return $result
}

command=${1:-up}
DIR=$(realpath -m "${2:-/tmp/lockstep}")
LOCKSTEP=$LOCKSTEP_SOURCE/build/src/bin/lockstep
LOCKSTEPD=$LOCKSTEP_SOURCE/build/src/bin/lockstepd
case $command in
  up | down | status) $command "$@" ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
