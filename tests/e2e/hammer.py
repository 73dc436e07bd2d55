#!/usr/bin/env python3
"""hammer.py EAST WEST SECONDS [SEED]: programs at both sites work on the same few directories, files and mappings, with every call there is.

A call may fail with what POSIX allows where another one changed the name or the file meanwhile; another error, or a call that takes longer
than 30 s, ends the program with status 1. Every 20 s all stop, and the two mounts are compared as they stand, out of what their kernels keep:
names, types, numbers, links, sizes, times, xattrs, and contents by read and by mapping."""
import collections
import ctypes
import errno
import fcntl
import mmap
import multiprocessing
import os
import random
import stat
import sys
import time

WORKERS = 4  # a site
ROUND = 20.0
HANGS = 30.0
FOLDERS = ("", "/a", "/b", "/a/c")
MAPS, MAP_BYTES = 3, 256 * 1024
FILE_BYTES = 200_000
NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
# ESTALE, of names only: a directory that the other site has moved, and which this kernel still has at its old place, is moved in its cache by
# the lookup of the new one. For that the lookup needs locks that a rename, perhaps the very one, holds, and it does not wait (as with NFS).
OF_NAMES = {errno.ESTALE, errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EPERM, errno.ELOOP, errno.ENODATA,
            errno.ENXIO}
OF_FILES = {errno.EAGAIN, errno.EINVAL}  # who locks finds a lock; a copy within one file overlaps
FILES = {"write", "read", "truncate", "allocate", "copy", "sync", "lock", "store", "load", "flush", "write_mapped"}
libc = ctypes.CDLL(None, use_errno=True)


def checked(result, path):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


