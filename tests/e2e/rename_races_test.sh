#!/usr/bin/env bash
# Both sites change the same names at the same time: no wrong answer, no call that hangs, the same names at both in the end.
. "$(dirname "$0")/lib.sh"
two_sites
step "a directory that is contended does not take their names from those where others work"
timeout 60 python3 "$E2E/working_directory.py" "$E" "$W" 8 || fail "getcwd(2) failed again and again"
step "both make, rename, exchange, link and remove the same few names"
timeout 180 python3 "$E2E/rename_races.py" "$E" "$W" "${DURATION:-10}" || fail "racing names"
step "a directory in which one works is moved by the other, and moved on"
timeout 120 python3 "$E2E/moved_directory.py" "$E" "$W" "${ROUNDS:-300}" || fail "a directory that was moved"
step "one exchanges what two names stand for, the other one removes, moves or replaces one of them"
timeout 120 python3 "$E2E/taken_for.py" "$E" "$W" "${ROUNDS:-1500}" || fail "taken for something else"
python3 "$E2E/compare_trees.py" "$E" "$W"
finish
