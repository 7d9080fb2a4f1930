#!/usr/bin/python3
"""Clients that speak HTTP/2 alone, calls by gRPC in the main: the gate that records passes their connection as it is, and each call is a frame."""
import base64
import json
import os
import random
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import gatekit
import h2kit
import modelserver
from gatekit import BUILD, clikit, done, ok, skip

HOST = "generativelanguage.googleapis.com"
CALLS = ["GenerateContent=first", "StreamGenerateContent=a story", "Exhausted=third", "Midway=fourth", "Reset=fifth", "CountTokens=sixth", "GenerateContent=last"]
NAMES = ["llm", "llm", "error", "error", "error", "llm"]
certificates = tempfile.TemporaryDirectory(prefix="vcr-h2.")
CA, LEAF = modelserver.make_ca(certificates.name)


class Server(h2kit.Server):
    def answer(self, end, stream, method, words):
        super().answer(end, stream, "GenerateContent" if method == "CountTokens" else method, words)


class Talk:
    """A server, and a place whose programs find it, by its name with TLS or by its address without."""

    def __init__(self, how, protocols=("h2",)):
        self.how, self.server, self.place = how, Server(LEAF if how == "tls" else None, protocols), clikit.Place()
        self.port = self.server.port
        os.mkdir(self.place.vcr_dir)
        with open(os.path.join(self.place.vcr_dir, "config"), "w") as f:
            ways = "".join("connect-to %s:%d:127.0.0.1:%d\n" % (HOST, port, self.port) for port in (self.port, 443))  # who looks a name up says no port
            f.write("model-host 127.0.0.1:%d\n%scacert %s\n" % (self.port, ways, CA))
        self.place.env.pop("VCR_COLLECTOR")

    def run(self, *argv, calls=CALLS, port=None):
        host = HOST if self.how == "tls" else "127.0.0.1"
        command = [sys.executable, os.path.join(gatekit.SOURCE, "tests", "gate", "h2kit.py"), host, str(port or self.port), self.how, *calls]
        r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:], "--", *command], cwd=self.place.dir, env=self.place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        return r.stdout, r.stderr

    def direct(self, calls=CALLS):
        sock = h2kit.connect("127.0.0.1", self.port, False)
        if self.how == "tls":
            context = ssl.create_default_context(cafile=CA)
            context.set_alpn_protocols(["h2"])
            sock = context.wrap_socket(sock, server_hostname=HOST)
        client = h2kit.Client(sock, "%s:%d" % (HOST if self.how == "tls" else "127.0.0.1", self.port))
        said = [json.dumps(h2kit.tell(client.call(*(lambda m, _, w: (m, w.encode()))(*c.partition("="))))) for c in calls]
        sock.close()
        return said

    def lines(self, name="talk"):
        return [l["data"] for l in gatekit.frames(self.place.path(name)) if l["type"] == "frame" and l["data"]["node_name"].startswith("llm:")]


def parsed(out):
    return [json.loads(l) for l in out.splitlines()]


