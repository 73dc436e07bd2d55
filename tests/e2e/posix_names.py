#!/usr/bin/env python3
"""posix_names.py HERE THERE: names, directories, links, renames, listings and handles are as POSIX and Linux have them."""
import ctypes
import errno
import os
import socket
import stat

from posix_lib import NOBODY, as_user, both, call, case, equal, fails, get, in_child, main, mode_of, must, put

AT_FDCWD = -100
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4


def rename2(old, new, flags):
    return call("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)


@case
def special_files_are_made_and_seen_at_both_sites(here, there):
    for name, kind, number in (("null", stat.S_IFCHR, os.makedev(1, 3)), ("block", stat.S_IFBLK, os.makedev(259, 1048575)),
                               ("pipe", stat.S_IFIFO, 0), ("plain", stat.S_IFREG, 0), ("mknod-socket", stat.S_IFSOCK, 0)):
        os.mknod(os.path.join(here, name), kind | 0o640, number)
        for path in both(here, there, name):
            it = os.lstat(path)
            equal((stat.S_IFMT(it.st_mode), it.st_mode & 0o7777, it.st_rdev, it.st_nlink, it.st_size), (kind, 0o640, number, 1, 0), path)
        fails(errno.EEXIST, os.mknod, os.path.join(there, name), kind | 0o640, number)
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(here)
        server.bind("socket")
        must(stat.S_ISSOCK(os.lstat(os.path.join(there, "socket")).st_mode), "a bound socket is not one at the other site")
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("socket")
    os.chdir("/")
    kinds = {e.name: stat.S_IFMT(e.stat(follow_symlinks=False).st_mode) for e in os.scandir(there)}
    equal(kinds["pipe"], stat.S_IFIFO, "listed")
    os.chmod(here, 0o777)
    fails(errno.EPERM, as_user, lambda: os.mknod(os.path.join(here, "device"), stat.S_IFCHR | 0o600, os.makedev(1, 3)))


@case
def a_pipe_carries_bytes_also_after_it_was_removed(here, there):
    path = os.path.join(here, "pipe")
    os.mkfifo(path)
    held = os.open(path, os.O_PATH)
    fd = os.open(path, os.O_RDWR)
    os.unlink(os.path.join(there, "pipe"))
    os.write(fd, b"through")
    equal(os.read(fd, 100), b"through")
    again = os.open(f"/proc/self/fd/{held}", os.O_RDWR | os.O_NONBLOCK)
    os.write(again, b"again")
    equal(os.read(fd, 100), b"again")
    for one in (held, fd, again):
        os.close(one)


@case
def what_is_held_open_by_path_only_can_be_asked_after_removal(here, there):
    put(os.path.join(here, "file"), b"text")
    os.mkfifo(os.path.join(here, "pipe"))
    os.mkdir(os.path.join(here, "dir"))
    for name, remove in (("file", os.unlink), ("pipe", os.unlink), ("dir", os.rmdir)):
        for at in (here, there):
            held = os.open(os.path.join(here, name), os.O_PATH)
            inode = os.fstat(held).st_ino
            remove(os.path.join(at, name))
            it = os.fstat(held)
            equal((it.st_ino, it.st_nlink), (inode, 0), f"{name} removed at {at}")
            os.close(held)
            {"file": put, "pipe": os.mkfifo, "dir": os.mkdir}[name](os.path.join(here, name))


@case
def rename_noreplace_and_exchange(here, there):
    a, b, c = (os.path.join(here, n) for n in "abc")
    put(a, b"a")
    put(os.path.join(there, "b"), b"b")
    fails(errno.EEXIST, rename2, a, b, NOREPLACE)
    rename2(a, c, NOREPLACE)
    equal(sorted(os.listdir(there)), ["b", "c"])
    rename2(os.path.join(there, "b"), os.path.join(there, "c"), EXCHANGE)
    equal((get(b), get(c)), (b"a", b"b"), "exchanged")
    os.mkdir(os.path.join(here, "d"))
    os.mkdir(os.path.join(here, "d", "sub"))
    rename2(os.path.join(here, "d", "sub"), b, EXCHANGE)  # a directory with a file
    must(os.path.isdir(os.path.join(there, "b")) and get(os.path.join(there, "d", "sub")) == b"a", "exchanged types")
    equal((os.stat(os.path.join(there, "d")).st_nlink, os.stat(there).st_nlink), (2, 4), "links of directories")
    fails(errno.ENOENT, rename2, c, os.path.join(here, "nothing"), EXCHANGE)
    fails(errno.EINVAL, rename2, c, b, NOREPLACE | EXCHANGE)
    fails(errno.EINVAL, rename2, c, b, 1 << 10)
    fails(errno.EINVAL, rename2, os.path.join(here, "d"), os.path.join(here, "d", "sub2"), 0)
    os.mkdir(os.path.join(here, "d", "x"))
    fails(errno.EINVAL, rename2, os.path.join(here, "d"), os.path.join(here, "d", "x"), EXCHANGE)


@case
def rename_leaves_a_whiteout(here, there):
    a, b = os.path.join(here, "a"), os.path.join(here, "b")
    put(a, b"a")
    before = os.stat(a).st_ino
    rename2(a, b, WHITEOUT)
    for at in (here, there):
        equal((os.stat(os.path.join(at, "b")).st_ino, get(os.path.join(at, "b"))), (before, b"a"), f"what was renamed, at {at}")
        it = os.stat(os.path.join(at, "a"))
        equal((stat.S_IFMT(it.st_mode), it.st_rdev, it.st_nlink), (stat.S_IFCHR, 0, 1), f"the whiteout at {at}")
    rename2(os.path.join(there, "b"), os.path.join(there, "a"), WHITEOUT)
    must(stat.S_ISCHR(os.stat(b).st_mode) and get(a) == b"a", "renamed over a whiteout")
    fails(errno.EEXIST, rename2, a, b, WHITEOUT | NOREPLACE)
    fails(errno.EINVAL, rename2, a, b, WHITEOUT | EXCHANGE)


@case
def rename_as_posix_has_it(here, there):
    for name in ("dir", "full"):
        os.mkdir(os.path.join(here, name))
    put(os.path.join(here, "full", "x"))
    file = put(os.path.join(here, "file"), b"1")
    fails(errno.EISDIR, os.rename, file, os.path.join(here, "dir"))
    fails(errno.ENOTDIR, os.rename, os.path.join(here, "dir"), file)
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, os.path.join(here, "dir"), os.path.join(here, "full"))
    fails(errno.ENOENT, os.rename, os.path.join(here, "nothing"), file)
    fails(errno.EINVAL, os.rename, os.path.join(here, "full"), os.path.join(here, "full", "below"))
    fails((errno.EBUSY, errno.EINVAL), os.rename, os.path.join(here, "dir", "."), os.path.join(here, "other"))
    os.link(file, os.path.join(here, "same"))
    os.rename(os.path.join(there, "file"), os.path.join(there, "same"))  # two names of one file: nothing happens
    equal(sorted(os.listdir(there)), ["dir", "file", "full", "same"])
    os.rename(os.path.join(there, "full"), os.path.join(there, "dir"))  # over an empty directory
    equal(os.listdir(os.path.join(here, "dir")), ["x"])
    before = os.stat(os.path.join(here, "dir")).st_ino
    os.mkdir(os.path.join(here, "parent"))
    os.rename(os.path.join(here, "dir"), os.path.join(here, "parent", "dir"))
    equal(os.stat(os.path.join(there, "parent", "dir")).st_ino, before, "inode after a rename")
    equal(os.stat(os.path.join(there, "parent", "dir", "..")).st_ino, os.stat(os.path.join(here, "parent")).st_ino, "..")


