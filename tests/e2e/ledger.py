#!/usr/bin/env python3
"""ledger.py work DIR LEDGER STOP SEED    changes files in DIR until STOP exists or DIR fails; each step is written to LEDGER before and after
   ledger.py check DIR LEDGER           DIR holds what LEDGER says was acknowledged

LEDGER lies outside the volume. A step with "begin" and no "done" (there is at most one, the last) may have happened or not; every other has
happened, whole; behind "done" stands how long it took, in milliseconds. Steps: slot (overwrite of 4 KiB of one file), make, append, rename, unlink, mkdir."""
import json
import os
import random
import sys
import time

SLOTS, SLOT = 64, 4096


def slot_bytes(n, version):
    return (f"{n} {version} " * 2000).encode()[:SLOT]


def carry_out(folder, step):
    kind, path = step["do"], lambda key: os.path.join(folder, step[key])
    if kind == "slot":
        fd = os.open(os.path.join(folder, "slots"), os.O_RDWR | os.O_CREAT)
        try:
            if os.pwrite(fd, slot_bytes(step["slot"], step["version"]), step["slot"] * SLOT) != SLOT:
                raise OSError("a short write")
        finally:
            os.close(fd)
    elif kind == "make":
        fd = os.open(path("name"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.close(fd)
    elif kind == "append":
        fd = os.open(path("name"), os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, step["text"].encode())
        finally:
            os.close(fd)
    elif kind == "rename":
        os.rename(path("name"), path("to"))
    elif kind == "unlink":
        os.unlink(path("name"))
    elif kind == "mkdir":
        os.mkdir(path("name"))


def expect(state, step):
    """The state after `step`: {"slots": {n: version}, "files": {name: content}, "folders": [...]}."""
    kind, files = step["do"], dict(state["files"])
    after = {"slots": dict(state["slots"]), "files": files, "folders": set(state["folders"])}
    if kind == "slot":
        after["slots"][step["slot"]] = step["version"]
    elif kind == "make":
        files[step["name"]] = ""
    elif kind == "append":
        files[step["name"]] += step["text"]
    elif kind == "rename":
        files[step["to"]] = files.pop(step["name"])
    elif kind == "unlink":
        del files[step["name"]]
    elif kind == "mkdir":
        after["folders"].add(step["name"])
    return after


def work(folder, ledger_path, stop, seed):
    rng, files, version, serial, longest = random.Random(seed), [], 0, 0, 0
    with open(ledger_path, "w", buffering=1) as ledger:
        while not os.path.exists(stop):
            version += 1
            chance = rng.random()
            if chance < 0.45:
                step = {"do": "slot", "slot": rng.randrange(SLOTS), "version": version}
            elif chance < 0.6 or not files:
                serial += 1
                step = {"do": "make", "name": f"file-{serial}"}
            elif chance < 0.8:
                step = {"do": "append", "name": rng.choice(files), "text": f"{version} " * rng.choice([1, 10, 1000, 6000])}
            elif chance < 0.9:
                serial += 1
                step = {"do": "rename", "name": rng.choice(files), "to": rng.choice(files + [f"file-{serial}"])}
                if step["name"] == step["to"]:
                    continue
            elif chance < 0.97 or len(files) > 200:
                step = {"do": "unlink", "name": rng.choice(files)}
            else:
                serial += 1
                step = {"do": "mkdir", "name": f"folder-{serial}"}
            ledger.write("begin " + json.dumps(step) + "\n")
            began = time.monotonic()
            try:
                carry_out(folder, step)
            except OSError as error:
                ledger.write(f"failed {error}\n")
                print(f"{version} steps, then: {error}")
                return
            took = int((time.monotonic() - began) * 1000)
            longest = max(longest, took)
            ledger.write(f"done {took}\n")
            if step["do"] == "make":
                files.append(step["name"])
            elif step["do"] == "rename":
                files.remove(step["name"])
                if step["to"] not in files:
                    files.append(step["to"])
            elif step["do"] == "unlink":
                files.remove(step["name"])
    print(f"{version} steps, the longest took {longest} ms, stopped")


def look(folder):
    """What is there, in the form of expect()."""
    files, folders, slots = {}, set(), {}
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            folders.add(name)
        elif name == "slots":
            with open(path, "rb") as f:
                content = f.read()
            for n in range(0, (len(content) + SLOT - 1) // SLOT):
                piece = content[n * SLOT:(n + 1) * SLOT]
                if piece.strip(b"\0"):
                    words = piece.split(b" ")
                    version = int(words[1]) if len(words) > 1 and words[1].isdigit() else -1
                    if piece != slot_bytes(n, version):
                        sys.exit(f"{path}: slot {n} is torn: {piece[:20]!r} ... {piece[-20:]!r}")
                    slots[n] = version
        else:
            with open(path) as f:
                files[name] = f.read()
    return {"slots": slots, "files": files, "folders": folders}


def difference(seen, wanted):
    for part in ("slots", "files"):
        for key in sorted(seen[part].keys() | wanted[part].keys(), key=str):
            a, b = seen[part].get(key), wanted[part].get(key)
            if a != b:
                return f"{part} {key}: is {str(a)[:60]!r} ({len(str(a))} long), should be {str(b)[:60]!r} ({len(str(b))} long)"
    return f"folders {seen['folders'] ^ wanted['folders']}" if seen["folders"] != wanted["folders"] else None


def check(folder, ledger_path):
    state, open_step, acknowledged = {"slots": {}, "files": {}, "folders": set()}, None, 0
    with open(ledger_path) as ledger:
        for line in ledger:
            if line.startswith("begin "):
                open_step = json.loads(line[6:])
            elif line.startswith("done"):
                state, open_step = expect(state, open_step), None
                acknowledged += 1
    seen = look(folder)
    wrong = difference(seen, state)
    if wrong and open_step and not difference(seen, expect(state, open_step)):
        wrong = None
    if wrong:
        sys.exit(f"{folder}: {acknowledged} steps were acknowledged, the next was {open_step}: {wrong}")
    print(f"{folder}: {acknowledged} acknowledged steps, all there")


if sys.argv[1] == "work":
    work(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
else:
    check(sys.argv[2], sys.argv[3])
