#!/usr/bin/python3
"""Programs that the library cannot enter, recorded and replayed: they are lent the gate as their proxy."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, clikit, done, ok, skip
import leadkit

URL, HOST = "http://api.model.example/v1/chat/completions", "api.model.example"
TITLES = ("a static program's call is in the session, with the program's name and number", "its answer is the same when it is replayed, with the server gone")
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
for name in [n for n in place.env if n.lower().endswith("_proxy")]:
    del place.env[name]
ASKER = os.path.join(place.dir, "asker")
SOURCE = os.path.join(gatekit.SOURCE, "tests", "gate", "asker.c")
if subprocess.run(["gcc", "-O", "-static", SOURCE, "-o", ASKER], stderr=subprocess.DEVNULL).returncode:
    for title in TITLES:
        skip(title, "the compiler cannot build static programs here")
    done()


class Upstream(leadkit.Server):
    """Plain HTTP, and a proxy that says what it was asked; the answer counts."""

    def __init__(self):
        self.heads, self.n = [], 0
        super().__init__(None, "upstream", v6=False)

    def talk(self, s, family, port):
        head, _, body = leadkit.read_head(s).partition("\r\n\r\n")
        length = next((int(l.split(":")[1]) for l in head.split("\r\n") if l.lower().startswith("content-length:")), 0)
        while len(body) < length:
            body += s.recv(65536).decode("latin-1")
        self.heads.append(head)
        self.n += 1
        answer = json.dumps({"id": "x", "choices": [{"message": {"role": "assistant", "content": "answer %d" % self.n}}]}).encode()
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer))
        s.close()


class Echo:
    """What a tunnel leads to: sends back what it is sent, to the end."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.got = self.listener.getsockname()[1], b""
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s, _ = self.listener.accept()
            data = b""
            while part := s.recv(9999):
                data += part
            self.got += data
            s.sendall(b"echo " + data)
            s.close()


upstream, echo = Upstream(), Echo()
WAY = ["--connect-to", "%s:80:127.0.0.1:%d" % (HOST, upstream.port), "--connect-to", "elsewhere.example:443:127.0.0.1:%d" % echo.port]


def body(text):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})


def record(session, *command, options=("--lane=auto", *WAY), env=None):
    return place.run("vcr-record", "--session", session, "--vcr-dir", place.vcr_dir, *options, "--", *command, env=env or {})


def frames(session):
    return [l["data"] for l in gatekit.frames(place.path(session)) if l["type"] == "frame"]


def calls(session):
    return [f for f in frames(session) if f["node_name"].startswith("llm:")]


SCRIPT = os.path.join(place.dir, "script")
with open(SCRIPT, "w") as f:
    f.write("#!%s POST\n" % ASKER)
os.chmod(SCRIPT, 0o755)
WAYS = {"the command itself": [ASKER, "POST", URL, body("one")], "a child of a shell": ["/bin/sh", "-c", '"$@"; exit $?', "sh", ASKER, "POST", URL, body("two")],
        "started with an empty environment": ["/usr/bin/env", "-i", ASKER, "POST", URL, body("three")]}
for i, (how, command) in enumerate(WAYS.items()):
    status, out, err = record("s%d" % i, *command)
    found = calls("s%d" % i)
    v = found[0]["metadata"]["custom"]["vcr"] if found else {}
    ok(status == 0 and "answer %d" % (i + 1) in out and len(found) == 1 and (v["program"], v["source"], v["status"], v["host"]) == ("asker", "gate", 200, HOST),
       "%s: %s" % (how, TITLES[0]), status, out, err, v)
    ran = [f for f in frames("s%d" % i) if f["node_name"] == "exec:asker"]
    ok(i == 0 or (len(ran) == 1 and ran[0]["input_state"]["pid"] == v["pid"]), "%s: the call and the program that ran are the same process" % how, ran, v)
    seen = [c for l in gatekit.frames(place.path("s%d" % i)) if l["type"] == "vcr.end" for c in l["data"]["coverage"] if c["program"] == "asker"]
    ok([(c["how"], c["lane"], c["model_calls"], c["processes"]) for c in seen] == [("static", "lent", 1, 1)] and "model calls by asker 1 (lent)" in err,
       "%s: the session's end and vcr-record say that it was static, and lent" % how, seen, err)
    served = place.run("vcr-replay", "--vcr-dir", place.vcr_dir, "s%d" % i, "--", *command)
    ok(served[:2] == (status, out) and upstream.n == i + 1, "%s: %s" % (how, TITLES[1]), served, upstream.n)

