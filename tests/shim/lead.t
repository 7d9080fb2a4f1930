#!/usr/bin/python3
"""Connections to model hosts go to the gate, its certificate is trusted, and in a replay nothing else leaves the machine."""
import json
import os
import re
import shutil
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from leadkit import Gate, Server, make_ca, make_leaf
from tapkit import Session, ok, skip

PYTHON = "/usr/bin/python3"
keys = Session()
CA, CA_KEY = make_ca(keys.dir, "gate-ca")
LEAF = make_leaf(keys.dir, CA, CA_KEY)
OTHER, _ = make_ca(keys.dir, "another-ca")


def opened(*hosts, **options):
    session = Session()
    return session, Gate(session, LEAF, CA, *hosts, **options)


def python(session, text, *argv, **env):
    r = session.run(PYTHON, "-c", text, *argv, env=env)
    try:
        return [json.loads(line) for line in r.stdout.splitlines()], r
    except ValueError:
        return [], r


def about(lines, **want):
    return bool(lines) and all(line.get(key) == value for line in lines for key, value in want.items())


def spoken(session):
    """Connections and bytes that the spool has of itself."""
    return [line for line in session.lines("--bytes") if line.split(" ")[0] in ("CONN", "OUT", "IN")]


# ---- The gate is asked whether there is a connection to be had ----

LOOKS, CONNECTS = "import socket\nfor i in range(3): socket.getaddrinfo('api.openai.com', 443)", """
import socket
for i in range(6):
    s = socket.socket()
    s.settimeout(20 if i % 2 else None)
    s.connect(("192.0.2.1", 443))
"""
session, gate = opened("api.openai.com", "192.0.2.1")
r = session.run(PYTHON, "-c", LOOKS)
ok(gate.connects == ["api.openai.com:443"], "it is asked once for the look-ups of a name", gate.connects, r.stderr)
for gate.near, times, title in ((False, 3, "before each connect that waits, before others only while nothing is known"), (True, 6, "and before each of those too, where it says that the answer is near")):
    gate.connects.clear()
    r = session.run(PYTHON, "-c", CONNECTS)
    for _ in range(100):  # a question that is not waited for any more is read all the same
        if len(gate.connects) >= times:
            break
        threading.Event().wait(0.05)
    ok(gate.connects == ["192.0.2.1:443"] * times and not r.returncode, title, gate.connects, r.stderr)

# ---- TLS clients, with verification on ----

URLLIB = """
import sys, urllib.request
for url in sys.argv[1:]:
    print(urllib.request.urlopen(url, timeout=20).read().decode())
"""
CUSTOM = """
import http.client, ssl, sys
c = http.client.HTTPSConnection("api.openai.com", context=ssl.create_default_context(cafile=sys.argv[1]), timeout=20)
c.request("GET", "/custom"); print(c.getresponse().read().decode())
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_verify_locations(sys.argv[1])
c = http.client.HTTPSConnection("api.openai.com", 8443, context=c, timeout=20)
c.request("GET", "/custom"); print(c.getresponse().read().decode())
"""
ASYNC = """
import asyncio, json, sys
async def ask(i):
    r, w = await asyncio.open_connection("api.openai.com", 443, ssl=True)
    w.write(b"GET /async%d HTTP/1.1\\r\\n\\r\\n" % i)
    a = json.loads((await r.read()).split(b"\\r\\n\\r\\n")[1])
    a["own"] = a["line"] == "GET /async%d HTTP/1.1" % i
    print(json.dumps(a)); w.close()
async def main():
    await asyncio.gather(*(ask(i) for i in range(30)))
asyncio.run(main())
"""
session, gate = opened("api.openai.com", "*.example.net")
lines, r = python(session, URLLIB, "https://api.openai.com/one", "https://API.OpenAI.com/two")
ok(len(lines) == 2 and about(lines, server="gate", tls=True, meant="HOST api.openai.com:443"), "urllib speaks to the gate, trusts it, and the gate knows whom it meant", lines, r.stderr)
lines, r = python(session, CUSTOM, OTHER)
ok(len(lines) == 2 and [l["meant"] for l in lines] == ["HOST api.openai.com:443", "HOST api.openai.com:8443"],
   "a context with a bundle of its own, as certifi's, trusts the gate too, and the port is the one that was asked for", lines, r.stderr)
