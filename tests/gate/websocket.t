#!/usr/bin/python3
"""WebSockets of models in a replay: a recorded talk is told again without the server, message by message, and where it parts the program hears why. And through the gate
that records: it relays them as they are."""
import contextlib
import glob
import os
import select
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
import wskit
from gatekit import BUILD, Gate, Recording, clikit, done, dump, json, ok

REALTIME, LIVE = "/v1/realtime?model=gpt-realtime", "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


def turn(asked, n, text, **more):
    """A turn of a recording written by hand."""
    asked = [dump(a) for a in asked]
    request = asked[0] if len(asked) == 1 else b'{"events":[%s]}' % b",".join(asked)
    lines = [dump(e) + b"\n" for e in wskit.answer(n, text)]
    return request if asked else None, lines, dict(dict(path=REALTIME, method="GET", status=101, api="openai.realtime", protocol="websocket", fields={}), **more)


@contextlib.contextmanager
def socket_to(gate, path=REALTIME, fields=""):
    sock = gate.tls()
    yield wskit.client(sock, path, fields=fields)
    sock.close()


def heard(end, n=3):
    return [end.json() for _ in range(n)]


def item(text):
    return {"type": "conversation.item.create", "item": {"text": text}}


CREATE = {"type": "response.create"}
HELLO = {"type": "session.created", "session": {"id": "sess_1"}}
TURNS = (turn([item("one"), CREATE], 0, "first", aside=[0, HELLO, 1, {"type": "conversation.item.added"}]), turn([CREATE], 1, "second"))

with gatekit.recorded(*TURNS) as gate:
    with socket_to(gate, fields="Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-x\r\n") as (end, status, fields):
        ok(" 101 " in status and "sec-websocket-extensions" not in fields and fields["sec-websocket-protocol"] == "realtime",
           "the upgrade is accepted as RFC 6455 says, compression is declined, the first protocol offered is taken", status, fields)
        ok(end.json() == HELLO, "what the server said of the session before it was asked is said")
        end.send(item("one"))
        ok(end.json() == {"type": "conversation.item.added"}, "what it said after a message is said after that message")
        end.send(CREATE)
        ok(heard(end) == list(wskit.answer(0, "first")), "an answer comes in its recorded messages, as soon as it is asked for")
        end.send("still there?", op=9)
        ok(end.frame() == (0x8a, b"still there?"), "a ping is answered by a pong")
        end.sock.sendall(wskit.frame(1, b'{"type":"resp', b"1234", first=0) + wskit.frame(9, b"", b"1234") + wskit.frame(0, b'onse.create"}', b"abcd"))
        end.frame()
        ok(heard(end) == list(wskit.answer(1, "second")), "a message in fragments, with a ping between them, is a message")
        end.send(b"\x03\xe8", op=8)
        try:
            end.text()
            why = None
        except wskit.Closed as e:
            why = e.args
        ok(why == (1000, ""), "a client that closes is answered with its own code", why)

with gatekit.recorded(*TURNS, (gatekit.ask("plain"), b"{}")) as gate:
    with socket_to(gate) as (end, _, _):
        end.json()
        end.send(item("two"))
        end.json()
        end.send(CREATE)
        said, why = end.json(), None
        try:
            end.text()
        except wskit.Closed as e:
            why = e.args
        ok(said["type"] == "error" and said["error"]["code"] == "vcr_replay_miss" and "/events/0/item/text" in said["error"]["message"],
           "a turn that was not recorded gets an error event that names the place where it differs", said)
        ok(why and why[0] == 1008 and why[1].startswith("vcr replay: "), "then the connection is closed with a code and a reason", why)
    with socket_to(gate) as (end, _, _):
        end.json()
        end.send(item("one"))
        end.json()
        end.sock.sendall(b"\x85\x00")
        try:
            end.text()
        except wskit.Closed as e:
            why = e.args
        ok(why[0] == 1002, "a malformed frame ends the connection with the code for it", why)
    with socket_to(gate, "/v1/other") as (_, status, _):
        ok(" 426 " in status, "where no WebSocket was recorded, the upgrade is refused so that clients go back to HTTP", status)
    ok(gate.post(gatekit.ask("plain"))[0] == 200, "calls over HTTP are served beside them")

with gatekit.recorded(*TURNS) as gate:
    sock, pings, sent, most, left = gate.socket(), wskit.frame(9, b"p" * 125, b"1234") * 1000, 0, 400, b""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 65536)
    sock.sendall(b"VCR1 %s api.openai.com:443\n" % gate.token.encode())
    end = wskit.client(sock, REALTIME)[0]
    end.json()
    sock.setblocking(False)
    while sent < most and select.select([], [sock], [], 2)[1]:
        left = left or pings
        left = left[sock.send(left):]
        sent += not left
    ok(sent < most, "a client that reads none of its pongs is not read on for ever", sent)
    sock.settimeout(wskit.TIMEOUT)
    threading.Thread(target=sock.sendall, args=(left,), daemon=True).start()
    pongs = {end.frame() for _ in range((sent + (1 if left else 0)) * 1000)}
    end.send(item("one"))
    ok(pongs == {(0x8a, b"p" * 125)} and end.json() == {"type": "conversation.item.added"}, "but again when it has read them", pongs)
    sock.close()

with gatekit.recorded(turn([CREATE], 0, "cut", failure="reset")) as gate:
    with socket_to(gate) as (end, _, _):
        end.send(CREATE)
        first, why = heard(end), None
        try:
            end.text()
        except (OSError, wskit.Closed) as e:
            why = type(e).__name__
        ok(len(first) == 3 and why, "a connection that broke when it was recorded breaks after the same messages", first, why)

