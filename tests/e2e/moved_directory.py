#!/usr/bin/env python3
"""moved_directory.py EAST WEST ROUNDS: a directory in which a program of one site works is moved by the other one, then at once moved on by the first.

Its kernel has the directory at the old place still: no call may say ESTALE for that."""
import os
import sys


def main():
    mounts, rounds = sys.argv[1:3], int(sys.argv[3])
    for folder in "abc":
        os.makedirs(f"{mounts[0]}/moved/{folder}")
    os.makedirs(f"{mounts[0]}/moved/a/d/below")
    open(f"{mounts[0]}/moved/a/d/file", "x").close()
    held = [os.open(f"{m}/moved/a/d/{what}", os.O_RDONLY) for m in mounts for what in ("file", "below")]
    folders = [f"{m}/moved" for m in mounts]
    for number in range(rounds):
        mover, worker = folders[:: 1 if number % 2 else -1]
        os.chdir(f"{worker}/a/d/below")
        os.rename(f"{mover}/a/d", f"{mover}/b/d")
        os.rename(f"{worker}/b/d", f"{worker}/c/d")
        if os.getcwd() != f"{worker}/c/d/below":
            sys.exit(f"round {number}: works in {os.getcwd()}")
        os.rename(f"{mover}/c/d", f"{mover}/a/d")
        os.stat(f"{worker}/a/d/file")
    os.chdir("/")
    for fd in held:
        os.close(fd)
    print(f"{rounds} times moved and moved on")


main()
