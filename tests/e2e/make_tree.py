#!/usr/bin/env python3
"""make_tree.py DIR [SEED]: a tree with a bit of everything that tools meet: odd names, deep folders, links, holes, xattrs, times."""
import os
import random
import sys

top, rng = os.fsencode(sys.argv[1]), random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
os.makedirs(top)
os.chdir(top)


def put(name, content, mode=0o644):
    with open(name, "wb") as f:
        f.write(content)
    os.chmod(name, mode)


NAMES = [b"plain", b"with space", b" lead", b"trail ", b"new\nline", b"quote'\"", b"\xff\xfe bytes", "ümläut".encode(), b"-dash", b"x" * 255,
         b"star*", b"back\\slash", b".hidden", b"tab\t"]
for i, name in enumerate(NAMES):
    put(name, rng.randbytes(i * 37), [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o000][i % 7])
for size in (0, 1, 4095, 4096, 4097, 65536, 131071, 1 << 20, (5 << 20) + 3):
    put(b"size-%d" % size, rng.randbytes(size))
with open("holes", "wb") as f:
    for at in (0, 1 << 20, (8 << 20) + 5):
        f.seek(at)
        f.write(rng.randbytes(5000))
os.truncate("holes", (9 << 20) + 1)
os.makedirs("/".join(["deep"] * 40).encode())
put("/".join(["deep"] * 40) + "/leaf", b"at the end")
os.makedirs("many")
for i in range(1500):
    put(f"many/file-{i:04}", b"%d\n" % i)
os.symlink("plain", "link")
os.symlink("nowhere/" + "y" * 200, "dangling")
os.symlink("../" * 5, "up")
for i in range(5):
    os.link("size-4097", f"hard-{i}")
os.link("size-4097", "many/hard-far")
os.mkfifo("fifo", 0o640)
if os.geteuid() == 0:
    os.mknod("null", 0o020666, os.makedev(1, 3))
    os.chown("size-1", 1234, 4321)
    os.lchown("link", 99, 98)
os.mkdir("sticky")
os.chmod("sticky", 0o1777)
os.mkdir("empty")
for name in ("plain", "empty"):
    try:
        os.setxattr(name, "user.colour", b"blue\0green")
        os.setxattr(name, "user.long", b"v" * 1000)
    except OSError:
        pass  # the file system below has none; copies will have none either
for folder, folders, files in os.walk(b".", topdown=False):
    for name in folders + files:
        os.utime(os.path.join(folder, name), ns=(rng.randrange(10**18, 17 * 10**17), rng.randrange(10**18, 17 * 10**17)), follow_symlinks=False)
os.utime(b".", ns=(123456789, 987654321987654321))
