#!/usr/bin/env bash
# divergence_test.sh: both sites are changed apart after a takeover by force: they notice, refuse, and are resolved by an administrator. What is
# discarded is kept aside before, whole or not at all, whatever is killed or full meanwhile.
. "$(dirname "$0")/lib.sh"
two_sites
# The exit status of status says whether all is well.
status_text() { lockstep_at "$1" status || true; }
state_is() { [[ $(status_of "$1" 's["state"]' 2>/dev/null) == "$2" ]]; }
# facts DIRECTORY: what find and sha256sum say of all in it, by path
facts() {
  (
    cd "$1" || exit
    find . -mindepth 1 -type d -printf '%P %y %U:%G %m %T@\n'
    find . ! -type d -printf '%P %y %U:%G %m %s %n %T@ %l\n'
    find . -type f -print0 | sort -z | xargs -0 sha256sum
  ) | LC_ALL=C sort
}
# both_apart: west is forced to go on and changes things (of_west), then east does, alone by policy (of_east); they meet. The daemons of both run.
both_apart() {
  kill_site east
  lockstep_at west takeover --force --yes >/dev/null 2>&1
  wait_until 15 state_is west alone || fail "west did not take over"
  of_west
  kill_site west
  start_site east
  wait_until 30 state_is east alone || fail "east does not go on alone"
  of_east
  start_site west
  wait_until 20 state_is west diverged || fail "west does not say that the sites have diverged"
}
still_diverged() {
  wait_until 20 state_is west diverged || fail "west is not diverged any more"
  [[ -n $(lockstep_at west divergence) ]] || fail "west does not list what it has of its own any more"
}

echo both >"$E/common"
echo both >"$E/to-remove"
echo both >"$E/untouched"
mkdir -p "$E/folder/below"
chown 1111:2222 "$E/folder"
chmod 2750 "$E/folder"
expect_error 'have not diverged' lockstep_at east divergence

step "west is forced to go on, and changes something; east knows nothing of it, goes on alone by policy, and changes something"
of_west() {
  echo west >"$W/of-west"
  echo west >>"$W/common"
  rm "$W/to-remove"
  mkdir -p "$W/made/deep"
  head -c 3000000 /dev/urandom >"$W/made/deep/data"
  chown 1234:2345 "$W/made/deep/data"
  chmod 4751 "$W/made/deep/data"
  setfattr -n user.colour -v blue "$W/made/deep/data"
  ln "$W/made/deep/data" "$W/made/again"
  ln -s ../where/ever "$W/made/link"
  chown -h 77:88 "$W/made/link"
  mkfifo -m 640 "$W/made/fifo"
  echo name >"$W/made/a
b"
  truncate -s 300M "$W/made/sparse"
  echo far | dd of="$W/made/sparse" bs=1M seek=200 conv=notrunc status=none
  python3 "$E2E/damage.py" make "$W/damaged" 1 300
  cp "$W/damaged/f0" "$T/undamaged"
  dd if=/dev/urandom of="$W/big" bs=1M count=100 iflag=fullblock status=none # the log remembers few large writes
  mv "$W/untouched" "$W/folder/below/moved"
  touch -h -d '2020-02-03 04:05:06.789' "$W/made/deep/data" "$W/made/link" "$W/made/deep" "$W/made"
  facts "$W" >"$T/facts-west"
}
of_east() { echo east >"$E/of-east"; }
both_apart
status_text east | grep -q '^DIVERGED: east goes on, and west was changed apart' || fail "the status of east does not say that the sites have diverged"
grep -q DIVERGED "$T/east.log" || fail "the log of east does not say that the sites have diverged"
status_text west | grep -q '^DIVERGED' || fail "status does not say so in its first line"
status_text west | grep -q 'resolve --discard' || fail "status does not say what to do"
same "$(cat "$E/of-east")" east "east, which goes on alone, is read"

step "each says what it has of its own"
for site in east west; do
  list=$(lockstep_at $site divergence) || fail "$site does not list what it has of its own"
  grep -q "^  made  *//*of-$site\$" <<<"$list" || fail "$site does not list what was made there: $list"
done
grep -q '^  changed  */common$' <<<"$(lockstep_at west divergence)" || fail "west does not list what was changed there"
grep -q '^  removed  */to-remove$' <<<"$(lockstep_at west divergence)" || fail "west does not list what was removed there"
! grep -q 'untouched' <<<"$(lockstep_at east divergence)" || fail "what nobody changed is listed"
python3 -c 'import json, sys; a = json.loads(sys.argv[1]); assert a["complete"] and a["site"] == "west" and {"what": "removed", "path": "/to-remove"} in a["changes"], a' \
  "$(lockstep_at west divergence --json)" || fail "divergence --json"

