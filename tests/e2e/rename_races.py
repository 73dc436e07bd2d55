#!/usr/bin/env python3
"""rename_races.py EAST WEST SECONDS [SEED]: both sides make, rename, exchange, link and remove the same few names, files and directories.

Each call may fail with what POSIX allows for a name that another one changed; anything else, or a call that hangs, fails. In the end both
sides list the same, every file can be opened, and link counts are right. A counter file is renamed around: exactly one of it remains."""
import ctypes
import errno
import multiprocessing
import os
import random
import stat
import sys
import time

ALLOWED = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ESTALE, errno.EPERM}
NOREPLACE, EXCHANGE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


def rename2(a, b, flags):
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), a)


def race(top, seed, seconds, results):
    rng, end = random.Random(seed), time.monotonic() + seconds
    folders = [top, top + "/d0", top + "/d1", top + "/d0/e"]
    done, refused = 0, 0

    def name():
        return rng.choice(folders) + f"/n{rng.randrange(5)}"

    while time.monotonic() < end:
        try:
            what = rng.randrange(10)
            if what == 0:
                with open(name(), "x") as f:
                    f.write("x" * rng.randrange(100))
            elif what == 1:
                os.mkdir(name())
            elif what == 2:
                os.unlink(name())
            elif what == 3:
                os.rmdir(name())
            elif what == 4:
                rename2(name(), name(), NOREPLACE)
            elif what == 5:
                rename2(name(), name(), EXCHANGE)
            elif what == 6:
                os.link(name(), name())
            elif what == 7:
                os.symlink("n0", name())
            elif what == 8:
                os.listdir(rng.choice(folders))
            else:
                os.rename(name(), name())
            done += 1
        except OSError as error:
            if error.errno not in ALLOWED:
                results.put(f"{top}: {error} is not allowed here")
                return
            refused += 1
    results.put((done, refused))


def pass_on(top, seed, seconds, results):
    """Renames the one token from whatever name it has to another."""
    rng, end = random.Random(seed), time.monotonic() + seconds
    done, refused = 0, 0
    while time.monotonic() < end:
        try:
            os.rename(f"{top}/token-{rng.randrange(4)}", f"{top}/token-{rng.randrange(4)}")
            done += 1
        except FileNotFoundError:
            refused += 1
    results.put((done, refused))


def listing(top):
    found, links = [], {}
    for folder, folders, files in os.walk(top):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            found.append((os.path.relpath(path, top), stat.S_IFMT(st.st_mode), st.st_size if stat.S_ISREG(st.st_mode) else 0, st.st_nlink))
            if stat.S_ISREG(st.st_mode):
                links.setdefault((st.st_ino, st.st_nlink), []).append(path)
                open(path, "rb").close()
    for (inode, count), paths in links.items():
        if count != len(paths):
            sys.exit(f"{paths[0]}: link count {count}, but {len(paths)} names")
    return sorted(found)


def main():
    mounts, seconds = sys.argv[1:3], float(sys.argv[3])
    base = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    tops = [os.path.join(m, "races") for m in mounts]
    os.makedirs(tops[0] + "/d0/e")
    os.makedirs(tops[0] + "/d1")
    with open(tops[0] + "/token-0", "w") as f:
        f.write("the one")
    results, jobs = multiprocessing.Queue(), []
    for n in range(3):
        for side, top in enumerate(tops):
            jobs.append(multiprocessing.Process(target=race, args=(top, base + n * 2 + side, seconds, results)))
    for side, top in enumerate(tops):
        jobs.append(multiprocessing.Process(target=pass_on, args=(top, base + 50 + side, seconds, results)))
    for job in jobs:
        job.start()
    told = [results.get(timeout=seconds + 60) for _ in jobs]
    for job in jobs:
        job.join()
    for text in told:
        if isinstance(text, str):
            sys.exit(text)
    first, second = listing(tops[0]), listing(tops[1])
    if first != second:
        sys.exit(f"the sites differ: {sorted(set(first) ^ set(second))[:10]}")
    tokens = [n for n, *_ in first if n.startswith("token-")]
    if len(tokens) != 1 or open(os.path.join(tops[1], tokens[0])).read() != "the one":
        sys.exit(f"the one token is now {tokens}")
    print(f"{sum(d for d, _ in told)} calls done, {sum(r for _, r in told)} refused as they may; {len(first)} names, the same at both sites")


main()
