#!/usr/bin/env python3
"""pauses.py FILE STOP REPORT: writes 4 KiB blocks to FILE, one after the other, until STOP exists; then writes the longest pause
in milliseconds, the number of writes and of errors to REPORT. An error is counted, and the writer goes on."""
import json
import os
import sys
import time

path, stop, report = sys.argv[1:4]
longest = writes = errors = 0
fd = None
while not os.path.exists(stop):
    began = time.monotonic()
    try:
        if fd is None:
            fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        os.pwrite(fd, writes.to_bytes(8, "little") * 512, writes % 256 * 4096)
        writes += 1
    except OSError as error:
        errors += 1
        print(f"write {writes}: {error}", flush=True)
        time.sleep(0.05)
    longest = max(longest, time.monotonic() - began)
with open(report, "w") as out:
    json.dump({"longest_ms": int(longest * 1000), "writes": writes, "errors": errors}, out)