for how in ("tls", "plain"):
    t = Talk(how)
    want = [json.loads(l) for l in t.direct()]
    before = len(t.server.asked)
    out, err = t.run("vcr-record", "-q", "--lane=gate", "--session", "talk")
    ok(parsed(out) == want and len(t.server.asked) == before + len(CALLS),
       "a program that speaks HTTP/2 alone (%s) hears through the gate what it hears without it: answers, a stream, trailers, errors" % how, out, want, err)
    frames = t.lines()
    noted = [f["metadata"]["custom"]["vcr"] for f in frames]
    ok([f["frame_type"] for f in frames] == NAMES and all(v["source"] == "gate" and v["http"] == "2" and v["api"] == "generic" and v["status"] == 200 for v in noted),
       "each of its calls (%s) is a frame, and one that counts tokens is none" % how, frames)
    ok([v.get("response_trailers", {}).get("grpc-status") for v in noted] == ["0", "0", None, "14", None, "0"] and noted[2]["response_headers"]["grpc-status"] == "8" and noted[4]["reset_code"] == 11 and
       [f["metadata"]["error_type"] for f in frames] == [None, None, "RESOURCE_EXHAUSTED", "UNAVAILABLE", "reset", None] and frames[2]["metadata"]["error_message"] == "too many of you",
       "its trailers (%s) are kept, and an error of gRPC's is one, by its name and in its words" % how, noted, frames[2])
    asked = len(t.server.asked)
    again, events = t.run("vcr-replay", "--json", "talk")
    ok(parsed(again) == want and len(t.server.asked) == asked, "in a replay (%s) it hears the same, trailers and resets too, and no server is asked" % how, again, want, events)
    other, events = t.run("vcr-replay", "-q", "talk", calls=["GenerateContent=first", "GenerateContent=never asked", "Unheard=of", "StreamGenerateContent=a story"])
    heard = parsed(other)
    ok(heard[0] == want[0] and heard[3]["body"] == want[1]["body"] and [h["head"].get("grpc-status") for h in heard[1:3]] == ["3", "3"] and
       all("vcr replay: " in h["head"]["grpc-message"] and not h["body"] for h in heard[1:3]) and
       ", now .....never asked" in heard[1]["head"]["grpc-message"] and len(t.server.asked) == asked,
       "a call that was not recorded (%s) is refused by name, in gRPC's own terms, and its connection goes on" % how, other, events)
    calls = ["GenerateContent=first", "StreamGenerateContent=a new one", "Exhausted=new", "Midway=new", "Large=new", "Reset=new", "GenerateContent=of all"]
    want = [json.loads(l) for l in t.direct(calls)]
    asked = len(t.server.asked)
    out, err = t.run("vcr-replay", "-q", "--mode=new-episodes", "talk", calls=calls)
    heard = parsed(out)
    for h in want + heard:
        h["head"].pop("x-request-id", None)  # it tells the server's streams
    ok(heard[:5] + heard[6:] == want[:5] + want[6:] and heard[5]["reset"] and len(t.server.asked) == asked + 6,
       "a replay that goes online (%s) asks the server what was not recorded, stream by stream" % how, out, err, len(t.server.asked) - asked)
    made = [s for s in gatekit.sessions(t.place) if any(f["metadata"]["custom"]["vcr"]["source"] == "gate" for f in t.lines(s[:-4]) if "source" in f["metadata"]["custom"]["vcr"]) and s != "talk.vcr"]
    again, events = t.run("vcr-replay", "-q", made[0][:-4] if made else "none", calls=calls[1:5])
    heard = parsed(again)
    for h in heard:
        h["head"].pop("x-request-id", None)
    ok(len(made) == 1 and heard == want[1:5], "which is recorded, and replayed like what was recorded first (%s)" % how, made, again, events)
    if how == "tls":
        asked = len(t.server.asked)
        said = [parsed(t.run(*words, calls=["GenerateContent=first"], port=443)[0]) for words in (("vcr-record", "-q", "--lane=gate", "--session", "usual"), ("vcr-replay", "-q", "--mode=new-episodes", "usual"))]
        ok(said[0] == said[1] and said[0][0]["body"] == ["answer to first"] and len(t.server.asked) == asked + 1, "a client that writes its host's usual port is answered from the recording before anything goes online", said, len(t.server.asked) - asked)
    t.server.close()

t = Talk("tls", protocols=("http/1.1",))
out, err = t.run("vcr-record", "-q", "--lane=gate", "--session", "talk", calls=["GenerateContent=first"])
ok([h["reset"] for h in parsed(out)] != [None] and not t.server.asked, "where the server does not speak it, the connection ends and nothing was asked", out, err)
t.server.close()

# ---- The gate's own HTTP/2 ----

LARGE = b"".join(bytes([i]) * 16000 for i in range(60))
GRPC = {"content-type": "application/grpc"}
PATH = h2kit.SERVICE + "GenerateContent"


def call(n, answer=None, **more):
    answer = answer or h2kit.message(b"answer to %d" % n)
    return h2kit.message(b"question %d" % n), answer, dict(dict(path=PATH, host=HOST, http="2", fields=GRPC, response_trailers={"grpc-status": "0"}), **more)


