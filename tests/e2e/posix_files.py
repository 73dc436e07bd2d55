#!/usr/bin/env python3
"""posix_files.py HERE THERE: what is in files: writing, cutting, holes, mappings, copies, limits."""
import errno
import mmap
import os

from posix_lib import as_user, both, call, case, equal, fails, get, main, must, put

MIB = 1 << 20
KEEP, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32


def fallocate(fd, mode, offset, length):
    return call("fallocate", fd, mode, offset, length)


def link_of(fd, path):
    at_cwd, follow = -100, 0x400
    return call("linkat", at_cwd, f"/proc/self/fd/{fd}", at_cwd, path, follow)


@case
def truncate_at_open_and_later(here, there):
    for d in (here, there):
        path = put(os.path.join(here, "file"), b"x" * 10000)
        held = os.open(os.path.join(here, "file"), os.O_RDONLY)
        equal(len(os.read(held, 20000)), 10000)
        os.close(os.open(os.path.join(d, "file"), os.O_WRONLY | os.O_TRUNC))
        equal((os.fstat(held).st_size, os.pread(held, 100, 0), os.stat(path).st_blocks), (0, b"", 0), "after O_TRUNC")
        put(os.path.join(d, "file"), b"y" * 9000)
        os.truncate(os.path.join(d, "file"), 5000)
        os.truncate(os.path.join(d, "file"), 9000)
        equal(os.pread(held, 9000, 0), b"y" * 5000 + bytes(4000), "shorter, then longer")
        os.close(held)
    fails(errno.EINVAL, call, "truncate", os.path.join(here, "file"), -1)
    fails(errno.EISDIR, os.truncate, here, 0)
    fd = os.open(os.path.join(here, "file"), os.O_RDONLY)
    fails(errno.EINVAL, os.ftruncate, fd, 5)
    os.close(fd)


