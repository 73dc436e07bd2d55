#!/usr/bin/env bash
# What is made at one site is there at the other, in every respect; it is still there after daemons were stopped and started.
. "$(dirname "$0")/lib.sh"
two_sites

step "a status for people and one for programs"
lockstep_at east status | head -n 1 | grep -q '^SAFE: ' || fail "the first line of status does not say SAFE"
same "$(status_of east '(s["state"], s["primary"], s["role"], sorted(s["in_sync"]), len(s["sites"]))')" \
  "('in-sync', 'east', 'primary', ['east', 'west'], 2)" "status of east"
same "$(status_of west '(s["state"], s["primary"], s["role"])')" "('in-sync', 'east', 'secondary')" "status of west"

step "one side makes, the other looks, both ways"
for pair in "$E $W" "$W $E"; do
  read -r here there <<<"$pair"
  d=from-$(basename "$here")
  mkdir "$here/$d"
  echo "hello from $here" >"$here/$d/file"
  same "$(cat "$there/$d/file")" "hello from $here" "content"
  echo more >>"$there/$d/file"
  same "$(tail -n 1 "$here/$d/file")" more "appended at the other site"
  truncate -s 10000000 "$here/$d/file"
  same "$(stat -c %s "$there/$d/file")" 10000000 "size"
  truncate -s 3 "$there/$d/file"
  same "$(cat "$here/$d/file")" hel "cut"
  chmod 4711 "$here/$d/file"
  same "$(stat -c %a "$there/$d/file")" 4711 "mode"
  chown 12:34 "$here/$d/file"
  same "$(stat -c %u:%g "$there/$d/file")" 12:34 "owner"
  touch -d '2001-02-03 04:05:06.123456789' "$here/$d/file"
  same "$(stat -c %y "$there/$d/file" | cut -c1-29)" "2001-02-03 04:05:06.123456789" "nanoseconds"
  ln -s "some/where else" "$here/$d/symlink"
  same "$(readlink "$there/$d/symlink")" "some/where else" "symlink"
  ln "$here/$d/file" "$there/$d/hard" 2>/dev/null && fail "a hard link across mounts worked"
  ln "$here/$d/file" "$here/$d/hard"
  same "$(stat -c %h "$there/$d/file")" 2 "link count"
  same "$(stat -c %i "$there/$d/file")" "$(stat -c %i "$there/$d/hard")" "inode of both names"
  setfattr -n user.note -v 'some value' "$here/$d/file"
  same "$(getfattr --only-values -n user.note "$there/$d/file" 2>/dev/null)" "some value" "xattr"
  setfattr -x user.note "$there/$d/file"
  ! getfattr -n user.note "$here/$d/file" 2>/dev/null || fail "a removed xattr is still there"
  mv "$here/$d/hard" "$here/$d/renamed"
  [[ -e $there/$d/renamed && ! -e $there/$d/hard ]] || fail "rename is not seen at the other site"
  rm "$there/$d/renamed"
  [[ ! -e $here/$d/renamed ]] || fail "unlink is not seen at the other site"
  ! rmdir "$there/$d" 2>/dev/null || fail "a directory that is not empty was removed"
done

step "a tree with a bit of everything"
python3 "$E2E/make_tree.py" "$T/tree"
cp -a "$T/tree" "$E/tree"
python3 "$E2E/compare_trees.py" "$T/tree" "$E/tree" "$W/tree"

step "more metadata in a second than the logs hold, at either site: nobody waits for long, and the two stay together"
epoch=$(status_of east 's["epoch"]')
for site in "$E" "$W"; do
  python3 - "$site/attributes" <<'PROGRAM' || fail "changes that fill the logs at $site"
import os, sys, time
open(sys.argv[1], "w").close()
values = [os.urandom(60000) for _ in range(2)]
longest = 0
for i in range(3000):
    began = time.monotonic()
    os.setxattr(sys.argv[1], "user.large", values[i % 2])
    longest = max(longest, time.monotonic() - began)
if longest > 3:
    sys.exit("one of them took %.1f s" % longest)
PROGRAM
done
rm "$E/attributes"
same "$(status_of east '(s["state"], s["epoch"])')" "('in-sync', $epoch)" "state and epoch"

step "a sparse file of many TiB"
truncate -s 8T "$W/huge"
printf end | dd of="$E/huge" bs=1 seek=$((7 << 40)) conv=notrunc status=none
same "$(dd if="$W/huge" bs=1 skip=$((7 << 40)) count=3 status=none)" end "bytes at 7 TiB"
same "$(stat -c %s "$E/huge")" $((8 << 40)) "size of the sparse file"
[[ $(stat -c %b "$W/huge") -lt 1000 ]] || fail "the sparse file takes $(stat -c %b "$W/huge") blocks"
rm "$E/huge"

step "verify while it is used, then stop, start: still there"
verify_clean
python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR); os.write(fd, b"synced"); os.fsync(fd)' "$W/synced"
stop_sites east west
start_site west
start_site east
wait_in_sync
python3 "$E2E/compare_trees.py" "$T/tree" "$E/tree" "$W/tree"
same "$(cat "$E/synced")" synced "a synced file after a restart"

step "remove it all from the other side"
rm -rf "$W/tree"
[[ ! -e $E/tree ]] || fail "rm -rf at west left the tree at east"
finish
