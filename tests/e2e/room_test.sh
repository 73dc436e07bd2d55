#!/usr/bin/env bash
# room_test.sh: the file system below the area of one site fills, by somebody else and by the metadata of the volume: what needs room is refused with
# ENOSPC at both sites alike, nothing is half done, both stay in sync and say why; the rest goes on, and everything does when there is room again.
# So it is when somebody takes every byte as soon as it becomes free: the keys are written into the room that is set aside for them.
. "$(dirname "$0")/lib.sh"

AREA_SIZE=64MiB configure
truncate -s 320M "$T/west.img"
mkfs.ext4 -q -m 0 "$T/west.img"
mkdir -p "$T/medium"
mount -o loop "$T/west.img" "$T/medium" || skip "no loop devices here"
MEDIA+=("$T/medium")
mkdir "$T/medium/area"
ln -s "$T/medium/area" "$T/area-west"
for site in east west; do lockstep_at $site format >/dev/null; done

MIB=$((1 << 20))
free_below() { stat -f -c '%a * %S' "$T/medium" | { read -r sum; echo $((sum)); }; }
leave_free() { fallocate -l $(($(free_below) - $1 * MIB)) "$T/medium/filler"; } # MIB
says() { [[ $(status_of "$1" "$2" 2>/dev/null) == "$3" ]]; }
short_at() { says "$1" '" ".join(x["name"] for x in s["sites"] if x["short_of_room"])' "$2"; }
both_say() { # WHO is short
  local site
  for site in east west; do wait_until 10 short_at $site "$1" || fail "$site does not say that '$1' has no room: $(lockstep_at $site status || true)"; done
}
times_told() { grep -c 'the area of west is on has no room for metadata' "$T/west.log" || true; }
still_in_sync() {
  local site
  for site in east west; do
    in_state $site in-sync || fail "$site is not in sync any more"
    same "$(status_of $site 's["epoch"]')" "$epoch" "epoch at $site"
  done
}

for site in east west; do start_site $site; done
wait_in_sync
epoch=$(status_of east 's["epoch"]')
both_say ""
for site in east west; do
  mkdir "$T/$site/of-$site"
  echo old >"$T/$site/of-$site/file"
  head -c 100000 /dev/urandom >"$T/$site/of-$site/data"
  echo gone >"$T/$site/of-$site/to-delete"
done

step "somebody fills the file system below the area of west before room could be set aside there"
stop_sites west
rm "$T/medium/area/meta/spare"
leave_free 24
start_site west
wait_in_sync
epoch=$(status_of east 's["epoch"]')
both_say west
for site in east west; do
  status=$(lockstep_at $site status) || fail "status of $site says that not all is well: $status"
  grep -q '^SAFE' <<<"$status" || fail "status of $site does not say that the data are safe: $status"
  grep -q 'the area of west is on has no room for metadata' <<<"$status" || fail "status of $site does not say what to do: $status"
  folder=$T/$site/of-$site
  expect_error "No space left" touch "$folder/new"
  expect_error "No space left" mkdir "$folder/new"
  expect_error "No space left" ln "$folder/file" "$folder/new"
  expect_error "No space left" setfattr -n user.new -v value "$folder/file"
  expect_error "No space left" dd if=/dev/zero of="$folder/data" bs=1M count=4 seek=1 conv=notrunc
  for mount in "$E" "$W"; do
    [[ ! -e $mount/of-$site/new ]] || fail "something refused is there, seen from $mount"
    same "$(stat -c %s "$mount/of-$site/data")" 100000 "size of a file whose growth was refused"
  done
  same "$(stat -f -c %d "$T/$site")" 0 "free inodes at $site"
  dd if=/dev/urandom of="$folder/data" bs=4096 count=20 conv=notrunc status=none || fail "overwriting fails at $site"
  rm "$folder/to-delete" || fail "deleting fails at $site"
  mv "$folder/file" "$folder/renamed" || fail "renaming fails at $site"
