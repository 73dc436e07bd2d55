#!/usr/bin/env python3
"""posix_races.py HERE THERE: of what both sites do at once exactly one wins, and appends lose no byte."""
import errno
import os
import threading

from posix_lib import case, equal, get, main, must, put

ROUNDS = 60


def race(*functions):
    """Runs them in threads that start together; the errno of each, 0 for success."""
    barrier = threading.Barrier(len(functions))
    results = [None] * len(functions)

    def run(i):
        barrier.wait()
        try:
            functions[i]()
            results[i] = 0
        except OSError as error:
            results[i] = error.errno
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def one_wins(results, *losers):
    equal(sorted(r == 0 for r in results), [False] * (len(results) - 1) + [True], f"winners among {results}")
    for r in results:
        must(r == 0 or r in losers, f"the loser got {errno.errorcode.get(r, r)}")


def same_listing(here, there):
    equal(sorted(os.listdir(here)), sorted(os.listdir(there)), "listings")


@case
def exclusive_creation(here, there):
    for i in range(ROUNDS):
        def create(d):
            os.close(os.open(os.path.join(d, f"f{i}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        one_wins(race(lambda: create(here), lambda: create(there), lambda: create(here), lambda: create(there)), errno.EEXIST)
    same_listing(here, there)


@case
def directories_links_and_symlinks(here, there):
    put(os.path.join(here, "target"))
    for i in range(ROUNDS):
        one_wins(race(*(lambda d=d: os.mkdir(os.path.join(d, f"d{i}")) for d in (here, there))), errno.EEXIST)
        one_wins(race(*(lambda d=d: os.link(os.path.join(d, "target"), os.path.join(d, f"l{i}")) for d in (here, there))), errno.EEXIST)
        one_wins(race(*(lambda d=d: os.symlink("target", os.path.join(d, f"s{i}")) for d in (here, there))), errno.EEXIST)
        one_wins(race(*(lambda d=d: os.mkfifo(os.path.join(d, f"p{i}")) for d in (here, there))), errno.EEXIST)
    equal(os.stat(os.path.join(there, "target")).st_nlink, ROUNDS + 1)
    same_listing(here, there)


@case
def removals(here, there):
    for i in range(ROUNDS):
        put(os.path.join(here, f"f{i}"))
        os.mkdir(os.path.join(here, f"d{i}"))
        one_wins(race(*(lambda d=d: os.unlink(os.path.join(d, f"f{i}")) for d in (here, there))), errno.ENOENT)
        one_wins(race(*(lambda d=d: os.rmdir(os.path.join(d, f"d{i}")) for d in (here, there))), errno.ENOENT)
    equal(os.listdir(there), [])


@case
def a_name_is_renamed_once(here, there):
    for i in range(ROUNDS):
        put(os.path.join(here, f"f{i}"), b"x")
        one_wins(race(lambda: os.rename(os.path.join(here, f"f{i}"), os.path.join(here, f"h{i}")),
                      lambda: os.rename(os.path.join(there, f"f{i}"), os.path.join(there, f"t{i}"))), errno.ENOENT)
    equal(len(os.listdir(here)), ROUNDS)
    same_listing(here, there)


@case
def a_name_is_taken_by_one_rename(here, there):
    from posix_lib import call
    for i in range(ROUNDS):
        put(os.path.join(here, f"a{i}"), b"a")
        put(os.path.join(here, f"b{i}"), b"b")
        one_wins(race(lambda: call("renameat2", -100, os.path.join(here, f"a{i}"), -100, os.path.join(here, f"c{i}"), 1),
                      lambda: call("renameat2", -100, os.path.join(there, f"b{i}"), -100, os.path.join(there, f"c{i}"), 1)), errno.EEXIST)
        equal(get(os.path.join(here, f"c{i}")), get(os.path.join(there, f"c{i}")))
    same_listing(here, there)


@case
def directories_do_not_become_each_others_parents(here, there):
    for i in range(ROUNDS // 2):
        for n in "ab":
            os.mkdir(os.path.join(here, f"{n}{i}"))
        results = race(lambda: os.rename(os.path.join(here, f"a{i}"), os.path.join(here, f"b{i}", "a")),
                       lambda: os.rename(os.path.join(there, f"b{i}"), os.path.join(there, f"a{i}", "b")))
        one_wins(results, errno.EINVAL, errno.ENOENT)
        equal(len([n for n in os.listdir(there) if n.endswith(f"{i}") and n[1:] == str(i)]), 1, "one is left at the top")
    same_listing(here, there)


@case
def appends_of_both_lose_no_byte(here, there):
    lines, writers = 400, 3

    def append(d, who):
        fd = os.open(os.path.join(d, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for i in range(lines):
            text = f"{who}:{i:05}:{'x' * (i % 90)}\n".encode()
            must(os.write(fd, text) == len(text), "short write")
        os.close(fd)
    results = race(*(lambda d=d, w=f"{n}{w}": append(d, w) for n, d in (("h", here), ("t", there)) for w in range(writers)))
    equal(results, [0] * 2 * writers)
    found = get(os.path.join(here, "log"))
    equal(found == get(os.path.join(there, "log")), True, "both read the same")
    by = {}
    for line in found.decode().splitlines():
        who, i, rest = line.split(":")
        equal(len(rest), int(i) % 90, "a line was torn")
        by.setdefault(who, []).append(int(i))
    equal(by, {f"{n}{w}": list(range(lines)) for n in "ht" for w in range(writers)}, "lines in their order")


@case
def a_link_to_what_is_being_removed(here, there):
    for i in range(ROUNDS):
        put(os.path.join(here, f"f{i}"))
        results = race(lambda: os.unlink(os.path.join(here, f"f{i}")),
                       lambda: os.link(os.path.join(there, f"f{i}"), os.path.join(there, f"l{i}")))
        equal(results[0], 0)
        must(results[1] in (0, errno.ENOENT), f"{results}")
        equal(os.path.exists(os.path.join(here, f"l{i}")), results[1] == 0)
    same_listing(here, there)


@case
def a_name_in_a_directory_that_is_being_removed(here, there):
    for i in range(ROUNDS):
        os.mkdir(os.path.join(here, f"d{i}"))
        results = race(lambda: os.rmdir(os.path.join(here, f"d{i}")), lambda: put(os.path.join(there, f"d{i}", "file")))
        must(sorted(results) in ([0, errno.ENOENT], [0, errno.ENOTEMPTY]), f"{results}")
        equal(os.path.exists(os.path.join(there, f"d{i}")), results[1] == 0)


main()
