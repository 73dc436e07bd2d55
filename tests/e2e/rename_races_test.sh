#!/usr/bin/env bash
# Both sites change the same names at the same time: no wrong answer, no call that hangs, the same names at both in the end.
. "$(dirname "$0")/lib.sh"
two_sites
timeout 180 python3 "$E2E/rename_races.py" "$E" "$W" "${DURATION:-10}" || fail "racing names"
python3 "$E2E/compare_trees.py" "$E" "$W"
finish
