#!/usr/bin/env bash
# `lockstep watch` with real mounts: changes of either site are told at both, one line each, in order and with the right paths; nothing is told of
# what nobody changed; a slow reader is told how many it missed; a watch lives through a switchover and a reconnect, and ends with the daemon.
. "$(dirname "$0")/lib.sh"
export LC_ALL=C
two_sites

declare -A WATCH=()
# watch NAME SITE OPTION...: starts a watch; its lines are in NAME.lines without the time, what it says otherwise in NAME.error
watch() {
  local name=$1 site=$2
  shift 2
  : >"$T/$name.error"
  lockstep_at "$site" watch "$@" >"$T/$name.lines" 2>"$T/$name.error" &
  WATCH[$name]=$!
  HELPERS+=($!)
  wait_until 20 grep -q watching "$T/$name.error" || fail "the watch does not begin: $(cat "$T/$name.error")"
}
# lines NAME MOUNT: what was told, without times, paths below the mount
lines() { sed -E "s,^[0-9-]+ [0-9:.]+ +,,; s, +$2/?, /,g; s, +, ,g" "$T/$1.lines"; }
has_lines() { [[ $(wc -l <"$T/$1.lines") -ge $2 ]]; }
# expect_lines NAME MOUNT: standard input is what it tells, all of it
expect_lines() {
  local expected
  expected=$(cat)
  wait_until 20 has_lines "$1" "$(wc -l <<<"$expected")" || fail "$1 tells only: $(lines "$1" "$2"); expected: $expected"
  [[ $(lines "$1" "$2") == "$expected" ]] || fail "$1 tells something else: $(diff <(echo "$expected") <(lines "$1" "$2"))"
}
# end_watch NAME STATUS: it ends by itself, with that status
end_watch() {
  local status=0
  wait "${WATCH[$1]}" || status=$?
  same "$status" "$2" "the exit status of the watch $1, which says: $(cat "$T/$1.error")"
}
stop_watch() { kill "${WATCH[$1]}"; wait "${WATCH[$1]}" 2>/dev/null || true; }
both_watch() {
  watch "$1-east" east -r "$E/$1"
  watch "$1-west" west -r "$W/$1"
}
both_expect() {
  local expected
  expected=$(cat)
  expect_lines "$1-east" "$E" <<<"$expected"
  expect_lines "$1-west" "$W" <<<"$expected"
  stop_watch "$1-east"
  stop_watch "$1-west"
}

step "each kind of change, made at either site, is told at both"
mkdir -p "$E/kinds/sub" "$E/elsewhere"
echo old >"$E/kinds/old"
both_watch kinds
echo text >"$E/kinds/new"
echo more >>"$W/kinds/new"
ln "$W/kinds/new" "$W/kinds/sub/link"
mv "$E/kinds/new" "$E/kinds/sub/moved"
chmod 600 "$W/kinds/old"
truncate -s 4 "$E/kinds/old"
dd if=/dev/zero of="$W/kinds/old" bs=2 count=1 seek=1 oflag=seek_bytes conv=notrunc status=none
setfattr -n user.colour -v red "$E/kinds/sub"
setfattr -x user.colour "$W/kinds/sub"
ln -s old "$W/kinds/symlink"
mkdir "$E/kinds/sub/deep"
rm "$E/kinds/sub/link"
mv "$W/kinds/sub/deep" "$W/elsewhere/away"
mv "$W/elsewhere/away" "$W/kinds/inside"
touch "$E/unrelated"
rmdir "$E/kinds/inside"
both_expect kinds <<'END'
east created /kinds/new
east written 0-4 /kinds/new
west written 5-9 /kinds/new
west linked /kinds/sub/link
east renamed /kinds/new -> /kinds/sub/moved
west attributes /kinds/old
east resized 4 /kinds/old
west written 1-2 /kinds/old
east xattr user.colour /kinds/sub
west xattr-removed user.colour /kinds/sub
west created /kinds/symlink
east created /kinds/sub/deep
east removed /kinds/sub/link
west moved-out /kinds/sub/deep
west moved-in /kinds/inside
east removed /kinds/inside
END

step "a tree that is copied, renamed and removed: as many lines as there are files and directories"
mkdir -p "$T/tree" "$E/copies"
for i in $(seq 1 10); do
  mkdir -p "$T/tree/d$i/e"
  for j in $(seq 1 10); do echo "$i $j" >"$T/tree/d$i/e/f$j"; done
done
both_watch copies
cp -a "$T/tree" "$E/copies/tree"
mv "$W/copies/tree" "$W/copies/moved"
rm -rf "$E/copies/moved"
touch "$W/copies/last"
for name in copies-east copies-west; do
  wait_until 30 grep -q 'created .*/last' "$T/$name.lines" || fail "$name ends with: $(tail -n 2 "$T/$name.lines")"
  same "$(grep -c ' created ' "$T/$name.lines")" 122 "created, told by $name"
  same "$(grep -c ' written ' "$T/$name.lines")" 100 "written, told by $name"
  same "$(grep -c ' removed ' "$T/$name.lines")" 121 "removed, told by $name"
  same "$(grep -c ' renamed .*copies/tree -> .*copies/moved$' "$T/$name.lines")" 1 "renamed, told by $name"
  same "$(grep -c ' removed .*/copies/moved/d3/e/f' "$T/$name.lines")" 10 "paths after the rename, told by $name"
