"""What the posix_*.py programs share. Each holds cases, functions of two directories HERE and THERE that are one directory seen from
two sites (or twice the same, to try the program on an ordinary file system), and says of each whether it holds:

    posix_NAME.py HERE THERE [PART-OF-THE-NAME-OF-A-CASE]

What is expected is what POSIX and the man pages of Linux say."""
import ctypes
import errno
import os
import pickle
import shutil
import sys
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
NOBODY = 65534
CASES = []


def case(function):
    CASES.append(function)
    return function


def must(condition, what="not so"):
    if not condition:
        raise AssertionError(what)


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, expected {expected!r}")


def fails(number, function, *arguments, **named):
    """`function` fails with errno `number`, which may be a tuple of those that are right."""
    numbers = number if isinstance(number, tuple) else (number,)
    text = f"{getattr(function, '__name__', function)}{arguments!r:.120}"
    try:
        result = function(*arguments, **named)
    except OSError as error:
        names = [errno.errorcode[n] for n in numbers]
        must(error.errno in numbers, f"{text}: {errno.errorcode.get(error.errno, error.errno)}, expected {' or '.join(names)}")
        return
    raise AssertionError(f"{text} gave {result!r}, expected {errno.errorcode[numbers[0]]}")


def call(name, *arguments):
    """A function of the C library; raises OSError. Bytes and ctypes values as they are, numbers as long."""
    ctypes.set_errno(0)
    given = [ctypes.c_long(a) if isinstance(a, int) else os.fsencode(a) if isinstance(a, str) else a for a in arguments]
    result = getattr(LIBC, name)(*given)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def in_child(function):
    """What `function` gives in a process of its own; what it raises is raised here."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = (True, function())
        except OSError as error:
            result = (False, OSError(error.errno, error.strerror, error.filename))
        except BaseException:
            result = (False, AssertionError(traceback.format_exc()))
        os.write(w, pickle.dumps(result))
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    must(text, "a child died")
    good, value = pickle.loads(text)
    if not good:
        raise value
    return value


def as_user(function, uid=NOBODY, gid=NOBODY, groups=()):
    def change():
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        return function()
    return in_child(change)


def both(here, there, name=""):
    return [os.path.join(d, name) if name else d for d in (here, there)]


def put(path, text=b"", mode=0o644):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "wb") as f:
        f.write(text)
    return path


def get(path):
    with open(path, "rb") as f:
        return f.read()


def mode_of(path):
    return os.lstat(path).st_mode & 0o7777


def main():
    here, there = sys.argv[1:3]
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    os.umask(0o022)
    sys.setrecursionlimit(10000)
    bad = ran = 0
    for function in CASES:
        if wanted not in function.__name__:
            continue
        ran += 1
        name = f"{function.__name__}.{os.getpid()}"
        os.mkdir(os.path.join(here, name))
        os.chmod(os.path.join(here, name), 0o755)
        try:
            function(os.path.join(here, name), os.path.join(there, name))
        except (AssertionError, OSError) as error:
            bad += 1
            where = traceback.extract_tb(error.__traceback__)
            lines = ", ".join(f"line {f.lineno}" for f in where if not f.filename.endswith("posix_lib.py"))
            print(f"NOT SO: {function.__name__.replace('_', ' ')} ({lines}): {type(error).__name__} {error}", flush=True)
        shutil.rmtree(os.path.join(here, name), ignore_errors=True)
    print(f"{ran} cases of {os.path.basename(sys.argv[0])}, {bad} do not hold")
    sys.exit(1 if bad or not ran else 0)
