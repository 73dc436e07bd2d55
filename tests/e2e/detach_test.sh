#!/usr/bin/env bash
# A medium that fails under load (C7): the other site goes on, nothing acknowledged is lost, the hosts of the site work through the other one, or its
# daemon ends with status 3 where that is configured, and the site is made equal again when its medium is mended: the secondary's, the primary's where
# it can still write that it goes, the primary's as a whole, and that of a site that is alone.
. "$(dirname "$0")/lib.sh"

# Each site's area is on a file system of its own; extents and the rest on two.
medium() { # SITE NAME SIZE
  truncate -s "$3" "$T/$1-$2.img"
  mkfs.ext4 -q "$T/$1-$2.img"
  mkdir -p "$T/media/$1-$2"
  mount -o loop "$T/$1-$2.img" "$T/media/$1-$2" || skip "no loop devices here"
  MEDIA+=("$T/media/$1-$2")
}
# A torn medium is there again, as it was when it was torn.
mend() { umount "$T/media/$1"; mount -o loop "$T/$1.img" "$T/media/$1"; }
tear() { python3 "$E2E/damage.py" tear "$T/media/$1"; }

AREA_SIZE=64MiB configure
for site in east west; do
  medium $site area 256M
  medium $site extents 128M
  mkdir "$T/media/$site-area/area"
  ln -s "$T/media/$site-area/area" "$T/area-$site"
  lockstep_at $site format >/dev/null
  mv "$T/area-$site/extents" "$T/media/$site-extents/extents"
  ln -s "$T/media/$site-extents/extents" "$T/area-$site/extents"
  sync -f "$T/media/$site-extents" # how long the file is stands in the journal
done
for site in east west; do start_site $site; done
wait_in_sync

# lines.py FILE RECORD: appends numbered lines, each acknowledged one noted in RECORD, until the mount is gone or the end is asked for (RECORD.end)
cat >"$T/lines.py" <<'END'
import os, sys
path, record = sys.argv[1:3]
fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
n = 0
with open(record, "w", buffering=1) as out:
    while not os.path.exists(record + ".end"):
        try:
            os.write(fd, b"line %07d\n" % n)
            if n % 16 == 0:
                os.fsync(fd)
        except OSError as error:
            out.write(f"error {error.errno}\n")
            break
        out.write(f"{n}\n")
        n += 1