@case
def names_have_255_bytes_of_any_kind(here, there):
    names = [b"x" * 255, b"\xff\xfe\x80", b"new\nline", b" ", b"...", "ü".encode() * 127, b"-", b"a\\b", b"\x01"]
    for name in names:
        os.close(os.open(os.path.join(os.fsencode(here), name), os.O_CREAT | os.O_EXCL, 0o600))
    equal(sorted(os.listdir(os.fsencode(there))), sorted(names))
    long = os.path.join(here, "y" * 256)
    for function in (os.mkdir, os.stat, os.unlink, os.rmdir, os.open):
        fails(errno.ENAMETOOLONG, function, long, *([os.O_CREAT | os.O_RDWR] if function == os.open else []))
    file = put(os.path.join(here, "f"))
    fails(errno.ENAMETOOLONG, os.rename, file, long)
    fails(errno.ENAMETOOLONG, os.link, file, long)
    fails(errno.ENAMETOOLONG, os.symlink, "x", long)
    fails(errno.ENAMETOOLONG, os.stat, here + "/x" * 4096)
    fails(errno.ENAMETOOLONG, os.symlink, "t" * 4096, os.path.join(here, "s"))
    os.symlink("t" * 4095, os.path.join(here, "s"))
    equal(len(os.readlink(os.path.join(there, "s"))), 4095)
    equal(os.lstat(os.path.join(there, "s")).st_size, 4095)


