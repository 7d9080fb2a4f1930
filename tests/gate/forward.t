#!/usr/bin/python3
"""The recording gate: what a client sends reaches the server as it was, what the server sends comes through at once, and the sink sees all of it first."""
import base64
import contextlib
import http.client
import json
import os
import select
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
import wskit
from gatekit import BUILD, OPENAI, ask, clikit, done, dump, ok, post_bytes, read_all, read_answer, skip

FORWARDER = os.path.join(BUILD, "tests", "gate", "forwarder")
place = clikit.Place()
MEGA = 1 << 20


class Upstream(serverkit.Listening):
    """A server that plays a script: each connection's requests are kept as bytes, each is answered by the next function."""

    def __init__(self):
        ca, leaf = modelserver.make_ca(tempfile.mkdtemp(dir=place.dir))
        self.ca, self.context = ca, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf)
        self.requests, self.script, self.gone = [], [], threading.Event()
        self.connections, self.eager = 0, False  # eager: a request is answered at its head
        super().__init__()

    def serve(self, s):
        self.connections += 1
        try:
            s = self.context.wrap_socket(s, server_side=True)
            while True:
                head, body = serverkit.read_head(s)
                if head is not None and not self.eager:
                    body = serverkit.read_body(s, head, body)
                if head is None or body is None:
                    return
                self.requests.append((head, body))
                self.script.pop(0)(s)
        except (OSError, IndexError):
            pass


class Forwarder:
    def __init__(self, upstream, *more, cacert=None, hosts=("api.openai.com",), env=None):
        argv = [FORWARDER, os.path.join(tempfile.mkdtemp(dir=place.dir), "run"), cacert or upstream.ca]
        argv += ["--connect-to", "api.openai.com:443:127.0.0.1:%d" % upstream.port, *more, *hosts]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(place.env, **env or {}))
        ready = json.loads(self.process.stdout.readline())
        self.port, self.token = ready["port"], ready["token"]
        self.context = ssl.create_default_context(cafile=ready["ca"])
        self.context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # some Pythons set it: then a cut cannot be heard

    def socket(self, host="127.0.0.1"):
        return socket.create_connection((host, self.port), timeout=gatekit.TIMEOUT)

    def tls(self):
        return self.context.wrap_socket(self.socket(), server_hostname="api.openai.com", suppress_ragged_eofs=False)

    def call(self):
        c = json.loads(self.process.stdout.readline())
        for key in ("request", "response"):
            if key in c:
                c[key] = base64.b64decode(c[key])
        return c

    def close(self):
        self.process.stdin.close()
        return self.process.wait(30)


def answer(data, *fields):
    def play(s):
        s.sendall(b"HTTP/1.1 200 Fine\r\n" + b"".join(f + b"\r\n" for f in fields) + b"Content-Length: %d\r\n\r\n" % len(data) + data)
    return play


up = Upstream()
gate = Forwarder(up)

# ---- As it was ----

head = (b"POST /v1/chat/completions?a=%2F..%2f&b HTTP/1.1\r\nHost: api.openai.com\r\nX-Zeta: 1\r\nauthorization: Bearer sk-0123456789abcdef0123\r\nAccept-Encoding: gzip, br\r\n"
        b"X-Empty:\r\nX-Alpha: 2\r\nContent-Type: application/json\r\nX-Stainless-Retry-Count: 0\r\nContent-Length: 15\r\n\r\n")
