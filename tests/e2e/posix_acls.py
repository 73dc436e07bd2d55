#!/usr/bin/env python3
"""posix_acls.py HERE THERE: access control lists are kept, inherited, followed by the mode and in force at both sites at once."""
import errno
import os
import struct
import subprocess

from posix_lib import as_user, both, case, equal, fails, get, in_child, main, mode_of, must, put

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER, USER, OWNING, GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32
ANY = 0xFFFFFFFF
U, G = 1234, 4321  # of who is named in lists


def blob(*entries, version=2):
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *e) for e in entries)


def setfacl(path, *arguments):
    subprocess.run(["setfacl", *arguments, path], check=True)


def getfacl(path):
    out = subprocess.run(["getfacl", "-cnpE", path], check=True, capture_output=True, text=True).stdout
    return out.split()


def acls(here, there, name):
    found = [getfacl(p) for p in both(here, there, name)]
    equal(found[0], found[1], "lists at both sites")
    return found[0]


def may(path, how=os.R_OK, uid=U, gid=G, groups=()):
    def ask():
        try:
            os.close(os.open(path, {os.R_OK: os.O_RDONLY, os.W_OK: os.O_WRONLY}[how]))
            return True
        except PermissionError:
            return False
    return as_user(ask, uid=uid, gid=gid, groups=groups)


@case
def an_access_list_is_in_force_at_both_sites_at_once(here, there):
    put(os.path.join(here, "file"), b"x", mode=0o600)
    for setter in (here, there):
        for _ in range(20):
            equal([may(p) for p in both(here, there, "file")], [False, False])
            setfacl(os.path.join(setter, "file"), "-m", f"u:{U}:r")
            equal([may(p) for p in both(here, there, "file")], [True, True], "who is named may read")
            equal([may(p, os.W_OK) for p in both(here, there, "file")], [False, False])
            equal([may(p, uid=77, gid=77) for p in both(here, there, "file")], [False, False], "others")
            setfacl(os.path.join(setter, "file"), "-m", f"u:{U}:0")
            equal([may(p) for p in both(here, there, "file")], [False, False], "who is shut out")
            setfacl(os.path.join(setter, "file"), "-b")
    equal(acls(here, there, "file"), ["user::rw-", "group::---", "other::---"])
    equal([os.listxattr(p) for p in both(here, there, "file")], [[], []])


@case
def groups_and_the_mask(here, there):
    path = put(os.path.join(here, "file"), mode=0o640)
    setfacl(path, "-m", f"g:{G}:rw,g:5555:r,m:r")
    equal(acls(here, there, "file"), ["user::rw-", "group::r--", f"group:{G}:rw-", "group:5555:r--", "mask::r--", "other::---"])
    other = os.path.join(there, "file")
    equal((may(other, uid=9), may(other, os.W_OK, uid=9)), (True, False), "the mask limits")
    setfacl(other, "-m", "m:rw")
    equal(oct(mode_of(path)), oct(0o660), "the group bits are the mask")
    equal((may(path, os.W_OK, uid=9), may(path, os.W_OK, uid=9, gid=9, groups=(5555,))), (True, False))


@case
def chmod_changes_owner_mask_and_others(here, there):
    path = put(os.path.join(here, "file"), mode=0o640)
    setfacl(path, "-m", f"u:{U}:rwx,g::rx")
    equal(oct(mode_of(os.path.join(there, "file"))), oct(0o670))
    os.chmod(os.path.join(there, "file"), 0o1504)
    equal(acls(here, there, "file"), ["user::r-x", f"user:{U}:rwx", "group::r-x", "mask::---", "other::r--"])
    equal(oct(mode_of(path)), oct(0o1504))
    os.chmod(path, 0o777)
    equal(acls(here, there, "file"), ["user::rwx", f"user:{U}:rwx", "group::r-x", "mask::rwx", "other::rwx"])
    setfacl(path, "-x", f"u:{U}")  # leaves a mask of what is left
    equal([oct(mode_of(p)) for p in both(here, there, "file")], [oct(0o757)] * 2)


