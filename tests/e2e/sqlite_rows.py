#!/usr/bin/env python3
"""Transactions of several processes in one sqlite base, and readers that look for halves of one.

  create BASE JOURNAL            tables, and the journal mode
  work BASE JOURNAL SITE ROWS    two processes that make ROWS transactions each, and one that reads meanwhile
  check BASE ROWS                so many transactions are there, each once and whole

A transaction adds a row for itself and two to another table that belong to it, and counts in a third one: a reader that finds different
numbers saw half of one."""
import multiprocessing
import sqlite3
import sys

WHOLE = """SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM parts), (SELECT SUM(amount) FROM parts), (SELECT done FROM total),
           (SELECT COUNT(DISTINCT writer || ':' || n) FROM orders)"""


def opened(path, journal=None):
    base = sqlite3.connect(path, timeout=120, isolation_level=None)
    if journal:
        mode = base.execute(f"PRAGMA journal_mode={journal}").fetchone()[0]
        assert mode == journal, mode
    return base


def whole(base):
    """The number of transactions; fails if one is there in part."""
    orders, parts, amount, done, distinct = base.execute(WHOLE).fetchone()
    if not (orders == done == distinct and parts == 2 * orders and (amount or 0) == 0):
        sys.exit(f"half of a transaction: {orders} orders, {distinct} different, {done} counted, {parts} parts, sum {amount}")
    return orders


def create(path, journal):
    base = opened(path, journal)
    base.executescript("""
        BEGIN;
        CREATE TABLE orders (writer TEXT, n INTEGER, text TEXT, PRIMARY KEY (writer, n));
        CREATE TABLE parts (writer TEXT, n INTEGER, amount INTEGER, padding BLOB, FOREIGN KEY (writer, n) REFERENCES orders);
        CREATE INDEX parts_by_order ON parts (writer, n);
        CREATE TABLE total (done INTEGER);
        INSERT INTO total VALUES (0);
        COMMIT;""")


def write(path, journal, writer, rows):
    base = opened(path, journal)
    for n in range(rows):
        base.execute("BEGIN IMMEDIATE")
        base.execute("INSERT INTO orders VALUES (?, ?, ?)", (writer, n, f"order {n} of {writer}"))
        for amount in n + 1, -n - 1:
            base.execute("INSERT INTO parts VALUES (?, ?, ?, randomblob(?))", (writer, n, amount, 100 + n * 37 % 3000))
        base.execute("UPDATE total SET done = done + 1")
        base.execute("COMMIT")
        if n % 10 == 0:  # what is taken back leaves nothing
            base.execute("BEGIN IMMEDIATE")
            base.execute("UPDATE total SET done = done + 1000")
            base.execute("DELETE FROM parts")
            base.execute("ROLLBACK")


def read(path, stop):
    base, seen, looks = opened(path), 0, 0
    while not stop.is_set():
        now = whole(base)
        if now < seen:
            sys.exit(f"{seen} transactions were there, and now {now}")
        seen, looks = now, looks + 1
        stop.wait(0.03)
    print(f"{looks} looks, {seen} transactions at the last")


def work(path, journal, site, rows):
    stop = multiprocessing.Event()
    reader = multiprocessing.Process(target=read, args=(path, stop))
    writers = [multiprocessing.Process(target=write, args=(path, journal, f"{site}-{n}", rows)) for n in range(2)]
    for process in [reader, *writers]:
        process.start()
    for process in writers:
        process.join()
    stop.set()
    reader.join()
    sys.exit(any(process.exitcode for process in [reader, *writers]))


def check(path, rows):
    there = whole(opened(path))
    if there != rows:
        sys.exit(f"{there} transactions are there, {rows} were made")


what, arguments = sys.argv[1], sys.argv[2:]
if what == "create":
    create(*arguments)
elif what == "work":
    work(arguments[0], arguments[1], arguments[2], int(arguments[3]))
elif what == "check":
    check(arguments[0], int(arguments[1]))
else:
    sys.exit(__doc__)
