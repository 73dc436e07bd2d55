#!/usr/bin/env bash
# A removed file lives on for who has it open, whichever site removed it, and its space is free afterwards.
. "$(dirname "$0")/lib.sh"
two_sites
timeout 120 python3 "$E2E/unlink_open.py" "$E" "$W" || fail "opened at east"
timeout 120 python3 "$E2E/unlink_open.py" "$W" "$E" || fail "opened at west"

step "a daemon that stops while a removed file is open leaves no lost space"
before=$(stat -f -c %f "$E")
exec 7<>"$W/orphan"
head -c 20000000 /dev/zero >&7
rm "$W/orphan"
exec 7>&-
stop_sites east west
start_site east
start_site west
wait_in_sync
free_again() { [[ $(stat -f -c %f "$E") -ge $before && $(stat -f -c %f "$W") -ge $before ]]; }
wait_until 20 free_again || fail "free blocks: $before before, $(stat -f -c %f "$E") and $(stat -f -c %f "$W") after"
finish