def client(gate, window=None, raw=None, name=HOST):
    context = ssl.create_default_context(cafile=gate.ca)
    context.set_alpn_protocols(["h2"])
    return h2kit.Client(context.wrap_socket(raw or gate.socket(), server_hostname=name), name, window)


def memory(gate):
    return int(next(l for l in open("/proc/%d/status" % gate.process.pid) if l.startswith("VmRSS")).split()[1]) * 1024


MANY = 90
with gatekit.recorded(*[call(n) for n in range(MANY)], call(900, LARGE), call(902, LARGE), call(901, ttfb_ms=1, total_ms=3600000, failure="aborted"),
                      options=("--speed=0",)) as gate:
    c = client(gate)
    streams = [c.ask("GenerateContent", b"question %d" % n) for n in range(MANY)]
    heard = c.hear(*streams)
    ok([h2kit.messages(heard[s]["body"]) for s in streams] == [["answer to %d" % n] for n in range(MANY)] and all(h["trailers"] == {"grpc-status": "0"} for h in heard.values()),
       "%d streams at once are answered, each by its own" % MANY, heard)
    raw = gate.socket()
    raw.sendall(b"CONNECT %s:443 HTTP/1.1\r\nProxy-Authorization: %s\r\n\r\n" % (HOST.encode(), gate.proxy_word().encode()))
    assert b" 200 " in raw.recv(4096)
    h = client(gate, raw=raw).call("GenerateContent", b"question 5000")
    ok(h["head"]["grpc-status"] == "3" and "no recording answers" in h["head"]["grpc-message"], "a client that comes by CONNECT is spoken to in the same way", h)
    c = client(gate, window=10000)
    stream = c.ask("GenerateContent", b"question 900")
    first, body = c.frame(), b""
    while len(body) < 10000:
        body += c.frame()[3]
    other = c.ask("GenerateContent", b"question 5002")
    more = c.frame()
    ok(first[0] == h2kit.HEADERS and len(body) == 10000 and more[0] == h2kit.HEADERS and more[2] == other, "a client that opens its window for 10,000 bytes gets so many, and others are answered meanwhile", first, len(body), more)
    while len(body) < len(LARGE):
        c.send(b"".join(h2kit.frame(h2kit.WINDOW_UPDATE, 0, s, struct.pack(">I", 10000)) for s in (0, stream)))
        left = min(10000, len(LARGE) - len(body))
        while left:
            f = c.frame()
            body += f[3]
            left -= len(f[3])
    end = c.frame()
    ok(body == LARGE and end[0] == h2kit.HEADERS and end[1] & h2kit.END_STREAM, "and the rest as it goes on opening it", len(body), end)
    c = client(gate, window=(1 << 31) - 1)
    c.send(h2kit.frame(h2kit.WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))
    h = c.call("GenerateContent", b"question 902")
    ok(h["body"] == LARGE and h["trailers"] == {"grpc-status": "0"}, "a client whose windows are wide hears a large answer whole, without another word", len(h["body"]), h["trailers"], h["reset"])
    c = client(gate)
    c.ask("GenerateContent", b"question 901")
    c.send(h2kit.frame(h2kit.RST_STREAM, 0, c.stream, struct.pack(">I", 8)))
    again = c.call("GenerateContent", b"question 5001")
    ok(again["head"]["grpc-status"] == "3", "a stream that its client cancels takes no other with it", again)
    plain = client(gate, name="api.openai.com")
    plain.stream += 2
    plain.send(h2kit.frame(h2kit.HEADERS, 5, plain.stream, h2kit.fields((":method", "GET"), (":scheme", "https"), (":path", "/v1/none"), (":authority", "api.openai.com"))))
    h = plain.hear(plain.stream)[plain.stream]
    ok(h["head"][":status"] == "400" and b"no recording answers" in h["body"] and h["head"]["content-type"] == "application/json", "a request that is no call by gRPC is refused in JSON, as over HTTP/1.1", h)

