#!/usr/bin/env python3
"""Damage to a storage area, as a medium does it: behind the daemon's back, in the files.

  damage.py make DIRECTORY FILES BLOCKS     files whose blocks begin with "FILE n BLOCK m." and are different
  damage.py find AREA TEXT                  number of the block of the area that begins with TEXT
  damage.py invert AREA BLOCK...            other bytes in these blocks, the checksums stay
  damage.py checksum AREA BLOCK...          other checksums for these blocks, the bytes stay
  damage.py impostor AREA BLOCK FROM        bytes and checksum of block FROM stand in BLOCK: good, and wrong
  damage.py bytes FILE OFFSET LENGTH        inverts bytes of any file
  damage.py check MOUNT-FILE FILE BLOCKS    reads a file of `make` past the page cache; all its blocks must be right
  damage.py tear DIRECTORY                  the file system of DIRECTORY fails from now on, as if its medium were torn away
"""
import fcntl
import mmap
import os
import struct
import sys

BLOCK = 4096
FS_IOC_SHUTDOWN = 0x8004587D


def content(file, block):
    text = f"FILE {file} BLOCK {block}.".encode()
    return text + bytes([(file * 7 + block) % 251]) * (BLOCK - len(text))


def checksum_place(block):
    return block // 62 * 512 + block % 62 * 8


def invert(path, offset, length):
    with open(path, "r+b") as f:
        f.seek(offset)
        old = f.read(length)
        if len(old) != length:
            sys.exit(f"{path}: only {len(old)} bytes at {offset}")
        f.seek(offset)
        f.write(bytes(b ^ 0xFF for b in old))


def copy(path, source, target, length):
    with open(path, "r+b") as f:
        f.seek(source)
        old = f.read(length)
        f.seek(target)
        f.write(old)


def read_direct(path, blocks):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, BLOCK)
    out = []
    for block in range(blocks):
        if os.preadv(fd, [buffer], block * BLOCK) != BLOCK:
            sys.exit(f"{path}: block {block} is short")
        out.append(bytes(buffer))
    os.close(fd)
    return out


def main(command, *args):
    if command == "make":
        directory, files, blocks = args[0], int(args[1]), int(args[2])
        os.makedirs(directory)
        for n in range(files):
            with open(os.path.join(directory, f"f{n}"), "wb") as f:
                f.write(b"".join(content(n, m) for m in range(blocks)))
    elif command == "find":
        text = args[1].encode()
        with open(os.path.join(args[0], "extents"), "rb") as f:
            for number, block in enumerate(iter(lambda: f.read(BLOCK), b"")):
                if block.startswith(text):
                    print(number)
                    return
        sys.exit(f"no block of {args[0]} begins with {args[1]}")
    elif command == "invert":
        for block in args[1:]:
            invert(os.path.join(args[0], "extents"), int(block) * BLOCK, BLOCK)
    elif command == "checksum":
        for block in args[1:]:
            invert(os.path.join(args[0], "checksums"), checksum_place(int(block)), 8)
    elif command == "impostor":
        block, source = int(args[1]), int(args[2])
        copy(os.path.join(args[0], "extents"), source * BLOCK, block * BLOCK, BLOCK)
        copy(os.path.join(args[0], "checksums"), checksum_place(source), checksum_place(block), 8)
    elif command == "bytes":
        invert(args[0], int(args[1]), int(args[2]))
    elif command == "check":
        n = int(args[1])
        for m, block in enumerate(read_direct(args[0], int(args[2]))):
            if block != content(n, m):
                sys.exit(f"{args[0]}: block {m} is wrong: it begins with {block[:24]!r}")
    elif command == "tear":
        fd = os.open(args[0], os.O_RDONLY)
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", 2))
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
