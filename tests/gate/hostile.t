#!/usr/bin/python3
"""The gate among a thousand hostile connections, and among many honest ones: memory stays bounded, honest clients are served, no answer is swapped."""
import concurrent.futures
import os
import random
import socket
import ssl
import struct
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import ask, done, dump, json, ok, post_bytes, recorded, sanitized

SEED = int(os.environ.get("SEED", "7"))
MEGA = 1 << 20


def memory(pid, what="VmRSS"):
    """Bytes."""
    return int(next(l for l in open("/proc/%d/status" % pid) if l.startswith(what)).split()[1]) * 1024


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
PLAIN = {  # what a connection begins with; most have no token
    "garbage": lambda r: r.randbytes(r.randrange(1, 4000)),
    "garbage that begins as TLS": lambda r: b"\x16\x03\x01" + struct.pack(">H", r.randrange(1, 16000)) + r.randbytes(r.randrange(1, 4000)),
    "a TLS record that never ends": lambda r: b"\x16\x03\x01\x40\x00\x01",
    "a TLS record of the wrong kind": lambda r: b"\x17\x03\x03\x00\x05hello",
    "one byte of a request": lambda r: b"P",
    "half a head": lambda r: HEAD + b"X-A: ",
    "a head of 60 KB that does not end": lambda r: HEAD + b"X-A: " + b"a" * 60000,
    "a head of 1 MB": lambda r: HEAD + b"X-A: " + b"a" * MEGA,
    "a thousand fields": lambda r: HEAD + b"".join(b"X-%d: 1\r\n" % i for i in range(1000)) + b"\r\n",
    "2 GB claimed": lambda r: HEAD + b"Content-Length: 2147483648\r\n\r\nabc",
    "2 GB of head claimed by a field": lambda r: HEAD + b"X-Head-Length: 2147483648\r\n",
    "a length that is no number": lambda r: HEAD + b"Content-Length: -5\r\n\r\n",
    "a path that climbs": lambda r: b"GET /vcr-/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path with a wrong token": lambda r: b"GET /vcr-" + b"a" * 32 + b"/../../etc/passwd HTTP/1.1\r\n\r\n",
    "a NUL in the head": lambda r: b"GET /\0 HTTP/1.1\r\n\r\n",
    "HTTP/2's preface": lambda r: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT to anything": lambda r: b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n",
    "a lead line without end": lambda r: b"VCR1 " + b"a" * 600,
    "a lead line with a wrong token": lambda r: b"VCR1 " + b"a" * 32 + b" api.openai.com:443\n",
    "nothing at all": lambda r: b"",
}
TLS = {  # behind a handshake for a model host, so without a token
    "a chunk size that is none": lambda r: HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk of 16 EB": lambda r: HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    "a chunk size line that does not end": lambda r: HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 8000,
    "a chunk without its end": lambda r: HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
    "2 GB claimed": lambda r: HEAD + b"Content-Length: 2147483648\r\n\r\nabc",
    "a body that stops": lambda r: HEAD + b"Content-Length: 100000\r\n\r\n" + b"a" * 50000,
    "a body that is no JSON": lambda r: HEAD + b"Content-Length: 4\r\n\r\n\xff\xfe{[",
    "JSON 100,000 deep": lambda r: HEAD + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100000,
    "a bomb in gzip": lambda r: HEAD + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + b"\x1f\x8b\x08\0\0\0\0\0\0\3",
    "a target with control characters": lambda r: b"GET /\x01\x7f HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
    "a path that climbs": lambda r: b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
    "another host's name": lambda r: b"GET / HTTP/1.1\r\nHost: ../../x\r\n\r\n",
    "a request and a reset": lambda r: post_bytes(ask("hello")),
}


def attack(gate, kind, how, tls, r):
    """Returns the socket, left open, or None if it is over already."""
    s = gate.socket()
    s.settimeout(20)
    try:
        if tls:
            s = gate.tls(raw=s)
        s.sendall(how(r))
        if kind.endswith("a reset"):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            return None
    except OSError:  # it was refused in the middle of what was sent
        s.close()
        return None
    return s


def thousand(gate):
    r, open_ones, kinds = random.Random(SEED), [], [(k, f, False) for k, f in PLAIN.items()] + [(k, f, True) for k, f in TLS.items()]
    worst = served = 0
    for i in range(1000):
        kind, how, tls = kinds[i % len(kinds)]
        s = attack(gate, kind, how, tls, r)
        open_ones += [s] if s else []
        if i % 50 == 49:
            served += gate.post(ask("hello"))[0] == 200
            worst = max(worst, memory(gate.process.pid))
    for s in open_ones:
        s.close()
    return served, worst


many = [(ask("n%d" % i), dump({"n": i})) for i in range(30)] + [(ask("same"), dump({"same": i})) for i in range(30)]
with recorded((ask("hello"), b'{"n":1}')) as gate:
    before = memory(gate.process.pid)
    served, worst = thousand(gate)
    ok(served == 20, "among 1,000 hostile connections that stay open an honest client is served every time", served)
    ok(worst - before < 96 * MEGA or sanitized(), "memory stays bounded", "%d MB before, %d MB at most" % (before // MEGA, worst // MEGA))
    ok(gate.process.poll() is None and gate.post(ask("hello"))[0] == 200, "the gate lives on")
    # more connections than it keeps: those that have been idle longest give way
    crowd = [gate.socket() for _ in range(1100)]
    for s in crowd[:1000]:
        s.sendall(b"P")
    ok(gate.post(ask("hello"))[0] == 200, "with more connections than it keeps, a new one is still served")
    for s in crowd:
        s.close()
    flood = []
    for _ in range(40):  # 8 MB each by who needs no token
        s = gate.tls()
        s.sendall(HEAD + b"Content-Length: 100000000\r\n\r\n" + b"a" * (8 * MEGA))
        flood.append(s)
    peak = memory(gate.process.pid)
    for s in flood:
        s.close()
    ok((peak < 700 * MEGA or sanitized()) and gate.post(ask("hello"))[0] == 200, "bodies that are being received are held within the limit", peak // MEGA)


def one(gate, what):
    connection = gate.connection()
    out = [json.loads(gate.post(ask(w), connection=connection)[2]) for w in what]
    connection.close()
    return out


wrong = []
for run in range(10):
    with recorded(*many, options=()) as gate:
        jobs = ["n%d" % i for i in range(30)] + ["same"] * 30
        random.Random(SEED + run).shuffle(jobs)
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            got = list(pool.map(lambda j: (j, one(gate, [j])[0]), jobs))
        wrong += [(j, a) for j, a in got if j != "same" and a != {"n": int(j[1:])}]
        same = sorted(a["same"] for j, a in got if j == "same")
        wrong += [] if same == list(range(30)) else [same]
ok(not wrong, "30 equal and 30 different questions, ten at a time, ten runs: no answer is swapped, lost or doubled", *wrong[:5])
done()
