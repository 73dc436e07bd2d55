#!/usr/bin/env bash
# Reservations with real mounts: a range, a file, a directory tree; waiting and EBUSY; release, break, the attribute for programs; kills of
# either daemon and a switchover while somebody waits. Nothing is changed at the other site before the release.
. "$(dirname "$0")/lib.sh"
export LC_ALL=C
two_sites

# later NAME COMMAND...: starts COMMAND, which is to wait; NAME.done appears when it has succeeded, NAME.failed when it has not
later() {
  local name=$1
  shift
  rm -f "$T/$name".*
  { if "$@" 2>"$T/$name.error"; then touch "$T/$name.done"; else touch "$T/$name.failed"; fi; } &
  HELPERS+=($!)
}
is_done() { [[ -e $T/$1.done ]]; }
waits_at() { [[ $(status_of "$1" 's.get("reservations", {}).get("waiting_count", 0)') -ge $2 ]]; }
# require_waiting NAME SITE COUNT: the daemon of SITE says that COUNT requests wait for a reservation, and NAME has not ended
require_waiting() {
  wait_until 10 waits_at "$2" "$3" || fail "$1 does not wait for a reservation at $2: $(cat "$T/$1.error" 2>/dev/null)"
  [[ ! -e $T/$1.done && ! -e $T/$1.failed ]] || fail "$1 has ended: $(cat "$T/$1.error")"
}
write_block() { dd if=/dev/zero of="$1" bs=4096 seek="$2" count=1 conv=notrunc oflag="${3:-dsync}" status=none; }
nothing_reserved() { [[ $(lockstep_at east reserve --list) == "nothing is reserved" ]]; }
put() { printf '%s' "$2" >"$1"; }
xattr() { python3 -c 'import os, sys
f = {"set": lambda p, v: os.setxattr(p, "user.lockstep.reserve", v.encode()), "get": lambda p: print(os.getxattr(p, "user.lockstep.reserve").decode(), end=""),
     "remove": lambda p: os.removexattr(p, "user.lockstep.reserve"), "list": lambda p: print(os.listxattr(p))}
f[sys.argv[1]](*sys.argv[2:])' "$@"; }

dd if=/dev/urandom of="$E/file" bs=4096 count=16 status=none
before=$(sha256sum <"$W/file")

step "a range: the other site's write of it waits, others go on; the holder writes on"
lockstep_at east reserve "$E/file" --range 8192-16383
later range write_block "$W/file" 2
require_waiting range west 1
# (Its own kernel lets nobody else write the file at west meanwhile.)
timeout 20 cp "$E/file" "$W/other" || fail "another file waits, too"
timeout 20 dd if=/dev/urandom of="$E/file" bs=4096 seek=9 count=1 conv=notrunc oflag=direct status=none || fail "another block waits, too"
timeout 20 dd if=/dev/urandom of="$E/file" bs=4096 seek=2 count=1 conv=notrunc oflag=dsync status=none || fail "the holder waits for those who wait"
[[ $(sha256sum <"$W/file") != "$before" ]] || fail "the write of the holder is not seen"
lockstep_at west status | grep 'reserved: 1 by east; 1 request here waits for a reservation of east' >/dev/null || fail "status does not say who waits"
lockstep_at west trace | grep ' held .*reserved_by=east' >/dev/null || fail "trace does not say who waits"
lockstep_at west reserve --list | grep 'east .*wait .*range .*8192-16383 .* /file$' >/dev/null || fail "the list: $(lockstep_at west reserve --list)"
before=$(sha256sum <"$W/file")
same "$(sha256sum <"$E/file")" "$before" "the sites differ"
lockstep_at east release "$E/file" --range 8192-16383
wait_until 20 is_done range || fail "the write does not go on after the release: $(cat "$T/range.error")"
[[ $(sha256sum <"$E/file") != "$before" ]] || fail "the write is not seen at the other site"
same "$(lockstep_at east reserve --list)" "nothing is reserved"

step "EBUSY, for every way to change a file"
lockstep_at west reserve "$W/file" --busy
expect_error 'busy' write_block "$E/file" 0
expect_error 'busy' write_block "$E/file" 0 direct
expect_error 'busy' put "$E/file" text
expect_error 'busy' truncate -s 0 "$E/file"
expect_error 'busy' truncate -s 1M "$E/file"
expect_error 'busy' fallocate -l 1M "$E/file"
expect_error 'busy' fallocate -p -o 0 -l 4096 "$E/file"
expect_error 'busy' chmod 600 "$E/file"
expect_error 'busy' touch "$E/file"
expect_error 'busy' setfattr -n user.a -v 1 "$E/file"
expect_error 'busy' mv "$E/file" "$E/new"
expect_error 'busy' ln "$E/file" "$E/new"
expect_error 'busy' rm -f "$E/file"
cmp "$E/file" "$W/file" || fail "the sites differ"
chmod 640 "$W/file"
same "$(stat -c %a "$E/file")" 640 "what the holder changed"
expect_error 'reserved, in part' lockstep_at east reserve "$E/file"
expect_error 'by another site' lockstep_at east release "$E/file"
expect_error 'nothing was changed' lockstep_at east reserve --break "$E/file" </dev/null
lockstep_at east reserve --break --force "$E/file"
chmod 644 "$E/file"
expect_error 'not reserved like that' lockstep_at west release "$W/file"

step "a tree: what is made, renamed and removed in it"
# A change that waits keeps its directory locked in the kernel of its host: each has its own.
mkdir -p "$E"/tree/{create,remove,move,make,read} "$E/outside" "$E/free"
put "$E/tree/remove/file" one
put "$E/tree/read/file" one
put "$E/outside/file" two
ls -lR "$W/tree" "$W/outside" >/dev/null
lockstep_at east reserve "$E/tree"
later create put "$W/tree/create/new" text
later remove rm "$W/tree/remove/file"
later move mv "$W/outside/file" "$W/tree/move/moved"
later make mkdir "$W/tree/make/directory"
for name in create remove move make; do require_waiting $name west 4; done
timeout 20 cp "$E/file" "$W/free/more" || fail "what is not in the tree waits, too"
same "$(timeout 20 cat "$W/tree/read/file")" one "reading goes on"
mv "$E/tree/remove/file" "$E/tree/read/moved"
mv "$E/tree/read/moved" "$E/tree/remove/file"
put "$E/tree/read/holder" four
same "$(timeout 20 cat "$W/tree/read/holder")" four

step "kill the daemon of the holder, twice; then a switchover: those who wait go on waiting"
for _ in 1 2; do
  kill_site east
  start_site east
  wait_in_sync
  require_waiting create west 4
done
lockstep_at east switchover
wait_in_sync
same "$(status_of east 's["primary"]')" west
require_waiting move west 4
[[ ! -e $E/tree/make/directory && -e $E/tree/remove/file && ! -e $E/tree/create/new && ! -e $E/tree/move/moved ]] ||
  fail "something changed in the tree"
lockstep_at east release "$E/tree"
for name in create remove move make; do wait_until 20 is_done $name || fail "$name does not go on: $(cat "$T/$name.error")"; done
[[ -d $E/tree/make/directory && ! -e $E/tree/remove/file && $(cat "$E/tree/create/new") == text && $(cat "$E/tree/move/moved") == two ]] ||
  fail "what waited is not there"
lockstep_at west switchover
wait_in_sync

step "the attribute for programs"
xattr set "$W/outside" "busy"
xattr set "$W/tree/read/holder" "4096-8191"
same "$(xattr get "$E/tree/read/holder")" "west 4096-8191 wait"
same "$(xattr get "$E/outside")" "west all busy"
same "$(xattr list "$W/outside") $(getfattr -d "$W/outside")" "[] "
expect_error 'busy' touch "$E/outside/new"
expect_error 'No data available' python3 -c 'import os, sys; os.getxattr(sys.argv[1], "user.lockstep.reserve")' "$E/file"
expect_error 'Invalid argument' xattr set "$W/outside" "now"
expect_error 'not permitted' xattr remove "$E/outside"
cp -a "$W/outside" "$W/copy"
expect_error 'No data available' xattr get "$W/copy"
xattr remove "$W/outside"
touch "$E/outside/new"
rm "$W/tree/read/holder"
wait_until 20 nothing_reserved || fail "what was removed is still reserved"

step "what is refused"
expect_error 'is not in' lockstep_at east reserve "$W/file"
expect_error 'no range of bytes' lockstep_at east reserve "$E/file" --range 9-1
expect_error 'no regular file' lockstep_at east reserve "$E/tree" --range 0-1
expect_error 'which file or directory' lockstep_at east reserve
lockstep_at west reserve --list --json | python3 -c 'import json, sys; assert json.load(sys.stdin) == {"reservations": []}' || fail "the list for programs"

step "a reservation stands when both daemons were stopped"
lockstep_at west reserve "$W/tree" --busy
stop_sites east west
for site in east west; do start_site $site; done
wait_in_sync
expect_error 'busy' touch "$E/tree/new"
touch "$W/tree/new"
finish
