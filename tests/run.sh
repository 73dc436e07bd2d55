#!/usr/bin/env bash
# All tests of Lockstep, in one command.
#
#   sudo tests/run.sh                 everything
#   sudo tests/run.sh quick           unit tests and checks of the plain build, and the model
#   sudo tests/run.sh SUITE...        of: unit checks model sim e2e asan planted fuzz
#   sudo tests/run.sh e2e:NAME...     one end-to-end test, tests/e2e/NAME_test.sh
#
# Installs what is missing of Debian's packages (conf/packages.txt) and builds: build/ as released, build-planted/ with planted bugs, build-asan/ with sanitizers and
# fuzzers. Each suite prints what failed, with the end of its output; everything is kept in build-logs/.
# The last line is "N passed, N failed, N skipped". Exit status 1 if anything failed, or if a suite ran nothing.
#
# With a limit of time (LOCKSTEP_TEST_MINUTES) the sanitizers come last, and what does not fit is counted as skipped, with a line that says
# so: a machine that has to compile everything anew needs most of an hour for all of it. End-to-end tests may end until 8 minutes after it.
#
# Environment: LOCKSTEP_TEST_MINUTES (no limit), FUZZ_SECONDS (20) a fuzzer, SIM_SEEDS (1500), KILL_TIMES (5), FLAP_TIMES (12), E2E_JOBS (2), LOCKSTEP_TEST_DIR (/var/tmp) for areas.
set -uo pipefail
# shellcheck source=conf/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../conf/common.sh"
cd "$LOCKSTEP_SOURCE" || exit 1

passed=0 failed=0 skipped=0
failures=() # one line each: what failed, and what it said first
LOGS=$LOCKSTEP_SOURCE/build-logs
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1:detect_stack_use_after_return=0:allocator_may_return_null=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$LOCKSTEP_SOURCE/tests/lsan.supp:print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

# note_failure SUITE NAME WHAT: counts one, and says it again at the end, where nobody has to look for it
note_failure() { failed=$((failed + 1)); failures+=("$1 $2: $3"); }

# run_one SUITE NAME SECONDS COMMAND...: output to a file; sets STATUS and LOG
run_one() {
  local suite=$1 name=$2 limit=$3 start=$SECONDS
  shift 3
  LOG=$LOGS/$suite-${name//\//-}.log
  timeout --kill-after=60 "$limit" "$@" >"$LOG" 2>&1 </dev/null
  STATUS=$?
  TOOK=$((SECONDS - start))
  [[ $STATUS -ne 124 && $STATUS -ne 137 ]] || echo "ended after its limit of $limit s" >>"$LOG"
}

# one_case SUITE NAME: the result of run_one as one test case; status 77 is "skipped"
one_case() {
  case $STATUS in
    0) passed=$((passed + 1)); printf '  ok       %-32s %4d s\n' "$2" "$TOOK" ;;
    77) skipped=$((skipped + 1)); printf '  skipped  %-32s %s\n' "$2" "$(tail -n 1 "$LOG")" ;;
    *)
      note_failure "$1" "$2" "status $STATUS: $(grep -a -m 1 -E 'FAILED|FAIL|[Ee]rror|ended after its limit' "$LOG" | cut -c 1-300)"
      printf '  FAILED   %-32s %4d s, status %d; the end of %s:\n' "$2" "$TOOK" "$STATUS" "$LOG"
      tail -n 30 "$LOG" | sed 's/^/    | /'
      ;;
  esac
}