status, out, err = record("script", "/bin/sh", "-c", '"$0" "$1" | sed s/x/x/; true', SCRIPT, URL)  # #! passes one argument: POST, then the script's own name
ok(status == 0 and not [h for h in upstream.heads if "vcr-" in h or "Proxy-Auth" in h], "the run's token goes no further than the gate", upstream.heads)

# ---- The gate dies ----


def gate_of():
    """The process of the gate that works on a spool of ours."""
    for d in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % d, "rb").read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == b"vcr-gate" and any(place.run_dir.encode() in w for w in words):
            return int(d)
    return None


for name, how, before in (("twice1", "the command itself", ()), ("twice2", "a child of a shell", ("/bin/sh", "-c", '"$@"; exit $?', "sh"))):
    p = subprocess.Popen([os.path.join(BUILD, "vcr-record"), "--session", name, "--vcr-dir", place.vcr_dir, "--lane=auto", *WAY, "--", *before, ASKER, "TWICE", URL, body(name)], cwd=place.dir,
                         env=place.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = p.stdout.readline(), p.stdout.readline()
    os.kill(gate_of(), signal.SIGKILL)
    out, err = p.communicate("go\n", timeout=60)
    end = gatekit.frames(place.path(name))[-1]["data"]
    ok(p.returncode == 0 and "200" in first[0] and "200" in out and len(calls(name)) == 2 and "another has taken its place" in json.dumps(end),
       "%s: a gate that is killed is there again, for a program that knows no other way" % how, p.returncode, first, out, err, end.get("unseen"))
remains = [f for f in os.listdir(os.path.join(place.run_dir, "vcr")) if f.endswith((".spool", ".pem", ".key"))]
ok(not remains and not gate_of(), "nothing of it is left", remains)

# ---- Other hosts ----

status, out, err = record("blind", ASKER, "CONNECT", "elsewhere.example:443")
kept = open(place.path("blind")).read()
ok(status == 0 and "echo ping" in out and not calls("blind") and "elsewhere" not in kept.replace("elsewhere.example:443\"", "") and "echo ping" not in kept,
   "a tunnel to a host that is no model's passes, and nothing of it is kept", status, out, err)
status, out, err = place.run("vcr-replay", "--vcr-dir", place.vcr_dir, "s0", "--", ASKER, "CONNECT", "elsewhere.example:443")
ok(" 403 " in out and "elsewhere.example:443" in err and echo.got == b"ping\n", "in a replay it is refused, and named", status, out, err, echo.got)

# ---- WebSockets ----

status, out, err = record("socket", ASKER, "SOCKET", "http://%s/v1/responses" % HOST)
again = place.run("vcr-replay", "--vcr-dir", place.vcr_dir, "s0", "--", ASKER, "SOCKET", "http://%s/v1/responses" % HOST)
ok(" 426 " in out and " 426 " in again[1], "codex' WebSocket is answered 426, in record and in replay", out, again)

# ---- The user's own proxy ----

proxy = Upstream()
USERS = "http://me:word-0123456789@127.0.0.1:%d" % proxy.port
plain = subprocess.run([ASKER, "POST", URL, body("four")], env=dict(place.env, http_proxy=USERS), stdout=subprocess.PIPE, text=True)
status, out, err = record("proxied", ASKER, "POST", URL, body("four"), options=("--lane=auto",), env={"http_proxy": USERS})
ok(plain.returncode == status == 0 and proxy.n == 2 and proxy.heads[0].split("\r\n")[0] == proxy.heads[1].split("\r\n")[0] and all("bWU6d29yZC0wMTIzNDU2Nzg5" in h for h in proxy.heads) and
   len(calls("proxied")) == 1, "the user's own proxy is the gate's way out, with the user's own words to it", status, out, err, proxy.heads)

ODD = "/a/../b//./c?x=%2F&y=..//%20"
status, out, err = record("odd", ASKER, "POST", "http://%s%s" % (HOST, ODD), "{}")
ok(status == 0 and upstream.heads[-1].split()[1] == ODD, "a path goes out as it was asked for", status, out, err, upstream.heads[-1])

# ---- Not lent ----

status, out, err = record("tap", ASKER, "POST", URL, body("five"), options=("--lane=tap",))
ok(status == 3, "in the lane tap nothing is lent", status, out, err)
done()
