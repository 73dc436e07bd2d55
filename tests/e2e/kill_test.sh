#!/usr/bin/env bash
# kill_test.sh [TIMES]: kill -9 of either daemon, or both, under load from both sites, and a restart: no acknowledged byte or name is lost, the host of the
# other site gets no error, verify is clean. 5 times by default; the issue asks for 50.
. "$(dirname "$0")/lib.sh"
times=${1:-5}
two_sites
RANDOM=${SEED:-42}

count_lines() { cat "$@" 2>/dev/null | wc -l; }
made_progress() { [[ $(count_lines "$T"/ledger-*) -gt $1 ]]; }
all_ended() { local pid; for pid in "${HELPERS[@]}"; do [[ ! -d /proc/$pid ]] || return 1; done; }

for round in $(seq "$times"); do
  rm -f "$T"/ledger-* "$T"/work-* "$T/stop"
  HELPERS=()
  workers=()
  for site in east west; do
    for n in 1 2; do
      folder=round-$round-$site-$n
      mkdir "$T/$site/$folder"
      python3 "$E2E/ledger.py" work "$T/$site/$folder" "$T/ledger-$site-$n" "$T/stop" $((round * 10 + n)) >"$T/work-$site-$n" 2>&1 &
      HELPERS+=($!)
      workers+=("$site-$n")
    done
  done
  wait_until 30 made_progress $((50 + RANDOM % 1500)) || fail "round $round: the workers do not get on"

  case $((round % 3)) in
    0) victims=(east west) ;;
    1) victims=(east) ;;
    2) victims=(west) ;;
  esac
  step "round $round: kill -9 of ${victims[*]}"
  for site in "${victims[@]}"; do kill -9 "${PID[$site]}"; done
  for site in "${victims[@]}"; do
    reap "$site"
    take_mount_away "$T/$site"
  done
  for site in "${victims[@]}"; do start_site "$site"; done
  wait_in_sync
  # The survivor's workers go on by themselves.
  wait_until 30 made_progress $(($(count_lines "$T"/ledger-*) + ${#victims[@]} % 2 * 20)) || [[ ${#victims[@]} -eq 2 ]] ||
    fail "round $round: I/O of the survivor does not go on"
  touch "$T/stop"
  wait_until 30 all_ended || fail "round $round: a worker hangs"
  for worker in "${workers[@]}"; do
    site=${worker%-*}
    if [[ " ${victims[*]} " != *" $site "* ]] && ! grep -q 'stopped$' "$T/work-$worker"; then
      fail "round $round: the host of $site, which was not killed, got an error: $(cat "$T/work-$worker")"
    fi
    for mount in "$E" "$W"; do
      python3 "$E2E/ledger.py" check "$mount/round-$round-$worker" "$T/ledger-$worker" || fail "round $round: something acknowledged is lost"
    done
  done
  python3 "$E2E/compare_trees.py" "$E" "$W" || fail "round $round: the sites differ"
  verify_clean
  if ((round % 5 == 0)); then rm -rf "$E"/round-*; fi
done
finish
