#!/usr/bin/env python3
"""Advisory locks at two mounts. Every check also holds on one ordinary directory that is given twice.

locks.py calls EAST WEST            exclusion, waiting, signals, deadlock, close, dup, fork, kill -9: fcntl, open-file and flock
locks.py hold KIND PATH STATE       takes a lock on PATH (KIND: posix, ofd, flock), writes "held" to STATE, then a line into PATH at
                                    each line of its standard input; "failed ERRNO" goes to STATE. Ends with its input
locks.py wait KIND PATH STATE       the same, but writes "waits" to STATE first
locks.py try KIND PATH              status 0: it is free (and free again), 1: it is held
locks.py count FILE LOCK TIMES      adds one to the number in FILE so often, under a lock of LOCK
locks.py sqlite FILE TIMES          inserts so many rows, each in its own transaction
"""

import errno
import fcntl
import os
import select
import signal
import sqlite3
import struct
import sys
import time

F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
PATIENCE = 20


def packed(kind, start=0, length=0):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


def set_lock(how, fd, kind, wait=False, start=0, length=0):
    if how == "flock":
        flags = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}[kind]
        fcntl.flock(fd, flags if wait else flags | fcntl.LOCK_NB)
    elif how == "ofd":
        fcntl.fcntl(fd, F_OFD_SETLKW if wait else F_OFD_SETLK, packed(kind, start, length))
    else:
        fcntl.fcntl(fd, fcntl.F_SETLKW if wait else fcntl.F_SETLK, packed(kind, start, length))


