#!/usr/bin/env python3
"""Calls that may not stand in src/, with what to use instead, and where they may."""
import re

from source_files import finish, read, tracked, without_comments

REAL_WORLD = {"src/uring/"}
# pattern, folders or files where it is allowed, replacement
BANNED = [
    (r"\bstd::j?thread\b", REAL_WORLD, "a coroutine in a Scope; the pool of uring/ for what blocks"),
    (r"\bstd::(?:mutex|condition_variable|async)\b", REAL_WORLD, "Event, Gate, Budget: a daemon is one thread"),
    (r"\bstd::random_device\b", REAL_WORLD, "runtime::Random"),
    (r"\bstd::(?:mt19937\w*|\w+_distribution|shuffle|sample)\b", set(), "runtime::Random: standard ones differ between libraries"),
    (r"\b(?:s?rand|random|drand48)\s*\(\s*\)", REAL_WORLD, "runtime::Random"),
    (r"\b(?:system|steady|high_resolution)_clock\b", REAL_WORLD | {"src/core/log.cc"}, "runtime::Clock"),
    (r"\b(?:gettimeofday|clock_gettime|time)\s*\(\s*(?:nullptr|NULL|CLOCK_\w+|&)", REAL_WORLD | {"src/core/log.cc"}, "runtime::Clock"),
    (r"(?<![\w.>:])(?:sleep|usleep|nanosleep)\s*\(|\bsleep_for\b", REAL_WORLD, "Clock::sleep_until, or wait for the event itself"),
    (r"(?<![\w.>])(?:::)?(?:socket|connect|accept4?|bind)\s*\(\s*(?:AF_|PF_)", REAL_WORLD | {"src/control/client.cc"}, "runtime::Net"),
    (r"\bstd::(?:format|print|println)\b", set(), "fmt: libstdc++ 12 has none"),
    (r"\bassert\s*\(", set(), "CHECK, which stays on in production"),
    (r"\bnew\s+\w+[^;]*;\s*//\s*leak", set(), "an owner"),
    (r"\bstd::(?:cout|cerr|endl)\b", set(), "fmt::print in bin/, log elsewhere"),
    (r"\b(?:sprintf|strcpy|strcat|gets|strtok)\s*\(", set(), "fmt, std::string"),
    (r"\bsystem\s*\(\s*\"", set(), "a call of its own"),
]

complaints = []
checked = 0
for path in tracked("src/*.h", "src/*.cc", "include/*.h"):
    checked += 1
    text = without_comments(read(path))
    for pattern, allowed, instead in BANNED:
        if any(str(path).startswith(place) for place in allowed):
            continue
        for match in re.finditer(pattern, text):
            line = text.count("\n", 0, match.start()) + 1
            complaints.append(f"{path}:{line}: {match.group(0).strip()} - use {instead}")
finish(checked, complaints, "files")
