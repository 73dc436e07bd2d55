#!/usr/bin/env python3
"""overlapping.py EAST WEST SECONDS [SEED]: both sides write over each other; in the end both see the same, and nothing is mixed up.

Three files: overwritten anywhere at any length by four writers a side; overwritten in whole blocks that name their writer, where every block
must be one writer's; appended to with O_APPEND, where every record must be there once, whole, and a writer's own in order."""
import multiprocessing
import os
import random
import struct
import sys
import time

BYTES = 4 << 20
BLOCK = 4096
RECORD = struct.Struct("<IIQ")


def anywhere(path, seed, seconds, results):
    rng, end = random.Random(seed), time.monotonic() + seconds
    fd, count = os.open(path, os.O_RDWR), 0
    while time.monotonic() < end:
        length = rng.choice([1, 511, 4096, 4097, 70000, rng.randrange(1, 300000)])
        offset = rng.randrange(BYTES - length)
        if os.pwrite(fd, bytes([seed % 251 + 1]) * length, offset) != length:
            raise OSError("a short write")
        count += 1
    os.close(fd)
    results.put(("anywhere", seed, count))


def blocks(path, seed, seconds, results):
    rng, end = random.Random(seed), time.monotonic() + seconds
    fd, count = os.open(path, os.O_RDWR), 0
    while time.monotonic() < end:
        count += 1
        block = rng.randrange(64)
        os.pwrite(fd, RECORD.pack(seed, block, count) * (BLOCK // RECORD.size), block * BLOCK)
    os.close(fd)
    results.put(("blocks", seed, count))


def appends(path, seed, seconds, results):
    rng, end = random.Random(seed), time.monotonic() + seconds
    fd, count = os.open(path, os.O_WRONLY | os.O_APPEND), 0
    while time.monotonic() < end and count < 20000:
        count += 1
        filler = rng.randrange(0, 300)
        os.write(fd, RECORD.pack(seed, filler, count) + bytes([seed % 256]) * filler)
    os.close(fd)
    results.put(("appends", seed, count))


def whole(path):
    with open(path, "rb", buffering=0) as f:
        pieces = []
        while piece := f.read(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)


def complain(text):
    print(text, flush=True)
    sys.exit(1)


def main():
    east, west, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    base = int(sys.argv[4]) if len(sys.argv) > 4 else 100
    os.mkdir(os.path.join(east, "overlapping"))
    for name, size in ("anywhere", BYTES), ("blocks", 64 * BLOCK), ("appends", 0):
        with open(os.path.join(east, "overlapping", name), "wb") as f:
            f.write(bytes(size))
    results, jobs = multiprocessing.Queue(), []
    for n in range(4):
        for side, mount in enumerate((east, west)):
            for work in (anywhere, blocks, appends):
                path = os.path.join(mount, "overlapping", work.__name__)
                jobs.append(multiprocessing.Process(target=work, args=(path, base + n * 2 + side, seconds, results)))
    for job in jobs:
        job.start()
    told = [results.get(timeout=seconds + 60) for _ in jobs]
    for job in jobs:
        job.join()
        if job.exitcode:
            complain(f"a writer ended with status {job.exitcode}")
    counts = {(kind, seed): count for kind, seed, count in told}

    contents = {}
    for name in "anywhere", "blocks", "appends":
        at_east, at_west = (whole(os.path.join(m, "overlapping", name)) for m in (east, west))
        if at_east != at_west:
            at = next((i for i, (a, b) in enumerate(zip(at_east, at_west)) if a != b), min(len(at_east), len(at_west)))
            complain(f"{name}: the sites differ from byte {at} on ({len(at_east)} and {len(at_west)} bytes)")
        contents[name] = at_east
    for block in range(64):
        records = set(RECORD.iter_unpack(contents["blocks"][block * BLOCK:(block + 1) * BLOCK]))
        if len(records) != 1:
            complain(f"block {block} is of {len(records)} writes: {sorted(records)[:4]}")
    seen, at, data = {}, 0, contents["appends"]
    while at < len(data):
        if at + RECORD.size > len(data):
            complain(f"appends: a torn record at {at}")
        seed, filler, count = RECORD.unpack_from(data, at)
        if count != seen.get(seed, 0) + 1 or data[at + RECORD.size:at + RECORD.size + filler] != bytes([seed % 256]) * filler:
            complain(f"appends: record {count} of writer {seed} at byte {at} is torn, missing, doubled or out of order")
        seen[seed] = count
        at += RECORD.size + filler
    for (kind, seed), count in counts.items():
        if kind == "appends" and seen.get(seed, 0) != count:
            complain(f"appends: writer {seed} wrote {count} records, {seen.get(seed, 0)} are there")
    print(f"{sum(counts.values())} writes by {len(jobs)} writers, {sum(seen.values())} appended records: the same at both sites")


main()
