#!/usr/bin/env bash
# fio with checksums in every block: buffered, direct and through shared mappings, blocks of mixed sizes, random and in order, several jobs,
# both sites at the same time; each site verifies what it wrote, then what the other one wrote. SIZE: MiB of each job.
. "$(dirname "$0")/lib.sh"
SIZE=${SIZE:-16}
AREA_SIZE=$((64 + SIZE * 32))MiB two_sites

# jobs SITE MOUNT: what is written. Each 512 bytes have a header and a checksum, so that what a block was written with does not matter.
jobs() {
  cat <<END
[global]
directory=$2/fio-$1
filename_format=\$jobname
size=${SIZE}M
verify=crc32c
verify_interval=512
verify_fatal=1
verify_backlog=256
randseed=$((SIZE * 7))
fallocate=none

[buffered-random]
ioengine=psync
rw=randwrite
bssplit=512/20:4k/40:12k/20:64k/20
[mixed]
ioengine=psync
rw=randrw
rwmixread=40
bssplit=512/20:4k/40:64k/40
size=$((SIZE / 2))M
[buffered-fsync]
ioengine=psync
rw=randwrite
bs=4k
size=$((SIZE / 4))M
fsync=16
[direct-random]
ioengine=libaio
direct=1
iodepth=8
rw=randwrite
bssplit=4k/60:16k/30:128k/10
[direct-stream]
ioengine=libaio
direct=1
iodepth=4
rw=write
bs=1M
[mapped]
ioengine=mmap
rw=randwrite
bssplit=4k/70:16k/30
[append]
ioengine=psync
rw=write
bs=9728
size=$((SIZE * 100 * 9728))
END
}
write_and_verify() {
  jobs "$1" "$2" >"$T/$1.fio"
  timeout 250 fio --minimal --output="$T/fio-$1.result" --aux-path="$T" "$T/$1.fio" || { cut -c1-500 "$T/fio-$1.result"; return 1; }
}
# verify_file FILE ENGINE: reads all of it and compares checksums
verify_file() {
  timeout 100 fio --minimal --output=/dev/null --name=verify --filename="$1" --ioengine="$2" --rw=read --bs=64k --verify=crc32c --verify_interval=512 --verify_fatal=1
}
verify_others() {
  local other=east file
  [[ $1 == west ]] || other=west
  for file in "$2/fio-$other"/*; do
    [[ $file != */mixed ]] || continue # not all of it was written
    verify_file "$file" psync && verify_file "$file" mmap || { echo "$file is not what was written"; return 1; }
  done
}
mkdir "$E/fio-east" "$E/fio-west"

step "both sites write and verify"
at_both 260 write_and_verify
step "each site verifies what the other one wrote"
at_both 260 verify_others
same "$(find "$E" -type f | wc -l)" 14 "files that fio made"
for file in $(cd "$E" && find . -type f); do cmp "$E/$file" "$W/$file" || fail "$file differs"; done

step "a byte that is not what was written is found"
printf 'X' | dd of="$E/fio-east/direct-stream" bs=1 seek=5000 conv=notrunc status=none
for engine in psync mmap; do
  if verify_file "$W/fio-east/direct-stream" $engine >/dev/null 2>&1; then fail "fio does not see a wrong byte"; fi
done
finish
