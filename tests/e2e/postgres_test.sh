#!/usr/bin/env bash
# PostgreSQL on the volume: worked with at one site, stopped, opened at the other one, and back; a kill -9 of the server at one site and
# its recovery at the other; a switchover and the death of the secondary's daemon while it works. No transaction that was reported is
# lost or there twice, no error reaches the database, its own checks find nothing. DURATION: seconds of each run of pgbench.
. "$(dirname "$0")/lib.sh"
DURATION=${DURATION:-2}
AREA_SIZE=768MiB two_sites
chmod 711 "$T" # the database runs as another user
BIN=$(pg_config --bindir 2>/dev/null || dirname "$(find /usr/lib/postgresql -name initdb | sort -V | tail -n 1)")
[[ -x $BIN/initdb ]] || fail "there is no PostgreSQL"
DB_USER=postgres
install -d -o $DB_USER "$T"/sockets-{east,west} "$T/db-logs"
mkdir "$E/db"
chown $DB_USER "$E/db"
done_count=0 # transactions that pgbench reported

as_db() { (cd / && timeout "${DB_LIMIT:-60}" runuser -u $DB_USER -- "$@"); }
sql() { as_db "$BIN/psql" -XAtq -v ON_ERROR_STOP=1 -h "$SOCKETS" -d postgres -c "$1"; }
# start_db SITE: waits until it takes connections; after a kill that is when it has recovered
start_db() {
  SOCKETS=$T/sockets-$1
  as_db "$BIN/pg_ctl" start -w -s -D "$T/$1/db" -l "$T/db-logs/$1" -o "-k $SOCKETS" </dev/null ||
    fail "the database does not start at $1: $(tail -n 20 "$T/db-logs/$1")"
}
stop_db() { as_db "$BIN/pg_ctl" stop -w -s -m fast -D "$T/$1/db" || fail "the database does not stop at $1: $(tail -n 20 "$T/db-logs/$1")"; }
server_of() { head -n 1 "$T/$1/db/postmaster.pid"; }

pgbench() { as_db "$BIN/pgbench" -h "$SOCKETS" "$@" postgres; }
# begin_load SECONDS, end_load: pgbench beside what stands between; count_load reads what it says
begin_load() {
  pgbench -n -c 4 -T "$1" >"$T/pgbench" 2>&1 &
  LOAD=$!
  HELPERS+=("$LOAD")
}
end_load() {
  wait "$LOAD" || fail "pgbench failed: $(tail -n 5 "$T/pgbench")"
  count_load
}
count_load() {
  local count
  count=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$T/pgbench")
  [[ $count -gt 0 ]] || fail "pgbench made no transaction: $(cat "$T/pgbench")"
  grep -q '^number of failed transactions: 0 ' "$T/pgbench" || fail "transactions failed: $(cat "$T/pgbench")"
  done_count=$((done_count + count))
  step "  $(sed -n 's/^tps = \([0-9]*\).*/\1 transactions a second/p' "$T/pgbench")"
}

# check_db [COUNT]: each transaction adds one number in three tables and a row: all sums are the same, the rows are those reported
check_db() {
  same "$(sql 'select count(*) from pgbench_history')" "$done_count" "transactions there and transactions reported"
  check_sums
}
check_sums() {
  same "$(sql 'select count(distinct s) from (select sum(abalance) s from pgbench_accounts union all select sum(bbalance) from pgbench_branches
    union all select sum(tbalance) from pgbench_tellers union all select sum(delta) from pgbench_history) as sums')" 1 "different sums of balances"
  as_db "$BIN/pg_amcheck" --install-missing --heapallindexed --parent-check -h "$SOCKETS" -d postgres >"$T/amcheck" 2>&1 ||
    fail "pg_amcheck: $(head -n 20 "$T/amcheck")"
}
# Pages have checksums; of a database that was stopped.
check_pages() { as_db "$BIN/pg_checksums" --check -D "$T/$1/db" >"$T/checksums" 2>&1 || fail "pg_checksums at $1: $(tail -n 5 "$T/checksums")"; }
check_log() {
  if grep -hE '(ERROR|PANIC|FATAL|WARNING):' "$T"/db-logs/* | grep -vE "$1" >&2; then fail "the database had errors"; fi
}

step "initdb at east, work, stop"
as_db "$BIN/initdb" -D "$E/db" --data-checksums -A trust >"$T/initdb" 2>&1 || fail "initdb: $(tail -n 20 "$T/initdb")"
cat >>"$E/db/postgresql.conf" <<END
listen_addresses = ''
shared_buffers = 8MB
max_wal_size = 64MB
min_wal_size = 32MB
checkpoint_timeout = 30s
END
start_db east
pgbench -i -q >"$T/pgbench-init" 2>&1 || fail "pgbench -i: $(cat "$T/pgbench-init")"
begin_load "$DURATION"
end_load
check_db
stop_db east

step "the same at west, and back at east"
for site in west east; do
  check_pages $site
  start_db $site
  check_db
  begin_load "$DURATION"
  end_load
  check_db
  stop_db $site
done

step "west is the primary and back again while east works"
start_db east
begin_load $((DURATION + 4))
lockstep_at west switchover >/dev/null
wait_in_sync
lockstep_at east switchover >/dev/null
wait_in_sync
end_load
check_db

step "the daemon of west is killed while east works, and comes back"
begin_load $((DURATION + 12))
kill_site west
wait_for_state east alone
start_site west
wait_in_sync
end_load
check_db
check_log '^$'

step "the server is killed at east and recovers at west"
begin_load 600
has_rows() { [[ $(sql 'select count(*) from pgbench_history') -gt $((done_count + 300)) ]]; }
wait_until 60 has_rows || fail "the load makes no progress"
killed=$(server_of east)
mapfile -t children < <(pgrep -P "$killed")
kill -9 "$killed"
for pid in "$killed" "${children[@]}"; do wait_until 30 pid_has_ended "$pid" || fail "process $pid of the killed server goes on"; done
wait "$LOAD" 2>/dev/null || true
rm "$W/db/postmaster.pid" # names a process of "another machine"
start_db west
grep -q 'database system was not properly shut down' "$T/db-logs/west" || fail "there was nothing to recover"
[[ $(sql 'select count(*) from pgbench_history') -ge $((done_count + 300)) ]] || fail "transactions that were seen are lost"
check_sums
stop_db west
check_pages east
rm -rf "$W/db"
finish