with gatekit.recorded(turn([], 0, "by itself"), turn([{"type": "input_audio_buffer.append", "audio": "aaaa"}], 1, "heard you")) as gate:
    with socket_to(gate) as (end, _, _):
        ok(heard(end) == list(wskit.answer(0, "by itself")), "an answer that nobody asked for comes by itself")
        end.send({"type": "input_audio_buffer.append", "audio": "aaaa"})
        ok(heard(end) == list(wskit.answer(1, "heard you")), "and so does one to speech, when as much has been said as then")

# ---- Recorded and replayed ----

for path, name, lane in ((REALTIME, "realtime", "tap"), (LIVE, "live", "tap"), (REALTIME, "realtime", "gate"), (LIVE, "live", "gate")):
    server, place = wskit.Server(), clikit.Place()
    os.mkdir(place.vcr_dir)
    with open(os.path.join(place.vcr_dir, "config"), "w") as f:
        f.write("model-host 127.0.0.1\nmodel-host 127.0.0.1:%d\n" % server.port)
    place.env.pop("VCR_COLLECTOR")
    command = [sys.executable, os.path.join(gatekit.SOURCE, "tests", "gate", "wskit.py"), str(server.port), path, "first words", "then others"]

    def run(*argv, texts=command[4:]):
        r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:], "--", *command[:4], *texts], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        return r.stdout, r.stderr

    said, err = run("vcr-record", "--lane=" + lane, "--session", "talk")
    online = run("vcr-replay", "--mode=all", "talk", texts=["asked online"]) if lane == "gate" else None
    clients = server.clients
    server.close()
    again, events = run("vcr-replay", "--json", "talk")
    frames = [l["data"]["metadata"]["custom"]["vcr"] for l in gatekit.frames(place.path("talk")) if l["type"] == "frame" and l["data"]["node_name"].startswith("llm:")]
    want = {"realtime": ("session.created", "response.done"), "live": ("setupComplete", "turnComplete")}[name]
    ok(len(frames) > 1 and all(f["protocol"] == "websocket" for f in frames) and said.count("you said") == 2 and want[0] in said and want[1] in said and again == said and server.clients == clients,
       "a %s talk that was recorded by the %s is replayed without its server: the program hears the same messages in the same order" % (name, lane), said, again, err, events, frames)
    if online:
        asked = [json.dumps(gatekit.frames(p)) for p in glob.glob(os.path.join(place.vcr_dir, "*.vcr")) if not p.endswith("/talk.vcr")]
        ok("asked online" in online[0] and len(asked) == 1 and '"websocket"' in asked[0] and "you said: asked online" in asked[0],
           "a replay that goes online (--mode=all) sends a %s talk on, and records it" % name, online, asked)
    other, err = run("vcr-replay", "talk", texts=["first words", "never said"])
    ok(other.startswith("".join(l + "\n" for l in said.splitlines()[:4 if name == "realtime" else 2])) and "closed 1008 vcr replay: " in other,
       "a %s talk (%s) that goes another way is told so where it does" % (name, lane), other, err)

# ---- Relayed ----

MIB = 1 << 20
CLIENT = """
import hashlib, socket, sys, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"GET %s HTTP/1.1\\r\\nHost: 127.0.0.1:%s\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\\r\\nUser-Agent: %s\\r\\n\\r\\n" % (sys.argv[2].encode(), sys.argv[1].encode(), sys.argv[3].encode()))
head = b""
while b"\\r\\n\\r\\n" not in head:
    head += s.recv(1)
print(head.split()[1].decode(), flush=True)
if head.split()[1] == b"101":
    block = bytes(range(256)) * 4096
    sender = threading.Thread(target=lambda: [s.sendall(block) for _ in range(8)])
    sender.start()
    got, n = hashlib.sha256(), 0
    while n < 8 * len(block):
        if not n:
            sender.join(1)  # nothing is read until what lies between is full, or all is sent
        part = s.recv(65536)
        if not part:
            break
        got.update(part)
        n += len(part)
    print(n, got.hexdigest() == hashlib.sha256(block * 8).hexdigest())
else:
    print(s.recv(99).decode())
s.close()
"""


class Echo:
    """Answers an upgrade, and sends back what comes behind it; or refuses it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.ended = self.listener.getsockname()[1], threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            threading.Thread(target=self.talk, args=(self.listener.accept()[0],), daemon=True).start()

    def talk(self, s):
        head = b""
        while b"\r\n\r\n" not in head:
            part = s.recv(1)
            if not part:
                return s.close()
            head += part
        if b"/refused" in head:
            s.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot today")
        else:
            s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            try:
                while part := s.recv(65536):
                    s.sendall(part)
            except OSError:
                pass
            self.ended.set()
        s.close()


server, place = Echo(), clikit.Place()
place.env.pop("VCR_COLLECTOR")
place.env["VCR_MODEL_HOSTS"] = "127.0.0.1:%d" % server.port
for path, who, want, title in (("/v1/realtime?model=m", "anybody", "101\n%d True\n" % (8 * MIB), "8 MiB go each way through the relay, though the client does not read for a while"),
                               ("/v1/realtime/refused", "anybody", "403\nnot today\n", "a server that refuses the upgrade is heard as it says it"),
                               ("/v1/responses", "codex_exec/1.0", "426\nvcr: no WebSocket here; use HTTP\n\n", "codex, which could speak HTTP, is told to")):
    r = subprocess.run([os.path.join(BUILD, "vcr-record"), "-q", "--lane=gate", "--", sys.executable, "-c", CLIENT, str(server.port), path, who], cwd=place.dir, env=place.env, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=60)
    ok(r.returncode == 0 and r.stdout == want, title, r)
ok(server.ended.wait(20), "and the server hears of the client's end")
done()
