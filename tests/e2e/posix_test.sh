#!/usr/bin/env bash
# posix_test.sh: what POSIX and Linux promise of names, data, attributes and permissions holds at both sites and between them, and
# of what both do at once exactly one wins.
. "$(dirname "$0")/lib.sh"
command -v setfacl >/dev/null || fail "setfacl is missing: install Debian's acl"
configure
write_config "$CONFIG"
for site in east west; do lockstep_at $site format >/dev/null; done
for site in east west; do start_site $site; done
wait_in_sync
chmod 755 "$T" # others than root look in
PROGRAMS=${PROGRAMS:-names files ends attributes acls races}
bad=0
for program in $PROGRAMS; do
  step "$program: seen from east, from west"
  timeout 300 python3 "$E2E/posix_$program.py" "$E" "$W" "${@:1:1}" || bad=1
  timeout 300 python3 "$E2E/posix_$program.py" "$W" "$E" "${@:1:1}" || bad=1
done
[[ $bad -eq 0 ]] || fail "see the lines NOT SO"
finish
