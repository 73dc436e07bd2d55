#!/usr/bin/env python3
"""garbage.py PORT [SEED]: sends what no site would send to a peer port; the port must go on taking connections and close these."""
import errno
import random
import socket
import struct
import sys

port, rng = int(sys.argv[1]), random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
PIECES = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"",
    b"\0" * 4096,
    b"\xff" * 65536,
    struct.pack("<IIQ", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF) * 100,
    struct.pack(">IIQ", 64, 1 << 31, 1 << 63) * 10,
    b"SSH-2.0-x\r\n",
] + [rng.randbytes(rng.randrange(1, 100000)) for _ in range(30)]

closed = 0
for n, piece in enumerate(PIECES):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.settimeout(15)
        try:
            s.sendall(piece)
            if not piece:
                s.shutdown(socket.SHUT_WR)
            elif n % 3 == 0:
                s.shutdown(socket.SHUT_WR)
            received = 0
            while data := s.recv(65536):
                received += len(data)
                if received > 1 << 20:
                    sys.exit(f"piece {n}: the port answers a stranger with more than 1 MiB")
            closed += 1
        except socket.timeout:
            sys.exit(f"piece {n} ({piece[:16]!r}..., {len(piece)} bytes): not closed within 15 s")
        except OSError as e:
            # Closed while it was sent, or before shutdown(), which is told ENOTCONN then.
            if e.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                raise
            closed += 1
many = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(200)]
for s in many:
    s.close()
print(f"{closed} connections with garbage closed, {len(many)} silent ones taken")
