#!/usr/bin/env python3
"""posix_ends.py HERE THERE: a file grows and shrinks at HERE, and is read all the time at THERE: a read that begins after a change
was acknowledged, while no other one is under way, ends exactly where the file does, however many changes came right before; after the
file was cut off nobody sees more than was appended since, though each append is a change that comes right behind (R2)."""
import mmap
import os
import random
import sys
import time

SECONDS, SECONDS_MAX, ENOUGH = 4, 60, 100  # a busy machine gets longer until enough reads can be judged
here, there = sys.argv[1:3]
told = mmap.mmap(-1, 32)  # number of the last change that began, of the last one acknowledged, size behind that one, reads judged


def put(at, value):
    told[at : at + 8] = value.to_bytes(8, "little")


def get(at):
    return int.from_bytes(told[at : at + 8], "little")


def more(began):
    age = time.monotonic() - began
    return age < SECONDS or (age < SECONDS_MAX and get(24) < ENOUGH)


def goes_on(writer):
    ended, status = os.waitpid(writer, os.WNOHANG)
    if ended and status != 0:
        sys.exit(f"NOT SO: the writer at {here} failed")
    return not ended


def append(fd, size):
    os.pwrite(fd, b"appended", size)
    return size + 8


def change(fd, size):
    if size > 60000 or random.random() < 0.4:
        size = random.choice([0, size // 2, random.randrange(20000), max(0, size - 1)])
        os.ftruncate(fd, size)
        return size
    length = random.randrange(1, 6000)
    at = size if random.random() < 0.7 else random.randrange(size + 1)
    os.pwrite(fd, b"x" * length, at)
    return max(size, at + length)


def write(path, step):
    fd, size, number, began = os.open(path, os.O_CREAT | os.O_RDWR, 0o644), 0, 0, time.monotonic()
    while more(began):
        number += 1
        put(0, number)
        size = step(fd, size)
        put(16, size)
        put(8, number)
        if step is change and random.random() < 0.5:
            time.sleep(random.random() * 0.001)


def read(path, writer, only_growing):
    while not os.path.exists(path):
        time.sleep(0.01)
    fd, certain = os.open(path, os.O_RDONLY), 0
    while goes_on(writer):
        before, size = get(8), get(16)
        if not before or (not only_growing and get(0) != before):
            continue
        at = max(0, size - random.choice([0, 1, 8, 5000]))
        got = len(os.pread(fd, 70000, at))
        if not only_growing and get(0) != before:
            continue
        certain += 1
        put(24, certain)
        if got < size - at or (got > size - at and not only_growing):
            sys.exit(f"NOT SO: {path}: after change {before} it was {size} bytes long, and a read at {at} got {got} of them")
    return certain


def write_after_cuts(path):
    fd, era, began = os.open(path, os.O_CREAT | os.O_RDWR, 0o644), 0, time.monotonic()
    while more(began):
        os.pwrite(fd, b"x" * 20000, 0)
        time.sleep(0.001)
        os.ftruncate(fd, 0)
        era += 1
        put(0, era)  # odd: it is short
        for i in range(30):
            os.pwrite(fd, b"appended", 8 * i)
        era += 1
        put(0, era)


def read_after_cuts(path, writer):
    while not os.path.exists(path):
        time.sleep(0.01)
    fd, judged, wrong = os.open(path, os.O_RDONLY), 0, 0
    while goes_on(writer):
        era = get(0)
        seen = os.lseek(fd, 0, os.SEEK_END) if random.random() < 0.5 else len(os.pread(fd, 8, 8192))
        if era % 2 == 0 or get(0) != era:
            continue
        judged += 1
        put(24, judged)
        wrong += seen > 240
    return judged, wrong


for step in (append, change):
    told[:] = bytes(32)
    name = f"ends-{step.__name__}"
    writer = os.fork()
    if writer == 0:
        write(os.path.join(here, name), step)
        os._exit(0)
    certain = read(os.path.join(there, name), writer, step is append)
    if certain < ENOUGH:
        sys.exit(f"NOT SO: only {certain} reads at {there} can be judged")
    print(f"  {step.__name__}: {get(8)} changes, {certain} reads end where they must")
    os.unlink(os.path.join(here, name))

told[:] = bytes(32)
name = "ends-cut"
writer = os.fork()
if writer == 0:
    write_after_cuts(os.path.join(here, name))
    os._exit(0)
judged, wrong = read_after_cuts(os.path.join(there, name), writer)
if wrong or judged < ENOUGH:
    sys.exit(f"NOT SO: cut off at {here}: {wrong} of {judged} reads at {there} saw more than there was")
print(f"  cut: {get(0) // 2} times, {judged} reads saw no more than there was")
os.unlink(os.path.join(here, name))
