#!/usr/bin/python3
"""vcr-replay as a program sees it: every way to it, what comes back byte for byte, how failures end, what a miss says."""
import base64
import contextlib
import gzip
import os
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import ANTHROPIC, BUILD, GEMINI, OPENAI, Gate, Recording, ask, clikit, done, dump, json, ok, post_bytes, read_all, read_answer, recorded, skip

SSE = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
ANSWER = dump({"choices": [{"message": {"role": "assistant", "content": "h\u00e9"}}]})


def run(place, *argv, **env):
    return subprocess.run(argv, cwd=place.dir, env=dict(place.env, **env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


def curl_output(gate, *words, **env):
    r = run(gate.place, "curl", "-sS", "--max-time", "20", *words, **env)
    return r.stdout, r.stderr.decode()


# ---- The ways ----

fields = {"Content-Type": "application/json", "x-request-id": "req_1", "retry-after": "7", "Content-Length": "1"}
with recorded((ask("hello"), ANSWER, dict(fields=fields))) as gate:
    status, headers, body = gate.post(ask("hello"))
    ok((status, body) == (200, ANSWER), "through CONNECT, verified by the strictest rules, comes what was recorded", status, body)
    ok(headers["x-request-id"] == "req_1" and headers["retry-after"] == "7" and headers["content-length"] == str(len(ANSWER)), "request ids and retry-after come back, the length is right", headers)
    hello, to = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls, s = gate.context.wrap_bio(hello, to, server_hostname="api.openai.com"), gate.socket()
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    s.sendall(("CONNECT api.openai.com:443 HTTP/1.1\r\nProxy-Authorization: %s\r\n\r\n" % gate.proxy_word()).encode() + to.read())
    said = b""
    while len(said) < 100:
        said += s.recv(1000)
    ok(said.split(b"\r\n\r\n", 1)[1][:1] == b"\x16", "a client that does not wait for CONNECT's answer before it begins with TLS is answered", said[:100])
    s.close()
    with gate.tls() as s:
        s.sendall(post_bytes(ask("hello")))
        ok(read_answer(s)[2] == ANSWER, "a connection that was led here is known by its server name, without a token")
    s = gate.socket()
    s.sendall(b"VCR1 %s api.openai.com:443\n" % gate.token.encode())
    s = gate.tls(raw=s)
    s.sendall(post_bytes(ask("hello")))
    ok(read_answer(s)[2] == ANSWER, "a lead line says where a connection was meant to go")
    s = gate.socket()
    s.sendall(b"VCR1 %s 10.9.8.7:11434\n" % gate.token.encode() + post_bytes(ask("hello"), host="10.9.8.7:11434"))
    ok(read_answer(s)[2] == ANSWER, "behind a lead line plain HTTP is served too")
    out, err = curl_output(gate, "-d", json.dumps(ask("hello")), "-H", "Content-Type: application/json", gate.base_url() + OPENAI)
    ok(out == ANSWER, "a base URL works without TLS", out, err)
    words = ("-d", json.dumps(ask("hello")), "-H", "Content-Type: application/json", "https://api.openai.com" + OPENAI)
    out, err = curl_output(gate, *words, **gate.env)
    ok(out == ANSWER, "curl with the printed variables works", out, err)
    out, err = curl_output(gate, "--http2", *words, **gate.env)
    ok(out == ANSWER, "a client that offers HTTP/2 is answered with HTTP/1.1", out, err)
    out, err = curl_output(gate, "-d", json.dumps(ask("hello")), "-H", "Content-Type: application/json", "http://api.openai.com" + OPENAI, **gate.env)
    ok(out == ANSWER, "a plain proxy request in absolute form works", out, err)
    program = "import json,urllib.request as u\nprint(u.urlopen(u.Request('https://api.openai.com%s', json.dumps(%r).encode(), {'Content-Type': 'application/json'})).read().decode())" % (OPENAI, ask("hello"))
    r = run(gate.place, sys.executable, "-c", program, **gate.env)
    ok(r.stdout.strip() == ANSWER, "python's urllib with the printed variables works", r.stderr)
    program = "const tls=require('tls');const s=tls.connect({port:%d,host:'127.0.0.1',servername:'api.openai.com'},()=>{s.write(Buffer.from('%s','base64'))});s.on('data',d=>{process.stdout.write(d);s.end()});s.on('error',e=>{console.error(e);process.exit(1)})"
    try:
        r = run(gate.place, "node", "-e", program % (gate.port, base64.b64encode(post_bytes(ask("hello"))).decode()), **gate.env)
        ok(r.stdout.endswith(ANSWER), "node accepts the certificate through NODE_EXTRA_CA_CERTS", r.stderr)
    except FileNotFoundError:
        skip("node accepts the certificate through NODE_EXTRA_CA_CERTS", "no node")
    try:
        s = gate.socket("::1")
        s = gate.tls(raw=s)
        s.sendall(post_bytes(ask("hello")))
        ok(read_answer(s)[2] == ANSWER, "it listens on ::1 too")
    except OSError as e:
        skip("it listens on ::1 too", e)
    heard = []
    for offer in (["h2"], ["h2", "http/1.1"], ["spdy/3"]):
        context = ssl.create_default_context(cafile=gate.ca)
        context.set_alpn_protocols(offer)
        try:
            heard.append(context.wrap_socket(gate.socket(), server_hostname="api.openai.com").selected_alpn_protocol())
        except ssl.SSLError as e:
            heard.append("NO_APPLICATION_PROTOCOL" in str(e).upper().replace(" ", "_"))
    ok(heard == ["h2", "http/1.1", True], "HTTP/2 is spoken with a client that offers nothing else, HTTP/1.1 wherever it is offered, and a client that wants neither is told so in the handshake", heard)

# ---- One connection, many requests ----

with recorded(*[(ask("q%d" % i), dump({"n": i})) for i in range(6)], (ask("long"), b"x" * 300000)) as gate:
    c = gate.connection()
    got = [gate.post(ask("q%d" % i), connection=c)[2] for i in range(3)]
    ok(got == [dump({"n": i}) for i in range(3)], "a connection is kept for the next request")
    with gate.tls() as s:
        s.sendall(post_bytes(ask("q3")) + post_bytes(ask("q4")) + post_bytes(ask("q5")))
        got = [read_answer(s)[2] for _ in range(3)]
        ok(got == [dump({"n": i}) for i in (3, 4, 5)], "requests sent ahead are answered in order", got)
    with gate.tls() as s:
        data = dump(ask("q0"))
        chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(data[i:i + 7]), data[i:i + 7]) for i in range(0, len(data), 7)) + b"0\r\nX-T: 1\r\n\r\n"
        s.sendall(("POST %s HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" % OPENAI).encode() + chunks)
        ok(read_answer(s)[2] == dump({"n": 0}), "a chunked request is put together")
    with gate.tls() as s:
        raw = post_bytes(ask("q1"), more="Expect: 100-continue\r\n")
        head, data = raw.split(b"\r\n\r\n", 1)
        s.sendall(head + b"\r\n\r\n")
        said = s.recv(100)
        s.sendall(data)
        ok(said == b"HTTP/1.1 100 Continue\r\n\r\n" and read_answer(s)[2] == dump({"n": 1}), "Expect: 100-continue is answered before the body comes", said)
    with gate.tls() as s:
        for byte in post_bytes(ask("q2")):
            s.sendall(bytes([byte]))
        ok(read_answer(s)[2] == dump({"n": 2}), "a request may come byte by byte")
    with gate.tls() as s:
        s.sendall(post_bytes(ask("long")))
        s.sendall(post_bytes(ask("q1")))
        ok(len(read_answer(s)[2]) == 300000 and read_answer(s)[2] == dump({"n": 1}), "a request that comes while an answer is under way waits its turn")
    zipped = gzip.compress(dump(ask("q5")))
    ok(gate.post(zipped, headers={"Content-Encoding": "gzip"})[2] == dump({"n": 5}), "a compressed request is the request that it holds")
    with gate.tls() as s:
        s.sendall(b"GET /v1/realtime HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n")
        ok(read_answer(s)[0] == 426, "a WebSocket is declined with 426, so that clients fall back at once")