step "what can't be kept is not discarded"
expect_error 'has to be asked itself' lockstep_at east resolve --discard west
expect_error 'in the volume itself' lockstep_at west resolve --discard west --keep "$W/here"
expect_error 'No such file' lockstep_at west resolve --discard west --keep "$T/no/such"
mkdir "$T/small"
mount -t tmpfs -o size=40M tmpfs "$T/small"
MEDIA+=("$T/small")
expect_error 'no room in .* bytes are needed' lockstep_at west resolve --discard west --keep "$T/small/kept"
same "$(ls -A "$T/small/kept")" "" "what is left where there was no room"
# Room that is there for everything but the inodes: the copy itself fails, in the middle.
mount -o remount,size=200M,nr_inodes=8 "$T/small"
expect_error 'No space left' lockstep_at west resolve --discard west --keep "$T/small/kept"
same "$(ls -A "$T/small/kept")" "" "what is left where there were too few inodes"
still_diverged

step "a site that goes on alone goes on when its own can't be kept"
expect_error 'No such file' lockstep_at east resolve --discard east --keep "$T/no/such"
timeout 10 sh -c "echo more >'$E/more-of-east'" || fail "east does not write any more"

step "the daemon is killed in the middle of the copy"
python3 - "${PID[west]}" "$T/area-west/discarded/.west.partial/files/big" "$T/watching" <<'END' &
import os, signal, sys, time
open(sys.argv[3], "w").close()
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        if os.stat(sys.argv[2]).st_size > 0:
            os.kill(int(sys.argv[1]), signal.SIGKILL)
            sys.exit(0)
    except FileNotFoundError:
        pass
sys.exit("the copy did not begin")
END
killer=$!
HELPERS+=("$killer")
wait_until 30 test -e "$T/watching" || fail "the program that kills the daemon does not start"
expect_error '.' lockstep_at west resolve --discard west
wait "$killer" || fail "the daemon was not killed in the middle"
wait_until 10 has_ended west || fail "west runs after it was killed"
reap west
take_mount_away "$W"
same "$(ls -A "$T/area-west/discarded")" ".west.partial" "what is there after a kill in the middle"
block=$(python3 "$E2E/damage.py" find "$T/area-west" 'FILE 0 BLOCK 7.')
start_site west
still_diverged

step "west's changes go, and are kept aside"
python3 "$E2E/damage.py" invert "$T/area-west" "$block"
text=$(lockstep_at west resolve --discard west)
grep -q 'made equal to the other site when they meet; .* are kept in .*/area-west/discarded/west-epoch-.*BAD BLOCKS' <<<"$text" || fail "resolve says: $text"
wait_in_sync
for file in of-east more-of-east; do [[ -s $W/$file ]] || fail "$file is missing at west"; done
same "$(cat "$W/common")" both
same "$(cat "$W/to-remove")" both
expect_error 'have not diverged' lockstep_at west divergence
[[ ! -e $W/of-west ]] || fail "what west wrote apart is still there"
kept=$(echo "$T"/area-west/discarded/*)
same "$(ls -A "$T/area-west/discarded")" "${kept##*/}" "what is there at the end"
same "$(stat -c %a:%u "$kept" "$kept/.." | tr '\n' ' ')" "700:0 700:0 " "who may look into it"
facts "$kept/files" >"$T/facts-kept"
# Of what stood there before, parents and what was renamed are there; the damaged file has zeros in one block.
changed=$(diff <(grep -v 'damaged/f0' "$T/facts-west") <(grep -v 'damaged/f0' "$T/facts-kept")) || fail "what was kept is not what west had: $changed"
{ cmp -l "$kept/files/damaged/f0" "$T/undamaged" || true; } |
  awk '{ n++ } $1 <= 7 * 4096 || $1 > 8 * 4096 || $2 != 0 { bad++ } END { exit n == 0 || bad > 0 }' ||
  fail "of the file with a bad block just that block should be zeros"
same "$(getfattr --only-values -n user.colour "$kept/files/made/deep/data" 2>/dev/null)" blue "an extended attribute"
same "$(stat -c %i "$kept/files/made/again")" "$(stat -c %i "$kept/files/made/deep/data")" "an object with two names"
[[ $(stat -c %b "$kept/files/made/sparse") -lt 1000 ]] || fail "the sparse file has $(stat -c %b "$kept/files/made/sparse") blocks"
line() { grep -qP "^$1\$" "$kept/changes" || fail "the list does not have '$1': $(cat "$kept/changes")"; }
line 'removed\t-\t-\t/to-remove\t'
line 'changed\tkept\t[0-9]+\t/common\t'
line 'made\tkept\t[0-9]+\t/made/a\\nb\t'
line 'made\tkept\t[0-9]+\t/folder/below/moved\t'
line 'made\tdamaged\t[0-9]+\t/damaged/f0\tunreadable=4096 bytes=28672-32767'
grep -q "kept aside: what was discarded is in $kept" <<<"$(status_text west)" || fail "status does not say where it is kept"
grep -q "are kept in $kept" "$T/west.log" || fail "the log does not say where it is kept"
status_of west 's["kept_aside"]' | grep -q "$kept" || fail "status --json does not say where it is kept"