lines, r = python(session, ASYNC)
ok(len(lines) == 30 and about(lines, server="gate", tls=True, own=True, meant="HOST api.openai.com:443"), "30 asyncio connections at once, non-blocking and over memory BIOs, are led", lines[:2], r.stderr)
FAMILY = """
import json, socket, ssl, sys
for only in (0, 1):
    a = socket.getaddrinfo("api.openai.com", 443, socket.AF_INET6, socket.SOCK_STREAM)[0]
    s = socket.socket(*a[:3]); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only); s.settimeout(20); s.connect(a[4])
    s = ssl.create_default_context().wrap_socket(s, server_hostname="api.openai.com")
    s.sendall(b"GET /six HTTP/1.1\\r\\n\\r\\n"); data = b""
    while b"}" not in data: data += s.recv(9999)
    print(data.split(b"\\r\\n\\r\\n")[1].decode())
"""
lines, r = python(session, FAMILY)
ok(len(lines) == 2 and about(lines, tls=True, meant="HOST api.openai.com:443"), "a program that wants IPv6 and nothing else is led as well", lines, r.stderr)
title = "curl is led and trusts the gate"
if shutil.which("curl"):
    r = session.run("curl", "-sS", "-m", "20", "https://api.openai.com/curl", "https://api.openai.com/again")
    ok(r.stdout.count('"meant": "HOST api.openai.com:443"') == 2, title, r.stdout, r.stderr)
else:
    skip(title, "curl is not installed")
STORES = """
import ctypes, ctypes.util, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL); lib, crypto = ctypes.CDLL(None), ctypes.CDLL(sys.argv[2])
for f in (lib.TLS_client_method, lib.SSL_CTX_new, lib.SSL_CTX_new_ex, lib.SSL_CTX_get_cert_store, crypto.X509_STORE_new, crypto.X509_STORE_get0_objects): f.restype = ctypes.c_void_p
def count(store): return crypto.OPENSSL_sk_num(ctypes.c_void_p(crypto.X509_STORE_get0_objects(ctypes.c_void_p(store))))
def new(): return ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))
c = new(); a, b = crypto.X509_STORE_new(), crypto.X509_STORE_new()
out = [count(lib.SSL_CTX_get_cert_store(c)), count(lib.SSL_CTX_get_cert_store(ctypes.c_void_p(lib.SSL_CTX_new_ex(None, None, ctypes.c_void_p(lib.TLS_client_method())))))]
lib.SSL_CTX_set_cert_store(c, ctypes.c_void_p(a)); out.append(count(a))
lib.SSL_CTX_set1_cert_store(c, ctypes.c_void_p(b)); out.append(count(b))
print(out + [crypto.ERR_peek_error()])
"""
mapped = session.run(PYTHON, "-c", "import ssl; print(*sorted({l.split()[-1] for l in open('/proc/self/maps') if 'libssl' in l or 'libcrypto' in l}))").stdout.split()
libs = [next((m for m in mapped if name in m), "") for name in ("libssl", "libcrypto")]
lines, r = python(session, STORES, *libs)
ok(lines == [[1, 1, 1, 1, 0]], "each store that a context is given trusts the gate, and no error is left in OpenSSL's queue", lines, r.stderr)
KIDS = """
import os, subprocess, sys, urllib.request
def ask(how): print(urllib.request.urlopen("https://api.openai.com/" + how, timeout=20).read().decode(), flush=True)
ask("parent")
if not os.fork():
    ask("fork"); os._exit(0)
os.wait()
subprocess.run([sys.executable, "-c", sys.argv[1], "https://api.openai.com/spawned"], env={}, check=True)
"""
lines, r = python(session, KIDS, URLLIB)
ok([l["line"].split()[1] for l in lines] == ["/parent", "/fork", "/spawned"] and about(lines, tls=True, meant="HOST api.openai.com:443"), "fork children and programs with an empty environment are led", lines, r.stderr)
ok(not spoken(session), "what is led is not recorded a second time", spoken(session)[:4])
counts = gate.counts()
ok(counts["LED"] == 0, "the gate has found each connection, and no word is left over", counts)
other = Server()
lines, r = python(session, URLLIB, "http://127.0.0.1:%d/direct" % other.port)
ok(about(lines, server="server") and any("OUT" in l and "/direct" in l for l in spoken(session)), "other hosts are spoken to directly, and recorded as ever", lines, r.stderr)
title = "node is led and trusts the gate"
NODE = "require('https').get('https://api.openai.com/node', r => r.on('data', d => process.stdout.write(d))).on('error', e => { console.log(String(e)); process.exit(1) })"
if shutil.which("node"):
    session, gate = opened("api.openai.com", extra=CA)
    r = session.run("node", "-e", NODE)
    ok('"meant": "HOST api.openai.com:443"' in r.stdout, title, r.stdout, r.stderr)
    NUMBERS = "import json, socket; print(json.dumps([socket.inet_aton(socket.getaddrinfo(socket.gethostname(), 80, socket.AF_INET)[0][4][0])[1] for _ in (1,)]))"
    session, gate = opened(socket.gethostname(), flags="u")
    lines, r = python(session, NUMBERS)
    ok(lines and lines != [[77]], "where only programs without a tap are led, Python is left to the tap", lines, r.stderr)
    session, gate = opened(socket.gethostname(), flags="u")
    r = session.run("node", "-e", "require('dns').lookup(require('os').hostname(), 4, (e, a) => console.log(e ? String(e) : a))")
    ok(r.stdout.strip() and not r.stdout.startswith("127.77."), "where only programs without a tap are led, node is left to the tap", r.stdout, r.stderr)
