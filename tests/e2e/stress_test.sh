#!/usr/bin/env bash
# stress-ng's stressors of file systems, with --verify, and dbench, at both sites at the same time in one directory. DURATION: seconds of each.
. "$(dirname "$0")/lib.sh"
DURATION=${DURATION:-2}
AREA_SIZE=768MiB two_sites

# Left out: what needs a device or another file system (bind-mount, binderfs, dnotify and fanotify without a mount of their own, verity), what is
# about descriptors only (dup, eventfd, open, procfs).
STRESSORS=(access chdir chmod chown copy-file dentry dir dirdeep fallocate fcntl fiemap filename flock fpunch fsize fstat getdent
  hdd inotify io iomix lease link locka lockf lockofd mknod rename symlink sync-file touch utime xattr)
stress() {
  mkdir -p "$2/stress-$1"
  timeout $((DURATION * 3 + 60)) stress-ng --temp-path "$2/stress-$1" --verify --timeout "$DURATION" --hdd-bytes 4M --iomix-bytes 8M \
    --fallocate-bytes 8M --sync-file-bytes 4M --dentries 256 --oom-avoid --$1 1
}
  local options=()
  for name in "${STRESSORS[@]}"; do options+=("--$name" 1); done
}