REFUSED = dict(status=0, failure="reset", reset_code=7, goaway=11)
with gatekit.recorded(call(0), call(1, **REFUSED), call(1), call(2, **REFUSED), call(2), call(901, ttfb_ms=1, total_ms=3600000, failure="aborted"), call(3, **REFUSED),
                      *[call(4, h2kit.message(b"answer %d" % i)) for i in range(5)], options=("--speed=0",)) as gate:
    c = client(gate)
    send, said = c.send, []
    c.send = said.append
    streams = [c.ask("GenerateContent", b"question 4") for _ in range(5)]
    c.send = send
    c.send(b"".join(said))
    heard = c.hear(*streams)
    ok([h2kit.messages(heard[s]["body"]) for s in streams] == [["answer %d" % i] for i in range(5)], "equal calls that come in one packet are answered in the order in which they were asked", heard)
    c = client(gate)
    streams = [c.ask("GenerateContent", b"question %d" % n) for n in range(3)]
    heard = c.hear(*streams)
    over = c.frame() is None
    again = client(gate)
    both = [again.call("GenerateContent", b"question %d" % n) for n in (1, 2)]
    ok([h2kit.messages(heard[s]["body"]) for s in streams] == [["answer to 0"], [], []] and [heard[s]["reset"] for s in streams] == [None, "refused 11", "refused 11"] and over and
       [h2kit.messages(h["body"]) for h in both] == [["answer to 1"], ["answer to 2"]],
       "streams that GOAWAY had refused are refused by it, the one before them is answered, and on another connection they are too", heard, over, both)
    c = client(gate)
    refused = c.ask("GenerateContent", b"question 3", end=False)
    stays = c.ask("GenerateContent", b"question 901")
    while c.frame()[0] != h2kit.DATA:
        pass
    c.send(h2kit.frame(h2kit.DATA, h2kit.END_STREAM, refused))
    heard = c.hear(refused)[refused]
    after = c.call("GenerateContent", b"question 5003")
    ok(heard["reset"] == 7 and after["head"]["grpc-status"] == "3", "where one after it is being answered, that stream alone is refused, and the connection goes on", heard, after)

# ---- Hostile clients ----

SEED = int(os.environ.get("SEED", "7"))
HEAD = h2kit.fields((":method", "POST"), (":scheme", "https"), (":path", PATH), (":authority", HOST), ("content-type", "application/grpc"))
F = h2kit.frame
HOSTILE = {
    "garbage": lambda r: r.randbytes(3000),
    "garbage behind the preface": lambda r: h2kit.PREFACE + r.randbytes(3000),
    "garbage behind SETTINGS": lambda r: h2kit.PREFACE + F(4, 0, 0) + r.randbytes(3000),
    "a frame of 16 MB": lambda r: h2kit.PREFACE + F(4, 0, 0) + b"\xff\xff\xff\0\0\0\0\0\1" + b"a" * 100000,
    "a field section that never ends": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(1, 0, 1, HEAD) + b"".join(F(9, 0, 1, h2kit.fields(("x", "a" * 16000))) for _ in range(100)),
    "a field section that is none": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(1, 5, 1, r.randbytes(500)),
    "a thousand fields": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(1, 5, 1, HEAD + h2kit.fields(("x", "y")) * 1000),
    "streams that are opened and reset": lambda r: h2kit.PREFACE + F(4, 0, 0) + b"".join(F(1, 4, 2 * i + 1, HEAD) + F(3, 0, 2 * i + 1, b"\0\0\0\x08") for i in range(3000)),
    "a thousand streams that go on": lambda r: h2kit.PREFACE + F(4, 0, 0) + b"".join(F(1, 4, 2 * i + 1, HEAD) for i in range(1000)),
    "pings": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(6, 0, 0, b"12345678") * 20000,
    "settings": lambda r: h2kit.PREFACE + F(4, 0, 0, struct.pack(">HI", 4, 1)) * 20000,
    "data on no stream": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(0, 1, 99, b"abc"),
    "a window that is too wide": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(8, 0, 0, b"\x7f\xff\xff\xff") * 3,
    "a path that climbs": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(1, 5, 1, h2kit.fields((":method", "GET"), (":scheme", "https"), (":path", "/../../etc/passwd"), (":authority", "x/../y"))),
    "CONNECT": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(1, 5, 1, h2kit.fields((":method", "CONNECT"), (":authority", "169.254.169.254:80"))),
    "an end in the midst": lambda r: h2kit.PREFACE + F(4, 0, 0) + F(1, 4, 1, HEAD) + b"\0\1\0\0\0\0\0\0\1abc",
}
r = random.Random(SEED)
with gatekit.recorded(call(0), call(1, LARGE)) as gate:
    client(gate).call("GenerateContent", b"question 5000")
    before = memory(gate)
    context = ssl.create_default_context(cafile=gate.ca)
    context.set_alpn_protocols(["h2"])
    left = []
    for what, make in HOSTILE.items():
        bare = context.wrap_socket(gate.socket(), server_hostname=HOST)
        bare.settimeout(2)
        try:
            bare.sendall(make(r))
        except OSError:
            pass
        left.append(bare)  # open to the end
    for _ in range(20):  # answers that nobody reads
        c = client(gate, window=(1 << 31) - 1)
        c.ask("GenerateContent", b"question 1")
    honest = client(gate)
    ok(h2kit.messages(honest.call("GenerateContent", b"question 0")["body"]) == ["answer to 0"] and (gatekit.sanitized() or memory(gate) - before < 30 << 20),
       "among hostile clients an honest one is answered, and memory stays bounded (seed %d)" % SEED, memory(gate) - before)