# ---- Pieces and time ----

pieces = [b"data: {\"n\":%d}\n\n" % i for i in range(5)] + ["data: h\u00e9\n\n".encode()[:8], "data: h\u00e9\n\n".encode()[8:]]
with recorded((ask("s"), pieces, dict(fields=SSE))) as gate, gate.tls() as s:
    s.sendall(post_bytes(ask("s"), more="Connection: close\r\n"))
    got, end = read_all(s)
    want = [b"%x\r\n%s\r\n" % (len(p), p) for p in pieces]
    head, first = got[0].split(b"\r\n\r\n", 1)
    ok([first] + got[1:] == want[:-1] + [want[-1] + b"0\r\n\r\n"], "each recorded read comes back as one HTTP chunk in one TLS record, also inside a character", got)

with recorded((ask("s"), [b"data: 1\n\n", b"data: 2\n\n"], dict(fields=SSE, times=[3600 * 10**6])), options=("--speed=1",)) as gate, gate.tls() as s:
    s.sendall(post_bytes(ask("s")))
    ok(s.recv(65536).endswith(b"9\r\ndata: 1\n\n\r\n"), "at --speed=1 the first piece is there while the second is an hour away")
with recorded((ask("s"), [b"data: 1\n\n", b"data: 2\n\n"], dict(fields=SSE, times=[3600 * 10**6])), options=("--speed=1000000",)) as gate:
    ok(gate.post(ask("s"))[2] == b"data: 1\n\ndata: 2\n\n", "at --speed=1000000 an hour is 4 ms")
