#!/usr/bin/python3
"""A model that refuses the connection, or whose name nobody knows, and a gate between: the program hears what it hears without us, and the session holds a failed call.
What is bound to a network interface goes by that interface."""
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit  # noqa: F401
from gatekit import BUILD, clikit, done, ok
import leadkit

PYTHON, RECORD = "/usr/bin/python3", os.path.join(BUILD, "vcr-record")
HOST, NOBODY = "api.model.example", "nobody.invalid"
CLIENTS = {
    "a blocking client": "import http.client\nhttp.client.HTTPConnection(host, port).request('POST', '/v1/chat/completions', '{}')",
    "a client with a time limit": "import http.client\nhttp.client.HTTPConnection(host, port, timeout=9).request('POST', '/v1/chat/completions', '{}')",
    "an asynchronous client": "import asyncio\nasyncio.run(asyncio.wait_for(asyncio.open_connection(host, port), 9))",
    "a client of IPv6's": "import socket\nsocket.socket(socket.AF_INET6).connect(socket.getaddrinfo(host, port, socket.AF_INET6, flags=socket.AI_V4MAPPED)[0][4])",
}
AGENT = "import sys\nhost, port = sys.argv[1], int(sys.argv[2])\ntry:\n exec(sys.argv[3])\nexcept OSError as e:\n print(type(e).__name__, e.errno)\n"
TURNS = """
import asyncio, http.client, sys
async def later(host, port):
    r, w = await asyncio.wait_for(asyncio.open_connection(host, port), 20)
    w.write(b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: %s\\r\\nContent-Length: 2\\r\\n\\r\\n{}" % host.encode())
    return (await r.readline()).split()[1].decode()
def call(kind, host, port):
    if kind == "asynchronous":
        return asyncio.run(later(host, port))
    c = http.client.HTTPConnection(host, port, **({"timeout": 20} if kind == "limited" else {}))
    c.request("POST", "/v1/chat/completions", '{"model":"m","messages":[]}')
    return c.getresponse().status
for line in sys.stdin:
    kind, host, port = line.split()
    try:
        print(call(kind, host, int(port)), flush=True)
    except OSError as e:
        print(type(e).__name__, flush=True)
"""
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
for name in [n for n in place.env if n.lower().endswith("_proxy")]:
    del place.env[name]
hole = socket.socket()  # a port that nobody listens at
hole.bind(("127.0.0.1", 0))
PORT = hole.getsockname()[1]


def command(session, host, port, *words):
    return [RECORD, "-q", "--session", session, "--lane=gate", "--vcr-dir", place.vcr_dir, "--connect-to", "%s:%d:127.0.0.1:%d" % (HOST, port, port), "--", PYTHON, "-c", *words]