@case
def a_list_that_says_no_more_than_a_mode_becomes_the_mode(here, there):
    path = put(os.path.join(here, "file"), mode=0o600)
    os.setxattr(path, ACCESS, blob((OWNER, 7, ANY), (OWNING, 5, ANY), (OTHERS, 4, ANY)))
    equal([(oct(mode_of(p)), os.listxattr(p)) for p in both(here, there, "file")], [(oct(0o754), [])] * 2)
    fails(errno.ENODATA, os.getxattr, os.path.join(there, "file"), ACCESS)
    full = blob((OWNER, 6, ANY), (USER, 4, U), (OWNING, 4, ANY), (MASK, 5, ANY), (OTHERS, 0, ANY))
    os.setxattr(os.path.join(there, "file"), ACCESS, full)
    equal(os.getxattr(path, ACCESS), full)
    equal(os.listxattr(path), [ACCESS])
    equal([oct(mode_of(p)) for p in both(here, there, "file")], [oct(0o650)] * 2)
    os.setxattr(path, ACCESS, blob((OWNER, 6, ANY), (OWNING, 4, ANY), (OTHERS, 0, ANY)))
    equal([(oct(mode_of(p)), os.listxattr(p)) for p in both(here, there, "file")], [(oct(0o640), [])] * 2)
    os.setxattr(path, ACCESS, full)
    os.removexattr(os.path.join(there, "file"), ACCESS)
    equal([(oct(mode_of(p)), os.listxattr(p)) for p in both(here, there, "file")], [(oct(0o650), [])] * 2, "removed: the mode stays")


@case
def what_is_no_list_is_refused(here, there):
    path = put(os.path.join(here, "file"))
    good = ((OWNER, 6, ANY), (OWNING, 4, ANY), (OTHERS, 0, ANY))
    for bad in (b"x", blob(*good)[:-1], blob(*good[:2]), blob(*good[::-1]), blob(*good, version=1),
                blob((OWNER, 6, ANY), (USER, 4, U), (OWNING, 4, ANY), (OTHERS, 0, ANY)), blob((OWNER, 8, ANY), *good[1:]),
                blob((OWNER, 6, ANY), *good), blob((64, 6, ANY), *good), blob((OWNER, 6, ANY), (USER, 4, ANY), *good[1:2], (MASK, 4, ANY), good[2])):
        fails((errno.EINVAL, errno.EOPNOTSUPP), os.setxattr, path, ACCESS, bad)
        fails((errno.EINVAL, errno.EOPNOTSUPP), os.setxattr, there, DEFAULT, bad)
    equal([os.listxattr(d) for d in (path, here)], [[], []])
    fails(errno.EACCES, os.setxattr, path, DEFAULT, blob(*good))
    os.symlink("file", os.path.join(here, "s"))
    fails(errno.EOPNOTSUPP, os.setxattr, os.path.join(here, "s"), ACCESS, blob(*good), follow_symlinks=False)
    fails(errno.EPERM, as_user, lambda: os.setxattr(path, ACCESS, blob(*good)))


