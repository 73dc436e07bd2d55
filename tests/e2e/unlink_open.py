#!/usr/bin/env python3
"""unlink_open.py HERE THERE: a file that was removed, here or at the other site, lives on for who has it open, and only so long."""
import os
import sys
import time

here, there = sys.argv[1:3]


def must(condition, what):
    if not condition:
        sys.exit(f"{here} / {there}: {what}")


def free_blocks():
    return os.statvfs(here).f_bfree


for removed_at in (here, there):
    before = free_blocks()
    path, other = os.path.join(here, "open"), os.path.join(removed_at, "open")
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    body = os.urandom(8 << 20)
    must(os.pwrite(fd, body, 0) == len(body), "short write")
    os.unlink(other)
    must(not os.path.exists(path) and not os.path.exists(other), "the name is still there")
    must(os.fstat(fd).st_nlink == 0, "the link count of a removed file is not 0")
    must(os.pread(fd, len(body), 0) == body, "a removed open file lost its bytes")
    os.pwrite(fd, b"new", 100)
    os.ftruncate(fd, 5 << 20)
    os.fsync(fd)
    must(os.pread(fd, 3, 100) == b"new" and os.fstat(fd).st_size == 5 << 20, "a removed open file does not take writes")
    with open(path, "w") as again:  # the name may be used again meanwhile
        again.write("another file")
    must(os.pread(fd, 3, 100) == b"new", "the new file of that name is the old one")
    must(open(os.path.join(there, "open")).read() == "another file", "the new file is not at the other site")
    os.unlink(path)
    os.close(fd)
    # What is freed is free when every site has confirmed it: soon, not at once.
    deadline = time.monotonic() + 20
    while free_blocks() < before:
        must(time.monotonic() < deadline, f"{before - free_blocks()} blocks of a removed, closed file are not free")
        time.sleep(0.1)

    # Renamed over while open: the same.
    for name, text in ("target", "old"), ("source", "new"):
        with open(os.path.join(here, name), "w") as f:
            f.write(text)
    with open(os.path.join(here, "target")) as held:
        os.rename(os.path.join(removed_at, "source"), os.path.join(removed_at, "target"))
        must(held.read() == "old", "a file that was renamed over lost its bytes")
        must(open(os.path.join(here, "target")).read() == "new", "the renamed file is not there")
    os.unlink(os.path.join(here, "target"))

    # A file without a name from the start.
    try:
        nameless = os.open(here, os.O_TMPFILE | os.O_RDWR)
    except OSError:
        nameless = None  # not offered
    if nameless is not None:
        os.write(nameless, b"no name")
        must(os.pread(nameless, 7, 0) == b"no name", "O_TMPFILE lost its bytes")
        os.close(nameless)
print("removed open files live on")