# The cases of a Catch2 program are counted as it counts them; one that dies, or runs none, is one failure.
catch_cases() {
  local suite=$1 name=$2 limit=$3 xml cases good bad
  shift 3
  xml=$LOGS/$suite-$name.xml
  rm -f "$xml"
  run_one "$suite" "$name" "$limit" "$@" -r xml -o "$xml"
  cases=$(grep -aoE '<OverallResultsCases [^>]*>' "$xml" 2>/dev/null | tail -n 1)
  good=$(sed -nE 's/.*successes="([0-9]+)".*/\1/p' <<<"$cases")
  bad=$(sed -nE 's/.* failures="([0-9]+)".*/\1/p' <<<"$cases")
  if [[ -z $good || -z $bad ]]; then
    note_failure "$suite" "$name" "ended with status $STATUS before its last case"
    printf '  FAILED   %-32s %4d s, ended with status %d before its last case; the end of %s:\n' "$name" "$TOOK" "$STATUS" "$LOG"
    { grep -aoE '<TestCase name="[^"]*"' "$xml" | tail -n 1; tail -n 30 "$LOG"; } 2>/dev/null | sed 's/^/    | /'
    return
  fi
  passed=$((passed + good)) failed=$((failed + bad))
  if [[ $((good + bad)) -eq 0 ]]; then
    note_failure "$suite" "$name" "ran no test case"
    printf '  FAILED   %-32s ran no test case\n' "$name"
  elif [[ $bad -ne 0 || $STATUS -ne 0 ]]; then
    if [[ $bad -ne 0 ]]; then
      failures+=("$suite $name: $bad of $((good + bad)) cases")
    else
      note_failure "$suite" "$name" "all cases passed, and then it died with status $STATUS"
    fi
    printf '  FAILED   %-32s %4d s, %d of %d cases, status %d; again with: %s\n' "$name" "$TOOK" "$bad" $((good + bad)) "$STATUS" "$*"
    { grep -aE -A12 'success="false"' "$xml" | head -n 40; tail -n 15 "$LOG"; } | sed 's/^/    | /'
  else
    printf '  ok       %-32s %4d s, %d cases\n' "$name" "$TOOK" "$good"
  fi
}

# Names and programs of meson's tests in a build directory, one a line, tab between.
meson_tests() {
  meson introspect --tests "$1" | python3 -c 'import json, sys
for test in json.load(sys.stdin):
    print(test["name"], *test["cmd"], sep="\t")'
}

# time_left SECONDS: so much is left of the limit of time
time_left() { [[ -z ${LOCKSTEP_TEST_MINUTES:-} ]] || ((SECONDS + $1 < LOCKSTEP_TEST_MINUTES * 60)); }
no_time() {
  skipped=$((skipped + 1))
  printf '  skipped  %-32s no time for it within %d minutes; run: tests/run.sh %s\n' "$1" "$LOCKSTEP_TEST_MINUTES" "$2"
}

# A build directory is built once; a failed build is one failure, and the suites that need it run nothing.
declare -A built=()
build_once() {
  local dir=$1
  shift
  if [[ -z ${built[$dir]:-} ]]; then
    echo "== build in $dir/"
    built[$dir]=failed
    if (build_in "$dir" "$@"); then built[$dir]=good; else note_failure build "$dir" "see $dir/last-build.log"; fi
  fi
  [[ ${built[$dir]} == good ]]
}
plain_build() { build_once build "${RELEASE_OPTIONS[@]}"; }
SANITIZERS=address,undefined
ASAN_OPTIONS_OF_MESON=("-Db_sanitize=$SANITIZERS" -Db_lundef=false -Dplanted=true -Dfuzz=true -Doptimization=1 -Ddebug=true)
asan_build() { build_once build-asan "${ASAN_OPTIONS_OF_MESON[@]}"; }
# Compiles as much with sanitizers as the limit of time allows; fails when that was not all.
asan_build_in_time() {
  [[ -n ${LOCKSTEP_TEST_MINUTES:-} && -z ${built[build-asan]:-} ]] || return 0
  local left=$((LOCKSTEP_TEST_MINUTES * 60 - SECONDS - 480)) status=0
  ((left > 30)) || return 1
  timeout "$left" bash -c '. conf/common.sh; build_in "$@"' build build-asan "${ASAN_OPTIONS_OF_MESON[@]}" >/dev/null 2>&1 || status=$?
  [[ $status -ne 124 ]]
}

