#!/usr/bin/env python3
"""working_directory.py EAST WEST SECONDS   both sites make and remove the same names in one directory of the volume, as fast as they can, while a
process of either site works in another directory, which others look up, and asks for its name (getcwd(2)). It has one: the kernel may lose it for
a moment when a directory comes to be contended (lockstep-internals(7)), once; not again and again."""
import os
import sys
import time

east, west, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
APART = 0.5  # s between two failures that do not belong together
BURSTS_MAX = 2

os.makedirs(f"{east}/working/here", exist_ok=True)
os.makedirs(f"{east}/contended", exist_ok=True)
end = time.monotonic() + seconds


def say(line):
    os.write(1, f"{line}\n".encode())


def contend(root, own, other):
    n = 0
    while time.monotonic() < end:
        os.close(os.open(f"{root}/contended/{own}{n % 5}", os.O_CREAT | os.O_WRONLY, 0o644))
        try:
            os.unlink(f"{root}/contended/{other}{n % 5}")
        except FileNotFoundError:
            pass
        n += 1
    say(f"{own}: {n} names made")


def look_up(root):
    while time.monotonic() < end:
        os.stat(f"{root}/working/here")


def work(root):
    os.chdir(f"{root}/working/here")
    asked = bursts = 0
    failed_at = -APART
    while time.monotonic() < end:
        asked += 1
        try:
            os.getcwd()
        except FileNotFoundError:
            now = time.monotonic()
            bursts += now - failed_at > APART
            failed_at = now
    say(f"{root}: asked for its name {asked} times, there was none at {bursts} times")
    sys.exit(bursts > BURSTS_MAX)


children = []
for what, arguments in [(contend, (east, "e", "w")), (contend, (west, "w", "e")), (look_up, (east,)), (look_up, (west,)), (work, (east,)), (work, (west,))]:
    child = os.fork()
    if child == 0:
        what(*arguments)
        os._exit(0)
    children.append(child)
statuses = [os.waitpid(child, 0)[1] for child in children]
sys.exit(any(statuses))