for speed in ((), ("--speed=0",)):
    with recorded((ask("s"), [b"data: 1\n\n", b"data: 2\n\n"], dict(fields=SSE, times=[3600 * 10**6], ttfb_ms=3600e3, total_ms=7200e3)), options=speed) as gate:
        ok(gate.post(ask("s"))[2] == b"data: 1\n\ndata: 2\n\n", "%s what took hours comes at once" % ("at --speed=0" if speed else "without --speed"))
big = [bytes([65 + i % 26]) * 60000 for i in range(200)]
with recorded((ask("big"), big, dict(fields=SSE))) as gate, gate.tls() as s:
    s.sendall(post_bytes(ask("big")))
    ok(read_answer(s)[2] == b"".join(big), "an answer of 12 MB in 200 pieces arrives whole")

# ---- Failures ----

half = ['data: {"n":1}\n\n'.encode(), "data: {\"n\":\"\u00e9".encode()[:-1]]
# How TLS and plain HTTP end. Python's ssl says SSLEOFError for a reset too.
ENDS = [("reset", "SSLEOFError", "ConnectionResetError"), ("closed", None, None), ("cut", "SSLEOFError", None), ("timeout", "SSLEOFError", "ConnectionResetError"),
        ("malformed", None, None), ("interrupted", None, None)]
with recorded(*[(ask(how), half, dict(fields=SSE, failure=how)) for how, *_ in ENDS + ENDS], *[(ask("no " + how), b"", dict(status=0, failure=how)) for how in ("reset", "closed")],
              (ask("left"), half, dict(fields=SSE, failure="aborted", total_ms=3600e3)), (ask("ragged"), half, dict(fields=SSE, failure="aborted")),
              (ask("short"), b"12345", dict(fields={"Content-Length": "10"}, failure="closed"))) as gate:
    for how, *exceptions in ENDS:
        tls = gate.context.wrap_socket(gate.socket(), server_hostname="api.openai.com", suppress_ragged_eofs=False)
        for s, words, exception in zip((tls, gate.led()), ("TLS", "plain HTTP"), exceptions):
            s.sendall(post_bytes(ask(how)))
            got, end = read_all(s)
            ok(b"".join(got).endswith(b"%x\r\n%s\r\n" % (len(half[1]), half[1])) and end == exception, "a stream over %s that ended by '%s' inside a character ends so again" % (words, how), got, end)
    for how, exception in (("reset", "ConnectionResetError"), ("closed", None)):
        s = gate.led()
        s.sendall(post_bytes(ask("no " + how)))
        ok(read_all(s) == ([], exception), "a call that got no answer but '%s' gets that" % how)
    s = gate.tls()
    s.sendall(post_bytes(ask("left")))
    first, second = s.recv(65536), s.recv(65536)
    s.settimeout(0.3)
    try:
        third = s.recv(65536)
    except TimeoutError:
        third = "open"
    s.close()
    ok(second.endswith(half[1] + b"\r\n") and third == "open", "an answer that the program turned away from stays open for as long as it did", third)
    s = gate.led()
    s.sendall(post_bytes(ask("ragged")))
    got, end = read_all(s)
    ok(end == "ConnectionResetError", "… and no longer than that, and a second", got, end)
    s = gate.tls()
    s.sendall(post_bytes(ask("short")))
    got, end = read_all(s)
    ok(b"Content-Length: 10\r\n" in got[0] and got[0].endswith(b"12345") and end is None, "a body that fell short of its length does so again", got, end)

# ---- Which answer ----

with recorded((ask("same"), b'{"n":1}'), (ask("same"), b'{"n":2}', dict(status=429, reason="Slow Down")), (ask("same"), b'{"n":3}'), options=()) as gate:
    with gate.tls() as s:
        got = []
        for _ in range(4):
            s.sendall(post_bytes(ask("same")))
            got.append(read_answer(s)[::2])
    ok(got == [(200, b'{"n":1}'), (429, b'{"n":2}'), (200, b'{"n":3}'), (200, b'{"n":1}')], "equal requests are answered in the recorded order; a server begins anew when all are given", got)
    ok(gate.post({"messages": ask("same")["messages"], "model": "m"})[2] == b'{"n":2}', "member order does not matter")