done
same "$(lines copies-west "$W" | sort)" "$(lines copies-east "$E" | sort)" "what both sites tell"
stop_watch copies-east
stop_watch copies-west

step "files that were there before: names are found; a file that is watched by name is replaced as editors do"
mkdir "$E/names"
for i in $(seq 1 300); do echo "$i" >"$E/names/file$i"; done
echo 1 >"$E/names/settings"
stop_sites east west
for site in east west; do start_site $site; done
wait_in_sync
watch names west "$W/names" --count 50
watch settings west "$W/names/settings"
for i in $(seq 250 299); do dd if=/dev/zero of="$E/names/file$i" bs=1 count=1 conv=notrunc status=none; done
end_watch names 0
same "$(lines names "$W")" "$(for i in $(seq 250 299); do echo "east written 0-0 /names/file$i"; done)" "the names that were found"
echo 2 >"$E/names/settings.new"
mv "$E/names/settings.new" "$E/names/settings"
echo 3 >>"$W/names/settings"
expect_lines settings "$W" <<'END'
east renamed /names/settings.new -> /names/settings
west written 2-3 /names/settings
END
stop_watch settings

step "JSON, and what is not below directories that are watched alone"
mkdir -p "$E/flat/sub"
lockstep_at west watch "$W/flat" --json --count 2 >"$T/json" &
HELPERS+=($!)
json=$!
wait_until 20 grep -q watching "$T/json" || fail "the watch does not begin"
touch "$E/flat/sub/deep"
mkdir "$E/flat/a b"
echo text >"$E/flat/file"
wait "$json" || fail "the watch ends with status $?"
python3 - "$T/json" <<'END' || fail "the lines for programs: $(cat "$T/json")"
import json, sys, time
lines = [json.loads(line) for line in open(sys.argv[1])]
assert lines[0]["watching"]["paths"] == ["/flat"], lines
changes = [line["change"] for line in lines if "change" in line]
assert [(c["what"], c["path"], c["type"], c["site"]) for c in changes] == [
    ("created", "/flat/a b", "directory", "east"), ("created", "/flat/file", "file", "east")], changes
assert abs(changes[0]["time_us"] / 1e6 - time.time()) < 60
END

step "a slow reader misses changes, is told how many, and nobody waits for it"
mkdir "$E/slow"
mkfifo "$T/fifo"
lockstep_at west watch "$W/slow" >"$T/fifo" 2>"$T/slow.error" &
HELPERS+=($!)
WATCH[slow]=$!
exec 9<"$T/fifo"
wait_until 20 grep -q watching "$T/slow.error" || fail "the watch does not begin"
timeout 600 python3 - "$E/slow" <<'END' || fail "the writer is held up"
import os, sys
for i in range(16000):  # twice what the queue holds (8192 lines); pipe and sockets hold the rest of the first half
    os.close(os.open(f"{sys.argv[1]}/{'name' * 55}{i:06}", os.O_CREAT | os.O_WRONLY))
END
timeout 60 cat <&9 >"$T/slow.lines" &
reader=$!
HELPERS+=("$reader")
: >"$W/slow/beacon"
missed_and_more() { grep -q 'changes were missed' "$T/slow.lines" && wait_until 1 grep -q "after" "$T/slow.lines"; }
wait_until 20 grep -q 'changes were missed' "$T/slow.lines" || fail "nothing was missed: $(wc -l <"$T/slow.lines") lines"
: >"$W/slow/after"
wait_until 20 missed_and_more || fail "it does not go on after what was missed"
same "$(grep -c 'changes were missed' "$T/slow.lines")" 1 "lines that say how many were missed"
told=$(grep -c ' created ' "$T/slow.lines")
missed=$(sed -nE 's/^([0-9]+) changes were missed.*/\1/p' "$T/slow.lines")
same $((told + missed)) 16002 "told and missed"
exec 9<&-
stop_watch slow

step "a watch lives through a switchover and a reconnect"
mkdir "$E/lives"
watch lives west -r "$W/lives"
lockstep_at east switchover
wait_in_sync
: >"$E/lives/one"
lockstep_at west switchover
wait_in_sync
kill_site east
start_site east
wait_in_sync
: >"$E/lives/two"
mkdir "$W/lives/three"
wait_until 20 has_lines lives 3 || fail "it tells only: $(cat "$T/lives.lines")"
lines lives "$W" | grep -v '^changes were missed' >"$T/lives.told"
same "$(cat "$T/lives.told")" "$(printf '%s\n' 'east created /lives/one' 'east created /lives/two' 'west created /lives/three')"

step "it ends when nothing is left to watch, and with the daemon"
watch gone east "$E/lives/three"
rmdir "$W/lives/three"
end_watch gone 1
grep -q 'not there any more' "$T/gone.error" || fail "it says: $(cat "$T/gone.error")"
expect_error 'there is no /nothing in the volume' lockstep_at east watch "$E/nothing"
expect_error 'is not below' lockstep_at east watch /etc
stop_sites west
end_watch lives 2
grep -q 'lockstepd of west has ended, and the watch with it' "$T/lives.error" || fail "it says: $(cat "$T/lives.error")"
start_site west
wait_in_sync
finish