END
declare -A LOAD=()
load() { # SITE ROUND: begins it
  python3 "$T/lines.py" "$T/$1/lines-$1-$2" "$T/record-$1-$2" &
  LOAD[$1]=$!
  HELPERS+=("$!")
}
acknowledged() { grep -sc '^[0-9]' "$T/record-$1-$2" || true; }
is_past() { (( 10#0$(acknowledged "$1" "$2") > $3 )); }
end_load() { # SITE ROUND
  touch "$T/record-$1-$2.end"
  wait "${LOAD[$1]}" || true
}
# every acknowledged line of SITE's load of ROUND is in the file, seen from MOUNT
all_there() {
  local lines
  lines=$(wc -l <"$3/lines-$1-$2")
  [[ $lines -ge $(acknowledged "$1" "$2") ]] || fail "$1 had $(acknowledged "$1" "$2") lines acknowledged, $3 has $lines"
}
has_left() { # SITE: its daemon has ended by itself, with status 3
  local status=0
  wait_until 30 has_ended "$1" || fail "lockstepd of $1 does not end 30 s after its medium was torn away"
  wait "${PID[$1]}" || status=$?
  unset "PID[$1]"
  same $status 3 "exit status of lockstepd of $1"
  grep -q DETACHED "$T/$1.log" || fail "the log of $1 does not say DETACHED"
  ! is_mounted "$T/$1" || fail "lockstepd of $1 left its mount behind"
}
# works_through SITE OTHER: its daemon goes on without its area, its hosts read and write through OTHER, both say so; then the medium is to be mended
works_through() {
  local site=$1 other=$2
  wait_for_state "$site" diskless 40
  wait_until 10 is_mounted "$T/$site" || fail "$site has no mount without its area"
  grep -q DETACHED "$T/$site.log" || fail "the log of $site does not say DETACHED"
  comes_to_say "$site" 10 "^AT RISK: only $other holds what is written; $site has no area, and works through $other"
  comes_to_say "$other" 10 "^AT RISK: only $other holds what is written; $site has no area, and works through $other"
  same "$(status_of "$other" '"+".join(s["in_sync"])')" "$other" "members while $site has no area"
  cp -a "$E2E" "$T/$site/copied-$site"
  diff -r "$E2E" "$T/$other/copied-$site" || fail "what $site wrote without an area is not what $other has"
  echo changed >"$T/$other/copied-$site/lib.sh"
  same "$(cat "$T/$site/copied-$site/lib.sh")" changed "what $site reads of what $other wrote"
  dd if=/dev/urandom of="$T/$site/large-$site" bs=1M count=6 status=none
  cmp "$T/$site/large-$site" "$T/$other/large-$site" || fail "6 MiB written at $site without an area differ"
  out=$("$LOCKSTEPD" --config "$CONFIG" --site "$site" --without-area=again 2>&1) && fail "a second daemon of $site runs"
  out=$(lockstep_at "$site" takeover --force --yes 2>&1) && fail "a site without an area took over"
  grep -q 'without an area' <<<"$out" || fail "takeover at a site without an area says: $out"
}
# mends SITE OTHER: the medium is there again, and so is what was written meanwhile
mends() {
  local site=$1 other=$2
  stop_sites "$site"
  mend "$3"
  start_site "$site" "${4:-$CONFIG}"
  wait_in_sync
  cmp "$T/$site/large-$site" "$T/$other/large-$site" || fail "6 MiB written at $site without an area differ"
  same "$(cat "$T/$site/copied-$site/lib.sh")" changed
}
goes_on() { # SITE ROUND: writes at SITE are acknowledged again, without an error
  local before
  before=$(acknowledged "$1" "$2")
  wait_until 40 is_past "$1" "$2" $((before + 50)) || fail "$1 does not go on"
  ! grep -q error "$T/record-$1-$2" || fail "an application at $1 got an error"
}
both_loads() {
  for site in east west; do load $site "$1"; done
  for site in east west; do wait_until 20 is_past $site "$1" 200 || fail "no load at $site"; done
}

step "the secondary's medium is torn away"
both_loads 1
tear west-extents
goes_on east 1
works_through west east
end_load west 1
end_load east 1
for site in east west; do all_there $site 1 "$E"; all_there $site 1 "$W"; done
mends west east west-extents
for site in east west; do all_there $site 1 "$W"; done

step "the primary's blocks are torn away: it hands over"
both_loads 2
tear east-extents
goes_on west 2
grep -q 'west goes on alone' "$T/east.log" || fail "east did not hand over"
works_through east west
end_load east 2
end_load west 2
for site in east west; do all_there $site 2 "$W"; all_there $site 2 "$E"; done
sed '/^\[limits\]/a diskless = "0B"' "$CONFIG" >"$T/ends.toml"
mends east west east-extents "$T/ends.toml"
for site in east west; do all_there $site 2 "$E"; done
lockstep_at west switchover >/dev/null
wait_in_sync

step "all of the primary's medium is torn away, and it is not to go on without: an administrator decides"
both_loads 3
tear east-area
tear east-extents
has_left east
lockstep_at west takeover --force --yes >/dev/null
goes_on west 3
end_load east 3
end_load west 3
for site in east west; do all_there $site 3 "$W"; done
mend east-area
mend east-extents
start_site east
wait_in_sync
for site in east west; do all_there $site 3 "$E"; done

step "the medium of the only member is torn away: changes wait, status says why, and it ends when it is told to"
kill_site east
wait_for_state west alone
load west 4
wait_until 20 is_past west 4 200 || fail "no load at west"
end_load west 4
sync -f "$T/media/west-extents" # there is one copy only: what its medium had not got would be lost
tear west-extents
load west 5
wait_for_state west detached
out=$(lockstep_at west status || true)
grep -q '^DETACHED: .*changes wait' <<<"$out" || fail "status does not say that changes wait: $out"
grep -q 'mend the medium' <<<"$out" || fail "status does not say what to do: $out"
same "$(acknowledged west 5)" 0 "lines acknowledged after the medium was torn away"
kill "${PID[west]}"
has_left west
end_load west 5
mend west-extents
for site in west east; do start_site $site; done
wait_in_sync
all_there west 4 "$E"
finish