step "more is changed than the log remembers: what it has forgotten is listed, and kept like everything else"
rm -r "$T/area-west/discarded"
mkdir "$E/old" "$E/losing"
for file in appended marked overwritten linked moved same losing/a-name; do echo "old $file" >"$E/$([[ $file == */* ]] || echo old/)$file"; done
head -c 100000 /dev/zero >>"$E/old/overwritten"
of_west() {
  echo more >>"$W/old/appended"
  setfattr -n user.colour -v red "$W/old/marked"
  printf west | dd of="$W/old/overwritten" bs=1 seek=50000 conv=notrunc status=none
  ln "$W/old/linked" "$W/new-link"
  mv "$W/old/moved" "$W/old/moved-here"
  rm "$W/losing/a-name"
  mkdir -p "$W/apart/deep"
  head -c 3000000 /dev/urandom >"$W/apart/deep/data"
  chown 1234:2345 "$W/apart/deep/data"
  ln -s ../where/ever "$W/apart/link"
  ln "$W/apart/deep/data" "$W/apart/again"
  facts "$W/old" | grep -v same >"$T/facts-old"
  facts "$W/apart" >"$T/facts-apart"
  sleep 6 # timing.settle: that is when an overwrite gets into the log
  # Many small writes, of which each is a record; then some that fill the log faster.
  python3 - "$W/many" <<'END'
import os, sys
os.mkdir(sys.argv[1])
for i in range(2000):
    with open(f"{sys.argv[1]}/{i}", "wb", buffering=0) as f:
        for part in range(3):
            f.write(b"%d\n" % (i * part))
for i in range(2000):
    os.setxattr(f"{sys.argv[1]}/0", "user.large", b"%d" % (i % 10) * 20000)
os.removexattr(f"{sys.argv[1]}/0", "user.large")
END
  facts "$W/many" >"$T/facts-many"
}
of_east() { echo east >"$E/third-of-east"; }
both_apart
list=$(lockstep_at west divergence) || fail "west does not list what it has of its own"
for path in old/appended old/marked old/overwritten old/linked new-link old/moved-here apart/deep/data apart/again many/7; do
  grep -q "^  changed\* */$path\$" <<<"$list" || fail "west does not list /$path as something that the log has forgotten: $(grep -v many <<<"$list")"
done
! grep -qE 'old/same|untouched|common|INCOMPLETE' <<<"$list" || fail "west lists too much, or too little: $(grep -v many <<<"$list")"
grep -q '^  removed\* */losing/(names' <<<"$list" || fail "west does not say that names were removed: $(grep -v many <<<"$list")"
grep -q '^more names were removed than are listed$' <<<"$list" || fail "west does not say that the list lacks removed names"
lockstep_at west resolve --discard west >/dev/null
wait_in_sync
kept=$(echo "$T"/area-west/discarded/*)
for directory in apart many; do
  facts "$kept/files/$directory" >"$T/facts-kept"
  changed=$(diff "$T/facts-$directory" "$T/facts-kept") || fail "what was kept of /$directory is not what west had: $(head -n 20 <<<"$changed")"
done
facts "$kept/files/old" >"$T/facts-kept"
changed=$(diff "$T/facts-old" "$T/facts-kept") || fail "what was kept of /old is not what west had: $changed"
same "$(getfattr --only-values -n user.colour "$kept/files/old/marked" 2>/dev/null)" red "an extended attribute"
same "$(cat "$kept/files/new-link")" "old linked" "a name that an old file got"
[[ ! -e $kept/files/common ]] || fail "something was kept that nobody changed"
same "$(cat "$W/old/appended" "$W/losing/a-name")" "$(printf 'old appended\nold losing/a-name')" "what west has afterwards"
rm -r "$E/old" "$E/losing"

step "a site that goes on alone is discarded, and nothing of it is kept: what its hosts write waits and is not lost"
of_west() { echo west >"$W/second-of-west"; }
of_east() { echo east >"$E/second-of-east"; }
both_apart
kill -STOP "${PID[west]}"
lockstep_at east resolve --discard east --keep none >/dev/null
echo waits >"$E/written-meanwhile" &
writer=$!
HELPERS+=("$writer")
kill -CONT "${PID[west]}"
wait "$writer" || fail "what was written meanwhile failed"
wait_in_sync
same "$(cat "$W/written-meanwhile")" waits
[[ -e $E/second-of-west && ! -e $E/second-of-east ]] || fail "the other site's changes went"
[[ ! -e $T/area-east/discarded ]] || fail "something was kept"
finish
grep -q 'note: .*/area-west/discarded has what was kept aside' <<<"$(lockstep_at west fsck "$T/area-west")" || fail "fsck does not mention what was kept"
grep -q 'area-west/discarded is left as it was' <<<"$(lockstep_at west format --force)" || fail "format does not mention what was kept"
[[ -s $kept/changes ]] || fail "format removed what was kept"