with recorded((ask("same"), b'{"n":1}'), options=("--match=exact",)) as gate:
    ok(gate.post({"messages": ask("same")["messages"], "model": "m"})[0] == 400, "… unless --match=exact")
with recorded((ask("at 2026-11-24T10:00:00Z, pid 77"), b'{"n":1}')) as gate:
    ok(gate.post(ask("at 2027-01-02T11:12:13Z, pid 1234"))[2] == b'{"n":1}', "dates and pids do not matter")
    ok(gate.post(ask("at 2027-01-02T11:12:13Z, pid 1234!"))[0] == 400, "… and nothing else")
    ok([gate.event().get("words") for _ in range(2)][0] == "normalised", "the rung that found the answer is told")
with recorded((ask("at 2026-11-24T10:00:00Z, pid 77"), b'{"n":1}'), options=("--strict=canonical",)) as gate:
    ok(gate.post(ask("at 2027-01-02T11:12:13Z, pid 1234"))[0] == 400, "… unless --match=canonical")
for more in (dict(tool_choice="none"), dict(temperature=0.5), dict(seed=7), dict(response_format={"type": "json_object"}), dict(tools=[]), dict(unknown=None)):
    with recorded((ask("same"), b'{"n":1}')) as gate:
        ok(gate.post(ask("same", **more))[0] == 400, "%s more is another request" % next(iter(more)))

# ---- As often, and what failed ----
with recorded((ask("same"), b'{"n":1}'), (ask("same"), b'{"n":2}'), options=("--repeat=last",)) as gate:
    ok([gate.post(ask("same"))[2] for _ in range(4)] == [b'{"n":1}', b'{"n":2}', b'{"n":2}', b'{"n":2}'], "--repeat=last gives the last answer ever again")
limited = (ask("same"), b'{"error":1}', dict(status=429))
with recorded(limited, (ask("same"), b'{"n":1}'), (ask("only"), b"", dict(status=0, failure="reset"))) as gate:
    ok([gate.post(ask("same"))[0] for _ in range(2)] == [429, 200], "a call that was refused is refused again, then answered")
with recorded(limited, (ask("same"), b'{"n":1}'), (ask("only"), b"", dict(status=0, failure="reset")), options=("--faults=skip",)) as gate:
    ok([gate.post(ask(t))[0] for t in ("same", "only")] == [200, 400], "--faults=skip answers at once; what only failed was not recorded then")
with recorded((ask("a"), b'{"n":1}'), (ask("b"), b'{"n":2}'), (ask("c"), b'{"n":3}')) as gate:
    gate.post(ask("b"))
last = json.loads(gate.out.splitlines()[-1])
ok(last["event"] == "ledger" and last["unused"] == [0, 2] and last["rungs"]["exact"] == 1 and "never asked for: frames 0, 2" in gate.err, "recorded calls that nobody asked for are listed at the end", last, gate.err)
for words in (("--repeat=twice",), ("--faults=some",), ("--strict=loose",)):
    r = run(clikit.Place(), os.path.join(BUILD, "vcr-replay"), *words)
    ok(r.returncode == 2 and words[0][2:8].encode() in r.stderr, "%s is a wrong call" % words, r.stderr)

# ---- In another directory ----
there = dict(cwd="/mnt/ann/proj", workspace="/mnt/ann", home="/home/ann", tmp="/tmp")
told = [b'data: {"choices":[{"index":0,"delta":{"content":"see /mnt/an"}}]}\n\n', b'data: {"choices":[{"index":0,"delta":{"content":"n/proj/a.c and /home/ann"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"/.b /mnt/ann/c /mnt/annex"}}]}\n\n', b"data: [DONE]\n\n"]
with recorded((ask("fix /mnt/ann/proj/a.c for /home/ann"), told, dict(fields=SSE)), context=there) as gate:
    here, home = gate.place.dir, gate.place.home
    with gate.tls() as s:
        s.sendall(post_bytes(ask("fix %s/a.c for %s" % (here, home)), more="Connection: close\r\n"))
        got, why = read_all(s)
    whole = b"".join(got)
    lines = [json.loads(l[6:])["choices"][0]["delta"]["content"] for l in whole.split(b"\r\n") if l.startswith(b"data: {")]
    ok(lines == ["see %s" % here, "/a.c and %s" % home, "/.b %s/c /mnt/annex" % here], "recorded elsewhere, an answer tells this run's directories, also where it came in pieces", whole, why)
    sizes = [len(l) for l in whole.split(b"\r\n") if l.startswith(b"data: ")]
    ok(len(sizes) == 4 and all(b"%x\r\n" % n in whole for n in sizes), "… and each piece is a chunk, as it was", whole)
    ok(gate.post(ask("fix /elsewhere/a.c for %s" % home))[0] == 400, "another path is another request")