@case
def files_without_a_name_get_one(here, there):
    fd = os.open(here, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"nameless")
    equal(os.fstat(fd).st_nlink, 0)
    equal(os.listdir(there), [])
    link_of(fd, os.path.join(here, "named"))
    equal(get(os.path.join(there, "named")), b"nameless")
    it = os.stat(os.path.join(there, "named"))
    equal((it.st_nlink, it.st_mode & 0o7777, it.st_ino), (1, 0o640, os.fstat(fd).st_ino))
    os.close(fd)
    fd = os.open(here, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    fails(errno.ENOENT, link_of, fd, os.path.join(here, "never"))
    os.close(fd)
    fails((errno.EISDIR, errno.EINVAL), os.open, here, os.O_TMPFILE | os.O_RDONLY)


@case
def direct_and_buffered_see_each_other(here, there):
    path = os.path.join(here, "file")
    page = mmap.mmap(-1, 4096)
    page.write(b"d" * 4096)
    direct = os.open(path, os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    buffered = os.open(os.path.join(there, "file"), os.O_RDWR)
    os.pwritev(direct, [page], 0)
    os.pwritev(direct, [page], 8192)
    equal(os.pread(buffered, 20000, 0), b"d" * 4096 + bytes(4096) + b"d" * 4096)
    os.pwrite(buffered, b"b" * 100, 50)
    os.preadv(direct, [page], 0)
    equal(page[:200], b"d" * 50 + b"b" * 100 + b"d" * 50)
    equal(os.preadv(direct, [page], 1 << 20), 0, "read behind the end")
    os.close(direct)
    os.close(buffered)


@case
def appends_go_to_the_end_whatever_the_position_is(here, there):
    fds = [os.open(p, os.O_CREAT | os.O_RDWR | os.O_APPEND) for p in both(here, there, "log")]
    for i in range(200):
        os.lseek(fds[i % 2], 0, os.SEEK_SET)
        os.write(fds[i % 2], f"{i:05}\n".encode())
    equal(get(os.path.join(here, "log")), b"".join(f"{i:05}\n".encode() for i in range(200)))
    for fd in fds:
        os.close(fd)


@case
def space_is_reserved_punched_and_zeroed(here, there):
    path = put(os.path.join(here, "file"), bytes(range(1, 251)) * 400)  # 100,000 bytes
    whole = bytearray(get(path))
    fd = os.open(path, os.O_RDWR)
    other = os.open(os.path.join(there, "file"), os.O_RDWR)
    fallocate(fd, KEEP, 0, 4 * MIB)
    equal(os.fstat(other).st_size, 100000, "keep size")
    must(os.fstat(other).st_blocks * 512 >= 4 * MIB, "nothing is reserved")
    fallocate(other, PUNCH | KEEP, 5000, 20000)
    whole[5000:25000] = bytes(20000)
    equal(os.pread(fd, 200000, 0), bytes(whole), "punched")
    fallocate(fd, ZERO | KEEP, 30000, 10001)
    whole[30000:40001] = bytes(10001)
    equal(os.pread(other, 200000, 0), bytes(whole), "zeroed")
    fallocate(fd, ZERO, 99000, 20000)
    whole[99000:] = bytes(20000)
    equal(os.pread(other, 200000, 0), bytes(whole), "zeroed over the end")
    fallocate(other, 0, 200000, 1000)
    whole += bytes(201000 - len(whole))
    equal((os.fstat(fd).st_size, os.pread(fd, 300000, 0) == bytes(whole)), (201000, True), "longer")
    os.pwrite(fd, b"end", 200998)
    equal(os.pread(other, 10, 200995), bytes(3) + b"end")
    for mode in (COLLAPSE, INSERT):
        before = os.pread(fd, 300000, 0)
        try:
            fallocate(fd, mode, 4096, 4096)
        except OSError as error:
            equal(error.errno, errno.EOPNOTSUPP, "refused")
            equal(os.pread(fd, 300000, 0), before, "what was refused changed something")
        else:
            after = before[:4096] + before[8192:] if mode == COLLAPSE else before[:4096] + bytes(4096) + before[4096:]
            equal(os.pread(other, 300000, 0), after, "moved")
    fails(errno.EOPNOTSUPP, fallocate, fd, PUNCH, 0, 4096)
    fails(errno.EINVAL, fallocate, fd, 0, 0, 0)
    fails(errno.EINVAL, fallocate, fd, 0, -1, 10)
    read_only = os.open(path, os.O_RDONLY)
    fails(errno.EBADF, fallocate, read_only, 0, 0, 10)
    for one in (fd, other, read_only):
        os.close(one)


@case
def holes_are_found(here, there):
    fd = os.open(os.path.join(here, "file"), os.O_CREAT | os.O_RDWR)
    for at in (0, 8 * MIB, 100 * MIB):
        os.pwrite(fd, b"x" * 8192, at)
    os.ftruncate(fd, 200 * MIB)
    other = os.open(os.path.join(there, "file"), os.O_RDONLY)
    for one in (fd, other):
        found, at = [], 0
        while True:
            try:
                at = os.lseek(one, at, os.SEEK_DATA)
            except OSError as error:
                equal(error.errno, errno.ENXIO)
                break
            end = os.lseek(one, at, os.SEEK_HOLE)
            found.append((at, end))
            at = end
        equal(found, [(at, at + 8192) for at in (0, 8 * MIB, 100 * MIB)])
        equal(os.lseek(one, 150 * MIB, os.SEEK_HOLE), 150 * MIB)
        fails(errno.ENXIO, os.lseek, one, 200 * MIB, os.SEEK_HOLE)
        fails(errno.ENXIO, os.lseek, one, 200 * MIB, os.SEEK_DATA)
    os.close(fd)
    os.close(other)


@case
def ranges_are_copied_within_and_between_files(here, there):
    body = os.urandom(3 * MIB)
    source = os.open(put(os.path.join(here, "a"), body), os.O_RDWR)
    target = os.open(os.path.join(here, "b"), os.O_CREAT | os.O_RDWR)
    done = 0
    while done < len(body):
        n = os.copy_file_range(source, target, len(body) - done, done, done + 100)
        must(n > 0, "nothing copied")
        done += n
    equal(get(os.path.join(there, "b")) == bytes(100) + body, True, "copied")
    equal(os.copy_file_range(source, target, 100, len(body)), 0, "from the end")
    fails(errno.EINVAL, os.copy_file_range, source, source, 1000, 0, 500)
    read_only = os.open(os.path.join(here, "b"), os.O_RDONLY)
    fails(errno.EBADF, os.copy_file_range, source, read_only, 10)
    n = os.copy_file_range(source, source, 4096, 0, 2 * MIB)
    equal(get(os.path.join(there, "a"))[2 * MIB:2 * MIB + n], body[:n], "within a file")
    for one in (source, target, read_only):
        os.close(one)


@case
def mappings_shared_and_private(here, there):
    path = put(os.path.join(here, "file"), b"a" * 20000)
    fds = [os.open(p, os.O_RDWR) for p in both(here, there, "file")]
    shared = [mmap.mmap(fd, 20000) for fd in fds]
    private = mmap.mmap(fds[0], 20000, flags=mmap.MAP_PRIVATE)
    equal((shared[0][:5], private[:5]), (b"aaaaa", b"aaaaa"))
    private[0:7] = b"private"
    shared[0][5000:5006] = b"shared"
    shared[0].flush()
    equal(shared[1][5000:5006], b"shared", "a flushed mapping, mapped at the other site")
    equal(os.pread(fds[1], 7, 0), b"a" * 7, "a private mapping is seen by others")
    os.pwrite(fds[1], b"written", 12000)
    equal(shared[0][12000:12007], b"written", "written at the other site, seen in a mapping")
    equal(private[:7], b"private")
    os.ftruncate(fds[1], 100)
    equal(os.pread(fds[0], 20000, 0), b"a" * 100)
    for m in (*shared, private):
        m.close()
    for fd in fds:
        os.close(fd)
    equal(len(get(path)), 100)


@case
def huge_sparse_files(here, there):
    fd = os.open(os.path.join(here, "huge"), os.O_CREAT | os.O_RDWR)
    size = 16 << 40
    try:
        os.ftruncate(fd, size - 4096)
    except OSError as error:
        equal(error.errno, errno.EFBIG)
        size = 15 << 40
        os.ftruncate(fd, size - 4096)
    os.pwrite(fd, b"end", size - 8192)
    other = os.open(os.path.join(there, "huge"), os.O_RDWR)
    equal((os.fstat(other).st_size, os.pread(other, 3, size - 8192)), (size - 4096, b"end"))
    must(os.fstat(other).st_blocks <= 2048, "holes take space")
    equal(os.lseek(other, 0, os.SEEK_DATA) // 4096, (size - 8192) // 4096)
    os.pwrite(other, b"middle", 7 << 40)
    equal(os.lseek(fd, 0, os.SEEK_DATA) // 4096, (7 << 40) // 4096)
    os.close(fd)
    os.close(other)


@case
def files_have_a_largest_size(here, there):
    fd = os.open(os.path.join(here, "file"), os.O_CREAT | os.O_RDWR)
    fails(errno.EFBIG, os.ftruncate, fd, (1 << 63) - 1)
    fails((errno.EFBIG, errno.EINVAL), os.pwrite, fd, b"x", (1 << 63) - 2)
    fails(errno.EFBIG, fallocate, fd, 0, (1 << 62), 1 << 20)
    equal(os.fstat(fd).st_size, 0)
    os.close(fd)


@case
def a_file_open_here_and_removed_there_lives_until_it_is_closed(here, there):
    for remove in (lambda: os.unlink(os.path.join(there, "file")), lambda: os.rename(put(os.path.join(there, "new")), os.path.join(there, "file"))):
        fd = os.open(put(os.path.join(here, "file"), b"old" * 1000), os.O_RDWR)
        mapping = mmap.mmap(fd, 3000)
        remove()
        equal((os.pread(fd, 3, 0), mapping[:3], os.fstat(fd).st_nlink), (b"old", b"old", 0))
        os.pwrite(fd, b"new", 6000)
        os.ftruncate(fd, 10000)
        os.setxattr(fd, "user.late", b"1")
        os.fchmod(fd, 0o600)
        equal(os.fstat(fd).st_mode & 0o777, 0o600)
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        os.close(fd)
        equal(os.pread(again, 3, 6000), b"new")
        os.close(again)
        equal(mapping[:3], b"old", "mapped, and closed")
        mapping.close()


@case
def five_thousand_files_are_open_at_once(here, there):
    fds = []
    for i in range(2500):
        for d in (here, there):
            fds.append(os.open(os.path.join(d, f"{os.path.basename(d)}{i}"), os.O_CREAT | os.O_RDWR, 0o600))
    for i, fd in enumerate(fds):
        if i % 50 == 0:
            os.pwrite(fd, b"%d" % i, 0)
    for i, fd in enumerate(fds):
        if i % 50 == 0:
            equal(os.pread(fd, 20, 0), b"%d" % i)
        os.close(fd)


@case
def times_change_as_posix_says(here, there):
    path = put(os.path.join(here, "file"), b"x")
    other = os.path.join(there, "file")
    os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    it = os.stat(other)
    equal((it.st_atime_ns, it.st_mtime_ns), (1_000_000_001, 2_000_000_002))
    must(it.st_ctime_ns > 10**18, "ctime is now")
    os.utime(path, ns=(-5 * 10**9, 4_000_000_000 * 10**9))
    equal((os.stat(other).st_atime_ns, os.stat(other).st_mtime_ns), (-5 * 10**9, 4_000_000_000 * 10**9), "before 1970, after 2106")
    fd = os.open(other, os.O_RDWR)
    os.pwrite(fd, b"y", 0)
    now = os.stat(path)
    must(now.st_mtime_ns == now.st_ctime_ns > it.st_ctime_ns, "a write changes mtime and ctime")
    os.fchmod(fd, 0o600)
    later = os.stat(path)
    must(later.st_ctime_ns > now.st_ctime_ns and later.st_mtime_ns == now.st_mtime_ns, "chmod changes ctime only")
    os.close(fd)
    before = os.stat(here)
    put(os.path.join(there, "another"))
    must(os.stat(here).st_mtime_ns > before.st_mtime_ns, "a new name changes its directory")
    stamps = [int(t) for p in (path, other) for t in os.popen(f"stat -c %W '{p}'").read().split()]
    must(stamps[0] == stamps[1] > 1_600_000_000, f"time of birth: {stamps}")


@case
def writing_takes_setuid_and_setgid_away(here, there):
    os.chmod(here, 0o777)
    page = mmap.mmap(-1, 4096)

    def buffered(path):
        with open(path, "r+b") as f:
            f.write(b"x")

    def direct(path):
        fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
        os.pwritev(fd, [page], 0)
        os.close(fd)

    def cut(path):
        os.truncate(path, 10)

    def cut_at_open(path):
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))

    def reserve(path):
        fd = os.open(path, os.O_WRONLY)
        fallocate(fd, 0, 0, 100000)
        os.close(fd)

    for change in (buffered, direct, cut, cut_at_open, reserve):
        for d in (here, there):
            for mode, left in ((0o6777, 0o777), (0o4767, 0o767)):
                name = f"{change.__name__}{mode:o}{d == here}"
                os.chmod(put(os.path.join(here, name), b"x" * 20000), mode)
                as_user(lambda: change(os.path.join(d, name)))
                equal([oct(os.stat(p).st_mode & 0o7777) for p in both(here, there, name)], [oct(left)] * 2, f"{change.__name__} of {mode:o}")
    path = put(os.path.join(here, "owned"))
    for mode, left in ((0o6755, 0o755), (0o2745, 0o2745)):
        os.chmod(path, mode)
        os.chown(os.path.join(there, "owned"), 65534, 65534)
        equal(oct(os.stat(path).st_mode & 0o7777), oct(left), "chown by root")
    os.chmod(path, 0o6755)
    buffered(os.path.join(there, "owned"))
    equal(oct(os.stat(path).st_mode & 0o7777), oct(0o6755), "written by root")


main()
