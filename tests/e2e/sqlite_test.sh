#!/usr/bin/env bash
# sqlite, several writers and a reader at each site, with sqlite's own locks and each of its rollback journals: no row is lost or there
# twice, no reader sees half of a transaction, integrity_check finds nothing. (WAL is for one host: its index is shared memory, and sqlite
# says that it does not work over a network.) ROWS: transactions of each writer.
. "$(dirname "$0")/lib.sh"
two_sites
writers_and_reader() { timeout 250 python3 "$E2E/sqlite_rows.py" work "$2/base-$journal" "$journal" "$1" "${ROWS:-25}"; }

for journal in delete truncate persist; do
  step "two writers and a reader at each site, journal_mode=$journal"
  python3 "$E2E/sqlite_rows.py" create "$E/base-$journal" "$journal"
  at_both 260 writers_and_reader
  for mount in "$E" "$W"; do
    python3 "$E2E/sqlite_rows.py" check "$mount/base-$journal" "$((4 * ${ROWS:-25}))" || fail "the base is wrong at $mount"
    same "$(sqlite3 "$mount/base-$journal" 'pragma integrity_check; pragma foreign_key_check;')" ok "sqlite3 at $mount"
  done
  same "$(sha256sum <"$E/base-$journal")" "$(sha256sum <"$W/base-$journal")" "the file at both sites"
done
finish
