#!/usr/bin/env bash
# figures.sh [PART]: the figures that a release is measured by, with real daemons and mounts. Takes a quarter of an hour; PART (default 1) makes
# each of them so many times smaller. Build build/ first. Ends with status 1 at the first miss.
#
#   coherence      100,000 changes at one site, looked at at the other one at once: by read, by mapping, by size, name and listing
#   lines          1,000,000 lines appended to one file by both sites
#   notifications  writes to files that the other site's kernel does not hold: it is told nothing
. "$(dirname "$0")/e2e/lib.sh"
PART=${1:-1}
AREA_SIZE=512MiB two_sites

step "coherence: $((100000 / PART)) rounds"
timeout $((3600 / PART + 60)) python3 "$E2E/coherence.py" "$E" "$W" $((100000 / PART)) || fail "the sites are not coherent"

step "lines: $((1000000 / PART)), appended by two processes at each site"
timeout $((3600 / PART + 60)) python3 "$E2E/append_lines.py" "$E" "$W" $((1000000 / PART)) || fail "lines are lost"

# notifications_of SITE: how often its kernel was told to drop something
notifications_of() { status_of "$1" 'sum(s["counters"]["host"][k] for k in ("dropped_attributes", "dropped_listings", "dropped_pages", "dropped_names", "dropped_all_names"))'; }
for pair in "east west" "west east"; do
  read -r writer other <<<"$pair"
  step "notifications: 1,000 writes at $writer of files that $other does not hold"
  # Whoever looks at the directory keeps its listing and names, so: nobody does. What was there before is forgotten.
  mkdir "$T/$writer/unseen-$writer"
  for i in $(seq 10); do dd if=/dev/zero of="$T/$writer/unseen-$writer/$i" bs=4k count=16 status=none; done
  echo 2 >/proc/sys/vm/drop_caches
  before=$(notifications_of "$other")
  python3 -c 'import os, sys
for i in range(1000):
    fd = os.open(f"{sys.argv[1]}/{i % 10 + 1}", os.O_WRONLY)
    os.pwrite(fd, b"x" * 4096, i % 16 * 4096)
    os.close(fd)' "$T/$writer/unseen-$writer"
  same "$(notifications_of "$other")" "$before" "notifications at $other"
done
finish
