#!/usr/bin/env python3
"""Files stay small, say what they are, and leave no marks behind; the top of the tree holds only what it should."""
import re

from source_files import TOP, finish, read, tracked

LINES_MAX = 600
TOP_LEVEL = {"meson.build", "meson_options.txt", "src", "include", "tests", "conf", "man", "README.md", "LICENSE"}
MARK = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")

complaints = []
checked = 0
for path in tracked():
    checked += 1
    top = path.parts[0]
    if top not in TOP_LEVEL and not top.startswith("."):
        complaints.append(f"{path}: {top} may not stand at the top of the tree; allowed: {', '.join(sorted(TOP_LEVEL))}")
    if path.suffix not in {".cc", ".h", ".py", ".sh", ".fbs", ".build", ".md", ".toml"} and path.parts[0] != "man":
        continue
    text = read(path)
    lines = text.splitlines()
    if len(lines) > LINES_MAX and path.parts[0] != "man":
        complaints.append(f"{path}: {len(lines)} lines, more than {LINES_MAX}: split it by concepts")
    for number, line in enumerate(lines, 1):
        if MARK.search(line) and path.parts[:2] != ("tests", "checks"):
            complaints.append(f"{path}:{number}: a mark left behind: {line.strip()[:80]}")
    if path.suffix in {".h", ".cc"} and "\t" in text:
        complaints.append(f"{path}: has tabs")
    if text and not text.endswith("\n"):
        complaints.append(f"{path}: does not end with a newline")
    if path.suffix == ".h" and path.parts[0] in {"src", "include"}:
        if not lines or not re.match(r"// [\w.]+ - \S", lines[0]):
            complaints.append(f"{path}: does not open with \"// {path.name} - what it is\"")
        elif not lines[0].startswith(f"// {path.name} "):
            complaints.append(f"{path}: opens with the name of another file")
        if "#pragma once" not in text:
            complaints.append(f"{path}: has no #pragma once")
finish(checked, complaints, "files")