@case
def errors_of_paths(here, there):
    file = put(os.path.join(here, "file"))
    os.mkdir(os.path.join(here, "dir"))
    os.symlink("loop", os.path.join(here, "loop"))
    os.symlink("nothing", os.path.join(here, "dangling"))
    for path in (os.path.join(here, "file", "x"), os.path.join(there, "file", "x")):
        for function in (os.stat, os.mkdir, os.unlink, os.listdir):
            fails(errno.ENOTDIR, function, path)
    fails(errno.ENOTDIR, os.listdir, file)
    fails(errno.ENOTDIR, os.rmdir, file)
    fails(errno.ENOTDIR, os.open, file, os.O_DIRECTORY)
    fails(errno.EISDIR, os.unlink, os.path.join(there, "dir"))
    fails(errno.EISDIR, os.open, os.path.join(there, "dir"), os.O_WRONLY)
    fails(errno.EISDIR, os.open, os.path.join(there, "dir"), os.O_RDWR | os.O_CREAT)
    fails(errno.ELOOP, os.stat, os.path.join(there, "loop"))
    fails(errno.ELOOP, os.open, os.path.join(there, "dangling"), os.O_NOFOLLOW)
    fails(errno.ENOENT, os.stat, os.path.join(there, "dangling"))
    fails(errno.EEXIST, os.open, os.path.join(there, "dangling"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails(errno.EPERM, os.link, os.path.join(here, "dir"), os.path.join(here, "dir2"))
    fails(errno.EEXIST, os.link, file, os.path.join(here, "dir"))
    fails(errno.EEXIST, os.mkdir, file)
    fails(errno.EEXIST, os.symlink, "x", os.path.join(there, "dir"))
    fails(errno.ENOENT, os.mkdir, os.path.join(here, "no", "dir"))
    fails(errno.ENOENT, os.stat, os.path.join(here, "no"))
    fails(errno.EXDEV, os.link, file, "/dev/shm/lockstep-posix-test")
    fails(errno.EXDEV, os.rename, file, "/dev/shm/lockstep-posix-test")
    put(os.path.join(here, "dir", "in"))
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, os.path.join(there, "dir"))
    fails((errno.EINVAL, errno.EBUSY), os.rmdir, os.path.join(here, "dir", "."))
    fails((errno.ENOTEMPTY, errno.EINVAL), os.rmdir, os.path.join(here, "dir", ".."))
    fails(errno.EINVAL, os.readlink, file)
    with open(os.path.join(there, "dangling"), "w") as through:
        through.write("made")
    equal(get(os.path.join(here, "nothing")), b"made")


@case
def permissions_of_directories(here, there):
    os.mkdir(os.path.join(here, "closed"), 0o700)
    put(os.path.join(here, "closed", "file"))
    os.mkdir(os.path.join(here, "readable"), 0o755)
    put(os.path.join(here, "readable", "file"), mode=0o600)

    def try_all():
        for d in (here, there):
            fails(errno.EACCES, os.stat, os.path.join(d, "closed", "file"))
            fails(errno.EACCES, os.listdir, os.path.join(d, "closed"))
            fails(errno.EACCES, os.open, os.path.join(d, "readable", "file"), os.O_RDONLY)
            fails(errno.EACCES, os.open, os.path.join(d, "readable", "new"), os.O_CREAT | os.O_WRONLY)
            fails(errno.EACCES, os.unlink, os.path.join(d, "readable", "file"))
            fails(errno.EACCES, os.mkdir, os.path.join(d, "readable", "dir"))
            fails(errno.EPERM, os.chmod, os.path.join(d, "readable", "file"), 0o777)
            fails(errno.EPERM, os.chown, os.path.join(d, "readable", "file"), NOBODY, NOBODY)
            fails(errno.EPERM, os.utime, os.path.join(d, "readable", "file"), (1, 1))
            fails(errno.EACCES, os.utime, os.path.join(d, "readable", "file"))
    as_user(try_all)
    os.chmod(os.path.join(here, "closed"), 0o755)
    as_user(lambda: os.stat(os.path.join(there, "closed", "file")))


@case
def sticky_directories_keep_others_from_removing(here, there):
    sticky = os.path.join(here, "sticky")
    os.mkdir(sticky)
    os.chmod(sticky, 0o1777)
    put(os.path.join(sticky, "roots"))
    as_user(lambda: put(os.path.join(there, "sticky", "theirs")), uid=12345)

    def try_all():
        for d in (here, there):
            for name in ("roots", "theirs"):
                path = os.path.join(d, "sticky", name)
                fails(errno.EPERM, os.unlink, path)
                fails(errno.EPERM, os.rename, path, path + "2")
                fails(errno.EPERM, os.rename, put(os.path.join(d, "sticky", "mine")), path)
                os.unlink(os.path.join(d, "sticky", "mine"))
    as_user(try_all)
    as_user(lambda: os.unlink(os.path.join(here, "sticky", "theirs")), uid=12345)


@case
def hard_links(here, there):
    file = put(os.path.join(here, "one"), b"x")
    os.link(file, os.path.join(here, "two"))
    os.link(os.path.join(there, "two"), os.path.join(there, "three"))
    for name in ("one", "two", "three"):
        equal([os.stat(p).st_nlink for p in both(here, there, name)], [3, 3], name)
        equal(len({os.stat(p).st_ino for p in both(here, there, name)}), 1, "inode numbers")
    before = os.stat(file).st_ctime_ns
    os.unlink(os.path.join(there, "one"))
    equal(os.stat(os.path.join(here, "two")).st_nlink, 2)
    must(os.stat(os.path.join(here, "two")).st_ctime_ns > before, "a lost name does not change ctime")
    os.symlink("two", os.path.join(here, "s"))
    os.link(os.path.join(here, "s"), os.path.join(here, "s2"), follow_symlinks=False)  # a link to the link itself
    must(os.path.islink(os.path.join(there, "s2")) and os.lstat(os.path.join(there, "s")).st_nlink == 2, "link to a link")


@case
def links_of_directories_count_subdirectories(here, there):
    for i in range(5):
        os.mkdir(os.path.join((here, there)[i % 2], f"d{i}"))
        equal([os.stat(d).st_nlink for d in (here, there)], [i + 3] * 2)
    os.rmdir(os.path.join(there, "d0"))
    equal([os.stat(d).st_nlink for d in (here, there)], [6, 6])


@case
def inode_numbers_are_equal_at_both_sites_and_in_listings(here, there):
    for i in range(50):
        put(os.path.join(here, f"f{i}"))
    os.mkdir(os.path.join(there, "d"))
    numbers = [{e.name: e.inode() for e in os.scandir(d)} for d in (here, there)]
    equal(numbers[0], numbers[1])
    for name, number in numbers[0].items():
        equal([os.lstat(p).st_ino for p in both(here, there, name)], [number, number], name)
    equal(len(set(numbers[0].values())), 51, "different objects")


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("length", ctypes.c_uint16), ("type", ctypes.c_uint8),
                ("name", ctypes.c_char * 256)]