unit_tests_of() { # DIR SUITE SECONDS: of each program
  local name command
  while IFS=$'\t' read -r -a command; do
    name=${command[0]}
    if [[ $name == *bench ]]; then # a benchmark runs once, so that it can't rot; it is no Catch2 program
      run_one "$2" "$name" "$3" "${command[@]:1}"
      one_case "$2" "$name"
    else
      catch_cases "$2" "$name" "$3" "${command[@]:1}"
    fi
  done < <(meson_tests "$1")
}
suite_unit() { plain_build && unit_tests_of build unit 300; }
suite_asan() {
  # What is compiled already is kept, so the next run goes on there.
  if ! asan_build_in_time; then
    no_time "the build with sanitizers" asan
    return
  fi
  asan_build && unit_tests_of build-asan asan 1200
}

suite_fuzz() {
  if ! asan_build_in_time || ! time_left 240; then
    no_time "the fuzzers" fuzz
    return
  fi
  asan_build || return
  local fuzzer name seconds=${FUZZ_SECONDS:-20} corpus
  while read -r fuzzer; do
    name=$(basename "$fuzzer")
    corpus=$(mktemp -d)
    local seeds=()
    [[ ! -d tests/corpus/$name ]] || seeds=("tests/corpus/$name")
    run_one fuzz "$name" $((seconds + 60)) "$fuzzer" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
      -artifact_prefix="$LOGS/$name-" "$corpus" "${seeds[@]}"
    rm -rf "$corpus"
    if [[ $STATUS -eq 0 ]] && ! grep -qaE 'Done [1-9][0-9]* runs' "$LOG"; then
      echo "the fuzzer made no run" >>"$LOG"
      STATUS=1
    fi
    one_case fuzz "$name"
  done < <(find build-asan/tests build-asan/src -type f -name '*_fuzz' -executable | sort)
}

