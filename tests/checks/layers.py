#!/usr/bin/env python3
"""A layer includes headers of itself and of layers below it only. meson.build lists the layers bottom up.

Two layers beside each other count as ordered by that list, except: nothing but bin (and tests) may include sim/ or uring/."""
import re

from source_files import finish, layers, read, tracked

order = {name: place for place, name in enumerate(layers())}
worlds = {"sim", "uring"}
complaints = []
checked = 0
for path in tracked("src/*.h", "src/*.cc"):
    layer = path.parts[1]
    checked += 1
    if layer not in order:
        complaints.append(f"{path}: folder {layer} is no layer of meson.build")
        continue
    for number, line in enumerate(read(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        other = match.group(1).split("/")[0]
        if other not in order:
            continue
        if order[other] > order[layer]:
            complaints.append(f"{path}:{number}: layer {layer} includes {match.group(1)} of layer {other}, which is above it")
        elif other in worlds and layer not in worlds | {"bin"}:
            complaints.append(f"{path}:{number}: {match.group(1)} is a world; take it through the interfaces of runtime/")
        elif other in worlds and layer in worlds and other != layer:
            complaints.append(f"{path}:{number}: the worlds {layer} and {other} know nothing of each other")
finish(checked, complaints, "files")
