#!/usr/bin/python3
"""The plaintext of TLS: taken once, from the right library, with its connection; and real clients byte for byte."""
import json
import os
import re
import subprocess
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import ok, skip

LIBS = os.path.join(tapkit.BUILD, "tests", "shim", ".libs")


def data(lines):
    """(direction, connection, text) of each record of bytes."""
    return [(l.split()[0], re.search(r"conn=(\d+)", l).group(1), l.split(" ", 4)[4]) for l in lines if l.split()[0] in ("OUT", "IN")]

WRITES = ["SSL_write", "SSL_write_ex", "SSL_write_ex2", "SSL_write_early_data", "SSL_sendfile"]
READS = ["SSL_read", "SSL_read_ex", "SSL_read_early_data"]


def check_all(where, argv, speakers, **options):
    """A program that speaks through every function (tlsuser.c), with the TLS in one place or another."""
    session = tapkit.Session()
    r = session.run(*argv, **options)
    lines = session.lines("--bytes")
    got = data(lines)
    servers = dict(re.search(r"conn=(\d+) kind=1 server=(\S*)", l).groups() for l in lines if l.startswith("CONN"))
    for who, server in speakers:
        mine = [(d, servers.get(c), t) for d, c, t in got if t.startswith(who + ":")]
        want = [("OUT", server, "%s:%s" % (who, n)) for n in WRITES] + [("IN", server, "%s:%s" % (who, n)) for n in READS]
        ok(r.returncode == 0 and mine == want, "%s: each SSL function of the %s is recorded once, where the loader would take it from" % (where, who), "status %d" % r.returncode, mine, r.stderr)
    conn = {t: c for d, c, t in got}
    count = Counter(t for d, c, t in got)
    ok(count["retried"] == 1, where + ": a write that had to be repeated is one write")
    ok(count["a sent file"] == 1 and conn["a sent file"] == conn["one"], where + ": what SSL_sendfile sends is read from the file")
    ok(conn["one"] != conn["after clear"] == conn["answer"] == conn["after siglongjmp"], where + ": SSL_clear begins a new connection; siglongjmp out of a read does not lose it")
    ok(conn["inside a callback"] not in (conn["one"], conn["answer"]) and count["inside a callback"] == 1, where + ": what an application's callback sends on another connection is recorded")
    ok("a server's side" not in count, where + ": the server's side of a connection is not recorded: the program is asked there, not asking")
    ok(conn["inside a callback"] == conn["on another descriptor"] == conn["with bios"] == conn["in the parent"] != conn["in a fork child"],
       where + ": a fork child that goes on with a connection has a number of its own")
    closed = Counter(re.search(r"conn=(\d+)", l).group(1) for l in lines if l.startswith("CLOSE"))
    ok(closed and all(n == 1 for n in closed.values()) and closed.keys() == set(servers), where + ": each connection is closed once", closed, servers)
    ok(any(l.startswith("CLOSE") and "conn=%s " % conn["one"] in l for l in lines) and any(l.startswith("CLOSE") and "conn=%s reason=1" % conn["answer"] in l for l in lines),
       where + ": the peer's end is told from our own")


check_all("in a library", (tapkit.program("tlsuser"), os.path.join(LIBS, "tlsmodule.so")), (("program", "first.example"), ("module", "first.example")))
check_all("in a library that a module brings with RTLD_DEEPBIND", (tapkit.program("tlsuser"), os.path.join(LIBS, "tlsmodule.so")), (("program", "first.example"), ("module", "second.example")),
          env={"DEEP": "1"})
check_all("in one that a module brings so, and looks for when it is called", (tapkit.program("tlsuser"), os.path.join(LIBS, "tlsmodule.so")), (("program", "first.example"), ("module", "second.example")),
          env={"DEEP": "lazy"})
check_all("inside a program", (tapkit.program("tlsinside"),), (("program", "inside.example"),))
check_all("inside a program that lies anywhere", (tapkit.program("tlsinside-pie"),), (("program", "inside.example"),))