then, now = ("11111111-2222-4333-8444-555555555555", "toolu_01A2b3C4d5E6f7G8h9J0"), ("99999999-8888-4777-8666-555555555555", "toolu_01ZzZzZzZzZzZzZz00")
words = dump({"text": "of %s in /mnt/ann/proj" % then[0], "args": json.dumps({"session": then[0], "call": then[1], "other": then[0][:-1] + "0"})})
with recorded(*[(ask("session %s, call %s, again %s, turn %d" % (*then, then[0], n)), words) for n in range(3)], context=there) as gate:
    answers = [gate.post(ask("session %s, call %s, again %s, turn %d" % names)) for names in ((*now, now[0], 0), (*then, then[0], 1), (*now, then[0], 2))]
    here = gate.place.dir
    expected = [json.loads(words.decode().replace("/mnt/ann/proj", here)) for _ in range(3)]
    for k in (0, 2):
        expected[k] = json.loads(json.dumps(expected[k]).replace(then[1], now[1]))
    expected[0] = json.loads(json.dumps(expected[0]).replace(then[0], now[0]))
    ok([(a[0], json.loads(a[2])) for a in answers] == [(200, e) for e in expected], "UUIDs and ids that the request has otherwise are told back; not one that stands for two now", answers, expected)
with recorded((ask("fix /mnt/ann/proj/a.c"), told, dict(fields=SSE)), context=there, options=("--strict=canonical",)) as gate:
    ok(gate.post(ask("fix /mnt/ann/proj/a.c"))[0] == 200 and gate.post(ask("fix %s/a.c" % gate.place.dir))[0] == 400, "--strict=canonical wants the same directories")

# ---- How alike ----
drift = {"model": "m", "messages": [{"role": "user", "content": "run the tests"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "sh", "arguments": "{}"}}]},
                                    {"role": "tool", "tool_call_id": "c1", "content": "3 failed, 1 passed in module one"}]}


def drifted(text, **more):
    return dict(drift, messages=drift["messages"][:2] + [dict(drift["messages"][2], content=text)], **more)


with recorded((drift, b'{"n":1}'), (drifted("all 9 passed in module two"), b'{"n":2}'), options=("--strict=structural",)) as gate:
    ok([gate.post(drifted(t))[2] for t in ("all 8 passed in module two", "2 failed, 2 passed in module one")] == [b'{"n":2}', b'{"n":1}'], "--strict=structural gives the answer to the request that is most alike")
    events = [gate.event() for _ in range(2)]
    ok([e["words"] for e in events] == ["structural"] * 2 and all(0.5 <= e["likeness"] < 1 for e in events), "the rung is told, and how alike they are", events)
with recorded((drift, b'{"n":1}'), options=("--strict=structural",)) as gate:
    ok(gate.post(drifted("compilation terminated abruptly because gcc was killed by something else entirely: cc1plus SIGKILL"))[0] == 400, "what has little in common is a miss there too")
with recorded((drift, b'{"n":1}')) as gate:
    ok(gate.post(drifted("2 failed, 2 passed in module one"))[0] == 400, "nobody gets the structural rung who did not ask for it")


def configured(text, *calls, options=()):
    """A gate with that .vcr/config."""
    place = clikit.Place()
    rec = Recording(place)
    for request, answer in calls:
        rec.call(request, answer)
    rec.write()
    with open(os.path.join(place.vcr_dir, "config"), "w") as f:
        f.write(text)
    return Gate(place, "rec", *options)


with configured("normaliser ticket TICKET-[0-9]+\nnormaliser build ^build [a-z]+$\n", (ask("close TICKET-1001 of\nbuild abc"), b'{"n":"closed TICKET-1001, not TICKET-1002"}'), (ask("TICKET-1"), b'{"n":2}')) as gate:
    ok(gate.post(ask("close TICKET-2002 of\nbuild xyz"))[2] == b'{"n":"closed TICKET-2002, not TICKET-1002"}', "a normaliser of the user's own looks past what it names, and the answer tells what is asked about now")
    ok(gate.post(ask("ticket-1"))[0] == 400, "what it does not match stays part of the request")
