#!/usr/bin/python3
"""To the gate in the midst of a run: what no hook heard the first time is recorded as soon as the program reads its certificates again, and a program that does not,
or that believes in its own all the same, goes on as it would without us."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

TOP = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
import agentkit
import tapkit
from agentkit import BUILD, done, ok, skip

DEAF, RECORD = tapkit.program("deaf"), os.path.join(BUILD, "vcr-record")
HOST, PATH = "api.openai.com", "/v1/chat/completions"
server = agentkit.server()
PORT = str(server.tls_port)
UNHEARD = "TLS bytes seen, no TLS hook fired: deaf brings a TLS of its own, its calls to %s are not recorded" % HOST
LATER = UNHEARD + " until it reads its certificates anew; then they go through the gate"
REFUSED = "calls of deaf to %s, because it trusts its own certificates only: they go directly again" % HOST


class Work(agentkit.Place):
    def __init__(self, *more):
        super().__init__()
        os.makedirs(os.path.join(self.work, ".vcr"))
        with open(os.path.join(self.work, ".vcr", "config"), "w") as f:
            f.write("".join(line + "\n" for line in ("connect-to %s:%s:127.0.0.1:%s" % (HOST, PORT, PORT), "cacert " + server.ca, *more)))
        self.bundle = os.path.join(self.dir, "cacert.pem")
        shutil.copy(server.ca, self.bundle)

    def ask(self, *options, n=3, where=("--addr", "127.0.0.1")):
        """A question to each of n paths."""
        return [DEAF, *options, *where, HOST, PORT, PATH, self.bundle, *[PATH] * (n - 1)]

    def seen(self):
        s = self.session()
        return [(v["source"], v["host"].split(":")[0], v["status"], os.path.basename(v["program"])) for v in (s.vcr(f) for f in s.calls())], s.end["unseen"], s.end["coverage"]


def answers(r):
    return [line[:18] for line in r.stdout.decode().splitlines()[2:]]


GATED = ("gate", HOST, 200, "deaf")
for how in ("record", "preload"):
    w = Work()
    r = w.run(*w.ask("--anew"), how=how)
    calls, unseen, coverage = w.seen()
    ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 3 and calls == [GATED] * 2 and unseen == [LATER] and [c["lane"] for c in coverage if c["program"] == "deaf"] == ["gate"],
       "a program that makes a client for each call is recorded by the gate from its second on, by the address that it found by itself (%s)" % how, r, calls, unseen, coverage)

w = Work()
r = w.run(*w.ask("--anew", "--name"), how="record")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 3 and calls == [GATED] * 2, "and by its name, once it asks libc for that", r, calls, unseen)

w = Work()
r = w.run(*w.ask(), how="record")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 3 and not calls and unseen == [LATER], "a program that keeps its client goes on as it did, and the session says what is missing", r, calls, unseen)

w = Work()
r = w.run(*w.ask("--pinned", n=5), how="record")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and answers(r) == ["no trust" if i == 1 else a for i, a in enumerate(answers(r))] and r.stdout.count(b"Answer to question") == 4 and not calls and unseen == [LATER, REFUSED],
   "a program that reads certificates and believes in others loses a connection, and no more than that one", r, calls, unseen)

w = Work()
r = w.run("sh", "-c", '"$@"; "$@"; "$@"', "sh", *w.ask("--pinned", n=2), how="record")
calls, unseen, coverage = w.seen()
ok(r.stdout.count(b"no trust") == 1 and r.stdout.count(b"Answer to question") == 5, "nor does it lose another when it is started again", r, unseen)

w = Work()
r = w.run("sh", "-c", '"$@"; for i in 1 2 3 4 5 6 7 8; do "$@" & done; wait', "sh", *w.ask("--pinned", n=2), how="record")
calls, unseen, coverage = w.seen()
ok(r.stdout.count(b"no trust") == 1 and r.stdout.count(b"Answer to question") == 17, "nor where many of it begin at once", r.stdout.count(b"no trust"), r.stdout.count(b"Answer"), unseen)

w = Work()
r = w.run("sh", "-c", '"$@"; "$@"', "sh", *w.ask(n=1), how="record")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 2 and calls == [GATED], "a program that asks one question each time it is started is recorded from its second start on", r, calls, unseen)

PIPES = 'until [ "$(find "$XDG_RUNTIME_DIR" -name "*.pem")" ]; do sleep 0.02; done; for f in $(find "$XDG_RUNTIME_DIR" -name "*.pem"); do rm "$f"; mkfifo "$f"; done'
w = Work()
r = w.run("timeout", "60", "sh", "-c", '"$@"; %s; "$@"' % PIPES, "sh", *w.ask(n=1), how="record")
ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 2, "a certificate of the gate's that has become a pipe holds nobody", r)

w = Work("lane tap")
r = w.run(*w.ask("--anew"), how="preload")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 3 and not calls and unseen == [UNHEARD], "in the tap's lane there is no gate for it", r, calls, unseen)

w = Work()
r = w.run(*w.ask("--anew", "--h2", n=1), how="record")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and not calls and unseen == [LATER], "for a program that speaks HTTP/2 alone there is one as for others", r, calls, unseen)

# ---- What it must not touch ----

BOTH = """
import os, subprocess, sys, urllib.request as u, ssl
before = open(sys.argv[1]).read()
ask = lambda: u.urlopen(u.Request("https://localhost:%s%s" % (sys.argv[2], sys.argv[3]), b'{"model":"m","messages":[]}', {"Content-Type": "application/json"}), context=ssl.create_default_context(cafile=sys.argv[1])).read()
ask()
r = subprocess.run(sys.argv[4:], stdout=subprocess.PIPE)
ask()
print(r.stdout.decode(), before == open(sys.argv[1]).read())
"""
w = Work("model-host localhost")
r = w.run("/usr/bin/python3", "-c", BOTH, w.bundle, PORT, PATH, *w.ask("--anew"), how="record")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and r.stdout.endswith(b"True\n") and sorted(c[0] for c in calls) == ["gate", "gate", "tap", "tap"], "programs that are heard stay with the tap and read their files as they are", r, calls, unseen)

LIBRARY = "import ctypes, os, sys; c = ctypes.CDLL(None); f = c.open(sys.argv[1].encode(), os.O_RDONLY); open('four', 'wb').write(os.read(f, 1 << 20))"  # libffi is the caller
GRPC = 'd=site/grpc/_cython/_credentials; mkdir -p $d; cp "$0" $d/roots.pem; cat $d/roots.pem > one; cp $d/roots.pem two; /usr/bin/python3 -c "open(\'three\', \'w\').write(open(\'$0\').read())"; /usr/bin/python3 -c "$1" $d/roots.pem; cmp one "$0" && cmp two "$0" && cmp three "$0" && cmp four "$0" && echo same'
for how in ("gate", "record"):
    w = Work()
    r = w.run("sh", "-c", GRPC, w.bundle, LIBRARY, how=how, env={"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": w.bundle})
    ok(r.stdout == b"same\n", "gRPC's roots are what they are to programs and libraries that are not gRPC (%s)" % how, r)

# ---- Many hosts at one address ----

w = Work()
r = w.run("sh", "-c", '"$0" --anew --addr 127.0.0.1 %s %s %s "$1" %s; exec "$0" --anew --addr 127.0.0.1 localhost %s %s "$1" %s' % (HOST, PORT, PATH, PATH, PORT, PATH, PATH), DEAF, w.bundle, how="record")
calls, unseen, coverage = w.seen()
ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 4 and calls == [GATED], "another host at the same address is spoken to as it is, though the connection came to the gate", r, calls, unseen)

# ---- c-ares ----


def name_server():
    """Every name is 127.0.0.1, and no name has another address."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))

    def serve():
        while True:
            q, peer = s.recvfrom(4096)
            end = q.index(b"\0", 12) + 5
            a = struct.unpack(">H", q[end - 4:end - 2])[0] == 1
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if a else b""
            s.sendto(q[:2] + b"\x81\x80\0\1" + struct.pack(">H", a) + b"\0\0\0\0" + q[12:end] + answer, peer)
    threading.Thread(target=serve, daemon=True).start()
    return str(s.getsockname()[1])


title = "a program that finds its hosts by c-ares is led too"
w = Work()
r = w.run(*w.ask("--anew", where=("--ares", name_server())), how="record")
if r.returncode == 77:
    skip(title, "there is no libcares.so.2 here")
else:
    calls, unseen, coverage = w.seen()
    ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 3 and calls == [GATED] * 2 and unseen == [LATER], title, r, calls, unseen)
done()
