#!/usr/bin/env python3
"""append_lines.py EAST WEST LINES [PROCESSES]: processes at both sites append LINES lines to one file at the same time, one write a line.

In the end each line is there once and whole, at both sites, and those of one process are in their order."""
import multiprocessing
import os
import sys
import time

mounts, lines = sys.argv[1:3], int(sys.argv[3])
processes = int(sys.argv[4]) if len(sys.argv) > 4 else 2
each = lines // (2 * processes)


def append(path, who):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for n in range(each):
        line = b"%d %d %s\n" % (who, n, b"." * (n % 50))
        if os.write(fd, line) != len(line):
            sys.exit("a short write")
    os.close(fd)


name = f"lines-{os.getpid()}"
with open(os.path.join(mounts[0], name), "x"):
    pass
began = time.monotonic()
workers = [multiprocessing.Process(target=append, args=(os.path.join(mounts[who % 2], name), who)) for who in range(2 * processes)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
if any(worker.exitcode for worker in workers):
    sys.exit("a process failed")
took = time.monotonic() - began
for mount in mounts:
    following = [0] * len(workers)
    with open(os.path.join(mount, name), "rb") as file:
        for at, line in enumerate(file):
            fields = line.split(b" ")
            if len(fields) != 3 or int(fields[1]) != following[int(fields[0])] or fields[2] != b"." * (int(fields[1]) % 50) + b"\n":
                sys.exit(f"{mount}: line {at} is not what comes next: {line[:80]!r}")
            following[int(fields[0])] += 1
    if following != [each] * len(workers):
        sys.exit(f"{mount}: lines are lost: {following}, {each} each were written")
print(f"{each * len(workers)} lines, none lost, {each * len(workers) / took:.0f} a second")
