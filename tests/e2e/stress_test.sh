#!/usr/bin/env bash
# stress-ng's stressors of file systems, with --verify, eight at a time at each site; dbench at both sites at the same time.
# DURATION: seconds of each eight; dbench runs twice as long.
. "$(dirname "$0")/lib.sh"
DURATION=${DURATION:-3}
AREA_SIZE=1GiB two_sites

# Left out: what wants a device or mounts of its own (bind-mount, binderfs, dnotify, fanotify, verity), what is about descriptors or /proc
# only (dup, eventfd, open, procfs, fcntl's leases), and chattr, file-ioctl, inode-flags: ioctls that FUSE does not have.
STRESSORS=(access chdir chmod chown copy-file dentry dir dirdeep fallocate fcntl filename flock fpunch fsize fstat getdent
  hdd inotify io iomix link locka lockf lockofd mknod rename symlink sync-file touch utime xattr)

# stress SITE MOUNT: the stressors of `some`, in a directory of the site
stress() {
  local options=() name
  for name in "${some[@]}"; do options+=("--$name" 1); done
  mkdir -p "$2/stress-$1"
  timeout --kill-after=10 $((DURATION + 90)) stress-ng --temp-path "$2/stress-$1" --verify --timeout "$DURATION" --hdd-bytes 4M \
    --iomix-bytes 8M --fallocate-bytes 8M --sync-file-bytes 4M --copy-file-bytes 128M --dentries 256 --metrics-brief "${options[@]}"
}
for ((first = 0; first < ${#STRESSORS[@]}; first += 8)); do
  some=("${STRESSORS[@]:first:8}")
  step "stress-ng: ${some[*]}"
  at_both $((DURATION + 120)) stress
  for site in east west; do
    if grep -E 'fail:|error:|unsuccessful' "$T/stress-$site.out" >&2; then fail "stress-ng found something at $site"; fi
    grep -q 'successful run completed' "$T/stress-$site.out" || fail "stress-ng at $site: $(tail -n 5 "$T/stress-$site.out")"
  done
done
for mount in "$E" "$W"; do same "$(find "$mount" -type f | wc -l)" 0 "files that stress-ng left at $mount"; done

# bench SITE MOUNT: two clients of dbench
bench() {
  timeout --kill-after=10 $((DURATION * 3 + 60)) dbench -c /usr/share/dbench/client.txt -t $((DURATION * 2)) -D "$2/dbench-$1" 2
}
step "dbench: two clients at each site"
mkdir "$E/dbench-east" "$W/dbench-west"
at_both $((DURATION * 3 + 90)) bench
for site in east west; do
  step "  $site: $(sed -n 's/^Throughput \([0-9.]* MB\/sec\).*max_latency=\(.*\)/\1, longest \2/p' "$T/bench-$site.out")"
done
finish