for name, result, arguments in (("opendir", ctypes.c_void_p, [ctypes.c_char_p]), ("readdir", ctypes.POINTER(Dirent), [ctypes.c_void_p]),
                                ("telldir", ctypes.c_long, [ctypes.c_void_p]), ("seekdir", None, [ctypes.c_void_p, ctypes.c_long]),
                                ("rewinddir", None, [ctypes.c_void_p]), ("closedir", ctypes.c_int, [ctypes.c_void_p])):
    function = getattr(ctypes.CDLL(None), name)
    function.restype, function.argtypes = result, arguments
    globals()[name] = function


def read_all(directory):
    found = []
    while True:
        entry = readdir(directory)
        if not entry:
            return found
        found.append((os.fsdecode(entry.contents.name), entry.contents.off, entry.contents.ino, entry.contents.type))


@case
def dot_and_dotdot_are_listed_once_and_first(here, there):
    os.mkdir(os.path.join(here, "sub"))
    for d in (here, there):
        listing = opendir(os.fsencode(os.path.join(d, "sub")))
        entries = read_all(listing)
        equal([(n, i, t) for n, _, i, t in entries], [(".", os.stat(os.path.join(d, "sub")).st_ino, 4), ("..", os.stat(d).st_ino, 4)], d)
        os.close(os.open(os.path.join(d, "sub"), os.O_RDONLY))
        closedir(listing)


