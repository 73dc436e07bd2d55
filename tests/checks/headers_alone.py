#!/usr/bin/env python3
"""Each header compiles on its own.

With a build directory (build-asan or build, or the one named) the flags of that build are used; else the default ones. Headers are checked
by their bytes and those of all they include: what was fine before and has not changed is not compiled again."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

from source_files import TOP, finish, tracked

build = next((TOP / d for d in sys.argv[1:] + ["build", "build-asan"] if (TOP / d / "compile_commands.json").is_file()), None)
flags = ["-std=c++23", f"-I{TOP}/src", f"-I{TOP}/include"]
if build:
    for entry in json.loads((build / "compile_commands.json").read_text()):
        for word in shlex.split(entry["command"]):
            if word.startswith(("-I", "-isystem", "-D")) and len(word) > 2:
                place = pathlib.Path(entry["directory"], word[2:]).resolve() if word.startswith("-I") else None
                flag = f"-I{place}" if place else word
                if flag not in flags:
                    flags.append(flag)
compiler = ["clang++-19", "-fsyntax-only", "-x", "c++", "-Wno-pragma-once-outside-header", *flags]

headers = tracked("src/*.h", "include/*.h")
everything = hashlib.sha256(" ".join(flags).encode())
contents = {path: (TOP / path).read_bytes() for path in headers}
known_file = pathlib.Path(build or TOP / "build", "headers_alone.json")
try:
    known = json.loads(known_file.read_text())
except (OSError, ValueError):
    known = {}


def closure(path, seen):
    """`path` and every header of the tree that it includes, however far."""
    if path in seen or path not in contents:
        return seen
    seen.add(path)
    for line in contents[path].decode(errors="replace").splitlines():
        if line.startswith('#include "'):
            name = line.split('"')[1]
            for root in ("src", "include"):
                closure(pathlib.PurePath(root, name), seen)
    return seen


def key_of(path):
    digest = everything.copy()
    for part in sorted(closure(path, set())):
        digest.update(str(part).encode() + contents[part])
    return digest.hexdigest()


def compile_alone(path):
    key = key_of(path)
    if known.get(str(path)) == key:
        return path, key, None
    done = subprocess.run([*compiler, str(TOP / path)], capture_output=True, text=True)
    return path, key, done.stderr if done.returncode else None


complaints = []
good = {}
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for path, key, error in pool.map(compile_alone, headers):
        if error:
            complaints.append(f"{path}: does not compile on its own:\n{error[:2000]}")
        else:
            good[str(path)] = key
if known_file.parent.is_dir():
    known_file.write_text(json.dumps(good))
finish(len(headers), complaints, "headers")