names = json.loads(gate.out.splitlines()[-1])["rungs"]["normalisers"].split()
ok([n.split("/")[0] for n in names[-2:]] == ["ticket", "build"] and all(len(n.split("/")[1]) == 8 for n in names[-2:]), "the user's normalisers and their versions stand in the report", names)
for text, words in (("normaliser x (a\n", ".vcr/config:1: the expression"), ("\nnormaliser x (a)\\1\n", ".vcr/config:2: the expression of the normaliser x is refused"), ("normaliser uuid a\n", ".vcr/config:1: 'uuid a'")):
    try:
        said = configured(text, (ask("a"), b"{}")) and ""
    except AssertionError as e:
        said = str(e)
    ok(words in said, "a normaliser that cannot be is named with file and line", said)
with configured("normaliser slow (a|aa|aaa)*(a*)*(a*)*b\n", (ask("a" * 3000000), b'{"n":1}')) as gate:
    ok(gate.post(ask("a" * 2999999))[0] == 400 and gate.post(ask("a" * 3000000))[2] == b'{"n":1}', "an expression made to be slow does not keep anybody waiting")
ok("the normaliser slow of .vcr/config took too long and was given up" in gate.err, "that it was given up is said", gate.err[-2000:])

stream = [b"data: " + b"x" * 500000 + b"\n\n" for _ in range(40)]
with recorded((ask("same"), stream, dict(fields=SSE)), (ask("same"), b'{"n":2}')) as gate:
    s = gate.tls()
    s.sendall(post_bytes(ask("same")))
    s.recv(65536)
    s.close()
    events = [gate.event()["event"]]
    body = gate.post(ask("same"))[2]
    ok(body == b"".join(stream), "an answer that was not read to its end is given again", len(body), events)
    ok(gate.post(ask("same"))[2] == b'{"n":2}', "… and the next one after it")
request = {"model": "m", "messages": [{"role": "user", "content": "my key is {{vcr:secret:7:OPENAI_API_KEY}}, {{vcr:secret:9:OTHER}}"}]}
with recorded((request, b'{"n":1}', dict(path=GEMINI + "?key={{vcr:secret:7:OPENAI_API_KEY}}")), env={"MY_TOKEN": "tok-abcdefghijkl-mnop"}) as gate:
    live = {"model": "m", "messages": [{"role": "user", "content": "my key is sk-live-0123456789abcdef0123, tok-abcdefghijkl-mnop"}]}
    ok(gate.post(live, path=GEMINI + "?key=whatever")[2] == b'{"n":1}', "another key at the same places is the same request")
    same = {"model": "m", "messages": [{"role": "user", "content": "my key is sk-live-0123456789abcdef0123, sk-live-0123456789abcdef0123"}]}
    ok(gate.post(same, path=GEMINI + "?key=whatever")[0] == 400, "one key where there were two is another request")
with recorded((None, b"", dict(path="/", method="HEAD", side=True, fields={"Content-Length": "77"})), (None, b"", dict(path="/v1/files/x", method="DELETE", status=204, side=True)),
              (None, b"[]", dict(path="/v1/models", method="GET", side=True)), (ask("z"), b"raw", dict(coding="snappy", fields={"Content-Encoding": "snappy"})),
              (ask("g"), b"plain", dict(coding="gzip", fields={"Content-Encoding": "gzip", "Content-Length": "3"}))) as gate:
    status, headers, body = gate.post(None, "/", "HEAD")
    ok((status, headers["content-length"], body) == (200, "77", b""), "HEAD has the recorded length and no body")
    ok(gate.post(None, "/v1/files/x", "DELETE")[::2] == (204, b"") and gate.post(None, "/v1/models", "GET")[2] == b"[]", "side calls are served too")
    status, headers, body = gate.post(ask("z"))
    ok((headers["content-encoding"], body) == ("snappy", b"raw"), "a coding that the recorder could not undo is named")
    status, headers, body = gate.post(ask("g"))
    ok((headers["content-encoding"], body, headers["content-length"]) == (None, b"plain", "5"), "one that it undid is not")

# ---- Misses ----

turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "read a/b"}]
with recorded(({"model": "m", "messages": turns}, ANSWER), (ask("other"), ANSWER), (ask("a"), ANSWER, dict(path=ANTHROPIC)), (ask("g"), ANSWER, dict(path=GEMINI)), (ask("q"), ANSWER, dict(path=OPENAI + "?v=1"))) as gate:
    changed = json.loads(json.dumps(turns))
    changed[2]["content"] = "read a/c"
    status, headers, body = gate.post({"model": "m", "messages": changed})
    e = json.loads(body)["error"]
    ok(status == 400 and headers["x-should-retry"] == "false" and e["type"] == "invalid_request_error" and e["code"] == "vcr_replay_miss", "a miss is 400 in OpenAI's envelope, not to be retried", body)
    ok(e["param"] == "/messages/2/content" and "call:0 (frame 0)" in e["message"] and '"read a/b"' in e["message"] and '"read a/c"' in e["message"], "it names the nearest recording, the field that differs, and both values", e)
    e = json.loads(gate.post(ask("b"), path=ANTHROPIC)[2])
    ok(e["type"] == "error" and e["error"]["type"] == "invalid_request_error" and "/messages/0/content" in e["error"]["message"], "… in Anthropic's envelope", e)
    e = json.loads(gate.post(ask("h"), path=GEMINI)[2])["error"]
    ok(e["code"] == 400 and e["status"] == "INVALID_ARGUMENT" and "call:3" in e["message"], "… in Gemini's envelope", e)
    e = json.loads(gate.post(ask("q"), path=OPENAI + "?v=2")[2])["error"]
    ok('"?v=1", not "?v=2"' in e["message"], "a query that differs is named", e)
    e = json.loads(gate.post(ask("x"), path="/v1/embeddings")[2])["error"]
    ok("nothing was recorded there" in e["message"], "a place where nothing was recorded is named", e)
    e = json.loads(gate.post({"model": "m", "messages": turns, "tools/x~": [1]})[2])["error"]
    ok(e["param"] == "/tools~1x~0" and "recorded nothing" in e["message"], "a field that is new is named, as RFC 6901 writes it", e)
place = gate.place
ok(gate.status == 1 and "6 missed" in gate.err, "a server that missed calls ends with status 1 and says how many", gate.status, gate.err)
own = [s for s in gatekit.sessions(place) if s != "rec.vcr"]
lines = gatekit.frames(os.path.join(place.vcr_dir, own[0])) if len(own) == 1 else [{"data": {}}]
missed = [l["data"] for l in lines if l["type"] == "frame"] if len(own) == 1 else []
ok(len(own) == 1 and lines[0]["data"]["parent_session_id"] == "rec" and len(missed) == 6 and missed[0]["node_name"] == "replay:divergence" and missed[0]["frame_type"] == "error" and
   missed[0]["output_state"]["divergence"]["pointer"] == "/messages/2/content" and missed[0]["output_state"]["divergence"]["nearest_frame"] == 0 and
   missed[0]["input_state"]["request"]["messages"][2]["content"] == "read a/c" and lines[-1]["type"] == "vcr.end", "divergences are frames of a session of the replay's own, child of the recording", own, missed[:1])
ok(not [f for _, _, files in os.walk(place.run_dir) for f in files], "key, certificates and bundles are gone with the gate", list(os.walk(place.run_dir)))

# ---- Who is answered ----