@case
def cookies_stay_valid_while_the_other_site_changes_the_directory(here, there):
    for i in range(1000):
        put(os.path.join(here, f"kept{i:04}"))
    listing = opendir(os.fsencode(here))
    seen, cookies = [], []
    for _ in range(500):
        entry = readdir(listing)
        seen.append(os.fsdecode(entry.contents.name))
        cookies.append(telldir(listing))
    kept_before = [n for n in seen if n.startswith("kept")]
    for i in range(300):
        put(os.path.join(there, f"added{i:04}"))
        if i % 3 == 0:
            os.unlink(os.path.join(there, f"added{i:04}"))
    removed = {n for n in kept_before[::7]}
    for n in removed:
        os.unlink(os.path.join(there, n))
    rest = [n for n, *_ in read_all(listing)]
    listed = seen + rest
    kept = [n for n in listed if n.startswith("kept")]
    equal(len(kept), len(set(kept)), "an entry is listed twice")
    equal(set(kept), {f"kept{i:04}" for i in range(1000)}, "an entry that nobody touched is not listed")
    # Back to where 200 were read: what follows is what followed, but for what changed.
    seekdir(listing, cookies[199])
    again = [n for n, *_ in read_all(listing) if n.startswith("kept")]
    expected = [n for n in seen[200:] + rest if n.startswith("kept") and n not in removed]
    equal([n for n in again if n not in removed], expected, "after seekdir")
    rewinddir(listing)
    equal(sorted(n for n, *_ in read_all(listing)), sorted([".", ".."] + os.listdir(there)), "after rewinddir")
    closedir(listing)
    # A cookie of one site, used with a directory opened anew there.
    listing = opendir(os.fsencode(here))
    seekdir(listing, cookies[199])
    equal([n for n, *_ in read_all(listing) if n.startswith("kept") and n not in removed], expected, "a cookie in a new stream")
    closedir(listing)


