#!/usr/bin/env bash
# Both sites hammer the same directories, files and mappings with every call there is, and are compared as they stand. DURATION: seconds; before a
# release, an hour.
. "$(dirname "$0")/lib.sh"
DURATION=${DURATION:-20}
AREA_SIZE=512MiB two_sites
timeout $((DURATION * 2 + 120)) python3 "$E2E/hammer.py" "$E" "$W" "$DURATION" "${SEED:-1}" || fail "hammering"
finish
