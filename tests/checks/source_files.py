"""What the checks share: the list of source files and the way they report."""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def tracked(*patterns):
    """Files that belong to the tree, as paths relative to its top."""
    out = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
                         cwd=TOP, capture_output=True)
    if out.returncode == 0:
        names = [name for name in out.stdout.decode().split("\0") if name]
    else:  # a tree without its repository (an archive)
        names = [str(p.relative_to(TOP)) for p in TOP.rglob("*") if p.is_file() and not p.relative_to(TOP).parts[0].startswith("build")]
        names = [n for n in names if not patterns or any(pathlib.PurePath(n).match(p) for p in patterns)]
    return sorted(pathlib.PurePath(n) for n in names if (TOP / n).is_file())


def read(path):
    return (TOP / path).read_text(errors="replace")


def without_comments(text):
    """C++ text with comments and string contents blanked; lines keep their numbers."""
    def blank(match):
        found = match.group(0)
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1]
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def layers():
    """Layers bottom up, as meson.build lists them."""
    found = re.findall(r"^subdir\('src/(\w+)'\)", read("meson.build"), flags=re.M)
    if not found:
        sys.exit("meson.build lists no layer as subdir('src/NAME'): this check would check nothing")
    return found


def finish(checked, complaints, what):
    """Prints complaints and ends: 1 if there are any, or if nothing was checked."""
    for complaint in complaints:
        print(complaint)
    if not checked:
        print(f"no {what} found: this check would check nothing")
    print(f"{checked} {what} checked, {len(complaints)} complaints")
    sys.exit(1 if complaints or not checked else 0)
