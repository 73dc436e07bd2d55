#!/usr/bin/env bash
# tar, cp -a, rsync, git, sqlite and make, at both sites at the same time; content and metadata as in the original, at both.
. "$(dirname "$0")/lib.sh"
AREA_SIZE=768MiB two_sites

python3 "$E2E/make_tree.py" "$T/tree" 7
git init -q -b main "$T/repository"
git -C "$T/repository" config user.email test@example.org
git -C "$T/repository" config user.name Test
cp -a "$LOCKSTEP_SOURCE/src" "$T/repository/src"
git -C "$T/repository" add -A
git -C "$T/repository" commit -qm first

# project DIR: a C program of some files with a Makefile
project() {
  mkdir -p "$1"
  local i
  for i in $(seq 40); do printf 'int f%d(int x) { return x + %d; }\n' "$i" "$i" >"$1/f$i.c"; done
  { for i in $(seq 40); do printf 'int f%d(int);\n' "$i"; done
    echo '#include <stdio.h>'
    echo 'int main(void) { int x = 0;'
    for i in $(seq 40); do printf 'x = f%d(x);\n' "$i"; done
    echo 'printf("%d\n", x); return 0; }'; } >"$1/main.c"
  printf 'OBJECTS = $(patsubst %%.c,%%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\tcc -o $@ $^\nclean:\n\trm -f *.o program\n' >"$1/Makefile"
}

# work MOUNT: everything a developer does, in a folder of its own
work() (
  set -euo pipefail
  mount=$1
  mine=$mount/work-$(basename "$mount")
  mkdir "$mine"
  cp -a "$T/tree" "$mine/cp"
  mkdir "$mine/tar"
  tar -C "$T/tree" --xattrs -cf - . | tar -C "$mine/tar" --xattrs --xattrs-include='user.*' -xpf -
  rsync -aHX "$T/tree/" "$mine/rsync/"
  rsync -aHX --checksum --itemize-changes "$T/tree/" "$mine/rsync/" >"$T/rsync-again.$(basename "$mount")"
  git clone -q "$T/repository" "$mine/git"
  cd "$mine/git"
  git config user.email test@example.org
  git config user.name Test
  for i in $(seq 5); do
    echo "line $i" >>"change-$i"
    git add -A
    git commit -qm "change $i"
  done
  git gc -q
  git fsck --full --strict >/dev/null
  cd /
  sqlite3 "$mine/base.db" 'create table t(a integer primary key, b text);'
  for i in $(seq 20); do
    sqlite3 "$mine/base.db" "begin; with recursive n(i) as (select 1 union all select i+1 from n where i < 500)
      insert into t(b) select 'row $i ' || i from n; commit;"
  done
  sqlite3 "$mine/base.db" 'delete from t where a % 3 = 0; vacuum;'
  project "$mine/project"
  make -s -j2 -C "$mine/project"
  "$mine/project/program" >"$mine/project/output"
)

step "both sites work at once"
work "$E" >"$T/work-east.out" 2>&1 & east_work=$!
work "$W" >"$T/work-west.out" 2>&1 & west_work=$!
HELPERS+=("$east_work" "$west_work")
wait "$east_work" || { cat "$T/work-east.out" >&2; fail "the work at east failed"; }
wait "$west_work" || { cat "$T/work-west.out" >&2; fail "the work at west failed"; }

for site in east west; do
  step "what $site made, seen from both sites"
  here=work-$site
  python3 "$E2E/compare_trees.py" "$T/tree" "$E/$here/cp" "$W/$here/cp"
  python3 "$E2E/compare_trees.py" "$T/tree" "$E/$here/tar" "$W/$here/tar"
  python3 "$E2E/compare_trees.py" "$T/tree" "$E/$here/rsync" "$W/$here/rsync"
  python3 "$E2E/compare_trees.py" "$E/$here" "$W/$here"
  [[ ! -s $T/rsync-again.$site ]] || fail "rsync found differences behind itself: $(head -n 3 "$T/rsync-again.$site")"
  for mount in "$E" "$W"; do
    git -C "$mount/$here/git" -c safe.directory='*' fsck --full --strict >/dev/null || fail "git fsck at $mount"
    same "$(git -C "$mount/$here/git" -c safe.directory='*' rev-list --count HEAD)" 6 "commits"
    same "$(git -C "$mount/$here/git" -c safe.directory='*' status --porcelain)" "" "git status"
    same "$(sqlite3 "$mount/$here/base.db" 'pragma integrity_check; select count(*), sum(a) from t;')" \
      "$(sqlite3 "$E/$here/base.db" 'pragma integrity_check; select count(*), sum(a) from t;')" "sqlite"
    same "$(sqlite3 "$mount/$here/base.db" 'pragma integrity_check;')" ok "sqlite integrity"
    same "$(cat "$mount/$here/project/output")" 820 "output of the program"
    same "$("$mount/$here/project/program")" 820 "the program itself"
  done
done

step "one goes on where the other stopped"
make -s -C "$W/work-east/project" clean
make -s -C "$E/work-east/project"
same "$("$W/work-east/project/program")" 820 "program that east built again"
sqlite3 "$E/work-west/base.db" "insert into t(b) values('from east');"
same "$(sqlite3 "$W/work-west/base.db" "select count(*) from t where b = 'from east';")" 1 "row of the other site"

step "both remove"
rm -rf "$E/work-west" & first=$!
rm -rf "$W/work-east" || fail "rm -rf at west"
wait $first || fail "rm -rf at east"
same "$(ls -A "$E")$(ls -A "$W")" "" "what is left"
finish