done
python3 "$E2E/compare_trees.py" "$E" "$W" >"$T/compared" || { cat "$T/compared"; fail "the sites differ"; }
still_in_sync

step "there is room again"
rm "$T/medium/filler"
both_say ""
for site in east west; do
  echo new >"$T/$site/of-$site/new"
  same "$(cat "$W/of-$site/new")" new
done
still_in_sync

cat >"$T/rename.py" <<'END'
import os, sys
folder, times = sys.argv[1], int(sys.argv[2])
names = [os.path.join(folder, c * 200) for c in "ab"]
for _ in range(times // 2 * 2):
    os.rename(names[0], names[1])
    names.reverse()
END
step "somebody takes every byte below west that becomes free"
name=$(printf 'a%.0s' {1..200})
for site in east west; do touch "$T/$site/of-$site/$name"; done
set_aside() { stat -c %s "$T/medium/area/meta/spare"; }
[[ $(set_aside) -ge $((28 * MIB)) ]] || fail "only $(set_aside) bytes are set aside for the keys of west"
(while :; do dd if=/dev/zero bs=64K >>"$T/medium/filler" 2>/dev/null || true; done) & greedy=$!
HELPERS+=("$greedy")
nothing_left() { [[ $(free_below) -lt $MIB ]]; }
wait_until 30 nothing_left || fail "the file system below west does not fill"
keys_written() { find "$T/medium/area/meta" -name '*.sst' -newer "$T/marker" | grep -q .; }
write_keys() { # changes that do not make metadata grow, and fill a log
  touch "$T/marker"
  timeout 300 python3 "$T/rename.py" "$E/of-east" 24000 & first=$!
  HELPERS+=("$first")
  timeout 300 python3 "$T/rename.py" "$W/of-west" 8000 || fail "renaming fails at west"
  wait $first || fail "renaming fails at east"
  wait_until 30 keys_written || fail "no keys were written at west: this shows nothing"
  still_in_sync
}
write_keys
kill "$greedy"
wait "$greedy" 2>/dev/null || true
stop_sites west
start_site west # opening writes, too
wait_in_sync
epoch=$(status_of east 's["epoch"]')
rm "$T/medium/filler"
both_say ""
still_in_sync

# Files with long names and random attributes, until ENOSPC; what was acknowledged is there.
cat >"$T/grow.py" <<'END'
import errno, os, sys
folder, other = sys.argv[1:3]
os.mkdir(folder)
made = {}
try:
    for n in range(1000000):
        path = os.path.join(folder, f"{n:0200d}")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        made[os.path.basename(path)] = None
        value = os.urandom(3500)
        os.setxattr(path, "user.random", value)
        made[os.path.basename(path)] = value
except OSError as error:
    if error.errno != errno.ENOSPC:
        sys.exit(f"{folder}: {error}, not ENOSPC")
for place in (folder, other):
    if set(os.listdir(place)) != set(made):
        sys.exit(f"{place} has {len(os.listdir(place))} files, {len(made)} were made")
    for name, value in made.items():
        path = os.path.join(place, name)
        seen = os.getxattr(path, "user.random") if os.listxattr(path) else None
        if seen != value:
            sys.exit(f"{path}: another attribute than was acknowledged")
print(f"{folder}: {len(made)} files, then no room")
END
step "metadata fill what is left below west, written from both sites"
leave_free 76
told=$(times_told)
timeout 300 python3 "$T/grow.py" "$E/many-east" "$W/many-east" & first=$!
HELPERS+=("$first")
timeout 300 python3 "$T/grow.py" "$W/many-west" "$E/many-west" || fail "growing from west"
wait $first || fail "growing from east"
# A compaction may free files a moment later, and there is room again.
[[ $(times_told) -gt $told ]] || fail "west does not say that it has no room"
still_in_sync
rm -r "$E/many-east" "$W/many-west" || fail "deleting fails without room"
rm "$T/medium/filler"
both_say ""
still_in_sync
echo "still writes" >"$E/after"
same "$(cat "$W/after")" "still writes"
finish