def run(argv, env):
    p = subprocess.run(argv, cwd=place.dir, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    return p.returncode, p.stdout


def calls(session):
    found = [l["data"] for l in gatekit.frames(place.path(session)) if l["type"] == "frame"]
    return [(f["frame_type"], f["metadata"]["custom"]["vcr"].get("host"), f["metadata"]["custom"]["vcr"].get("failure", f["metadata"]["error_message"])) for f in found if "api" in f["metadata"]["custom"].get("vcr", {})]


env = dict(place.env, VCR_MODEL_HOSTS="%s:%d,%s:%d" % (HOST, PORT, NOBODY, PORT))
for i, (title, code) in enumerate(CLIENTS.items()):
    bare = run([PYTHON, "-c", AGENT, "127.0.0.1", str(PORT), code], place.env)
    mine = run(command("r%d" % i, HOST, PORT, AGENT, HOST, str(PORT), code), env)
    ok(mine == bare == (0, "ConnectionRefusedError 111\n"), "%s that is led to a host that refuses hears a refusal, as it does without us" % title, mine, bare)
    found = calls("r%d" % i)
    ok(len(found) == 1 and found[0][0] == "error" and "%s:%d" % (HOST, PORT) in str(found[0][1]) and "refused" in str(found[0]), "and has made one failed call", found)
bare = run([PYTHON, "-c", AGENT, NOBODY, str(PORT), CLIENTS["a blocking client"]], place.env)
mine = run(command("nobody", NOBODY, PORT, AGENT, NOBODY, str(PORT), CLIENTS["a blocking client"]), env)
ok(mine == bare and bare[1].startswith("gaierror"), "a name that nobody knows is not known to a program that would be led there either", mine, bare)

# ---- It comes, and goes again ----


class Model(leadkit.Server):
    """Counts its connections."""

    def __init__(self, host):
        self.host, self.connections = host, 0
        super().__init__(v6=False)

    def talk(self, *about):
        self.connections += 1
        super().talk(*about)

    def deaf(self):
        for s in self.sockets:
            s.shutdown(socket.SHUT_RDWR)
            s.close()


def serve(listener):
    while True:
        s, _ = listener.accept()
        leadkit.read_head(s)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        s.close()


def ask(kind, model):
    p.stdin.write("%s %s %d\n" % (kind, model.host, model.port))
    p.stdin.flush()
    return p.stdout.readline().strip()


KINDS, SPARES = ("blocking", "asynchronous", "limited"), 3  # one that does not wait is answered within a tenth of a second, or by a gate that is kept waiting not in time
models = {kind: [Model("%s.n%d.model.example" % (kind, i)) for i in range(SPARES)] for kind in KINDS}
argv, hosts = [RECORD, "-q", "--session", "turns", "--lane=gate", "--vcr-dir", place.vcr_dir], []
for m in sum(models.values(), []):
    argv += ["--connect-to", "%s:%d:127.0.0.1:%d" % (m.host, m.port, m.port)]
    hosts.append("%s:%d" % (m.host, m.port))
p = subprocess.Popen(argv + ["--", PYTHON, "-c", TURNS], cwd=place.dir, env=dict(place.env, VCR_MODEL_HOSTS=",".join(hosts)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
answers, counts, gone, last = {}, {}, {}, {}
for kind in KINDS:
    answers[kind], counts[kind], gone[kind] = set(), [], []
    for m in models[kind]:
        for _ in range(2):
            before = m.connections
            answers[kind].add(ask(kind, m))
            counts[kind].append(m.connections - before)
        m.deaf()
        gone[kind], last[kind] = [ask(kind, m), ask(kind, m)], m
        if 1 in counts[kind] and gone[kind] == ["ConnectionRefusedError"] * 2:
            break
ok(all(a == {"200"} for a in answers.values()) and all(1 in c and 0 not in c for c in counts.values()), "a host sees one connection for one that a program makes, whatever is asked before", answers, counts)
ok(all(g == ["ConnectionRefusedError"] * 2 for g in gone.values()), "a host that is gone in the midst of a run is refused from the next connection on, to a program that waits and to one that does not", gone)
back = last["limited"]
again = socket.create_server(("127.0.0.1", back.port))
port = back.port
threading.Thread(target=serve, args=(again,), daemon=True).start()
for _ in range(60):  # a refusal is believed for a second
    said = ask("limited", back)
    if said == "200":
        break
    threading.Event().wait(0.1)
p.stdin.close()
p.wait()
ok(said == "200", "and one that is back is reached", said)
unmade = [c for c in calls("turns") if c[0] == "error" and c[1].split(":")[0] != back.host]  # one that is reached soon after takes its failure back
refused = {c[1].split(":")[0] for c in unmade if c[2] == "refused"}
ok({last[kind].host for kind in KINDS[:2]} <= refused, "a host that was refused so is a failed call in the session", unmade)

# ---- Bound to an interface ----

BOUND = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
s.connect(("127.0.0.1", int(sys.argv[2])))
s.sendall(b'POST /v1/chat/completions HTTP/1.1\\r\\nHost: %s:%s\\r\\nContent-Length: 28\\r\\n\\r\\n{"model":"m","messages":[] }' % (sys.argv[1].encode(), sys.argv[2].encode()))
print(s.recv(99).split()[1].decode())
"""
title = "a connection that is bound to a network interface is not led there, is recorded by the tap, and that is said"
out = run(command("bound", "127.0.0.1", port, BOUND, "127.0.0.1", str(port)), dict(place.env, VCR_MODEL_HOSTS="127.0.0.1:%d" % port))
if out[0] and not run([PYTHON, "-c", "import socket; socket.socket().setsockopt(1, 25, b'lo')"], place.env)[0] == 0:
    gatekit.skip(title, "this kernel lets root alone bind to one")
else:
    found = [l["data"] for l in gatekit.frames(place.path("bound"))]
    sources = [f["metadata"]["custom"]["vcr"]["source"] for f in found if f.get("node_name", "").startswith("llm:")]
    ok(out == (0, "200\n") and sources == ["tap"] and any("bound to a network interface: 127.0.0.1" in str(f.get("unseen")) for f in found), title, out, sources, [f.get("unseen") for f in found][-1:])
done()
