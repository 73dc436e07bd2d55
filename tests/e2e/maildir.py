#!/usr/bin/env python3
"""Senders and readers of one maildir.

  make DIR SENDER COUNT                  COUNT mails in files, for another program to deliver
  send BOX SENDER COUNT                  COUNT mails, by the library's own delivery
  read BOX READER STOP TAKEN             takes what is new until STOP exists and nothing is new; a line in TAKEN for each
  check BOX COUNT TAKEN TAKEN SENDER...  all are there, each taken by one reader

Taking is a rename from new/ to cur/: whoever is told that it succeeded has the mail, whoever gets ENOENT was slower."""
import hashlib
import mailbox
import os
import random
import sys
import time


FLAGS = {"east": "S", "west": "FS"}  # each site its own name: the same rename at both sites may succeed at both (tests/README.md)


def text_of(sender, n):
    body = random.Random(f"{sender} {n}").randbytes(50 + n * 97 % 20000).hex()
    lines = "\n".join(body[i:i + 76] for i in range(0, len(body), 76))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    return f"From: {sender}@example.org\nSubject: {n}\nX-Digest: {digest}\n\n{lines}\n"


def whose(path):
    """(sender, number) of a mail; ends the program if it is not whole."""
    with open(path, encoding="ascii") as file:
        head, _, body = file.read().partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    if hashlib.sha256(body.rstrip("\n").encode()).hexdigest() != fields.get("X-Digest"):
        sys.exit(f"{path} is not whole: {len(body)} bytes, {fields}")
    return fields["From"].split("@")[0], int(fields["Subject"])


def make(folder, sender, count):
    os.mkdir(folder)
    for n in range(count):
        with open(os.path.join(folder, str(n)), "w", encoding="ascii") as file:
            file.write(text_of(sender, n))


def send(box, sender, count):
    maildir = mailbox.Maildir(box, create=False)
    for n in range(count):
        maildir.add(mailbox.MaildirMessage(text_of(sender, n)))


def read(box, reader, stop, taken):
    with open(taken, "w", encoding="ascii") as log:
        while True:
            last = os.path.exists(stop)
            names = os.listdir(os.path.join(box, "new"))
            for name in names:
                new = os.path.join(box, "new", name)
                cur = os.path.join(box, "cur", f"{name}:2,{FLAGS[reader]}")
                try:
                    os.rename(new, cur)
                except FileNotFoundError:
                    continue
                sender, n = whose(cur)
                print(sender, n, reader, file=log)
            if last and not names:
                return
            time.sleep(0.01)


def check(box, count, first, second, *senders):
    expected = {(sender, n) for sender in senders for n in range(count)}
    taken = [tuple(line.split()[:2]) for path in (first, second) for line in open(path, encoding="ascii")]
    takers = [len(open(path, encoding="ascii").readlines()) for path in (first, second)]
    taken = [(sender, int(n)) for sender, n in taken]
    there = [whose(os.path.join(box, "cur", name)) for name in os.listdir(os.path.join(box, "cur"))]
    for what, mails in ("taken", taken), ("there", there):
        if len(mails) != len(set(mails)):
            sys.exit(f"mails are {what} twice: {sorted(m for m in set(mails) if mails.count(m) > 1)[:10]}")
        if set(mails) != expected:
            sys.exit(f"not {what}: {sorted(expected - set(mails))[:10]}; not sent: {sorted(set(mails) - expected)[:10]}")
    left = os.listdir(os.path.join(box, "new")) + os.listdir(os.path.join(box, "tmp"))
    if left:
        sys.exit(f"left in new and tmp: {left[:10]}")
    print(f"{len(there)} mails, taken by the readers: {takers[0]} and {takers[1]}")


what, arguments = sys.argv[1], sys.argv[2:]
if what == "make":
    make(arguments[0], arguments[1], int(arguments[2]))
elif what == "send":
    send(arguments[0], arguments[1], int(arguments[2]))
elif what == "read":
    read(*arguments)
elif what == "check":
    check(arguments[0], int(arguments[1]), *arguments[2:])
else:
    sys.exit(__doc__)