class Worker:
    def __init__(self, top, seed):
        self.top, self.rng = top, random.Random(seed)
        self.fds, self.maps, self.done = [], [], collections.Counter()
        for n in range(MAPS):
            with open(f"{top}/map{n}", "r+b") as f:
                self.maps.append(mmap.mmap(f.fileno(), MAP_BYTES))

    def name(self):
        return self.top + self.rng.choice(FOLDERS) + f"/n{self.rng.randrange(6)}"

    def fd(self):
        while not self.fds:
            try:
                self.open()
            except OSError as error:
                if error.errno not in OF_NAMES:
                    raise
        return self.rng.choice(self.fds)

    def part(self):
        at = self.rng.randrange(FILE_BYTES)
        return at, self.rng.choice([1, 700, 4096, 5000, 60000, 140000])

    # --- names
    def make(self):
        with open(self.name(), "x") as f:
            f.write("x" * self.rng.randrange(9000))

    def mkdir(self):
        os.mkdir(self.name())

    def symlink(self):
        os.symlink(f"n{self.rng.randrange(6)}", self.name())

    def mkfifo(self):
        os.mkfifo(self.name())

    def link(self):
        os.link(self.name(), self.name(), follow_symlinks=False)

    def unlink(self):
        os.unlink(self.name())

    def rmdir(self):
        os.rmdir(self.name())

    def rename(self):
        flags = self.rng.choice([0, 0, NOREPLACE, EXCHANGE])
        a, b = self.name(), self.name()
        checked(libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags), a)

    def nameless(self):
        fd = os.open(self.top + self.rng.choice(FOLDERS), os.O_TMPFILE | os.O_RDWR, 0o640)
        try:
            os.write(fd, b"t" * self.rng.randrange(1, 9000))
            new = self.name()
            checked(libc.linkat(-100, os.fsencode(f"/proc/self/fd/{fd}"), -100, os.fsencode(new), 0x400), new)
        finally:
            os.close(fd)

    # --- attributes
    def chmod(self):
        path = self.name()
        os.chmod(path, 0o700 if os.path.isdir(path) else self.rng.choice([0o600, 0o644, 0o4711]))

    def utime(self):
        os.utime(self.name(), ns=(1, self.rng.randrange(1 << 60)), follow_symlinks=False)

    def xattr(self):
        path, key = self.name(), f"user.k{self.rng.randrange(4)}"
        if self.rng.randrange(3):
            os.setxattr(path, key, b"v" * self.rng.randrange(500))
        else:
            os.removexattr(path, key)

    # --- looking
    def list(self):
        with os.scandir(self.top + self.rng.choice(FOLDERS)) as entries:
            for entry in entries:
                try:
                    entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    pass

    def stat(self):
        os.lstat(self.name())

    def whole(self):
        fd = os.open(self.name(), os.O_RDONLY | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                while os.read(fd, 65536):
                    pass
        finally:
            os.close(fd)

    def working_directory(self):
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(self.top + self.rng.choice(FOLDERS))
            if not os.getcwd().startswith(self.top):
                raise OSError(errno.EIO, "a working directory that is none")
        finally:
            os.fchdir(here)
            os.close(here)

    # --- open files, some of which have lost their names
    def open(self):
        flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | self.rng.choice([0, 0, os.O_APPEND, os.O_TRUNC, os.O_DIRECT])
        fd = os.open(self.name(), flags, 0o644)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.ENXIO, "no regular file")
        self.fds.append(fd)
        if len(self.fds) > 6:
            os.close(self.fds.pop(self.rng.randrange(len(self.fds))))

    def write(self):
        at, count = self.part()
        fd = self.fd()
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            memory = mmap.mmap(-1, 8192)
            memory.write(bytes([self.rng.randrange(1, 256)]) * 8192)
            os.pwrite(fd, memory, at // 4096 * 4096)
        else:
            os.pwrite(fd, bytes([self.rng.randrange(1, 256)]) * count, at)

    def read(self):
        at, count = self.part()
        fd = self.fd()
        if not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            os.pread(fd, count, at)

    def truncate(self):
        os.ftruncate(self.fd(), self.rng.randrange(FILE_BYTES))

    def allocate(self):
        at, count = self.part()
        mode = self.rng.choice([0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, KEEP_SIZE | ZERO_RANGE])
        checked(libc.fallocate(self.fd(), mode, ctypes.c_long(at), ctypes.c_long(count)), "fallocate")

    def copy(self):
        at, count = self.part()
        source, target = self.fd(), self.fd()
        if not fcntl.fcntl(target, fcntl.F_GETFL) & os.O_APPEND:
            os.copy_file_range(source, target, count, at, self.rng.randrange(FILE_BYTES))

    def sync(self):
        os.fsync(self.fd())

    def lock(self):
        fd = self.fd()
        fcntl.lockf(fd, self.rng.choice([fcntl.LOCK_EX, fcntl.LOCK_SH]) | fcntl.LOCK_NB, self.rng.randrange(1, 100), self.rng.randrange(1000))
        fcntl.lockf(fd, fcntl.LOCK_UN)

    # --- mappings, of files whose ends stay
    def store(self):
        at = self.rng.randrange(MAP_BYTES - 20000)
        length = self.rng.choice([1, 100, 4096, 20000])
        self.rng.choice(self.maps)[at:at + length] = bytes([self.rng.randrange(256)]) * length

    def load(self):
        at = self.rng.randrange(MAP_BYTES - 20000)
        bytes(self.rng.choice(self.maps)[at:at + 20000])

    def flush(self):
        self.rng.choice(self.maps).flush()

    def write_mapped(self):
        at, count = self.part()
        with open(f"{self.top}/map{self.rng.randrange(MAPS)}", "r+b", buffering=0) as f:
            f.seek(min(at, MAP_BYTES - 4096))
            f.write(bytes([self.rng.randrange(256)]) * min(count, 4096))


CALLS = [name for name, it in vars(Worker).items() if callable(it) and not name.startswith("_") and name not in ("name", "fd", "part")]


def work(top, number, seed, end, gate, busy):
    """Calls until `end`, which the parent sets anew for each round; 0: no more."""
    worker = Worker(top, seed)
    while True:
        while time.monotonic() < end.value:
            call = worker.rng.choice(CALLS)
            busy[2 * number], busy[2 * number + 1] = time.monotonic(), CALLS.index(call)
            try:
                getattr(worker, call)()
            except OSError as error:
                if error.errno not in (OF_FILES if call in FILES else OF_NAMES):
                    print(f"{top}, {call}: {error}", flush=True)
                    os._exit(1)
            worker.done[call] += 1
        busy[2 * number], busy[2 * number + 1] = time.monotonic(), CALLS.index("flush")
        for mapping in worker.maps:
            mapping.flush()
        busy[2 * number] = 0
        gate.wait()  # all have stopped
        gate.wait()  # and are compared
        if end.value == 0:
            for fd in worker.fds:
                os.close(fd)
            return


def describe(path):
    st = os.lstat(path)
    it = {"inode": st.st_ino, "mode": oct(st.st_mode), "links": st.st_nlink, "owner": (st.st_uid, st.st_gid), "size": st.st_size,
          "blocks": st.st_blocks, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns}
    if stat.S_ISLNK(st.st_mode):
        it["target"] = os.readlink(path)
    elif stat.S_ISREG(st.st_mode):
        with open(path, "rb") as f:
            it["content"] = hash(f.read())
            if st.st_size:
                with mmap.mmap(f.fileno(), st.st_size, prot=mmap.PROT_READ) as mapping:
                    it["mapped"] = hash(mapping[:])
    elif stat.S_ISDIR(st.st_mode):
        it["names"] = sorted((e.name, e.inode()) for e in os.scandir(path))
    if not stat.S_ISLNK(st.st_mode):
        it["xattrs"] = {n: os.getxattr(path, n) for n in sorted(os.listxattr(path)) if n.startswith("user.")}
    return it


def tree(top):
    found = {"": describe(top)}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[path[len(top):]] = describe(path)
    return found


def compare(tops):
    trees = [tree(top) for top in tops]
    wrong = []
    for path in sorted(trees[0].keys() | trees[1].keys()):
        a, b = (t.get(path) for t in trees)
        if a is None or b is None:
            wrong.append(f"{path}: only at {tops[0] if b is None else tops[1]}")
        elif a != b:
            wrong += [f"{path}: {key} is {a.get(key)} and {b.get(key)}" for key in a if a.get(key) != b.get(key)]
        if a and "mapped" in a and a["mapped"] != a["content"]:
            wrong.append(f"{path}: what is read and what is mapped differ at {tops[0]}")
    names = collections.Counter(it["inode"] for it in trees[0].values())
    for path, it in trees[0].items():
        if not stat.S_ISDIR(int(it["mode"], 8)) and it["links"] != names[it["inode"]]:
            wrong.append(f"{path}: {it['links']} links, and {names[it['inode']]} names are there")
    return wrong


def main():
    mounts, seconds = sys.argv[1:3], float(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    tops = [os.path.join(mount, "hammer") for mount in mounts]
    for folder in FOLDERS:
        os.mkdir(tops[0] + folder)
    for n in range(MAPS):
        with open(f"{tops[0]}/map{n}", "wb") as f:
            f.write(bytes(MAP_BYTES))
    count = WORKERS * len(tops)
    end, busy = multiprocessing.Value("d", 0.0), multiprocessing.Array("d", 2 * count)
    gate = multiprocessing.Barrier(count + 1)
    over = time.monotonic() + seconds
    end.value = min(over, time.monotonic() + ROUND)
    jobs = [multiprocessing.Process(target=work, args=(tops[n % 2], n, seed * 1000 + n, end, gate, busy), daemon=True) for n in range(count)]
    for job in jobs:
        job.start()
    rounds = 0
    while True:
        while gate.n_waiting < count:
            time.sleep(0.2)
            for n, job in enumerate(jobs):
                if job.exitcode is not None:
                    print(f"a worker at {tops[n % 2]} ended with {job.exitcode}", flush=True)
                    return 1
                if busy[2 * n] and time.monotonic() - max(busy[2 * n], 0) > HANGS:
                    print(f"{CALLS[int(busy[2 * n + 1])]} at {tops[n % 2]} takes longer than {HANGS:.0f} s (process {job.pid})", flush=True)
                    return 1
        gate.wait()
        rounds += 1
        if wrong := compare(tops):
            print(f"round {rounds}, the sites differ:", *wrong[:20], sep="\n  ", flush=True)
            return 1
        last = time.monotonic() >= over
        end.value = 0 if last else min(over, time.monotonic() + ROUND)
        gate.wait()
        if last:
            break
    for job in jobs:
        job.join(30)
    print(f"{rounds} rounds of {count} programs, the sites were equal after each")
    return 0


sys.exit(main())