WHERE = {"thread": "a thread", "signal": "a signal handler", "closefrom": "a program after closefrom(3)", "exit": "a handler of exit()",
         "constructor": "a constructor that runs before the shim's", "vfork": "a vfork child"}
for when, words in WHERE.items():
    for program, where in (("tlsuser", "in a library"), ("tlsinside", "inside a program"), ("tlsinside-pie", "inside a program that lies anywhere")):
        if when == "constructor" and program != "tlsuser":
            continue  # it is patched by the shim's
        session = tapkit.Session()
        r = session.run(tapkit.program(program), env={"WHERE": when})
        mine = [(d, t) for d, c, t in data(session.lines("--bytes"))]
        ok(r.returncode == 0 and mine == [("OUT", when + ":" + n) for n in WRITES] + [("IN", when + ":" + n) for n in READS],
           "%s: each SSL function that is called from %s is recorded once" % (where, words), "status %d" % r.returncode, mine, r.stderr)

# A function that cannot be tapped: the program runs, and the session says what was not seen.
session = tapkit.Session()
r = session.run(tapkit.program("tlsrefused"))
lost = [l for l in session.lines("--bytes") if l.startswith("LOST")]
ok(r.returncode == 0 and r.stdout == "7 8\n" and len(lost) == 1 and "TLS inside the program cannot be tapped: SSL_write begins with a loop; --lane=gate helps" in lost[0],
   "a program whose functions are not understood is left as it is, and that is said once, when it speaks TLS", r.returncode, r.stdout, lost, r.stderr)
quiet = tapkit.Session()
r = quiet.run(tapkit.program("tlsrefused"), "quiet")
ok(r.returncode == 0 and not quiet.spools(), "nothing is said, and no session made, for such a program that speaks no TLS", r.returncode, quiet.spools())

# TLS of a library that no hook knows: nothing but the bytes on a socket.
STRANGER = """import socket, ssl, sys
if "openssl" in sys.argv: ssl.create_default_context()
if "session" in sys.argv: open("f", "w").close()
l = socket.create_server(("127.0.0.1", 0))
for i in range(2): socket.create_connection(l.getsockname()).sendall(b"\\x16\\x03\\x01\\x00\\x05hello")"""
said = {}
for words in (("session",), ("session", "openssl"), ()):
    stranger = tapkit.Session(tapkit.program("standin"))
    r = stranger.run("/usr/bin/python3", "-c", STRANGER, *words)
    said[words] = (r.returncode, [l for l in stranger.lines("--bytes") if l.startswith("LOST")], len(stranger.spools()))
ok(said["session",][0] == 0 and len(said["session",][1]) == 1 and "python3 has TLS of its own that cannot be tapped" in said["session",][1][0],
   "TLS of a library without hooks is said once, with the program's name", said)
ok(said["session", "openssl"] == (0, [], 1), "it is not said of a program that uses OpenSSL", said)
ok(said[()] == (0, [], 0), "and it starts no session", said)

lonely = tapkit.Session()
module = "import ctypes, sys; [ctypes.CDLL(m).speak(b'module') for m in sys.argv[1:]]"
r = lonely.run("/usr/bin/python3", "-c", module, os.path.join(LIBS, "tlsmodule.so"))
lines = lonely.lines("--bytes")
mine = [(d, t) for d, c, t in data(lines)]
ok(r.returncode == 0 and mine == [("OUT", "module:" + n) for n in WRITES] + [("IN", "module:" + n) for n in READS] and any("server=second.example" in l for l in lines),
   "a module loaded RTLD_LOCAL speaks through the library that only it can see", "status %d" % r.returncode, mine, r.stderr)