@case
def a_default_list_is_inherited_and_the_umask_does_not_count_then(here, there):
    os.mkdir(os.path.join(here, "d"))
    setfacl(os.path.join(here, "d"), "-d", "-m", f"u::rwx,u:{U}:rwx,g::rx,o::r,m:rwx")
    inherited = ["user::rwx", f"user:{U}:rwx", "group::r-x", "mask::rwx", "other::r--"]
    defaults = [f"default:{e}" for e in inherited]
    old = os.umask(0o077)
    try:
        d = os.path.join(there, "d")
        os.close(os.open(os.path.join(d, "file"), os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(os.path.join(d, "dir"), 0o777)
        os.mkfifo(os.path.join(d, "pipe"), 0o620)
        os.symlink("file", os.path.join(d, "s"))
        fd = os.open(d, os.O_TMPFILE | os.O_WRONLY, 0o604)
        equal(oct(os.fstat(fd).st_mode & 0o7777), oct(0o604))
        os.close(fd)
    finally:
        os.umask(old)
    equal(acls(here, there, "d/file"), ["user::rw-", f"user:{U}:rwx", "group::r-x", "mask::rw-", "other::r--"])
    equal(acls(here, there, "d/dir"), inherited + defaults)
    equal(acls(here, there, "d/pipe"), ["user::rw-", f"user:{U}:rwx", "group::r-x", "mask::-w-", "other::---"])
    equal([oct(mode_of(os.path.join(here, "d", n))) for n in ("file", "dir", "pipe")], [oct(0o664), oct(0o774), oct(0o620)])
    equal(os.listxattr(os.path.join(here, "d", "s"), follow_symlinks=False), [])
    equal([may(p) for p in both(here, there, "d/file")], [True, True])
    # What is made below the directory made there inherits, too; without the list the umask counts again.
    os.mkdir(os.path.join(here, "d", "dir", "below"), 0o700)
    equal(acls(here, there, "d/dir/below"), ["user::rwx", f"user:{U}:rwx", "group::r-x", "mask::---", "other::---"] + defaults)
    setfacl(os.path.join(here, "d"), "-k")
    os.setxattr(os.path.join(here, "d"), "user.other", b"attribute")
    os.close(os.open(os.path.join(there, "d", "plain"), os.O_CREAT | os.O_WRONLY, 0o666))
    equal([oct(mode_of(p)) for p in both(here, there, "d/plain")], [oct(0o644)] * 2)


@case
def a_default_list_without_names_gives_modes(here, there):
    os.mkdir(os.path.join(here, "d"))
    setfacl(os.path.join(here, "d"), "-d", "-m", "u::rwx,g::rwx,o::0")
    in_child(lambda: (os.umask(0o027), os.close(os.open(os.path.join(there, "d", "file"), os.O_CREAT | os.O_WRONLY, 0o666)))[0])
    equal([(oct(mode_of(p)), os.listxattr(p)) for p in both(here, there, "d/file")], [(oct(0o660), [])] * 2)
    os.mkdir(os.path.join(here, "d", "dir"), 0o777)
    equal(os.listxattr(os.path.join(there, "d", "dir")), [DEFAULT])
    equal(oct(mode_of(os.path.join(there, "d", "dir"))), oct(0o770))


@case
def a_default_list_set_at_one_site_counts_at_the_other_at_once(here, there):
    os.mkdir(os.path.join(here, "d"))
    for i in range(30):
        setter, maker = (here, there) if i % 2 else (there, here)
        os.setxattr(os.path.join(setter, "d"), DEFAULT, blob((OWNER, 7, ANY), (USER, 7, i), (OWNING, 5, ANY), (MASK, 7, ANY), (OTHERS, 0, ANY)))
        put(os.path.join(maker, "d", f"f{i}"), mode=0o666)
        must(f"user:{i}:rwx" in acls(here, there, f"d/f{i}"), "an old list was inherited")


@case
def setgid_goes_when_who_sets_a_list_is_not_of_the_group(here, there):
    os.chmod(here, 0o777)
    for setter in (here, there):
        path = put(os.path.join(here, "file"))
        for groups, kept in (((77,), True), ((), False)):
            os.chown(path, U, 77)
            os.chmod(path, 0o2755)
            as_user(lambda: setfacl(os.path.join(setter, "file"), "-m", f"u:{len(groups)}:r"), uid=U, gid=G, groups=groups)
            equal([bool(mode_of(p) & 0o2000) for p in both(here, there, "file")], [kept] * 2)
        os.unlink(path)


@case
def long_lists(here, there):
    path = put(os.path.join(here, "file"))
    entries = [(USER, 4, 1000 + i) for i in range(100)] + [(OWNING, 4, ANY)] + [(GROUP, 6, 1000 + i) for i in range(100)]
    long = blob((OWNER, 6, ANY), *entries, (MASK, 6, ANY), (OTHERS, 0, ANY))
    os.setxattr(path, ACCESS, long)
    equal(os.getxattr(os.path.join(there, "file"), ACCESS), long)
    equal([may(p, uid=1099) for p in both(here, there, "file")], [True, True])
    equal([may(p, os.W_OK, uid=5, gid=5, groups=(1099,)) for p in both(here, there, "file")], [True, True])


@case
def lists_are_copied_and_removed_with_their_objects(here, there):
    path = put(os.path.join(here, "file"), b"x")
    setfacl(path, "-m", f"u:{U}:rw")
    subprocess.run(["cp", "-a", path, os.path.join(there, "copy")], check=True)
    equal(acls(here, there, "copy"), acls(here, there, "file"))
    os.link(path, os.path.join(here, "link"))
    equal(getfacl(os.path.join(there, "link")), getfacl(path))
    os.rename(path, os.path.join(here, "moved"))
    equal(getfacl(os.path.join(there, "moved")), getfacl(os.path.join(here, "link")))
    os.unlink(os.path.join(there, "moved"))
    put(path)
    equal(os.listxattr(path), [])
    equal(get(os.path.join(there, "link")), b"x")


main()