zipped = b"\x1f\x8b not really gzip"
up.script = [answer(zipped, b"Content-Encoding: gzip", b"x-request-id: r1", b"Set-Cookie: a=b"), answer(b"2")]
s = gate.tls()
s.sendall(head + b'{"model":"m1"} ')
status, fields, body = read_answer(s)
sent, sent_body = up.requests[0]
lines = sent.split(b"\r\n")
want = [l for l in head.split(b"\r\n")[1:] if l]
ok(lines[0] == b"POST /v1/chat/completions?a=%2F..%2f&b HTTP/1.1" and sent_body == b'{"model":"m1"} ', "method, path, query and body reach the server as they were", lines[0], sent_body)
ok(lines[1:] == want, "header fields reach it as they were, in their order, and no others", lines[1:], want)
ok((status, fields["x-request-id"], fields["content-encoding"], fields["set-cookie"], body) == (200, "r1", "gzip", "a=b", zipped), "the answer comes back undecoded with all its fields", fields, body)
c = gate.call()
ok((c["method"], c["host"], c["status"], c["request"], c["target"]) == ("POST", "api.openai.com", 200, b'{"model":"m1"} ', "/v1/chat/completions?a=%2F..%2f&b"), "the sink saw the call", c)
s.sendall(post_bytes(ask("second")))
ok(read_answer(s)[2] == b"2" and gate.call()["request"] == dump(ask("second")), "the connection goes on with the next request")
up.script = [answer(b"3"), answer(b"")]
data = dump(ask("chunked"))
s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
said = s.recv(25)
ok(said == b"HTTP/1.1 100 Continue\r\n\r\n" and read_answer(s)[2] == b"3" and up.requests[-1][1] == data and b"Expect" not in up.requests[-1][0], "a chunked request with Expect arrives whole", up.requests[-1])
gate.call()
s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n")
read_answer(s)
ok(up.requests[-1][0] == b"GET /v1/models HTTP/1.1\r\nHost: api.openai.com", "a bare GET stays bare", up.requests[-1][0])
gate.call()

# ---- Not as it was ----

for how, kind in ((b"", "with a length"), (b"Transfer-Encoding: chunked\r\n", "in chunks")):
    up.script = [answer(b"5"), answer(b"6")]
    data = dump(ask("[[wait]] [[instead]]"))
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) if how else data
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nX-A: 1\r\n" + (how or b"Content-Length: %d\r\n" % len(data)) + b"X-B: 2\r\n\r\n" + framed)
    got, (head, body), c = read_answer(s)[2], up.requests[-1], gate.call()
    ok(got == b"5" and body == b"and more: " + data and b"Content-Length: %d" % len(body) in head and c["request"] == data,
       "a request that came %s waits, then goes out with another body of its own length; the sink saw the client's" % kind, head, body, c)
    s.sendall(post_bytes(ask("plain again")))
    ok(read_answer(s)[2] == b"6" and up.requests[-1][1] == dump(ask("plain again")) and gate.call()["request"] == up.requests[-1][1], "and the next one goes as it is", up.requests[-1])
asked = len(up.requests)
s.sendall(post_bytes(ask("[[wait]] [[no]]")))
status, fields, body = read_answer(s)
c = gate.call()
ok((status, body, fields["x-should-retry"], len(up.requests)) == (400, b'{"error":"no"}', "false", asked) and (c["status"], c["response"]) == (400, body),
   "one that is answered here does not leave the machine, and the sink sees the answer", status, body, c)

# ---- At once ----

held = threading.Event()


def stream(s):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
    held.wait(60)
    s.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")


up.script = [stream]
s.sendall(post_bytes(ask("stream")))
first = b""
while b"data: 1" not in first:
    first += s.recv(65536)
ok(not held.is_set() and first.endswith(b"9\r\ndata: 1\n\n\r\n"), "the first piece is here while the server holds back the second", first)
held.set()
rest = b""
while not rest.endswith(b"0\r\n\r\n"):
    rest += s.recv(65536)
c = gate.call()
ok(rest.startswith(b"9\r\ndata: 2\n\n\r\n") and c["response"] == b"data: 1\n\ndata: 2\n\n" and c["chunks"] == 2, "each read is a piece, for the client and for the sink", rest, c)


# ---- One connection for one request after another ----


def plays(data, *more):
    """As it is."""
    def play(s):
        s.sendall(data)
        for f in more:
            f(s)
    return play


def bytewise(data):
    def play(s):
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
    return play


def request(method=b"GET", body=None):
    s.sendall(method + b" /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n" if body is None else post_bytes(body))