pairs = tapkit.Session()
r = pairs.run(tapkit.program("tlsuser"), "pairs", "300")
got = data(pairs.lines("--bytes"))
asked, told = ({int(t.split()[1]): c for d, c, t in got if d == way} for way in ("OUT", "IN"))
ok(r.returncode == 0 and len(asked) == len(told) == len(set(asked.values())) == 300 and asked == told,
   "a connection whose first bytes one thread writes and another reads loses none of them", "%d questions, %d answers" % (len(asked), len(told)), r.stderr)

# Real OpenSSL under Python, real sockets.
session = tapkit.Session()
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost", "-keyout", session.dir + "/key.pem", "-out", session.dir + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)
SERVER = r'''
import http.server, json, os, ssl, sys, threading
log = []
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(0, len(body), 3000):
            part = body[i:i + 3000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part)); self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
s = Server(("127.0.0.1", 0), Echo)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
s.socket = c.wrap_socket(s.socket, server_side=True)
print(s.server_address[1], flush=True)
s.serve_forever()
'''
CLIENT = r'''
import asyncio, http.client, os, ssl, sys, threading
port, cert, how, n = int(sys.argv[1]), sys.argv[2] + "/cert.pem", sys.argv[3], int(sys.argv[4])
ctx = ssl.create_default_context(cafile=cert)
def body(i): return (b"%d.%d:" % (os.getpid(), i)) + b"text of the call " * (500 + i)
def one(i):
    c = http.client.HTTPSConnection("localhost", port, context=ctx)
    for k in range(2):
        c.request("POST", "/v1/chat/completions", body(2 * i + k))
        assert c.getresponse().read() == body(2 * i + k)
    c.close()
async def stream(i):
    r, w = await asyncio.open_connection("localhost", port, ssl=ctx)
    b = body(i)
    w.write(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b))
    while await r.read(777): pass
    w.close()
async def streams(): await asyncio.gather(*[stream(i) for i in range(n)])
if how == "asyncio": asyncio.run(streams())
else:
    if how == "processes":
        for i in range(7):
            if os.fork() == 0: break
        n = 1
    t = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for x in t: x.start()
    for x in t: x.join()
'''
server = subprocess.Popen([sys.executable, "-c", SERVER, session.dir], stdout=subprocess.PIPE, text=True)
port = server.stdout.readline().strip()


def transcript(lines):
    """Per connection: bytes out, bytes in; IN bodies unchunked by the echo's rule."""
    out = {}
    for d, c, t in data(lines):
        a = out.setdefault(c, {"OUT": "", "IN": ""})
        a[d] += t
    return out


def bodies(text, chunked):
    found = []
    for part in re.split(r"(?=POST /v1|HTTP/1\.1 200)", text):
        head, _, rest = part.partition("\\r\\n\\r\\n")
        if rest and chunked:
            rest = "".join(re.findall(r"(?:^|\\r\\n)[0-9a-f]+\\r\\n((?:(?!\\r\\n).)*)", rest))
        if rest:
            found.append(rest)
    return found


try:
    for how, n, calls, title in (("threads", 8, 16, "8 threads"), ("processes", 1, 16, "8 processes"), ("asyncio", 50, 50, "50 parallel asyncio streams over memory BIOs")):
        session.forget()
        client = os.path.join(session.work, "client.py")
        open(client, "w").write(CLIENT)
        r = session.run("/usr/bin/python3", client, port, session.dir, how, str(n))
        t = transcript(session.lines("--bytes"))
        asked = [b for c in t.values() for b in bodies(c["OUT"], False)]
        told = [b for c in t.values() for b in bodies(c["IN"], True)]
        same = all(bodies(c["OUT"], False) == bodies(c["IN"], True) for c in t.values())
        ok(r.returncode == 0 and len(asked) == calls == len(set(asked)) and sorted(asked) == sorted(told) and same and len(session.spools()) == 1,
           "%s: every request and every answer is in the spool, whole and on its own connection" % title,
           "status %d, %d connections, %d requests, %d answers, same %s" % (r.returncode, len(t), len(asked), len(told), same), r.stderr[-2000:])
finally:
    server.kill()
    server.wait()
tapkit.done()