with recorded((ask("hello"), ANSWER)) as gate:
    def answer(raw, data):
        raw.sendall(data)
        return read_answer(raw)[0]
    ok(answer(gate.socket(), post_bytes(ask("hello"))) == 403, "a plain request without the token is refused")
    ok(answer(gate.socket(), post_bytes(ask("hello"), path="/vcr-00000000000000000000000000000000/api.openai.com" + OPENAI)) == 403, "… with a wrong one too")
    ok(answer(gate.socket(), post_bytes(ask("hello"), path="http://api.openai.com" + OPENAI)) == 407, "a proxy request without the token is refused")
    ok(answer(gate.socket(), b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: x\r\n\r\n") == 407, "CONNECT without the token is refused")
    ok(answer(gate.socket(), ("CONNECT www.example.com:443 HTTP/1.1\r\nProxy-Authorization: %s\r\n\r\n" % gate.proxy_word()).encode()) == 403, "CONNECT to another host goes nowhere")
    s = gate.socket()
    s.sendall(b"VCR1 00000000000000000000000000000000 api.openai.com:443\n")
    ok(read_all(s)[0] == [], "a lead line with a wrong token is not answered")
    s = gate.context.wrap_socket(gate.socket(), server_hostname="127.0.0.1")
    ok(answer(s, post_bytes(ask("hello"))) == 403, "TLS to the address alone wants the token")
    try:
        gate.tls("www.example.com")
        heard = None
    except OSError as e:
        heard = type(e).__name__
    ok(heard, "no certificate is made for another host")
    listener = socket.create_server(("127.0.0.1", 0))
    s = gate.socket()
    s.sendall(("CONNECT 127.0.0.1:%d HTTP/1.1\r\nProxy-Authorization: %s\r\n\r\n" % (listener.getsockname()[1], gate.proxy_word())).encode())
    far, _ = listener.accept()
    head = s.recv(100)
    far.sendall(b"from afar")
    s.sendall(b"from near")
    ok(head.startswith(b"HTTP/1.1 200 ") and s.recv(100) == b"from afar" and far.recv(100) == b"from near", "a tunnel to this machine itself goes through")
    far.close()
    ok(s.recv(100) == b"", "… and ends when its far side does")

# ---- A command ----

place = clikit.Place()
Recording(place).call(ask("hello"), ANSWER, fields=fields).write()
replay = os.path.join(BUILD, "vcr-replay")
program = """
import json, sys, urllib.error, urllib.request as u
for text in sys.argv[2:]:
    try:
        print(u.urlopen(u.Request('https://api.openai.com/v1/chat/completions', json.dumps({'model': 'm', 'messages': [{'role': 'user', 'content': text}]}).encode(), {'Content-Type': 'application/json'})).read().decode())
    except urllib.error.HTTPError as e:
        print(e.code)
sys.exit(int(sys.argv[1]))
"""
r = run(place, replay, "--", sys.executable, "-c", program, "0", "hello")
ok((r.returncode, r.stdout.strip()) == (0, ANSWER) and b"1 of 1 recorded model calls" in r.stderr, "a command is answered from the newest session", r)
r = run(place, replay, "rec", "--", sys.executable, "-c", program, "7", "hello")
ok(r.returncode == 7, "its exit status is the command's", r)
r = run(place, replay, "rec", "--", sys.executable, "-c", program, "0", "hello", "hello")
ok(r.returncode == 1 and r.stdout.split() [-1] == b"400" and b"asked 1 time when it was recorded, and now once more" in r.stderr, "one question more than recorded is a miss, and makes 0 a 1", r)
r = run(place, replay, "rec", "--", sys.executable, "-c", program, "9", "hello", "what")
ok(r.returncode == 9 and b"/messages/0/content" in r.stderr, "another status stays", r)
r = run(place, replay, "rec", "--", "/nonexistent/program")
ok(r.returncode == 127, "a command that is not there is 127", r)
r = run(place, replay, "-q", "rec", "--", "sh", "-c", "yes | head -n 1")
ok(r.stdout == b"y\n" and not r.stderr, "a command's pipes break as they always do: SIGPIPE is not ignored in it", r)
r = run(place, replay, "rec", "--", "sh", "-c", "kill -9 $$")
ok(r.returncode == -9, "a command that is killed is reported as killed", r)
r = run(place, replay, "nosuch", "--", "true")
ok(r.returncode == 2 and b"nosuch" in r.stderr, "a session that is not there is a wrong call", r)
r = run(place, replay, "--", sys.executable, "-c", program, "0", "hello")
ok((r.returncode, r.stdout.strip()) == (0, ANSWER), "the newest session being what a replay wrote of its divergences, the recording is served that it replayed", r)
for words, say in ((("--speed=x",), b"--speed wants"), (("--strict=best",), b"--strict wants"), (("rec", "true"), b"stands behind --"), (("rec", "--"), b"which command")):
    r = run(place, replay, *words)
    ok(r.returncode == 2 and say in r.stderr, "%s is answered by one line that says what is wanted" % " ".join(words), r)
with open(place.path("future"), "w") as f:
    frame = clikit.frame(1, "llm", "llm:m", custom={"vcr": {"format": 99, "method": "POST", "path": "/"}})
    f.write(json.dumps(clikit.header("future")) + "\n" + json.dumps(frame) + "\n")
r = run(place, replay, "future", "--", "true")
ok(r.returncode not in (0, 2) and b"newer" in r.stderr, "a recording of a newer version is refused by name", r)
apart = clikit.Place()
os.makedirs(os.path.join(apart.dir, "bare"))
os.rename(place.path("rec"), os.path.join(apart.dir, "bare", "rec.vcr"))
r = run(apart, replay, os.path.join(apart.dir, "bare", "rec.vcr"), "--", sys.executable, "-c", program, "0", "hello")
ok((r.returncode, r.stdout.strip()) == (0, ANSWER), "the session file alone, in another directory with an empty HOME, is enough", r)
if run(apart, "unshare", "-rn", "true").returncode:
    skip("without the loopback interface it says what to do", "no user namespaces")
    skip("in a namespace without a network a recording replays", "no user namespaces")
else:
    path = os.path.join(apart.dir, "bare", "rec.vcr")
    r = run(apart, "unshare", "-rn", replay, path, "--", "true")
    ok(r.returncode == 125 and b"ip link set lo up" in r.stderr, "without the loopback interface it says what to do", r)
    r = run(apart, "unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", replay, path, "--", sys.executable, "-c", program, "0", "hello")
    ok((r.returncode, r.stdout.strip()) == (0, ANSWER), "in a namespace without a network a recording replays", r)
done()
