#!/usr/bin/env bash
# Damage to one site's area, by hand: bad blocks are answered and repaired from the other site, by reads, writes, scrub and verify; what can't
# be used at all is refused, and the site is filled again.
. "$(dirname "$0")/lib.sh"
two_sites
damage() { python3 "$E2E/damage.py" "$@"; }
area_of() { echo "$T/area-$1"; }
counter() { status_of "$1" "s['counters']['$2']"; }
block_of() { damage find "$(area_of east)" "FILE $1 BLOCK $2."; } # the same at both sites
says() { grep -qF -- "$2" "$T/$1.log"; }

damage make "$E/d" 16 16
sync -f "$E"
first=$(block_of 3 0)

for site in east west; do
  mount=$T/$site
  [[ $site == east ]] && file=3 || file=4
  step "$site: reads that meet bad blocks"
  before=$(counter $site blocks_repaired)
  damage invert "$(area_of $site)" "$(block_of $file 5)" "$(block_of $file 9)"
  damage checksum "$(area_of $site)" "$(block_of $file 12)"
  damage check "$mount/d/f$file" $file 16
  same "$(counter $site blocks_repaired)" $((before + 3)) "blocks that $site repaired"
  damage check "$mount/d/f$file" $file 16
  same "$(counter $site blocks_repaired)" $((before + 3)) "blocks that $site repaired, read once more"
  wait_until 10 says $site "of /d/f$file (inode" || fail "the log of $site does not name the file"
  verify_clean

  step "$site: a write of a part of a bad block"
  place=$(block_of $file 7)
  damage invert "$(area_of $site)" "$place"
  for writer in "$E" "$W"; do
    printf 'FILE %s' "$file" | dd of="$writer/d/f$file" bs=1 seek=$((7 * 4096)) conv=notrunc status=none
    damage check "$E/d/f$file" $file 16
    damage check "$W/d/f$file" $file 16
    damage invert "$(area_of $site)" "$place"
  done
  damage check "$mount/d/f$file" $file 16

  step "$site: scrub"
  for block in 0 1 2 15; do damage invert "$(area_of $site)" "$(block_of 8 $block)"; done
  damage checksum "$(area_of $site)" "$(block_of 9 3)"
  out=$(lockstep_at $site scrub --rate 1GiB) || fail "scrub of $site: $out"
  grep -q '5 were bad, 5 are repaired' <<<"$out" || fail "scrub of $site says: $out"
  out=$(lockstep_at $site scrub --json) || fail "the second scrub of $site: $out"
  same "$(python3 -c 'import json, sys; s = json.loads(sys.argv[1]); print(s["good"], s["bad"], s["blocks"] >= 256)' "$out")" "True 0 True" "the second scrub of $site"
done
verify_clean

step "verify --repair: bad at one site, and good at both but different"
damage invert "$(area_of west)" "$(block_of 10 1)"
damage invert "$(area_of east)" "$(block_of 10 2)"
wrong=$(block_of 11 6)
damage impostor "$(area_of west)" "$wrong" "$first"
if out=$(lockstep_at east verify); then fail "verify finds nothing: $out"; fi
grep -q "/d/f11" <<<"$out" || fail "verify does not name the file that differs: $out"
out=$(lockstep_at west verify --repair) || fail "verify --repair: $out"
grep -q '1 blocks were good at both sites and different' <<<"$out" || fail "verify --repair does not say what was different: $out"
verify_clean
for n in 10 11; do
  damage check "$E/d/f$n" $n 16
  damage check "$W/d/f$n" $n 16
done

step "a block that is bad at both sites: EIO, named, and still there after a scrub"
lost=$(block_of 12 4)
damage invert "$(area_of east)" "$lost"
damage invert "$(area_of west)" "$lost"
expect_error "Input/output error" dd if="$W/d/f12" iflag=direct bs=4096 skip=4 count=1 of=/dev/null
expect_error "/d/f12" lockstep_at east scrub
same "$(cat "$W/d/f13" | sha256sum)" "$(cat "$E/d/f13" | sha256sum)" "another file"
dd if=/dev/zero of="$E/d/f12" bs=4096 seek=4 count=1 conv=notrunc status=none # restored from elsewhere
lockstep_at east scrub >/dev/null || fail "scrub after the block was written"

step "one copy of the superblock"
stop_sites west
damage bytes "$(area_of west)/superblock" 64 32
start_site west
wait_in_sync
says west "superblock" || fail "west does not say that a copy of the superblock was damaged"

step "metadata that can't be read: a refusal, then the area is filled again"
stop_sites west
for file in "$(area_of west)"/meta/MANIFEST-*; do damage bytes "$file" 0 64; done
expect_error 'meta' timeout 20 "$LOCKSTEPD" --config "$CONFIG" --site west
take_mount_away "$W"
lockstep_at west format --force >/dev/null
lockstep_at east replace west >/dev/null
start_site west
wait_in_sync
damage check "$W/d/f5" 5 16
finish
