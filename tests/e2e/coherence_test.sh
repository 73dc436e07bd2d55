#!/usr/bin/env bash
# Write here, read there: 10,000 rounds both ways, by data, size and name, without a miss. ROUNDS changes their number.
. "$(dirname "$0")/lib.sh"
two_sites
timeout 600 python3 "$E2E/coherence.py" "$E" "$W" "${ROUNDS:-10000}" || fail "the sites are not coherent"
finish
