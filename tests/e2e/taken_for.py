#!/usr/bin/env python3
"""taken_for.py EAST WEST ROUNDS: one site exchanges what two names stand for, while the other one removes, moves or replaces one of them.

Whatever the order, afterwards both sites see the same object under each name, with as many links, and a directory that is there can be worked in
at both: none is taken for the one that was removed."""
import ctypes
import errno
import multiprocessing
import os
import random
import sys
import time

EXCHANGE = 2
libc = ctypes.CDLL(None, use_errno=True)
RACED = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)


def exchange(a, b):
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), a)


def at(moment, what, results):
    while time.monotonic() < moment:
        pass
    try:
        what()
        results.append(0)
    except OSError as error:
        results.append(error.errno)


def worker(pipe):
    """Calls of one site, in a process of their own: (moment, what, paths)."""
    calls = {"exchange": exchange, "rmdir": os.rmdir, "unlink": os.unlink, "rename": os.rename}
    while True:
        asked = pipe.recv()
        if asked is None:
            return
        moment, what, paths = asked
        results = []
        at(moment, lambda: calls[what](*paths), results)
        pipe.send(results[0])


looked_again = 0


def look(path):
    """A directory that was just moved elsewhere can't always be put there at once: its kernel says ESTALE then (lockstep-internals(7)). Counted."""
    global looked_again
    for _ in range(100):
        try:
            return os.lstat(path)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            looked_again += 1
    sys.exit(f"{path}: ESTALE again and again")


def stand(top):
    """What each name stands for, and how many links that has; works in every directory."""
    found = {}
    for folder in ("a", "b"):
        for name in sorted(os.listdir(f"{top}/{folder}")):
            path = f"{top}/{folder}/{name}"
            try:
                st = look(path)
            except FileNotFoundError:
                sys.exit(f"{path} is listed and not there")
            found[f"{folder}/{name}"] = (st.st_ino, st.st_mode, st.st_nlink)
            if os.path.isdir(path):
                os.mkdir(path + "/probe")
                os.rmdir(path + "/probe")
    return found


def main():
    tops, rounds = [os.path.join(m, "taken") for m in sys.argv[1:3]], int(sys.argv[3])
    rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    pipes = []
    for _ in tops:
        here, there = multiprocessing.Pipe()
        multiprocessing.Process(target=worker, args=(there,), daemon=True).start()
        pipes.append(here)
    raced, done = 0, 0
    for number in range(rounds):
        first, second = tops if number % 2 else tops[::-1]
        for folder in ("a", "b"):
            os.makedirs(f"{first}/{folder}", exist_ok=True)
        directories = rng.random() < 0.6
        for path in ("a/z", "b/y"):
            if directories:
                os.mkdir(f"{first}/{path}")
            else:
                open(f"{first}/{path}", "x").close()
                os.link(f"{first}/{path}", f"{first}/{path}.too")
        what = rng.choice(("rmdir" if directories else "unlink", "rename", "replace"))
        paths = [f"{second}/b/y"]
        if what == "rename":
            paths.append(f"{second}/b/w")
        if what == "replace":
            os.mkdir(f"{first}/b/v") if directories else open(f"{first}/b/v", "x").close()
            paths = [f"{second}/b/v", f"{second}/b/y"]
        stand(second)
        held = [os.open(f"{second}/{path}", os.O_RDONLY) for path in ("a/z", "b/y")]  # so that its kernel does not forget them
        now = time.monotonic() + 0.0005
        pipes[tops.index(first)].send((now, "exchange", (f"{first}/a/z", f"{first}/b/y")))
        pipes[tops.index(second)].send((now + rng.uniform(-0.0004, 0.0012), what if what != "replace" else "rename", paths))
        said = [pipe.recv() for pipe in pipes]
        done += not any(said)
        raced += any(said)
        for error in said:
            if error and error not in RACED:
                sys.exit(f"round {number}, {what}: {os.strerror(error)}")
        there, here = stand(second), stand(first)
        if there != here:
            sys.exit(f"round {number}, {what}: the sites see different objects: {sorted(set(there.items()) ^ set(here.items()))}")
        for fd in held:
            os.close(fd)
        for path in here:
            (os.rmdir if directories else os.unlink)(f"{first}/{path}")
    for pipe in pipes:
        pipe.send(None)
    print(f"{rounds} rounds, in {done} of them both calls did what they were told, in {raced} one came too late; {looked_again} times ESTALE of a directory that had just moved")
    if looked_again > rounds // 20:
        sys.exit("that is too often")


main()
