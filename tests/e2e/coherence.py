#!/usr/bin/env python3
"""coherence.py EAST WEST ROUNDS [SEED]: what one mount was told, the other shows, at once.

Each round one side changes and the other looks, by data, by size and by name; sides take turns. Before each change the other side has
looked, so that its kernel holds pages, attributes and names of the old state. Data is read through an open file, a new open and a shared
mapping. The first miss ends the program with status 1."""
import errno
import mmap
import os
import random
import sys
import time

mounts, rounds = sys.argv[1:3], int(sys.argv[3])
rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
FILE_BYTES = 64 * 1024
names = [os.path.join(m, "coherence") for m in mounts]
os.mkdir(names[0])
data_paths = [os.path.join(d, "data") for d in names]
size_paths = [os.path.join(d, "size") for d in names]
expected = bytearray(rng.randbytes(FILE_BYTES))
with open(data_paths[0], "wb") as f:
    f.write(expected)
open(size_paths[0], "wb").close()
data_fds = [os.open(p, os.O_RDWR) for p in data_paths]
maps = [mmap.mmap(fd, FILE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ) for fd in data_fds]
size_fds = [os.open(p, os.O_RDWR) for p in size_paths]
size = 0
present = set()


def miss(what):
    print(f"round {number}: {mounts[here]} -> {mounts[there]}: {what}", flush=True)
    sys.exit(1)


def exists(path):
    try:
        os.stat(path)
        return True
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False


start = time.monotonic()
for number in range(rounds):
    here, there = number % 2, 1 - number % 2

    # By data: any range, with odd edges more often than not.
    length = rng.choice([1, 100, 4096, 4097, 12288, rng.randrange(1, 20000)])
    offset = rng.randrange(FILE_BYTES - length + 1)
    if rng.random() < 0.4:
        offset &= ~4095
    fresh = rng.randbytes(length)
    os.pread(data_fds[there], length, offset)
    if os.pwrite(data_fds[here], fresh, offset) != length:
        miss("a short write")
    expected[offset:offset + length] = fresh
    way = number // 2 % 3
    if way == 0:
        seen = os.pread(data_fds[there], length, offset)
    elif way == 1:
        with open(data_paths[there], "rb", buffering=0) as f:
            f.seek(offset)
            seen = f.read(length)
    else:
        seen = maps[there][offset:offset + length]
    if seen != fresh:
        at = next((i for i in range(min(len(seen), length)) if seen[i] != fresh[i]), len(seen))
        miss(f"data at {offset}+{length}, by {['open file', 'new open', 'mapping'][way]}: old or wrong from byte {at} ({len(seen)} bytes seen)")
    if number % 500 == 0:
        for side in 0, 1:
            if os.pread(data_fds[side], FILE_BYTES, 0) != expected:
                miss(f"the whole file at {mounts[side]} is not what was written")

    # By size: appended or cut; seen by fstat, stat and reading to the end.
    os.fstat(size_fds[there])
    if size > 50000 or (size and rng.random() < 0.3):
        size = rng.randrange(size)
        os.ftruncate(size_fds[here], size)
    else:
        piece = rng.randrange(1, 3000)
        os.pwrite(size_fds[here], b"s" * piece, size)
        size += piece
    seen_size = os.stat(size_paths[there]).st_size if number % 4 < 2 else os.fstat(size_fds[there]).st_size
    if seen_size != size:
        miss(f"size {seen_size}, should be {size}")
    if number % 8 == 0 and len(os.pread(size_fds[there], size + 10, 0)) != size:
        miss(f"reading to the end does not give {size} bytes")

    # By name: made, renamed, removed; seen by stat, by listing, by content.
    name = f"n{rng.randrange(8)}"
    mine, theirs = os.path.join(names[here], name), os.path.join(names[there], name)
    exists(theirs)
    os.listdir(names[there])
    if name not in present:
        with open(mine, "w") as f:
            f.write(str(number))
        present.add(name)
        if not exists(theirs):
            miss(f"{name} was made and is not there")
        with open(theirs) as f:
            if f.read() != str(number):
                miss(f"{name} has not the content it was made with")
    elif rng.random() < 0.5:
        os.unlink(mine)
        present.discard(name)
        if exists(theirs):
            miss(f"{name} was removed and is still there")
    else:
        other = f"n{rng.randrange(8)}"
        os.rename(mine, os.path.join(names[here], other))
        if other != name:
            present.discard(name)
            present.add(other)
            if exists(theirs):
                miss(f"{name} was renamed and is still there")
        if not exists(os.path.join(names[there], other)):
            miss(f"{other} is the new name of {name} and is not there")
    listed = set(os.listdir(names[there])) - {"data", "size"}
    if listed != present:
        miss(f"listing {sorted(listed)}, should be {sorted(present)}")

for m in maps:
    m.close()
for fd in data_fds + size_fds:
    os.close(fd)
print(f"{rounds} rounds without a miss, {(time.monotonic() - start) * 1e6 / max(rounds, 1):.0f} us each")
