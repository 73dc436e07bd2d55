#!/usr/bin/env python3
"""posix_attributes.py HERE THERE: owners, modes, umask, setgid directories and extended attributes."""
import errno
import os

from posix_lib import NOBODY, as_user, both, call, case, equal, fails, main, mode_of, must, put

CREATE, REPLACE = 1, 2


def masked(mask, function):
    old = os.umask(mask)
    try:
        return function()
    finally:
        os.umask(old)


def make_all(directory):
    """One of each kind, made with all permissions that a program asks for."""
    os.close(os.open(os.path.join(directory, "file"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    os.mkdir(os.path.join(directory, "dir"), 0o777)
    os.mkfifo(os.path.join(directory, "pipe"), 0o666)
    os.mknod(os.path.join(directory, "node"), 0o100666)
    os.symlink("x", os.path.join(directory, "link"))
    fd = os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o666)
    call("linkat", -100, f"/proc/self/fd/{fd}", -100, os.path.join(directory, "nameless"), 0x400)
    os.close(fd)


KINDS = ("file", "dir", "pipe", "node", "link", "nameless")


@case
def objects_are_made_with_the_callers_identity_and_umask(here, there):
    os.chmod(here, 0o777)
    for n, mask in enumerate((0o000, 0o022, 0o077, 0o777, 0o137)):
        os.mkdir(os.path.join(here, f"d{n}"))
        os.chmod(os.path.join(here, f"d{n}"), 0o777)
        as_user(lambda: masked(mask, lambda: make_all(os.path.join(here, f"d{n}"))), uid=1234, gid=4321, groups=(5555,))
        for name in KINDS:
            for path in both(here, there, f"d{n}/{name}"):
                it = os.lstat(path)
                asked = {"dir": 0o777, "link": 0o777}.get(name, 0o666)
                equal((it.st_uid, it.st_gid, oct(it.st_mode & 0o7777)),
                      (1234, 4321, oct(asked if name == "link" else asked & ~mask)), f"{name} under {mask:o}")


@case
def setgid_directories_hand_their_group_down(here, there):
    os.mkdir(os.path.join(here, "d"))
    os.chown(os.path.join(here, "d"), 0, 5555)
    os.chmod(os.path.join(here, "d"), 0o2777)
    as_user(lambda: masked(0o022, lambda: make_all(os.path.join(there, "d"))), uid=1234, gid=4321, groups=(4321,))
    for name in KINDS:
        it = os.lstat(os.path.join(here, "d", name))
        equal((it.st_uid, it.st_gid), (1234, 5555), name)
        equal(bool(it.st_mode & 0o2000), name == "dir", f"setgid of {name}")

    def not_of_the_group():
        fd = os.open(os.path.join(there, "d", "sgid"), os.O_CREAT | os.O_WRONLY, 0o2775)
        os.close(fd)
    as_user(not_of_the_group, uid=1234, gid=4321, groups=(4321,))
    equal(oct(mode_of(os.path.join(here, "d", "sgid"))), oct(0o755), "setgid of a file whose group is not the caller's")


@case
def chmod_and_chown_as_linux_has_them(here, there):
    os.chmod(here, 0o777)
    as_user(lambda: put(os.path.join(here, "file")), uid=1234, gid=4321)
    path = os.path.join(here, "file")
    for mode in (0, 0o7777, 0o4711, 0o1644):
        os.chmod(os.path.join(there, "file"), mode)
        equal([oct(mode_of(p)) for p in both(here, there, "file")], [oct(mode)] * 2)

    def owner():
        os.chmod(path, 0o4755)
        fails(errno.EPERM, os.chown, path, 1, -1)
        fails(errno.EPERM, os.chown, path, -1, 77)
        os.chown(path, -1, 5555)
        equal(os.stat(os.path.join(there, "file")).st_gid, 5555)
        equal(oct(mode_of(path)), oct(0o755), "setuid after chgrp by the owner")
        os.chown(path, 1234, 4321)
    as_user(owner, uid=1234, gid=4321, groups=(5555,))

    def not_of_the_group():
        os.chmod(path, 0o2755)
        equal(oct(mode_of(path)), oct(0o755), "setgid by an owner who is not of the group")
    os.chown(path, 1234, 77)
    as_user(not_of_the_group, uid=1234, gid=4321)
    os.symlink("file", os.path.join(here, "s"))
    os.lchown(os.path.join(there, "s"), 7, 8)
    it = os.lstat(os.path.join(here, "s"))
    equal((it.st_uid, it.st_gid, os.stat(path).st_uid), (7, 8, 1234), "lchown")


@case
def names_and_values_of_xattrs_up_to_the_limits_of_the_kernel(here, there):
    path, other = both(here, there, "file")
    put(path)
    longest = "user." + "n" * 250
    values = {longest: b"v", "user.empty": b"", "trusted.t": b"\0\1\2", "security.s": b"s", "user.large": b""}
    for name, value in values.items():
        os.setxattr(path, name, value)
    try:
        os.setxattr(path, "user.large", b"L" * 65536)
        values["user.large"] = b"L" * 65536
    except OSError as error:  # ext4 keeps all of an inode's in a block or two
        equal(error.errno, errno.ENOSPC)
    for p in (path, other):
        equal({n: os.getxattr(p, n) for n in os.listxattr(p)}, values)
    fails(errno.E2BIG, os.setxattr, path, "user.toolarge", b"x" * 65537)
    fails(errno.ERANGE, os.setxattr, path, longest + "n", b"v")
    fails(errno.ENODATA, os.getxattr, other, "user.none")
    fails(errno.ENODATA, os.removexattr, other, "user.none")
    fails(errno.EEXIST, os.setxattr, other, "user.empty", b"", CREATE)
    fails(errno.ENODATA, os.setxattr, other, "user.none", b"", REPLACE)
    fails(errno.EOPNOTSUPP, os.setxattr, path, "nothing.x", b"")
    fails((errno.EINVAL, errno.EOPNOTSUPP), os.setxattr, path, "user.", b"")
    os.setxattr(other, "user.empty", b"not any more", REPLACE)
    equal(os.getxattr(path, "user.empty"), b"not any more")
    buffer = (b"\0" * 4)
    fails(errno.ERANGE, call, "getxattr", path, "user.empty", buffer, 4)
    fails(errno.ERANGE, call, "listxattr", path, buffer, 4)
    equal(call("getxattr", path, "user.empty", None, 0), 12, "size asked for")
    for name in list(values):
        os.removexattr(other, name)
    equal([os.listxattr(p) for p in (path, other)], [[], []])


@case
def xattrs_of_each_kind_for_whom_they_are(here, there):
    os.chmod(here, 0o777)
    put(os.path.join(here, "file"), mode=0o644)
    os.setxattr(os.path.join(here, "file"), "trusted.secret", b"1")
    os.setxattr(os.path.join(here, "file"), "user.open", b"1")
    os.symlink("file", os.path.join(here, "s"))
    os.mkfifo(os.path.join(here, "pipe"))

    def other():
        for d in (here, there):
            path = os.path.join(d, "file")
            equal(os.getxattr(path, "user.open"), b"1")
            fails(errno.EACCES, os.setxattr, path, "user.open", b"2")
            fails((errno.EPERM, errno.ENODATA), os.getxattr, path, "trusted.secret")
            fails(errno.EPERM, os.setxattr, path, "trusted.secret", b"2")
    as_user(other)
    fails(errno.EPERM, os.setxattr, os.path.join(here, "s"), "user.x", b"", follow_symlinks=False)
    fails(errno.EPERM, os.setxattr, os.path.join(here, "pipe"), "user.x", b"")
    os.setxattr(os.path.join(here, "s"), "trusted.x", b"of the link", follow_symlinks=False)
    equal(os.getxattr(os.path.join(there, "s"), "trusted.x", follow_symlinks=False), b"of the link")
    os.setxattr(there, "user.directory", b"d")
    equal(os.getxattr(here, "user.directory"), b"d")


@case
def a_thousand_xattrs_on_one_file(here, there):
    path, other = both(here, there, "file")
    put(path)
    made = {}
    for i in range(1000):
        name = f"user.number{i:04}"
        try:
            os.setxattr((path, other)[i % 2], name, b"%d" % i)
        except OSError as error:  # ext4 has no room for that many
            equal(error.errno, errno.ENOSPC)
            break
        made[name] = b"%d" % i
    for p in (path, other):
        equal(sorted(os.listxattr(p)), sorted(made))
        equal({n: os.getxattr(p, n) for n in made}, made)
    # The kernel lists 64 KiB of names at most.
    try:
        for i in range(400):
            os.setxattr(path, "user." + f"{i:03}" + "x" * 240, b"")
    except OSError as error:
        equal(error.errno, errno.ENOSPC)
    else:
        fails(errno.E2BIG, os.listxattr, other)
    os.unlink(path)


main()