# ---- What is relayed ----

t = Talk("tls")


def relayed(calls, session="wait"):
    gate = subprocess.Popen([os.path.join(BUILD, "vcr-record"), "-q", "--lane=gate", "--session", session, "--", sys.executable, os.path.join(gatekit.SOURCE, "tests", "gate", "h2kit.py"), HOST, str(t.port), "tls", *calls],
                            cwd=t.place.dir, env=t.place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return gate


p = relayed(["Large=1", "GenerateContent=after", "Break=now", "GenerateContent=never"])
out, err = p.communicate(timeout=60)
heard = parsed(out)
ok([h["body"] for h in heard[:3]] == [len(LARGE), ["answer to after"], ["so far"]] and heard[2]["reset"] == "end", "a large answer passes whole, and where the server ends in the midst of one so does the connection", out, err)
frames = t.lines("wait")
ok([f["frame_type"] for f in frames] == ["llm", "llm", "error"] and frames[2]["metadata"]["error_type"] in ("closed", "cut"), "which is in the recording as far as it came, and as it ended", frames[2:])

p = relayed(["GenerateContent=before", "Away=refused"], "away")
out, err = p.communicate(timeout=60)
heard, frames = parsed(out), t.lines("away")
noted = frames[1]["metadata"]["custom"]["vcr"]
ok([h["reset"] for h in heard] == [None, "refused 11"] and frames[1]["metadata"]["error_type"] == "reset" and (noted.get("reset_code"), noted.get("goaway")) == (7, 11),
   "a call that the server's GOAWAY refuses is in the recording as refused", out, frames, err)
again, events = t.run("vcr-replay", "-q", "away", calls=["GenerateContent=before", "Away=refused"])
ok(parsed(again) == heard, "and a replay refuses it by the same, so that it may be asked again", again, events)

KEY = "sk-ant-api03-Wm4vQp8xT2nJ7rKd5LzH"
STANDS = "{{vcr:secret:" + "-" * (len(KEY) - 15) + "}}"
calls = ["GenerateContent=my key is %s and that is all" % KEY, "StreamGenerateContent=%s" % KEY]
t.place.env["ANTHROPIC_API_KEY"] = KEY
out, err = t.run("vcr-record", "-q", "--lane=gate", "--session", "secret", calls=calls)
heard = parsed(out)
want = [["answer to my key is %s and that is all" % KEY], ["piece %d of %s" % (i, KEY) for i in range(3)]]
again, events = t.run("vcr-replay", "-q", "secret", calls=calls)
repeated, events = t.run("vcr-replay", "-q", "secret", calls=[c.replace(KEY, STANDS) for c in calls])
kept = open(t.place.path("secret"), "rb").read()
ok([h["body"] for h in heard] == want and [h["body"] for h in parsed(again)] == [[m.replace(KEY, STANDS) for m in w] for w in want] and parsed(repeated) == parsed(again) and KEY.encode() not in kept and base64.b64encode(KEY.encode()) not in kept,
   "messages that hold a secret are kept without it and as long as they were: a replay hears each whole, and may say what it heard", out, again, repeated, err, events)
r = subprocess.run([os.path.join(BUILD, "vcr-scrub"), "--in-place", "-p", "that is all", "secret"], cwd=t.place.dir, env=t.place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
again, events = t.run("vcr-replay", "-q", "secret", calls=calls)
ok(r.returncode == 0 and parsed(again)[0]["body"] == [want[0][0].replace(KEY, STANDS).replace("that is all", "*" * 11)], "and so are those that a rule scrubs", r.stdout, again, events)
del t.place.env["ANTHROPIC_API_KEY"]

# ---- node, whose http2 offers nothing else ----

NODE = """
const c = require('http2').connect('https://' + process.argv[1]);
const r = c.request({':method': 'POST', ':path': process.argv[2], 'content-type': 'application/grpc', te: 'trailers'});
const said = [];
c.on('error', e => console.log(e.code));
r.on('error', e => console.log(e.code));
r.on('response', h => console.log(h[':status'])).on('trailers', t => console.log('grpc-status', t['grpc-status']));
r.on('data', d => said.push(d)).on('end', () => { console.log(Buffer.concat(said).toString('latin1')); c.close(); });
r.end(Buffer.from('\\0\\0\\0\\0\\3abc', 'latin1'));
"""
TITLE = "node's http2, which offers nothing else, is recorded by the gate and hears the same in a replay"
if shutil.which("node"):
    said = []
    for words in (["vcr-record", "-q", "--lane=gate", "--session", "node"], ["vcr-replay", "-q", "node"]):
        r = subprocess.run([os.path.join(BUILD, words[0]), *words[1:], "--", "node", "-e", NODE, "%s:%d" % (HOST, t.port), h2kit.SERVICE + "StreamGenerateContent"], cwd=t.place.dir, env=t.place.env,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        said.append(r.stdout)
    frames = t.lines("node")
    ok(said[0] == said[1] and said[0].startswith("200\n") and "piece 2 of abc" in said[0] and "grpc-status 0" in said[0] and [f["metadata"]["custom"]["vcr"]["source"] for f in frames] == ["gate"], TITLE, said, frames, r)
else:
    skip(TITLE, "no node")

# ---- Savepoints ----

AGENT = """
import sys
sys.path.insert(0, sys.argv[1])
import h2kit
c = h2kit.Client(h2kit.connect(sys.argv[2], sys.argv[3], True), sys.argv[2])
def write(text):
    for i in range(30):
        with open("f%d.txt" % i, "w") as f: f.write((text + " %d\\n" % i) * 3000)
for n in range(4):
    write("before %d" % n)
    c.call("GenerateContent", b"round %d" % n)
    write("after %d" % n)
"""
r = subprocess.run([os.path.join(BUILD, "vcr-record"), "-q", "--lane=gate", "--session", "exact", "--", sys.executable, "-c", AGENT, os.path.join(gatekit.SOURCE, "tests", "gate"), HOST, str(t.port)],
                   cwd=t.place.dir, env=t.place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
bad = [r.stdout] if r.returncode else []
for n in reversed(range(4)):
    r = subprocess.run([os.path.join(BUILD, "vcr"), "rollback", "-q", "--to", "call:%d" % n, "exact"], cwd=t.place.dir, env=t.place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    bad += [r.stdout] if r.returncode else [(n, i) for i in range(30) if open(os.path.join(t.place.dir, "f%d.txt" % i)).read() != ("before %d %d\n" % (n, i)) * 3000]
ok(not bad, "what a program does upon an answer is not in the savepoint of that call, though all are made on one connection", bad)
t.server.close()
done()