suite_checks() {
  local check
  plain_build || return # headers are checked with what the build generates
  for check in tests/checks/*; do
    [[ -f $check && -x $check ]] || continue
    run_one checks "$(basename "$check")" 900 "$check"
    one_case checks "$(basename "$check")"
  done
}

suite_model() {
  local name
  while read -r name; do
    run_one model "$name" 1200 tests/model/check.sh "$name"
    one_case model "$name"
  done < <(tests/model/check.sh)
}

suite_sim() {
  local simulator=build/src/bin/lockstep-sim
  plain_build || return
  if [[ ! -x $simulator ]]; then
    echo "  there is no $simulator"
    return
  fi
  seeds_of seeds 900 "$simulator" run --seeds "${SIM_SEEDS:-1500}" --jobs "$(nproc)"
}

# Each planted bug must be found. Of the released build, with the bugs compiled in.
suite_planted() {
  build_once build-planted "${RELEASE_OPTIONS[@]}" -Dplanted=true -- src/bin/lockstep-sim || return
  seeds_of planted 600 build-planted/src/bin/lockstep-sim planted --seeds 2000 --jobs "$(nproc)"
}

# A run of the simulator: each seed, and each planted bug, is a test case.
seeds_of() {
  local name=$1 limit=$2 counts
  shift 2
  run_one sim "$name" "$limit" "$@"
  counts=$(grep -aoE '^[0-9]+ passed, [0-9]+ failed$' "$LOG" | tail -n 1)
  if [[ $STATUS -eq 0 && $counts =~ ^([1-9][0-9]*)\ passed,\ 0\ failed$ ]]; then
    passed=$((passed + BASH_REMATCH[1]))
    printf '  ok       %-32s %4d s, %d seeds\n' "$name" "$TOOK" "${BASH_REMATCH[1]}"
  else
    [[ $STATUS -ne 0 ]] || STATUS=1
    one_case sim "$name"
  fi
}

# How long the long ones take, in seconds. They come first, so that the end of the time does not meet one in the middle. Most of all time they
# wait for something, so two run at once, each with its own ports, mounts and namespaces.
E2E_FIRST=(partition stop posix kill postgres coherence divergence arbiter locks)
declare -A e2e_takes=([partition]=400 [stop]=240 [posix]=200 [kill]=180 [postgres]=150 [coherence]=130 [divergence]=130 [arbiter]=130 [locks]=150 [hammer]=45)
declare -A e2e_begun=() e2e_running=()
suite_e2e() {
  local test name only=("$@") arguments limit
  plain_build || return
  modprobe fuse 2>/dev/null
  for name in "${E2E_FIRST[@]}" $(basename -a -s _test.sh tests/e2e/*_test.sh); do
    test=tests/e2e/${name}_test.sh
    [[ ${#only[@]} -eq 0 || " ${only[*]} " == *" $name "* ]] || continue
    [[ -z ${e2e_begun[$name]:-} ]] || continue
    e2e_begun[$name]=yes
    while [[ ${#e2e_running[@]} -ge ${E2E_JOBS:-2} ]]; do e2e_ends; done
    # The last ones may begin when there would be no time for sanitizers any more.
    time_left $((${e2e_takes[$name]:-75} - 510)) || { no_time "$name" "e2e:$name"; continue; }
    arguments=() limit=900
    if [[ $name == kill ]]; then arguments=("${KILL_TIMES:-5}") limit=$((300 + 60 * ${KILL_TIMES:-5})); fi
    {
      run_one e2e "$name" "$limit" "$test" "${arguments[@]}"
      echo "$STATUS $TOOK" >"$LOGS/e2e-$name.ended"
    } &
    e2e_running[$!]=$name
  done
  while [[ ${#e2e_running[@]} -gt 0 ]]; do e2e_ends; done
}
# Waits for one of those that run, and counts it.
e2e_ends() {
  local ended name
  wait -n -p ended "${!e2e_running[@]}"
  name=${e2e_running[$ended]}
  unset "e2e_running[$ended]"
  LOG=$LOGS/e2e-$name.log STATUS=1 TOOK=0
  read -r STATUS TOOK <"$LOGS/e2e-$name.ended"
  rm -f "$LOGS/e2e-$name.ended"
  one_case e2e "$name"
}

# suite NAME FUNCTION...: a heading, the suite, and a failure if nothing was run
suite() {
  local before=$((passed + failed + skipped)) was_passed=$passed was_failed=$failed was_skipped=$skipped start=$SECONDS name=$1
  shift
  echo "== $name"
  "$@"
  if [[ $((passed + failed + skipped)) -eq $before ]]; then
    echo "  FAILED   nothing was run"
    note_failure "$name" all "nothing was run"
  fi
  printf '   %s: %d passed, %d failed, %d skipped in %d s\n' "$name" $((passed - was_passed)) $((failed - was_failed)) \
    $((skipped - was_skipped)) $((SECONDS - start))
}

only_e2e=()
suites=()
for argument in "$@"; do
  case $argument in
    quick) suites+=(unit checks model) ;;
    unit | asan | fuzz | checks | model | sim | planted | e2e) suites+=("$argument") ;;
    e2e:*)
      [[ -f tests/e2e/${argument#e2e:}_test.sh ]] || { echo "no test tests/e2e/${argument#e2e:}_test.sh" >&2; exit 2; }
      only_e2e+=("${argument#e2e:}")
      [[ " ${suites[*]:-} " == *" e2e "* ]] || suites+=(e2e)
      ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
done
[[ ${#suites[@]} -gt 0 ]] || suites=(checks unit model sim planted e2e asan fuzz)

install_packages build test
mkdir -p "$LOGS"
for name in "${suites[@]}"; do
  if [[ $name == e2e ]]; then suite e2e suite_e2e "${only_e2e[@]}"; else suite "$name" "suite_$name"; fi
done
[[ ${#failures[@]} -eq 0 ]] || printf 'FAILED: %s\n' "${failures[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 ]]
