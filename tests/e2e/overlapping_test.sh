#!/usr/bin/env bash
# Writes of both sites to the same bytes at the same time end in one order, the same at both.
. "$(dirname "$0")/lib.sh"
two_sites
timeout 180 python3 "$E2E/overlapping.py" "$E" "$W" "${DURATION:-10}" || fail "overlapping writes"
finish
