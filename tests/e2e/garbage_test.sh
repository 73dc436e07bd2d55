#!/usr/bin/env bash
# Malformed, oversized and foreign bytes on the peer port and the control socket: closed, with a line of log; nothing else happens.
. "$(dirname "$0")/lib.sh"
two_sites
memory() { awk '/VmRSS/ { print $2 }' "/proc/${PID[$1]}/status"; }
echo before >"$E/file"
before_east=$(memory east)
# The primary listens; the secondary connects to it, and listens only if it is made to.
for port in "$PORT" $((PORT + 1)); do
  if port_is_free "$port"; then
    [[ $port -ne $PORT ]] || fail "the primary does not listen on $port"
    continue
  fi
  step "garbage on port $port, while files are written"
  timeout 300 python3 "$E2E/garbage.py" "$port" & sender=$!
  HELPERS+=("$sender")
  n=0
  while [[ -d /proc/$sender ]]; do
    n=$((n + 1))
    echo "$n" >"$W/file"
    same "$(cat "$E/file")" "$n" "written during garbage"
  done
  wait "$sender" || fail "garbage on port $port"
done
[[ $(memory east) -lt $((before_east + 65536)) ]] || fail "memory of east grew from $before_east to $(memory east) KiB"
[[ $(grep -c . "$T/east.log") -lt 2000 ]] || fail "the log of east has $(grep -c . "$T/east.log") lines"

step "garbage on the control socket"
python3 - "$T/east.sock" <<'END'
import json, os, socket, sys
def talk(data, close=True):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(sys.argv[1])
        try:
            s.sendall(data)
            if close:
                s.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        out = b""
        try:
            while piece := s.recv(65536):
                out += piece
        except ConnectionResetError:
            pass
        return out
for data in b"x\n", b"[]\n", b"{}\n", b'{"command": 7}\n', b'{"command": "no such"}\n', b"\xff\n", b"[" * 60000 + b"\n", b'{"command":"status"' + b" " * 70000:
    answer = talk(data)
    lines = [json.loads(line) for line in answer.splitlines()]
    if not lines or not lines[-1].get("error") or lines[-1].get("done") is not True:
        sys.exit(f"{data[:40]!r}: answered {answer[:200]!r}, not an error")
for data in b'{"command": "trace", "follow": "x", "profile": 7, "count": "many"}\n', b'{"command": "trace", "count": -1}\n':
    if json.loads(talk(data).splitlines()[-1]).get("done") is not True:
        sys.exit(f"{data!r}: no answer")
two = talk(b'{"command": "status"}\n{"command": "status"}\n').splitlines()
if [json.loads(line)["state"] for line in two] != ["in-sync", "in-sync"]:
    sys.exit(f"two requests in one piece: {two}")
held = []
for n in range(40):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(sys.argv[1])
    held.append(s)
refused = b""
for s in held[16:]:
    refused += s.recv(65536)
if b"connected to the control socket already" not in refused:
    sys.exit(f"no limit of connections: {refused[:200]!r}")
for s in held:
    s.close()
END
can_ask() { lockstep_at east status --json >/dev/null 2>&1; }
wait_until 10 can_ask || fail "the control socket does not answer after garbage"
finish
