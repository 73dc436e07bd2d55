#!/usr/bin/env bash
# What must be refused, with what it says: a used area, a second daemon, wrong configurations, another volume, sites that disagree.
. "$(dirname "$0")/lib.sh"
two_sites
echo precious >"$E/file"

step "an area in use"
expect_error 'lock|in use|lockstepd|another process' lockstep_at east format --force
expect_error 'lock|in use|another process' timeout 20 "$LOCKSTEPD" --config "$CONFIG" --site east
same "$(cat "$W/file")" precious "after a second daemon was refused"
wait_in_sync

step "mistakes in the configuration: file, line, key, what is allowed"
# wrong PATTERN SED-SCRIPT: the configuration changed by the script is refused and PATTERN is said
wrong() {
  sed -E "$2" "$CONFIG" >"$T/wrong.toml"
  ! cmp -s "$CONFIG" "$T/wrong.toml" || fail "sed $2 changes nothing"
  expect_error "$1" "$LOCKSTEP" --config "$T/wrong.toml" config check
  local status=0
  "$LOCKSTEP" --config "$T/wrong.toml" config check >/dev/null 2>&1 || status=$?
  same $status 1 "exit status of config check"
  expect_error "$1" timeout 20 "$LOCKSTEPD" --config "$T/wrong.toml" --site east
}
wrong 'wrong\.toml:4.*primari' 's/^primary = /primari = /'
wrong 'wrong\.toml:[0-9]+.*limits\.log.*(KiB|unit)' 's/^log = .*/log = "16MB"/'
wrong 'wrong\.toml:[0-9]+.*limits\.area' 's/^area = "[0-9]+MiB"/area = 17/'
wrong 'wrong\.toml:[0-9]+.*primary' 's/^primary = .*/primary = "north"/'
wrong 'wrong\.toml:[0-9]+.*address' "s/^(address = \"127.0.0.1:)$((PORT + 1))/\\1$PORT/"
wrong 'wrong\.toml:[0-9]+.*log_level' 's/^log_level = .*/log_level = "loud"/'
wrong 'wrong\.toml:[0-9]+' 's/^\[limits\]/[limits/'
expect_error 'no-such' "$LOCKSTEP" --config "$T/no-such.toml" config check
expect_error 'east.*west' lockstep_at north status
expect_error 'east.*west' env -u LOCKSTEP_SITE "$LOCKSTEP" --config "$CONFIG" status
sed 's/east\.sock/nobody.sock/' "$CONFIG" >"$T/nobody.toml"
expect_error 'no lockstepd answers' "$LOCKSTEP" --config "$T/nobody.toml" --site east status
"$LOCKSTEP" --config "$CONFIG" config check >/dev/null || fail "the right configuration has mistakes"
LOCKSTEP_CONFIG=$CONFIG LOCKSTEP_SITE=west "$LOCKSTEP" status >/dev/null || fail "LOCKSTEP_CONFIG and LOCKSTEP_SITE are not heeded"

step "sites whose files differ where they must not"
stop_sites west
sed -E 's/^log_level = .*/&\nack = "stable"/' "$CONFIG" >"$T/other.toml"
start_site west "$T/other.toml"
says() { grep -qE "$2" "$T/$1.log"; }
wait_until 20 says west 'ack' || fail "west does not say that options.ack differs"
wait_until 20 says east 'ack' || fail "east does not say that options.ack differs"
! in_state west in-sync || fail "sites with different settings are in sync"
kill_site west

step "an area of another volume"
OTHER=$(cat /proc/sys/kernel/random/uuid)
sed "s/$VOLUME_ID/$OTHER/" "$CONFIG" >"$T/other.toml"
expect_error 'volume' timeout 20 "$LOCKSTEPD" --config "$T/other.toml" --site west
take_mount_away "$W"

step "a peer of another volume"
sed "s/$VOLUME_ID/$OTHER/; s#area-west#area-foreign#" "$CONFIG" >"$T/other.toml"
"$LOCKSTEP" --config "$T/other.toml" --site west format >/dev/null
start_site west "$T/other.toml"
wait_until 20 says east 'volume' || fail "east does not say that the peer is of another volume"
! in_state west in-sync || fail "sites of two volumes are in sync"
kill_site west

step "a used area is not formatted without --force"
expect_error '--force' lockstep_at west format

step "the right one comes back"
start_site west
wait_in_sync
same "$(cat "$W/file")" precious "after everything that was refused"
finish