@case
def a_removed_directory_takes_no_names(here, there):
    path = os.path.join(here, "gone")
    os.mkdir(path)
    fd = os.open(path, os.O_RDONLY)
    os.rmdir(os.path.join(there, "gone"))
    fails((errno.ENOENT, errno.ESTALE), os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    fails((errno.ENOENT, errno.ESTALE), os.mkdir, "x", dir_fd=fd)
    equal(os.listdir(fd), [])
    equal(os.fstat(fd).st_nlink, 0)
    os.close(fd)
    fails(errno.ENOENT, os.stat, path)


HANDLE_BYTES = 128


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * HANDLE_BYTES)]


def handle_of(path):
    handle = Handle(bytes=HANDLE_BYTES)
    mount = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, path, ctypes.byref(handle), ctypes.byref(mount), 0)
    return handle


def open_handle(mount_fd, handle, flags):
    return call("open_by_handle_at", mount_fd, ctypes.byref(handle), flags)


@case
def handles_name_objects_at_both_sites(here, there):
    os.mkdir(os.path.join(here, "d"))
    put(os.path.join(here, "d", "file"), b"by handle")
    handle, of_directory = handle_of(os.path.join(here, "d", "file")), handle_of(os.path.join(here, "d"))
    equal(bytes(handle_of(os.path.join(there, "d", "file")).data), bytes(handle.data), "handles of both sites")
    forget_caches()
    for d in (here, there):
        mount = os.open(d, os.O_RDONLY)
        fd = open_handle(mount, handle, os.O_RDWR)
        equal(os.read(fd, 100), b"by handle")
        equal(os.fstat(fd).st_ino, os.stat(os.path.join(here, "d", "file")).st_ino)
        os.close(fd)
        fd = open_handle(mount, of_directory, os.O_RDONLY)
        equal(os.listdir(fd), ["file"])
        equal(os.stat("..", dir_fd=fd).st_ino, os.stat(here).st_ino, "above a directory that a handle opened")
        os.close(fd)
        os.close(mount)
    os.rename(os.path.join(there, "d", "file"), os.path.join(there, "moved"))
    forget_caches()
    mount = os.open(here, os.O_RDONLY)
    fd = open_handle(mount, handle, os.O_RDONLY)
    equal(os.read(fd, 100), b"by handle", "after a rename")
    os.close(fd)
    os.unlink(os.path.join(there, "moved"))
    forget_caches()
    fails(errno.ESTALE, open_handle, mount, handle, os.O_RDONLY)
    os.rename(os.path.join(here, "d"), os.path.join(here, "e"))
    fd = open_handle(mount, of_directory, os.O_RDONLY)
    equal(os.listdir(fd), [])
    os.close(fd)
    os.rmdir(os.path.join(there, "e"))
    forget_caches()
    fails(errno.ESTALE, open_handle, mount, of_directory, os.O_RDONLY)
    os.close(mount)


def forget_caches():
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")


@case
def deep_trees(here, there):
    fds = [os.open(here, os.O_RDONLY)]
    for _ in range(300):
        os.mkdir("d", dir_fd=fds[-1])
        fds.append(os.open("d", os.O_RDONLY, dir_fd=fds[-1]))
    put_at = os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fds[-1])
    os.close(put_at)
    equal(os.stat(there + "/d" * 300 + "/file").st_size, 0)
    os.unlink("file", dir_fd=fds[-1])
    while len(fds) > 1:
        os.close(fds.pop())
        os.rmdir("d", dir_fd=fds[-1])
    equal(os.listdir(there), [])
    os.close(fds[0])


@case
def a_working_directory_that_was_removed(here, there):
    os.mkdir(os.path.join(here, "cwd"))

    def inside():
        os.chdir(os.path.join(here, "cwd"))
        os.rmdir(os.path.join(there, "cwd"))
        fails(errno.ENOENT, os.getcwd)
        equal(os.listdir("."), [])
        equal(os.stat(".").st_nlink, 0)
        fails(errno.ENOENT, put, "file")
    in_child(inside)


main()
