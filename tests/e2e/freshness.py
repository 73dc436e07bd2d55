#!/usr/bin/env python3
"""freshness.py count FILE SHARED STOP   counts in FILE (its first 8 bytes, and its size) until STOP exists; what was acknowledged stands in SHARED
   freshness.py read FILE SHARED STOP    reads FILE, through another mount, until STOP exists: never less than SHARED said before (R2)

SHARED lies outside the volume. An error is counted and the file opened again: a site that is cut off may give errors, but nothing stale."""
import mmap
import os
import sys
import time

HEAD = 4096
what, path, shared_path, stop = sys.argv[1:5]


def shared():
    with open(shared_path, "r+b") as f:
        return mmap.mmap(f.fileno(), 8)


def count():
    with open(shared_path, "wb") as f:
        f.write(bytes(8))
    told, n, errors = shared(), 0, 0
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    while not os.path.exists(stop):
        try:
            os.pwrite(fd, (n + 1).to_bytes(8, "little"), 0)
            os.pwrite(fd, b"+", HEAD + n)
        except OSError as error:
            print(f"count {n + 1}: {error}", flush=True)
            errors += 1
            break
        n += 1
        told[:] = n.to_bytes(8, "little")
        time.sleep(0.003)
    print(f"{n} counted, {errors} errors")
    sys.exit(1 if errors else 0)


def read():
    while not (os.path.exists(shared_path) and os.path.getsize(shared_path) == 8 and os.path.exists(path)):
        if os.path.exists(stop):
            sys.exit("nothing was ever counted")
        time.sleep(0.01)
    told, reads, errors, longest, fd = shared(), 0, 0, 0.0, None
    print("reading", flush=True)
    while not os.path.exists(stop):
        began, before = time.monotonic(), int.from_bytes(told[:], "little")
        try:
            if fd is None or reads % 16 == 0:
                if fd is not None:
                    os.close(fd)
                    fd = None
                fd = os.open(path, os.O_RDONLY)
            head = os.pread(fd, 8, 0)
            seen, size = int.from_bytes(head, "little"), os.fstat(fd).st_size
        except OSError as error:
            errors += 1
            fd = None
            print(f"read {reads}: {error}", flush=True)
            time.sleep(0.05)
            continue
        if seen < before or size < (HEAD + before if before else 0):
            now, again = int.from_bytes(told[:], "little"), os.pread(fd, 8, 0)
            sys.exit(f"STALE at {time.monotonic():.3f}, read {reads} begun {time.monotonic() - began:.6f} s ago: {path} says {seen} ({len(head)} bytes) and is "
                     f"{size} long, {before} were acknowledged before; now {now} are, and it says {again.hex()}")
        reads += 1
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.002)
    print(f"{reads} reads, {errors} errors, the longest took {int(longest * 1000)} ms, none was stale")


count() if what == "count" else read()