else:
    skip(title, "node is not installed")
session, gate = opened("api.openai.com", flags="u")
r = session.run(tapkit.program("tlsrefused"), "lookup", "api.openai.com")
ok(r.stdout.startswith("127.77."), "where only programs without a tap are led, a node that cannot be tapped is led", r.stdout, r.stderr)

# ---- The user's own proxy, and base URLs ----

session, gate = opened("api.openai.com")
for proxy, how in (("http://user:word@proxy.corp.example:3128", "by name"), ("http://10.1.2.3:3128/", "by address"), ("localhost:3128", "on this machine")):
    lines, r = python(session, URLLIB, "https://api.openai.com/proxied", https_proxy=proxy)
    ok(about(lines, server="gate", tls=True, meant="PROXY", connect="api.openai.com:443"), "a program that speaks to its HTTPS_PROXY, %s, is led with its CONNECT line" % how, lines, r.stderr)
INSIDE = "import os; os.environ['HTTPS_PROXY'] = 'http://proxy.corp.example:8080'\n" + URLLIB
lines, r = python(session, INSIDE, "https://api.openai.com/proxied")
ok(about(lines, meant="PROXY"), "a proxy that the program sets itself is known too", lines, r.stderr)
UPGRADE = """
import asyncio, ssl, sys
async def main():
    r, w = await asyncio.open_connection("proxy.corp.example", 8080)
    w.write(b"CONNECT api.openai.com:443 HTTP/1.1\\r\\n\\r\\n"); await r.readuntil(b"\\r\\n\\r\\n")
    await w.start_tls(ssl.create_default_context(), server_hostname="api.openai.com")
    w.write(b"POST /upgraded HTTP/1.1\\r\\n\\r\\n"); print((await r.read()).split(b"\\r\\n\\r\\n")[1].decode())
asyncio.run(main())
"""
lines, r = python(session, UPGRADE, https_proxy="http://proxy.corp.example:8080")
ok(about(lines, meant="PROXY", tls=True), "TLS over memory inside a connection to the proxy is led", lines, r.stderr)
ok(not spoken(session), "what goes to the proxy is not recorded a second time", spoken(session)[:4])
ollama, plain6 = Server(), Server()
session, gate = opened("localhost:%d" % ollama.port, "10.9.8.7:8000", "api.openai.com")
lines, r = python(session, URLLIB, *("http://%s:%d/base" % (host, ollama.port) for host in ("localhost", "127.0.0.1", "[::1]")))
ok(len(lines) == 3 and about(lines, server="gate", tls=False) and {l["meant"] for l in lines} <= {"HOST 127.0.0.1:%d" % ollama.port, "HOST [::1]:%d" % ollama.port},
   "a plain base URL on this machine is led by its port, over each of its addresses", lines, r.stderr)
lines, r = python(session, URLLIB, "http://10.9.8.7:8000/v1")
ok(about(lines, server="gate", meant="HOST 10.9.8.7:8000"), "a base URL of an address is led", lines, r.stderr)
lines, r = python(session, URLLIB, "http://localhost:%d/other" % plain6.port)
ok(about(lines, server="server"), "other ports of this machine are not", lines, r.stderr)
lines, r = python(session, URLLIB, "https://localhost:%d/base" % ollama.port)
ok(about(lines, server="gate", tls=True), "a base URL with TLS on this machine is led", lines, r.stderr)
lines, r = python(session, ASYNC.replace('"api.openai.com", 443', '"localhost", %d' % ollama.port))
ok(len(lines) == 30 and about(lines, server="gate", tls=True, own=True), "also over memory BIOs", lines[:2], r.stderr)
ok(all("/other" in l or "kind=2" in l for l in spoken(session) if not l.startswith("IN ")), "what goes to base URLs is not recorded a second time", spoken(session)[:9])

# ---- Replay ----

WHERE = {"main": "from main", "thread": "from a thread", "signal": "from a signal handler", "vfork": "from a vfork child", "exit": "during exit",
         "constructor": "from a constructor that runs before the shim's", "closefrom": "after closefrom(3)"}