def is_held(path, how, kind=fcntl.F_WRLCK, start=0, length=0):
    """Whether somebody else holds it, found out by trying in a process of its own."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            fd = os.open(path, os.O_RDWR)
            set_lock(how, fd, kind, False, start, length)
            set_lock(how, fd, fcntl.F_UNLCK)  # the end of an open file is not waited for
            status = 0
        except OSError as error:
            status = 1 if error.errno in (errno.EAGAIN, errno.EACCES) else 2
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 2:
        sys.exit(f"trying to lock {path} failed")
    return status == 1


class Worker:
    """A process that carries out one call after the other."""

    def __init__(self):
        ours, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ours[1])
            os.close(theirs[0])
            self.serve(os.fdopen(ours[0]), theirs[1])
        os.close(ours[0])
        os.close(theirs[1])
        self.calls, self.answers = os.fdopen(ours[1], "w"), theirs[0]

    @staticmethod
    def serve(calls, answers):
        def stop(*_):
            raise InterruptedError

        signal.signal(signal.SIGUSR1, stop)
        for line in calls:
            name, *arguments = line.split()
            try:
                result = getattr(Worker, "do_" + name)(*arguments)
            except InterruptedError:
                result = "EINTR"
            except OSError as error:
                result = "EDEADLK" if error.errno == errno.EDEADLK else errno.errorcode[error.errno]
            os.write(answers, f"{result}\n".encode())
        os._exit(0)

    @staticmethod
    def do_open(path):
        return os.open(path, os.O_RDWR)

    @staticmethod
    def do_close(fd):
        os.close(int(fd))
        return "ok"

    @staticmethod
    def do_dup(fd):
        return os.dup(int(fd))

    @staticmethod
    def do_fork(seconds):
        """A child with the same descriptors that does nothing."""
        child = os.fork()
        if child == 0:
            time.sleep(int(seconds))
            os._exit(0)
        return child

    @staticmethod
    def do_lock(how, fd, kind, wait, start="0", length="0"):
        kinds = {"r": fcntl.F_RDLCK, "w": fcntl.F_WRLCK, "u": fcntl.F_UNLCK}
        set_lock(how, int(fd), kinds[kind], wait == "wait", int(start), int(length))
        return "ok"

    @staticmethod
    def do_get(fd, start, length):
        answer = struct.unpack("hhqqi4x", fcntl.fcntl(int(fd), fcntl.F_GETLK, packed(fcntl.F_WRLCK, int(start), int(length))))
        return f"{answer[0]}:{answer[2]}:{answer[3]}"

    def start(self, *call):
        self.calls.write(" ".join(str(c) for c in call) + "\n")
        self.calls.flush()

    def answered(self, seconds):
        return bool(select.select([self.answers], [], [], seconds)[0])

    def answer(self, seconds=PATIENCE):
        if not self.answered(seconds):
            sys.exit(f"a call was not answered within {seconds} s")
        return os.read(self.answers, 4096).decode().strip()

    def __call__(self, *call):
        self.start(*call)
        return self.answer()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.calls.close()
        os.close(self.answers)

    end = kill


def same(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: {found!r}, expected {expected!r}")


def waits(worker, what):
    """The call that `worker` has begun is not answered for a while."""
    if worker.answered(0.3):
        sys.exit(f"{what}: answered {worker.answer()!r}, it should wait")


def becomes(condition, expected, what):
    deadline = time.monotonic() + PATIENCE
    while condition() != expected:
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not {expected} after {PATIENCE} s")
        time.sleep(0.01)


def two(east, west, name):
    with open(os.path.join(east, name), "w", encoding="ascii"):
        pass
    a, b = Worker(), Worker()
    return a, b, a("open", os.path.join(east, name)), b("open", os.path.join(west, name))


def check_exclusion(east, west, how):
    a, b, fa, fb = two(east, west, f"exclusion-{how}")
    same(a("lock", how, fa, "w", "try"), "ok", "a free lock")
    same(b("lock", how, fb, "w", "try"), "EAGAIN", "a lock that is held")
    same(b("lock", how, fb, "r", "try"), "EAGAIN", "a lock that is held for writing")
    same(a("lock", how, fa, "r", "try"), "ok", "a weaker lock")
    same(b("lock", how, fb, "r", "try"), "ok", "two readers")
    same(a("lock", how, fa, "w", "try"), "EAGAIN", "a stronger lock than a reader lets")
    same(b("lock", how, fb, "u", "try"), "ok", "unlock")
    same(a("lock", how, fa, "w", "try"), "ok", "a stronger lock without readers")
    if how != "flock":
        same(a("lock", how, fa, "u", "try", 100, 50), "ok", "a hole in the middle")
        same(b("lock", how, fb, "w", "try", 100, 50), "ok", "the hole")
        same(b("lock", how, fb, "w", "try", 99, 2), "EAGAIN", "beside the hole")
        same(b("lock", how, fb, "w", "try", 150, 1), "EAGAIN", "behind the hole")
    a.end()
    b.end()


def check_waiting(east, west, how):
    a, b, fa, fb = two(east, west, f"waiting-{how}")
    for first, second, f1, f2 in ((a, b, fa, fb), (b, a, fb, fa)):
        same(first("lock", how, f1, "w", "try"), "ok", "a free lock")
        second.start("lock", how, f2, "w", "wait")
        waits(second, "a lock that is held")
        same(first("lock", how, f1, "u", "try"), "ok", "unlock")
        same(second.answer(), "ok", "a lock that became free")
        same(first("lock", how, f1, "r", "try"), "EAGAIN", "it is held now")
        same(second("lock", how, f2, "u", "try"), "ok", "unlock")
    a.end()
    b.end()


def check_signals(east, west, how):
    a, b, fa, fb = two(east, west, f"signals-{how}")
    for first, second, f1, f2, path in ((a, b, fa, fb, east), (b, a, fb, fa, west)):
        same(first("lock", how, f1, "w", "try"), "ok", "a free lock")
        second.start("lock", how, f2, "w", "wait")
        waits(second, "a lock that is held")
        os.kill(second.pid, signal.SIGUSR1)
        same(second.answer(), "EINTR", "a wait that a signal ended")
        same(first("lock", how, f1, "u", "try"), "ok", "unlock")
        same(is_held(os.path.join(path, f"signals-{how}"), how), False, "who was interrupted holds nothing")
    # One that is killed while it waits leaves nothing either.
    same(a("lock", how, fa, "w", "try"), "ok", "a free lock")
    b.start("lock", how, fb, "w", "wait")
    waits(b, "a lock that is held")
    b.kill()
    same(a("lock", how, fa, "u", "try"), "ok", "unlock")
    same(is_held(os.path.join(east, f"signals-{how}"), how), False, "who was killed holds nothing")
    a.end()


def check_deadlock(east, west):
    a, b, fa, fb = two(east, west, "deadlock")
    same(a("lock", "posix", fa, "w", "try", 0, 1), "ok", "a free byte")
    same(b("lock", "posix", fb, "w", "try", 1, 1), "ok", "a free byte")
    a.start("lock", "posix", fa, "w", "wait", 1, 1)
    waits(a, "the other's byte")
    same(b("lock", "posix", fb, "w", "wait", 0, 1), "EDEADLK", "a circle over both sites")
    same(b("lock", "posix", fb, "u", "try", 1, 1), "ok", "unlock")
    same(a.answer(), "ok", "after the circle was avoided")
    a.end()
    b.end()


def check_close(east, west):
    """A process gives up its locks on a file with any descriptor of it, also where another process has the descriptor too."""
    a, b, fa, fb = two(east, west, "close")
    other = a("open", os.path.join(east, "close"))
    same(a("lock", "posix", fa, "w", "try"), "ok", "a free lock")
    same(a("close", other), "ok", "close")
    same(b("lock", "posix", fb, "w", "try"), "ok", "after another descriptor was closed")
    same(b("lock", "posix", fb, "u", "try"), "ok", "unlock")

    same(a("lock", "posix", fa, "w", "try"), "ok", "a free lock")
    child = int(a("fork", 60))
    same(a("close", fa), "ok", "close")
    same(b("lock", "posix", fb, "w", "try"), "ok", "closed, while a child has it open")
    same(b("lock", "posix", fb, "u", "try"), "ok", "unlock")
    os.kill(child, signal.SIGKILL)

    for how in ("ofd", "flock"):
        fd = a("open", os.path.join(east, "close"))
        same(a("lock", how, fd, "w", "try"), "ok", "a free lock")
        twin = a("dup", fd)
        same(a("close", fd), "ok", "close")
        same(is_held(os.path.join(west, "close"), how), True, f"{how}: the open file is still there")
        same(a("close", twin), "ok", "close")
        # The kernel does not wait for the end of an open file.
        becomes(lambda: is_held(os.path.join(west, "close"), how), False, f"{how}: held after the last close")
    a.end()
    b.end()


def check_kill(east, west, how):
    a, b, fa, fb = two(east, west, f"kill-{how}")
    same(a("lock", how, fa, "w", "try"), "ok", "a free lock")
    b.start("lock", how, fb, "w", "wait")
    waits(b, "a lock that is held")
    a.kill()
    same(b.answer(), "ok", "the lock of a process that was killed")
    b.end()
    if how != "posix":
        return
    # Also where a child has the descriptor still.
    a, b, fa, fb = two(east, west, "kill-parent")
    same(a("lock", "posix", fa, "w", "try"), "ok", "a free lock")
    child = int(a("fork", 60))
    a.kill()
    becomes(lambda: is_held(os.path.join(west, "kill-parent"), "posix"), False, "held after its process was killed")
    os.kill(child, signal.SIGKILL)
    b.end()


def check_get(east, west):
    a, b, fa, fb = two(east, west, "get")
    same(a("lock", "posix", fa, "r", "try", 10, 5), "ok", "a free lock")
    same(b("get", fb, 0, 12), f"{fcntl.F_RDLCK}:10:5", "who is in the way")
    same(b("get", fb, 0, 10), f"{fcntl.F_UNLCK}:0:10", "nobody is in the way")
    same(a("get", fa, 0, 12), f"{fcntl.F_UNLCK}:0:12", "one's own lock is not in the way")
    a.end()
    b.end()


def calls(east, west):
    for how in ("posix", "ofd", "flock"):
        check_exclusion(east, west, how)
        check_waiting(east, west, how)
        check_signals(east, west, how)
        check_kill(east, west, how)
    check_deadlock(east, west)
    check_close(east, west)
    check_get(east, west)


def say(state, text):
    with open(state + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.rename(state + ".new", state)


def hold(how, path, state, announce):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    if announce:
        say(state, "waits")
    try:
        set_lock(how, fd, fcntl.F_WRLCK, True)
        say(state, "held")
        for line in sys.stdin:
            os.pwrite(fd, line.encode(), 0)
            say(state, "wrote " + line.strip())
    except OSError as error:
        say(state, f"failed {errno.errorcode[error.errno]}")


def count(file, lock, times):
    how = "posix" if os.path.basename(lock) != "flock" else "flock"
    guard = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    fd = os.open(file, os.O_RDWR)
    for _ in range(times):
        set_lock(how, guard, fcntl.F_WRLCK, True)
        number = int(os.pread(fd, 32, 0) or b"0")
        os.pwrite(fd, b"%-20d\n" % (number + 1), 0)
        set_lock(how, guard, fcntl.F_UNLCK)


def rows(file, times):
    base = sqlite3.connect(file, timeout=120, isolation_level=None)
    base.execute("CREATE TABLE IF NOT EXISTS t (who INTEGER, n INTEGER)")
    for n in range(times):
        base.execute("BEGIN IMMEDIATE")
        base.execute("INSERT INTO t VALUES (?, (SELECT COUNT(*) FROM t))", (os.getpid(),))
        base.execute("COMMIT")
    base.close()


def main(what, *arguments):
    if what == "calls":
        calls(*arguments)
    elif what in ("hold", "wait"):
        hold(*arguments, announce=what == "wait")
    elif what == "try":
        sys.exit(1 if is_held(arguments[1], arguments[0]) else 0)
    elif what == "count":
        count(arguments[0], arguments[1], int(arguments[2]))
    elif what == "sqlite":
        rows(arguments[0], int(arguments[1]))
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
