#!/usr/bin/env bash
# rsync both ways: from a host into the volume at each site, between the mounts (one tree that is read at one site while it is written at the
# other), with links, attributes and sparse files; --checksum finds nothing to do afterwards, at either site. ROUNDS: rounds of changes.
. "$(dirname "$0")/lib.sh"
AREA_SIZE=512MiB two_sites
ROUNDS=${ROUNDS:-2}

step "a tree is copied into the volume at both sites"
python3 "$E2E/make_tree.py" "$T/tree" 11
rm "$T"/tree/many/file-*[1-9]
truncate -s 8M "$T/tree/sparse"
dd if=/dev/urandom of="$T/tree/sparse" bs=64k count=1 seek=60 conv=notrunc status=none
dd if=/dev/urandom of="$T/tree/large" bs=1M count=12 status=none
copy_in() { timeout 200 rsync -aHXS "$T/tree/" "$2/from-$1/"; }
at_both 200 copy_in

# nothing_to_do SOURCE DESTINATION: by content
nothing_to_do() {
  local out
  out=$(timeout 200 rsync -aHX --checksum --delete --dry-run --itemize-changes "$1/" "$2/") || fail "rsync from $1 to $2"
  [[ -z $out ]] || fail "rsync finds differences between $1 and $2: $(head -n 5 <<<"$out")"
}
for from in east west; do
  for mount in "$E" "$W"; do nothing_to_do "$T/tree" "$mount/from-$from"; done
done

# change ROUND DIR: what a day's work leaves; in place, appended, renamed, removed, new
change() {
  python3 - "$2" "$1" <<'END'
import os
import random
import sys

top, number = sys.argv[1], int(sys.argv[2])
rng = random.Random(number)
files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names)
files = [f for f in files if os.path.isfile(f) and not os.path.islink(f)]
for path in rng.sample(files, min(len(files), 40)):
    what = rng.randrange(4)
    if what == 0:
        with open(path, "r+b") as f:
            f.seek(rng.randrange(os.path.getsize(path) + 1))
            f.write(rng.randbytes(rng.randrange(1, 5000)))
    elif what == 1:
        with open(path, "ab") as f:
            f.write(rng.randbytes(rng.randrange(1, 20000)))
    elif what == 2:
        os.rename(path, f"{path}.{number}")
    else:
        os.unlink(path)
for n in range(20):
    with open(os.path.join(top, f"new-{number}-{n}"), "wb") as f:
        f.write(rng.randbytes(rng.randrange(100000)))
END
}
# Each site sends its own tree to a copy, which is written through the other site's mount, in whole files or in place.
exchange() {
  local other=$W
  [[ $1 == east ]] || other=$E
  timeout 200 rsync -aHX --delete "$EXCHANGE_HOW" "$2/from-$1/" "$other/copy-of-$1/"
}
for ((round = 1; round <= ROUNDS; round++)); do
  EXCHANGE_HOW=--whole-file
  ((round % 2)) || EXCHANGE_HOW=--inplace
  step "round $round: changes at both sites, then both are sent across, $EXCHANGE_HOW"
  change "$round" "$E/from-east"
  change "$((round + 1000))" "$W/from-west"
  at_both 200 exchange
  nothing_to_do "$E/from-east" "$W/copy-of-east"
  nothing_to_do "$W/from-east" "$E/copy-of-east"
  nothing_to_do "$W/from-west" "$E/copy-of-west"
  nothing_to_do "$E/from-west" "$W/copy-of-west"
done
step "out of the volume again, from the other site"
timeout 200 rsync -aHXS "$W/from-east/" "$T/out/"
nothing_to_do "$E/from-east" "$T/out"
finish
