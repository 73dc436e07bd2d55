#!/usr/bin/env python3
"""compare_trees.py [--no-times] TREE TREE...: names, types, modes, owners, times, sizes, links, xattrs and contents are the same.

Exit status 1 when they are not, with the first 20 differences. Access and change times are left out."""
import hashlib
import os
import stat
import sys

args = [a for a in sys.argv[1:] if a != "--no-times"]
with_times = "--no-times" not in sys.argv[1:]


def content_of(path):
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb", buffering=0) as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def describe(path):
    """Everything about one object, and its (device, inode) if it has more names."""
    st = os.lstat(path)
    it = {"type": stat.S_IFMT(st.st_mode), "mode": oct(stat.S_IMODE(st.st_mode)), "uid": st.st_uid, "gid": st.st_gid}
    if with_times:
        it["mtime_ns"] = st.st_mtime_ns
    if stat.S_ISLNK(st.st_mode):
        it["target"] = os.readlink(path)
    elif stat.S_ISREG(st.st_mode):
        it["size"], it["links"] = st.st_size, st.st_nlink
        it["content"] = content_of(path)
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        it["rdev"] = st.st_rdev
    # Names of security.* are the host's business, not the volume's.
    it["xattrs"] = {n: os.getxattr(path, n, follow_symlinks=False) for n in sorted(os.listxattr(path, follow_symlinks=False))
                    if not n.startswith("security.")}
    return it, (st.st_dev, st.st_ino) if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1 else None


def scan(top):
    top = os.fsencode(top)
    found, groups = {b"": describe(top)[0]}, {}

    def stop(error):
        raise error
    for folder, folders, files in os.walk(top, onerror=stop):
        for name in folders + files:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, top)
            found[relative], link = describe(path)
            if link:
                groups.setdefault(link, []).append(relative)
    for names in groups.values():
        for name in names:
            found[name]["names"] = sorted(names)
    return found


first = scan(args[0])
bad = 0
for other_top in args[1:]:
    other = scan(other_top)
    for name in sorted(first.keys() | other.keys()):
        a, b = first.get(name), other.get(name)
        if a == b:
            continue
        bad += 1
        if bad <= 20:
            shown = name.decode(errors="backslashreplace") or "."
            if a is None or b is None:
                print(f"{shown}: only in {args[0] if b is None else other_top}")
            else:
                what = ", ".join(f"{k} {a.get(k)} / {b.get(k)}" for k in a.keys() | b.keys() if a.get(k) != b.get(k))
                print(f"{shown}: {args[0]} / {other_top}: {what}")
if bad:
    print(f"{bad} differences")
else:
    print(f"{len(first)} objects are the same in {len(args)} trees")
sys.exit(1 if bad else 0)
