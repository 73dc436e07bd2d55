#!/usr/bin/env python3
"""Only uring/ and sim/ implement the interfaces to the world; everything else exists once.

So the simulator runs the daemon's own code. Interfaces are the classes of runtime/*.h with a pure virtual function."""
import re

from source_files import finish, read, tracked, without_comments

WORLD_HEADERS = ("disk.h", "key_value.h", "net.h", "clock.h", "scheduler.h", "kernel.h", "register.h", "aside.h")
# Interfaces that are made to be implemented by everybody: callbacks into a layer, not the world.
CALLBACKS = {"HostHandler", "Lease", "PassHook"}
BASES = r"\b(?:class|struct)\s+(\w+)(?:\s+final)?\s*:\s*([^{;]+)\{"

interfaces = set()
for name in WORLD_HEADERS:
    text = without_comments(read(f"src/runtime/{name}"))
    for match in re.finditer(r"\b(?:class|struct)\s+(\w+)\s*\{(.*?)\n\};", text, flags=re.S):
        if "virtual" in match.group(2):
            interfaces.add(match.group(1))
interfaces -= CALLBACKS

complaints = []
checked = 0
# Class names of uring/ and sim/, by layer; and of every other layer, to find twins of the daemon's classes in the simulator.
for path in tracked("src/*.h", "src/*.cc"):
    layer = path.parts[1]
    checked += 1
    if layer in ("uring", "sim", "runtime"):
        continue
    text = without_comments(read(path))
    for match in re.finditer(BASES, text):
        for base in re.findall(r"\w+(?:::\w+)*", match.group(2)):
            name = base.split("::")[-1]
            # A class within one of runtime's, such as Stop::Listener, is another one.
            if name in interfaces and base in (f"runtime::{name}", name):
                # A layer may have an interface of the same name (area::Log, peer::...); it counts only if it is runtime's.
                if "::" not in base and not re.search(r"using (?:namespace lockstep::runtime|(?:lockstep::)?runtime::%s)\b" % name, text):
                    continue
                line = text.count("\n", 0, match.start()) + 1
                complaints.append(f"{path}:{line}: {match.group(1)} implements runtime::{name}; only uring/ and sim/ may")
# The other way round: abstract classes of the layers above runtime have one implementation, in their own layer.
abstract = {}
for path in tracked("src/*.h"):
    layer = path.parts[1]
    if layer in ("runtime", "uring", "sim", "bin", "control"):
        continue
    for match in re.finditer(r"\b(?:class|struct)\s+(\w+)\s*\{(.*?)\n\};", without_comments(read(path)), flags=re.S):
        if re.search(r"virtual[^;]*=\s*0\s*;", match.group(2)):
            abstract[f"{layer}::{match.group(1)}"] = []
for path in tracked("src/*.h", "src/*.cc"):
    layer = path.parts[1]
    for match in re.finditer(BASES, without_comments(read(path))):
        for base in re.findall(r"\w+(?:::\w+)*", match.group(2)):
            full = base if "::" in base else f"{layer}::{base}"
            full = "::".join(full.split("::")[-2:])
            if full in abstract and layer in ("sim", "bin", "uring"):
                if full.split("::")[0] in ("area", "volume", "controller"):
                    complaints.append(f"{path}: {match.group(1)} is a second {full}; the simulator links the daemon's")
if not interfaces:
    complaints.append("no interface found in runtime/: this check would check nothing")
finish(checked, complaints, "files")