for when, title in WHERE.items():
    session, gate = opened("api.openai.com", flags="r6")
    r = session.run(tapkit.program("leads"), str(gate.port), env={"WHERE": when})
    ok(r.returncode == 0 and not r.stderr, "in a replay each hook leads what is a model's and refuses what is elsewhere, " + title, "status %d" % r.returncode, r.stderr)
    trusting, trusted = opened("api.openai.com")
    t = trusting.run(tapkit.program("tlsuser"), env={"WHERE": when, "GATE": "1"})
    ok(t.returncode == 0, "each store that a context is given trusts the gate once, when it is given " + title, "status %d" % t.returncode, t.stderr)
    if when == "main":
        said = {line.split(" ", 3)[3] for line in session.lines() if line.startswith("REFUSED")}
        wanted = {"TCP 203.0.113.1:80", "TCP [2001:db8::]:443", "DATAGRAM 203.0.113.1:80", "DATAGRAM 127.0.0.53:53", "LOOKUP unlisted.example.org"}
        ok(said >= wanted and gate.counts()["REFUSED"] >= 10, "what was refused is counted, and listed once each", said, gate.counts())
        lost = [line for line in session.lines() if line.split()[0] in ("CONN", "OUT", "IN")]
        ok(not lost, "the session has nothing else of these connections", lost)
session, gate = opened("api.openai.com", flags="r")
lines, r = python(session, URLLIB, "https://api.openai.com/replayed")
ok(about(lines, server="gate", tls=True), "in a replay the model's host is the gate", lines, r.stderr)
gate.kill()
lines, r = python(session, URLLIB, "https://api.openai.com/replayed")
ok(not lines and "refused" in r.stderr, "a replay whose gate has died refuses", lines, r.stderr)
SOCKS = "import socket\ntry: socket.create_connection(('127.0.0.1', %d))\nexcept OSError as e: print(e.errno)" % other.port
session, gate = opened("api.openai.com", flags="r")
lines, r = python(session, SOCKS, ALL_PROXY="socks5h://127.0.0.1:%d" % other.port)
ok(lines == [101], "a proxy on this machine that the gate does not speak is no way out of a replay", lines, r.stderr)

# ---- The gate dies while recording ----

real = socket.create_server(("0.0.0.0", 0))
port = real.getsockname()[1]
real.close()
DEATH = """
import json, os, socket, sys, time
name, port, timeout = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
address = socket.getaddrinfo(name, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
print(json.dumps(address[0].startswith("127.77.0.")), flush=True)
sys.stdin.readline()
for where in (address, (name, port)):
    s = socket.create_connection(where, timeout=timeout)
    s.sendall(b"POST /v1/late HTTP/1.1\\r\\n\\r\\n"); data = b""
    while b"}" not in data: data += s.recv(9999)
    print(data.split(b"\\r\\n\\r\\n")[1].decode(), flush=True)
"""


class Everywhere(Server):
    def __init__(self):
        super().__init__(None, "real", v6=False)
        s = socket.create_server(("0.0.0.0", 0))
        self.port = s.getsockname()[1]
        import threading
        threading.Thread(target=self.serve, args=(s,), daemon=True).start()


def die(session, how, name, port, timeout="20"):
    import subprocess
    p = subprocess.Popen([PYTHON, "-c", DEATH, name, str(port), timeout], cwd=session.work, env=session.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = p.stdout.readline().strip()
    how()
    out, err = p.communicate("go\n", timeout=60)
    return first, [json.loads(l) for l in out.splitlines()], err


host = socket.gethostname()
title = "when the gate has died while recording, names and addresses that were led are spoken to directly"
try:
    ip = socket.getaddrinfo(host, 80, socket.AF_INET)[0][4][0]
except OSError:
    ip = None
if ip:
    real = Everywhere()
    session, gate = opened("%s:%d" % (host, real.port))
    first, lines, err = die(session, gate.kill, host, real.port)
    ok(first == "true" and len(lines) == 2 and about(lines, server="real"), title, first, lines, err)
    said = [l for l in session.lines("--bytes") if l.startswith("LOST")]
    ok(len(said) == 1 and host in said[0] and sum("OUT" in l and "/v1/late" in l for l in spoken(session)) == 2, "that is said once, and the tap records them", session.lines("--bytes"))
    session, gate = opened("%s:%d" % (host, real.port))
    first, lines, err = die(session, gate.deaf, host, real.port, "null")
    ok(first == "true" and len(lines) == 2 and about(lines, server="real"), "so they are when it dies between the look at it and the connect", first, lines, err)
    session, gate = opened("%s:%d" % (host, real.port))
    first, lines, err = die(session, gate.deaf, host, real.port)
    ok(first == "true" and len(lines) == 2 and about(lines, server="real"), "also when the connect does not wait, and hears of its refusal later", first, lines, err)
else:
    skip(title, "this machine does not know its own name")
session, gate = opened("api.openai.com", flags="6")
gate.ask("scribble")
lines, r = python(session, URLLIB, "http://127.0.0.1:%d/direct" % other.port)
ok(about(lines, server="server") and r.returncode == 0, "a process that scribbles into the gate's tables does not harm others", lines, r.stderr)
tapkit.done()
