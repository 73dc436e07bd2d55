#!/usr/bin/env bash
# A full area: ENOSPC at both sites alike, nothing half done, deleting works; filled from both sites at once twenty times (TIMES), free space
# is the same after.
. "$(dirname "$0")/lib.sh"
AREA_SIZE=64MiB two_sites

# fill MOUNT NAME: writes files until there is no space; ends with 0 only if the end was ENOSPC. Every byte that write took is recorded.
cat >"$T/fill.py" <<'END'
import errno, os, sys, zlib
mount, name, record = sys.argv[1:4]
folder = os.path.join(mount, name)
written = {}
try:
    os.mkdir(folder)
    for n in range(1000000):
        path = os.path.join(folder, f"f{n}")
        fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        written[path] = 0
        try:
            while written[path] < 1500000:
                written[path] += os.write(fd, bytes([n % 256]) * 40000)
        finally:
            os.close(fd)
except OSError as error:
    if error.errno != errno.ENOSPC:
        sys.exit(f"{mount}: {error}, not ENOSPC")
for path, size in written.items():
    n = int(path.rsplit("/f", 1)[1])
    with open(path, "rb") as f:
        content = f.read()
    if content != bytes([n % 256]) * size:
        sys.exit(f"{path}: {len(content)} bytes, {size} were acknowledged")
with open(record, "w") as f:
    f.write(str(sum(written.values())))
END

free_at() { stat -f -c %f "$1"; }
before=$(free_at "$E")
same "$(free_at "$W")" "$before" "free blocks at both sites"
all_free() { [[ $(free_at "$E") -eq $before && $(free_at "$W") -eq $before ]]; }

for i in $(seq "${TIMES:-20}"); do
  timeout 120 python3 "$T/fill.py" "$E" fill-east "$T/filled-east" & first=$!
  HELPERS+=("$first")
  timeout 120 python3 "$T/fill.py" "$W" fill-west "$T/filled-west" || fail "filling from west, round $i"
  wait $first || fail "filling from east, round $i"
  # Full is full at both: neither can write another large piece.
  for mount in "$E" "$W"; do
    expect_error "No space left" dd if=/dev/zero of="$mount/more-$(basename "$mount")" bs=4M count=1
    rm -f "$mount/more-$(basename "$mount")"
  done
  total=$(($(cat "$T/filled-east") + $(cat "$T/filled-west")))
  [[ $total -ge $((45 << 20)) ]] || fail "only $total bytes fit into 64 MiB in round $i"
  python3 "$E2E/compare_trees.py" "$E" "$W" >"$T/compared" || { cat "$T/compared"; fail "the sites differ when full"; }
  rm -rf "$W/fill-east" "$E/fill-west"
  wait_until 30 all_free || fail "round $i: $before blocks were free, now $(free_at "$E") and $(free_at "$W")"
done
step "${TIMES:-20} times full and empty"
echo "still writes" >"$E/after"
same "$(cat "$W/after")" "still writes" "after it was full"
finish
