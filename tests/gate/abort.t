#!/usr/bin/python3
"""The recording gate among clients and servers that leave whenever they like, in any state of a connection: it serves the next one as it was served first, and
holds on to nothing. Under scripts/sanitize each use of what is gone ends it."""
import base64
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import gatekit
import modelserver
import serverkit
from gatekit import BUILD, ask, clikit, done, ok, post_bytes, read_answer

ROUNDS, AT_ONCE = 600, 8
SEED = int(os.environ.get("VCR_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
print("# VCR_SEED=%d" % SEED, flush=True)
place = clikit.Place()
ca, leaf = modelserver.make_ca(tempfile.mkdtemp(dir=place.dir))


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(s)


class Upstream(serverkit.Listening):
    """What it does with a request is written in the request: words that are played one after the other."""

    def __init__(self):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf)
        super().__init__(256)

    def serve(self, s):
        try:
            s.settimeout(20)
            s = self.context.wrap_socket(s, server_side=True)
            while True:
                head, body = serverkit.read_head(s)
                if head is None:
                    return
                words = serverkit.field(head, "x-play").split(",")
                if "early" in words:
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
                    time.sleep(0.01)
                if serverkit.read_body(s, head, body) is None:
                    return
                for w in words:
                    if not self.play(s, w):
                        return
        except (OSError, ValueError):
            pass
        finally:
            s.close()

    def play(self, s, word):
        if word == "short":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshort")
        elif word == "none":
            s.sendall(b"HTTP/1.1 204 No\r\n\r\n")
        elif word == "hundred":
            s.sendall(b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n")
        elif word == "large":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"z" * 900000)
        elif word == "chunks":
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4\r\nabcd\r\n" * 20)
        elif word == "more":
            s.sendall(b"5\r\nmore.\r\n")
        elif word == "last":
            s.sendall(b"0\r\n\r\n")
        elif word == "endless":
            s.sendall(b"HTTP/1.1 200 OK\r\n\r\nno length")
            return False
        elif word == "garbage":
            s.sendall(b"\0\1\2 this is no answer\r\n\r\n")
            return False
        elif word == "wait":
            time.sleep(0.003)
        elif word == "reset":
            reset(s)
            return False
        elif word == "close":
            return False
        return True


class Forwarder:
    def __init__(self, upstream, held):
        argv = [os.path.join(BUILD, "tests", "gate", "forwarder"), os.path.join(tempfile.mkdtemp(dir=place.dir), "run"), ca, "--held", str(held),
                "--connect-to", "api.openai.com:443:127.0.0.1:%d" % upstream.port, "api.openai.com"]
        self.err = tempfile.TemporaryFile("w+", dir=place.dir)
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err, text=True, env=place.env)
        ready = json.loads(self.process.stdout.readline())
        self.port, self.token = ready["port"], ready["token"]
        self.context = ssl.create_default_context(cafile=ready["ca"])
        self.calls = []
        threading.Thread(target=lambda: self.calls.extend(self.process.stdout), daemon=True).start()

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))


PLAYS = ("short", "none", "large", "chunks,last", "chunks,wait,more,last", "chunks,wait,close", "chunks,reset", "endless", "garbage", "reset", "close", "wait,short", "hundred,short",
         "hundred,reset", "early", "wait,wait,large", "chunks,wait,wait,wait,wait,more,last", "wait,wait,wait,wait,wait,wait,short")


def request(rng):
    play = rng.choice(PLAYS)
    data = json.dumps(ask("x" * (4000000 if play == "early" else rng.choice((1, 5000, 70000))))).encode()
    head = "POST /v1/chat/completions HTTP/1.%d\r\nHost: api.openai.com\r\nX-Play: %s\r\nContent-Type: application/json\r\n" % (rng.random() < 0.95, play)
    if rng.random() < 0.2:
        return (head + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(data)).encode() + data + b"\r\n0\r\n\r\n"
    return (head + "Content-Length: %d\r\n\r\n" % len(data)).encode() + data


def client(gate, rng, far):
    """Some of what a client does, then it leaves."""
    s = socket.create_connection(("127.0.0.1", gate.port), timeout=20)
    s.settimeout(rng.choice((0.001, 0.02, 0.5)))
    try:
        way = rng.random()
        if way < 0.1:
            s.sendall(rng.randbytes(rng.randrange(1, 2000)))
        elif way < 0.2:
            word = base64.b64encode(b"vcr:" + gate.token.encode()).decode()
            port = rng.choice((far, 1))
            s.sendall(("CONNECT 127.0.0.1:%d HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n" % (port, word)).encode() + rng.choice((b"", b"early bytes " * 500)))
            for _ in range(rng.randrange(4)):
                s.sendall(b"x" * 20000)
                s.recv(rng.choice((1, 100000)))
        elif way < 0.25:
            raw = ssl.MemoryBIO()
            hello = gate.context.wrap_bio(ssl.MemoryBIO(), raw, server_hostname="api.openai.com")
            try:
                hello.do_handshake()
            except ssl.SSLWantReadError:
                pass
            first = raw.read()
            s.sendall(first[:rng.randrange(1, len(first) + 1)])
        else:
            s = gate.context.wrap_socket(s, server_hostname="api.openai.com")
            for _ in range(rng.randrange(1, 4)):
                data = b"".join(request(rng) for _ in range(rng.choice((1, 1, 1, 3))))
                s.sendall(data if rng.random() < 0.7 else data[:rng.randrange(len(data))])
                for _ in range(rng.choice((0, 1, 3, 50))):
                    if not s.recv(rng.choice((1, 300, 65536))):
                        break
    except (OSError, ValueError):
        pass
    how = rng.random()
    if how < 0.4:
        reset(s)
    elif how < 0.6:
        try:
            s.shutdown(socket.SHUT_WR)
            s.recv(100)
        except OSError:
            pass
    s.close()


def echo(listener):
    while True:
        s, _ = listener.accept()
        try:
            data = s.recv(100000)
            s.sendall(data * 3)
        except OSError:
            pass
        s.close()


up = Upstream()
far = socket.create_server(("127.0.0.1", 0), backlog=256)
threading.Thread(target=echo, args=(far,), daemon=True).start()
for held in (0, 3):
    gate = Forwarder(up, held)
    title = "%d clients that leave in any state, %s, harm nobody" % (ROUNDS, "whose answers are held back" if held else "and servers that do")

    def worker(k):
        for n in range(k, ROUNDS, AT_ONCE):
            try:
                client(gate, random.Random(SEED + held * ROUNDS + n), far.getsockname()[1])
            except OSError:
                return
    workers = [threading.Thread(target=worker, args=(k,)) for k in range(AT_ONCE)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    answers, left = [], 0
    try:
        for _ in range(3):
            s = gate.context.wrap_socket(socket.create_connection(("127.0.0.1", gate.port), timeout=20), server_hostname="api.openai.com")
            s.sendall(post_bytes(ask("after"), more="X-Play: short\r\n"))
            answers.append(read_answer(s)[2])
            s.close()
        until = time.monotonic() + 20
        while gate.descriptors() > 24 and time.monotonic() < until:  # listeners, the loop, upstream connections that are kept
            time.sleep(0.05)
        left = gate.descriptors()
    except OSError as e:
        answers.append(repr(e))
    gate.process.stdin.close()
    try:
        status = gate.process.wait(30)
    except subprocess.TimeoutExpired:
        status = "it does not end"
    gate.err.seek(0)
    ok(answers == [b"short"] * 3 and status == 0, title, answers, status, gate.err.read()[:3000])
    ok(left <= 24, "and leave no descriptor behind", left)
done()
