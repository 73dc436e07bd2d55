#!/usr/bin/env bash
# The simulator for hours: seeds that nobody has seen yet, on all cores.
#
#   tests/soak.sh HOURS [FIRST]     FIRST: the first seed; default: where the last run on this machine ended
#
# Rounds with the ordinary mix of faults and with rare ones in four times as many seeds take turns. Seeds that fail are appended to
# build-logs/soak-failed.txt, with why, and how each is repeated by itself. After each round it says what was injected, which rare places in
# the code were reached, and which never.
# The last line is "N passed, N failed". Exit status 1 if anything failed.
set -uo pipefail
# shellcheck source=conf/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../conf/common.sh"
cd "$LOCKSTEP_SOURCE" || exit 1

hours=${1:-}
[[ $hours =~ ^[0-9]+([.][0-9]+)?$ ]] || { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }
ROUND=2000
logs=build-logs
mkdir -p "$logs"
reached=$logs/soak-next-seed
first=${2:-$(cat "$reached" 2>/dev/null || echo 1000000)}
install_packages build
build_in build "${RELEASE_OPTIONS[@]}" -- src/bin/lockstep-sim || exit 1
end=$(awk -v hours="$hours" -v now="$(date +%s)" 'BEGIN { printf "%d", now + hours * 3600 }')

passed=0 failed=0 rare=1 # 1 and 4 in turn
while (($(date +%s) < end)); do
  build/src/bin/lockstep-sim run --seeds "$ROUND" --first "$first" --rare "$rare" --jobs "$(nproc)" >"$logs/soak.log" 2>&1
  if [[ ! $(tail -n 1 "$logs/soak.log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    tail -n 20 "$logs/soak.log"
    die "the simulator ended in the middle of seeds $first to $((first + ROUND - 1))" "look at $logs/soak.log"
  fi
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
  grep -a -A1 '^seed ' "$logs/soak.log" | tee -a "$logs/soak-failed.txt"
  echo "seeds $first to $((first + ROUND - 1)), rare faults $rare times as often:"
  grep -aE '^([0-9]+ changes|faults:|reached:|never reached:)' "$logs/soak.log" | sed 's/^/  /'
  first=$((first + ROUND)) rare=$((5 - rare))
  echo "$first" >"$reached"
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