def wire(end):
    data = b""
    while not data.endswith(end):
        part = s.recv(65536)
        if not part:
            break
        data += part
    return data


before = up.connections
kinds = [
    ("HEAD", b"HEAD", plays(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), b"Content-Length: 5\r\n\r\n"),
    ("204", b"GET", plays(b"HTTP/1.1 204 None\r\n\r\n"), b"\r\n\r\n"),
    ("304", b"GET", plays(b"HTTP/1.1 304 Same\r\nETag: x\r\n\r\n"), b"\r\n\r\n"),
    ("nothing", b"GET", plays(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), b"\r\n\r\n"),
    ("interim heads", b"GET", plays(b"HTTP/1.1 102 Wait\r\n\r\n", plays(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")),
     b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    ("a trailer", b"GET", plays(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nX-After: 1\r\n\r\n"), b"2\r\nhi\r\n0\r\n\r\n"),
    ("byte by byte", b"GET", bytewise(b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"),
    ("empty lines first", b"GET", plays(b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), b"\r\n\r\nhi"),
]
got = {}
for name, method, play, want in kinds:
    up.script = [play]
    request(method)
    heard = wire(want)
    c = gate.call()
    got[name] = heard.endswith(want) and (heard.startswith(b"HTTP/1.1 102") if name == "interim heads" else True) and c["failure"] is None and c["status"], heard
ok([g[0] for g in got.values()] == [200, 204, 304, 200, 200, 200, 200, 200] and up.connections == before, "answers of every form come through, one after another over one connection", {k: v for k, v in got.items()}, up.connections - before)
up.script = [lambda s: s.close(), answer(b"other")]
request(body=ask("given up"))
heard = read_answer(s)[2]
c = gate.call()
times = len([r for r in up.requests if r[1] == dump(ask("given up"))])
ok((heard, c["status"], times, up.connections) == (b"other", 200, 2, before + 1), "a kept connection that the server ends before any answer is replaced by another", heard, c, times, up.connections - before)
up.script = [lambda s: s.close(), lambda s: s.close()]
request(body=ask("twice"))
got, exception = read_all(s)
c = gate.call()
times = len([r for r in up.requests if r[1] == dump(ask("twice"))])
ok(got == [] and c["failure"] and times == 2, "by one other, not by a third", got, c, times)
s, before = gate.tls(), up.connections
up.script = [plays(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", lambda s: s.close()), answer(b"second"),
             plays(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nnothing"), answer(b"fourth"),
             plays(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"), answer(b"sixth")]
heard = []
for i in range(6):
    request(body=ask("request %d" % i))
    heard.append(read_answer(s)[2])
    gate.call()
times = [len([r for r in up.requests if r[1] == dump(ask("request %d" % i))]) for i in range(6)]
ok((heard, up.connections - before) == ([b"hi", b"second", b"hi", b"fourth", b"hi", b"sixth"], 4) and set(times) <= {1, 2} and times[::2] == [1, 1, 1],
   "a connection that the server has ended, or spoken out of turn on, or said it will end is not used again", heard, times, up.connections - before)
up.script = [lambda s: (s.sendall(b"HTTP/1.1 413 Much\r\nContent-Length: 4\r\n\r\nmuch"), s.recv(1)), answer(b"and on")]
up.eager = True
s.sendall(b"POST /v1/files HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: %d\r\n\r\n" % (16 * MEGA) + b"u" * (16 * MEGA))
first = read_answer(s)
c = gate.call()
up.eager = False
request(body=ask("and on"))
heard = read_answer(s)[2]
gate.call()
ok((first[0], first[2], c["status"], heard) == (413, b"much", 413, b"and on"), "an answer to a request that the server has not read to its end is heard, and the next goes another way", first, c.get("failure"), heard)


data = os.urandom(12 * MEGA)
up.script = [answer(b"took it")]
s.sendall(b"POST /v1/files HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
heard = read_answer(s)[2]
gate.call()
ok(heard == b"took it" and up.requests[-1][1] == data, "a large request arrives as it was", heard, len(up.requests[-1][1]))

# ---- A client that is slow, or leaves ----


def flood(s):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * MEGA))
    block = b"x" * MEGA
    try:
        for i in range(200):
            s.sendall(block)
            up.flooded = i + 1
    except OSError:
        up.gone.set()


up.script, up.flooded = [flood], 0
s = gate.tls()
s.sendall(post_bytes(ask("flood")))
s.recv(1000)
seen = -1
while seen != up.flooded:  # until it stands still
    seen = up.flooded
    time.sleep(0.3)
rss = int(next(l for l in open("/proc/%d/status" % gate.process.pid) if l.startswith("VmRSS")).split()[1]) // 1024
ok(up.flooded < 60, "a client that does not read holds the server back", "%d of 200 MB were taken; the gate holds %d MB" % (up.flooded, rss))
s.close()
ok(up.gone.wait(20) and gate.call()["failure"] == "aborted", "a client that leaves ends the request upstream")

up.script = [answer(b"y" * 3000000)]
s, got = gate.tls(), b""
s.sendall(post_bytes(ask("large")))
while len(got) < 3000000:
    part = s.recv(1 << 20)
    if not part:
        break
    got += part
s.close()
gate.call()
ok(got.endswith(b"y" * 2000000), "a large answer that comes at once, to a client that reads at once, arrives whole", len(got))

# ---- Held back ----

got = {}
for times in range(5):
    g = Forwarder(up, "--held", str(times))
    up.script = [answer(b"short"), answer(b"long " * 20000), stream]
    s = g.tls()
    s.settimeout(10)
    try:
        for i in range(3):
            s.sendall(post_bytes(ask("held back")))
            got[times, i] = read_answer(s)[2][:5]
    except OSError as e:
        got[times, i] = type(e).__name__
    s.close()
    g.close()
want = {(times, i): w for times in range(5) for i, w in enumerate((b"short", b"long ", b"data:"))}
ok(got == want, "an answer that is held back for a moment arrives whole, whenever that moment ends", {k: v for k, v in got.items() if v != want[k]})

# ---- Ends ----


def end(how, sent=b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"):
    def play(s):
        s.sendall(b"HTTP/1.1 200 OK\r\n" + sent)
        wire = modelserver.Wire(s)
        wire.end(how)
    return play


for how, failure, exceptions in (("reset", ("reset",), ("SSLEOFError", "ConnectionResetError")), ("close", ("closed",), (None,)), ("cut", ("cut",), ("SSLEOFError",))):
    up.script = [end(how)]
    s = gate.tls()
    s.sendall(post_bytes(ask(how)))
    got, exception = read_all(s)
    c = gate.call()
    ok(c["failure"] in failure and exception in exceptions and (how == "reset" or b"".join(got).endswith(b"5\r\nhello\r\n")), "a stream that the server ends by %s ends so for the client, and in the recording" % how, c["failure"], got, exception)
endless = {}
for how in ("close", "cut"):
    up.script = [end(how, b"X-Length: unknown\r\n\r\nhello")]
    s = gate.tls()
    s.sendall(b"POST /v1/chat/completions HTTP/1.0\r\nHost: api.openai.com\r\nContent-Length: 2\r\n\r\n{}")
    got, exception = read_all(s)
    endless[how] = b"".join(got).endswith(b"\r\n\r\nhello"), exception, gate.call().get("failure")
ok(endless == {"close": (True, None, None), "cut": (True, "SSLEOFError", "cut")}, "an answer without a length is complete only where the server says that it has ended", endless)
up.script = [lambda s: s.close()]
s = gate.tls()
s.sendall(post_bytes(ask("nothing")))
got, exception = read_all(s)
c = gate.call()
c = gate.call() if "trouble" in c else c
ok(got == [] and c["status"] == 0 and c["failure"] and len([r for r in up.requests if r[1] == dump(ask("nothing"))]) == 1, "a request that gets no answer is not sent again", got, c)
ok(gate.close() == 0, "it ends in order")

# ---- Trust, and other ways ----

gate = Forwarder(up, cacert="/etc/ssl/certs/ca-certificates.crt")
s = gate.tls()
s.sendall(post_bytes(ask("untrusted")))
got, exception = read_all(s)
c = gate.call()
ok(got == [] and "certificate" in c.get("trouble", "").lower(), "a server that cannot be trusted gets no request, and it is said why", c)
gate.close()
gate = Forwarder(up, cacert="-", env={"REQUESTS_CA_BUNDLE": up.ca})
up.script = [answer(b"trusted")]
s = gate.tls()
s.sendall(post_bytes(ask("trusted")))
ok(read_answer(s)[2] == b"trusted", "the user's own certificate file is honoured")
listener = socket.create_server(("127.0.0.1", 0))
s = gate.socket()
word = base64.b64encode(b"vcr:" + gate.token.encode()).decode()
s.sendall(("CONNECT 127.0.0.1:%d HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n" % (listener.getsockname()[1], word)).encode())
far, _ = listener.accept()
status = s.recv(100)
far.sendall(b"x" * 3 * MEGA)
far.shutdown(socket.SHUT_WR)
s.sendall(b"y" * 1000)
got = b""
while True:
    part = s.recv(65536)
    if not part:
        break
    got += part
s.shutdown(socket.SHUT_WR)
back = b""
while len(back) < 1000:
    back += far.recv(65536)
ok(status.startswith(b"HTTP/1.1 200 ") and len(got) == 3 * MEGA and back == b"y" * 1000, "another host is tunnelled, both ways to the end", status, len(got))
gate.close()


# ---- The user's own proxy ----

proxy = serverkit.Proxy(lambda target: up.port)
argv_env = {"HTTPS_PROXY": proxy.url}
gate = Forwarder(up, env=argv_env, hosts=("api.openai.com", "api.anthropic.com"))
up.script = [answer(b"by proxy")]
s = gate.context.wrap_socket(gate.socket(), server_hostname="api.anthropic.com")
s.sendall(post_bytes(ask("proxied"), host="api.anthropic.com"))
heard = read_answer(s)[2]
ok(heard == b"by proxy" and proxy.heads[0].startswith("CONNECT api.anthropic.com:443 ") and b"Proxy-" not in up.requests[-1][0], "the user's own proxy goes on working", heard, proxy.heads)
gate.close()

# ---- WebSockets ----

UPGRADE = (b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: api.openai.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
           b"Sec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer sk-0123456789abcdef0123\r\n" % base64.b64encode(b"k" * 16))
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: of the server\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n"
DONE = b'{"type":"response.done","response":{"id":"r","status":"completed","usage":{"input_tokens":2,"output_tokens":1}}}'
BYE = wskit.frame(8, b"", b"abcd")
asks, says = wskit.frame(1, b'{"type":"response.create"}', b"abcd"), wskit.frame(1, b'{"type":"response.output_text.delta","delta":"hi"}') + wskit.frame(1, DONE)
heard_by_server, may_read = [], threading.Event()


def some(s, n, after=b""):
    """n bytes behind the first `after`, and what is before them."""
    data = b""
    while after not in data or len(data) < data.index(after) + len(after) + n:
        more = s.recv(1)
        if not more:
            break
        data += more
    return data


def take(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            break
        data += more
    heard_by_server.append(data)
    return data


def talks(s):
    s.sendall(SWITCH + b"\x89\x00")  # a ping behind the head, in one write
    take(s, len(asks))
    for i in range(0, len(says), 7):
        s.sendall(says[i:i + 7])
    take(s, len(BYE))
    s.sendall(b"\x88\x00")
    s.close()


gate = Forwarder(up)
up.script, before = [talks], len(up.requests)
s = gate.tls()
s.sendall(UPGRADE + b"\r\n")
said = some(s, 2, b'\r\n\r\n')
s.sendall(asks)
said += some(s, len(says))
s.sendall(BYE)
rest = s.recv(100)
try:
    ended = s.recv(100)
except ssl.SSLError as e:
    ended = e
asked = up.requests[before][0]
ok(all(f in asked.split(b"\r\n") for f in UPGRADE.split(b"\r\n")[:-1]), "a WebSocket is asked for as the client asks for it", asked)
ok(b"\r\nSec-WebSocket-Accept: of the server\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n" in said and said.endswith(b"\r\n\r\n\x89\x00" + says) and rest == b"\x88\x00" and
   heard_by_server == [asks, BYE], "what either says then reaches the other byte for byte", said, rest, heard_by_server)
ok(ended == b"" or isinstance(ended, ssl.SSLError), "and its end is the server's", ended)
shaken, c = gate.call(), gate.call()
ok((shaken["status"], c["status"], c["request"], DONE in c["response"]) == (101, 101, b'{"type":"response.create"}', True), "the sink saw the turn", shaken, c)
up.script = [answer(b"no"), answer(b"later")]
s = gate.tls()
s.sendall(UPGRADE + b"\r\n")
got = read_answer(s)
gate.call()
s.sendall(post_bytes(ask("then by HTTP")))
ok((got[0], got[2]) == (200, b"no") and read_answer(s)[2] == b"later", "where the server does not switch, its answer is an answer as any other, and the connection goes on", got)
gate.call()
up.script = []
s.sendall(UPGRADE + b"User-Agent: codex_cli_rs/1.0\r\n\r\n")
ok(read_answer(s)[0] == 426, "codex, which asks by HTTP when it hears 426, hears that")

PIECE, MOST = wskit.frame(2, bytes(range(256)) * 256, b"\0\0\0\0"), 1000


def reads_late(s):
    s.sendall(SWITCH)
    may_read.wait(60)
    seen = 0
    while seen < total[0]:
        data = s.recv(1 << 16)
        if not data:
            break
        seen += len(data)
    s.sendall(b"%d" % seen)


up.script = [reads_late]
s, total = gate.tls(), [1 << 62]
s.sendall(UPGRADE + b"\r\n")
some(s, 0, b'\r\n\r\n')
s.setblocking(False)
sent = 0
while sent < MOST * len(PIECE) and select.select([], [s], [], 2)[1]:
    with contextlib.suppress(ssl.SSLWantWriteError):
        at = sent % len(PIECE)
        sent += s.send(PIECE[at:] + PIECE[:at])
ok(sent < MOST * len(PIECE) // 2, "a client is not read on for ever while its server does not read", sent)
total[0] = sent
may_read.set()
s.setblocking(True)
s.settimeout(gatekit.TIMEOUT)
heard = b""
while len(heard) < len(b"%d" % sent):
    more = s.recv(100)
    if not more:
        break
    heard += more
ok(heard == b"%d" % sent, "and all of it arrives when it does", heard, sent)
s.close()
gate.close()

# ---- A host that cannot be reached, asked for by CONNECT ----

closed = socket.socket()
closed.bind(("127.0.0.1", 0))
upstream = Upstream()
away = type("Away", (), {"port": closed.getsockname()[1], "ca": upstream.ca})
gate = Forwarder(away)
word = base64.b64encode(b"vcr:" + gate.token.encode()).decode()


def connect():
    """(what CONNECT is answered, what a request in it is)"""
    s = gate.socket()
    s.sendall(("CONNECT api.openai.com:443 HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n" % word).encode())
    said = s.recv(1000).split()[1]
    if said != b"200":
        return said, None
    try:
        s = gate.context.wrap_socket(s, server_hostname="api.openai.com")
        s.sendall(post_bytes(ask("anybody?")))
        return said, read_answer(s)[0]
    except (OSError, ssl.SSLError, http.client.HTTPException) as e:
        return said, type(e).__name__


def listen():
    closed.listen(8)
    upstream.listener, upstream.script = closed, [lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")]
    threading.Thread(target=accept, daemon=True).start()


def accept():
    with contextlib.suppress(OSError):
        upstream.accept()


def attempts(what):
    """How many connections reached the server in each of a few turns; what is kept for a turn is so for two seconds, which a busy machine can exceed."""
    counts = []
    while len(counts) < 4 and 1 not in counts:
        before = upstream.connections
        upstream.script = [lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi") or s.close()]
        counts.append(upstream.connections - before if what() else -1)
    return counts


def in_one_go():
    """The first bytes of TLS right behind CONNECT, as impatient clients send them."""
    s, to, out = gate.socket(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = gate.context.wrap_bio(to, out, server_hostname="api.openai.com")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    s.sendall(("CONNECT api.openai.com:443 HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n" % word).encode() + out.read())
    said = b""
    with contextlib.suppress(socket.timeout):
        s.settimeout(5)
        while (part := s.recv(1000)) and (said + part).partition(b"\r\n\r\n")[2][:1] != b"\x16":
            said += part
        said += part
    return said


first, second = connect(), connect()
listen()
third = connect()
ok(first == second == (b"502", None) and third == (b"200", 200), "a host that cannot be reached is refused by the proxy, until it can", first, second, third)
counts = attempts(lambda: connect() == (b"200", 200))
ok(1 in counts, "one that can be reached sees one connection, which is that of the request too", counts)
closed.shutdown(socket.SHUT_RDWR)
closed.close()
fourth, fifth = connect(), connect()
ok(fourth == fifth == (b"502", None), "and one that begins to refuse is refused by the proxy from the next connection on", fourth, fifth)
gate.close()

# The connection that was made to answer a client is reset by its host before anything was said on it.
resets = socket.create_server(("127.0.0.1", 0))
gate = Forwarder(up, "--connect-to", "api.anthropic.com:443:127.0.0.1:%d" % resets.getsockname()[1], hosts=("api.openai.com", "api.anthropic.com"))
word = base64.b64encode(b"vcr:" + gate.token.encode()).decode()
s = gate.socket()
s.sendall(("CONNECT api.anthropic.com:443 HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n" % word).encode())
said = s.recv(1000).split()[1]
one, _ = resets.accept()
one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
one.close()
up.script = [answer(b"reached")]
other = connect()
ok(said == b"200" and other == (b"200", 200), "one that its host has reset meanwhile is used for nobody", said, other)
s.close()
resets.close()
gate.close()

gate = Forwarder(up, env={"http_proxy": "http://127.0.0.1:1"})
word = base64.b64encode(b"vcr:" + gate.token.encode()).decode()
said = in_one_go()
ok(said.startswith(b"HTTP/1.1 200 ") and b"\r\n\r\n\x16" in said, "what a client has said before it is told that there is a connection is heard", said)
up.script = [answer(b"directly")]
said = connect()
ok(said == (b"200", 200), "the user's proxy for plain HTTP is not asked for TLS", said)
gate.close()

proxy = serverkit.Proxy(lambda target: ways and up.port)
gate, ways, heard = Forwarder(up, env={"HTTPS_PROXY": proxy.url}), [True], []
word = base64.b64encode(b"vcr:" + gate.token.encode()).decode()
while len(heard) < 4 and (b"200", 200, 1) not in heard:  # as in attempts
    proxy.heads.clear()
    up.script = [lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi") or s.close()]
    heard.append((*connect(), len(proxy.heads)))
ok((b"200", 200, 1) in heard and proxy.heads[0].startswith("CONNECT 127.0.0.1:%d " % up.port), "the user's proxy is asked for one tunnel, which is that of the request too", heard, proxy.heads)
ways.clear()
said = connect(), connect()
ok(said == ((b"502", None), (b"502", None)), "and where it begins to refuse, a client hears at CONNECT what it says", said)
proxy.way = lambda target: closed_port
closed_port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
said = connect()
ok(said == (b"503", None), "whatever that is", said)
gate.close()
done()
