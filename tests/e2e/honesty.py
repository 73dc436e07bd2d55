#!/usr/bin/env python3
"""honesty.py STOP SOCKET SOCKET: asks both daemons for their status, again and again until STOP exists, and fails when one says what can't be true:

- of one site: its epoch goes back; it says "in-sync" without both as members and connected, "alone" without being primary and only member,
  or "suspended" and writable;
- of both: a site says that it is writable as primary in an epoch older than one in which the other one was seen so before it was asked (a fork),
  or that it serves its hosts in an epoch older than one in which the other one was seen alone (what it serves may be stale)."""
import json
import os
import socket
import sys
import time

stop, paths = sys.argv[1], sys.argv[2:4]
answers, epochs, wrote_in, alone_in, seen = 0, {}, {}, {}, {}


def ask(path):
    """The status, or None: nobody answers in time."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(0.3)
            s.connect(path)
            s.sendall(b'{"command": "status"}\n')
            text = b""
            while not text.endswith(b"\n"):
                piece = s.recv(65536)
                if not piece:
                    return None
                text += piece
        return json.loads(text)
    except (OSError, ValueError):
        return None


def lie(path, status, what):
    keys = ("site", "state", "epoch", "primary", "in_sync", "serving", "writable", "alone", "reason", "sites")
    sys.exit(f"{path}: {what}: {json.dumps({k: status.get(k) for k in keys})}")


while not os.path.exists(stop):
    for path in paths:
        other_wrote_in, other_alone_in = ({p: e for p, e in of.items() if p != path} for of in (wrote_in, alone_in))
        status = ask(path)
        if status is None or "state" not in status:
            continue
        answers += 1
        state, me, epoch = status["state"], status["site"], status["epoch"]
        seen.setdefault(me, [])
        if seen[me][-1:] != [state]:
            seen[me].append(state)
        if epoch < epochs.get(path, 0):
            lie(path, status, f"the epoch was {epochs[path]} before")
        epochs[path] = epoch
        connected = all(s["connected"] for s in status["sites"])
        if state == "in-sync" and not (len(status["in_sync"]) == 2 and connected):
            lie(path, status, "in sync with whom?")
        if state == "alone" and not (status["in_sync"] == [me] and status["primary"] == me and not connected):
            lie(path, status, "alone, but not only member and primary")
        if state in ("suspended", "connecting", "diverged") and status["writable"]:
            lie(path, status, "waits, and is writable")
        if status["writable"] and status["primary"] == me:
            if any(epoch < e for e in other_wrote_in.values()):
                lie(path, status, f"writable in an old epoch: the other site was writable in epoch {max(other_wrote_in.values())} before")
            wrote_in[path] = max(epoch, wrote_in.get(path, 0))
        if status["serving"] and any(epoch < e for e in other_alone_in.values()):
            lie(path, status, f"serves in an old epoch: the other site was alone in epoch {max(other_alone_in.values())} before")
        if state == "alone" and status["writable"]:
            alone_in[path] = max(epoch, alone_in.get(path, 0))
    time.sleep(0.03)
print(f"{answers} answers about the status were true; " + "; ".join(f"{site}: {' '.join(states[-60:])}" for site, states in seen.items()))
