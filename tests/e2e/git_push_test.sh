#!/usr/bin/env bash
# Pushes from clones at both sites to one bare repository on the volume at the same time: to a branch of their own each, and to one that all
# contend for, with retries as people do. Every commit that was pushed is there, once, at both sites; git fsck finds nothing.
# PUSHES: pushes of each clone to each of its two branches.
. "$(dirname "$0")/lib.sh"
two_sites
PUSHES=${PUSHES:-4}
export GIT_CONFIG_GLOBAL=$T/gitconfig GIT_CONFIG_NOSYSTEM=1
git config --global user.name Test
git config --global user.email test@example.org
git config --global safe.directory '*'
git config --global init.defaultBranch main
git config --global advice.detachedHead false

git init -q --bare "$E/shared.git"
git -C "$E/shared.git" config receive.fsckObjects true
git clone -q "$E/shared.git" "$T/first" 2>/dev/null
cp "$E2E"/*.py "$T/first"
git -C "$T/first" add -A
git -C "$T/first" commit -qm first
git -C "$T/first" push -q origin main

# commit_file CLONE TEXT: one commit with a file of its own
commit_file() {
  echo "$2" >"$1/$2"
  git -C "$1" add "$2"
  git -C "$1" commit -qm "$2"
}

# developer SITE MOUNT NAME: what one does who works in a clone at SITE; the clone is on the volume, too
developer() {
  local mount=$2 name=$1-$3 n try clone
  clone=$mount/clone-$name
  git clone -q "$mount/shared.git" "$clone"
  for ((n = 1; n <= PUSHES; n++)); do
    git -C "$clone" checkout -q -B "own-$name" "$([[ $n -eq 1 ]] && echo origin/main || echo "own-$name")"
    commit_file "$clone" "own-$name-$n"
    git -C "$clone" push -q origin "own-$name" || { echo "push of own-$name-$n"; return 1; }
    git -C "$clone" checkout -q main
    commit_file "$clone" "contended-$name-$n"
    for ((try = 1; ; try++)); do
      git -C "$clone" push -q origin main 2>"$T/push-$name" && break
      # Somebody was faster, or is just there: nothing else may be wrong.
      grep -qE 'rejected|cannot lock ref|failed to update ref' "$T/push-$name" || { cat "$T/push-$name"; return 1; }
      ((try < 200)) || { echo "main could not be pushed $try times: $(cat "$T/push-$name")"; return 1; }
      git -C "$clone" pull -q --rebase origin main
    done
  done
  git -C "$clone" fsck --full --strict >"$T/fsck-$name" 2>&1 || { cat "$T/fsck-$name"; return 1; }
}
developers() {
  local n pids=() pid
  for n in 1 2; do
    developer "$1" "$2" $n &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
}

step "two clones at each site push to their own branches and to one that all contend for"
at_both 280 developers

step "what was pushed is there, at both sites"
for mount in "$E" "$W"; do
  repository=$mount/shared.git
  out=$(git -C "$repository" fsck --full --strict 2>&1) || fail "git fsck at $mount: $out"
  same "$(git -C "$repository" rev-list --count main)" $((1 + 4 * PUSHES)) "commits of main at $mount"
  for site in east west; do
    for n in 1 2; do
      same "$(git -C "$repository" log --format=%s "own-$site-$n" | grep -c "^own-$site-$n-")" "$PUSHES" "commits of own-$site-$n at $mount"
      for ((i = 1; i <= PUSHES; i++)); do
        same "$(git -C "$repository" show "main:contended-$site-$n-$i")" "contended-$site-$n-$i" "a file of main at $mount"
      done
    done
  done
  same "$(find "$repository" -name '*.lock' -o -name 'tmp_*' | wc -l)" 0 "files that are left behind at $mount"
done

step "gc at one site, a clone at the other"
git -C "$E/shared.git" gc -q --prune=now
git clone -q "$W/shared.git" "$T/last"
same "$(git -C "$T/last" rev-list --count main)" $((1 + 4 * PUSHES)) "commits in a new clone"
out=$(git -C "$W/shared.git" fsck --full --strict 2>&1) || fail "git fsck after gc: $out"
finish
