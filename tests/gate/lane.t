#!/usr/bin/python3
"""vcr-record --lane=gate: what passes is what the tap would have seen, at once, and the gate's death loses nothing that was there."""
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit  # noqa: F401
from gatekit import BUILD, clikit, done, ok
import leadkit

PYTHON, RECORD = "/usr/bin/python3", os.path.join(BUILD, "vcr-record")
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
CA, KEY = leadkit.make_ca(place.dir, "upstream-ca")
LEAF = leadkit.make_leaf(place.dir, CA, KEY)


class Upstream(leadkit.Server):
    """Echoes; a body with "stream" comes in pieces, the second when `go` is set."""

    def __init__(self, leaf=LEAF):
        self.go = threading.Event()
        super().__init__(leaf, "upstream")

    def talk(self, s, family, port):
        try:
            if s.recv(1, socket.MSG_PEEK) == b"\x16":
                s = self.tls.wrap_socket(s, server_side=True)
            head = leadkit.read_head(s)
            head, _, body = head.partition("\r\n\r\n")
            length = next((int(l.split(":")[1]) for l in head.split("\r\n") if l.lower().startswith("content-length:")), 0)
            while len(body) < length:
                body += s.recv(65536).decode("latin-1")
            if "stream" in body:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                for i in range(2):
                    if i:
                        self.go.wait(30)
                    piece = b'data: {"n":%d}\n\n' % i
                    s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                s.sendall(b"0\r\n\r\n")
            else:
                answer = json.dumps({"id": "x", "choices": [{"message": {"role": "assistant", "content": "echo"}}], "asked": len(body)}).encode()
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_7\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer))
        except OSError:
            pass
        finally:
            s.close()


def record(session, lane, *command, **more):
    options = more.pop("options", [])
    return subprocess.Popen([RECORD, "--session", session, "--lane", lane, "--vcr-dir", place.vcr_dir, *options, "--", *command], cwd=place.dir, env=dict(place.env, **more), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def calls(session):
    lines = [json.loads(l) for l in open(os.path.join(place.vcr_dir, session + ".vcr"))]
    return sorted([dict(l["data"]["metadata"]["custom"]["vcr"], error=l["data"]["metadata"]["error_type"]) for l in lines if l["type"] == "frame" and "vcr" in l["data"]["metadata"]["custom"] and "api" in l["data"]["metadata"]["custom"]["vcr"]], key=lambda v: v["seq"]), lines[-1]["data"]


def left():
    return [f for f in glob.glob(os.path.join(place.run_dir, "**"), recursive=True) if f.endswith((".key", ".pem", ".spool"))]


def helpers(name):
    """The processes of that program that work on our spools."""
    found = []
    for e in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % e, "rb").read().split(b"\0")
        except OSError:
            continue
        if words[0] == os.path.join(BUILD, name).encode() and any(w.startswith(place.run_dir.encode()) for w in words):
            found.append(int(e))
    return found


ASK = """
import json, ssl, sys, urllib.request as u
url, ca = sys.argv[1:3]
def ask(text, **more):
    q = u.Request(url, json.dumps(dict({"model": "m", "messages": [{"role": "user", "content": text}]}, **more)).encode(),
                  {"Content-Type": "application/json", "Authorization": "Bearer sk-live-0123456789abcdef0123"})
    return u.urlopen(q, timeout=20, context=ssl.create_default_context(cafile=ca) if url.startswith("https") else None)
"""
up = Upstream()
seen = {}
for lane in ("tap", "gate"):
    hosts = dict(VCR_MODEL_HOSTS="localhost:%d" % up.port)
    p = record(lane, lane, PYTHON, "-c", ASK + "print(ask('h\\u00e9llo ' * 9000).read().decode())", "https://localhost:%d/v1/chat/completions" % up.port, CA,
               options=["--cacert", CA] if lane == "gate" else [], **hosts)
    out, err = p.communicate(timeout=60)
    seen[lane] = calls(lane)[0] if p.returncode == 0 else err
    ok(p.returncode == 0 and '"echo"' in out and len(seen[lane]) == 1 and seen[lane][0]["source"] == lane, "a call is recorded once, by the %s" % lane, out, err)
same = ("api", "scheme", "method", "path", "http", "host", "status", "request", "response", "response_headers", "complete", "k0", "k1", "streamed")
different = {k: [seen[l][0].get(k) for l in seen] for k in same if seen["tap"][0].get(k) != seen["gate"][0].get(k)}
ok(not different, "both lanes recorded the same request and answer, byte for byte", different)
ok(seen["gate"][0]["program"] == seen["tap"][0]["program"], "the gate knows whose call it was", seen["gate"][0]["program"])
ok(dict(seen["tap"][0]["request_headers"]) == dict(seen["gate"][0]["request_headers"]), "and the same fields", seen["tap"][0]["request_headers"], seen["gate"][0]["request_headers"])
ok(not left(), "key, certificates and spool are gone with the session", left())

way = "api.openai.com:443:127.0.0.1:%d" % up.port
STREAM = ASK + """
r = ask("stream", stream=True)
print(r.readline().decode().strip(), flush=True)
try: print(r.read().decode().strip(), flush=True)
except Exception as e: print(type(e).__name__, flush=True)
"""
p = record("stream", "gate", PYTHON, "-c", STREAM, "https://api.openai.com/v1/chat/completions", CA, options=["--connect-to", way, "--cacert", CA])
first = p.stdout.readline().strip()
up.go.set()
out, err = p.communicate(timeout=60)
ok(first == 'data: {"n":0}' and out.strip().endswith('data: {"n":1}'), "each piece of an answer comes through before the next is there", first, out, err)
c, end = calls("stream")
ok(len(c) == 1 and c[0]["complete"] and c[0]["host"] == "api.openai.com" and len(c[0].get("chunks", [])) == 2, "and is recorded as a piece; --connect-to leads to another server", c)
ok([v["lane"] for v in end["coverage"] if v["model_calls"]] == ["gate"], "the session's end says which lane each program had", end["coverage"])

# ---- A client that leaves ----

up.go.clear()
p = record("left", "gate", PYTHON, "-c", ASK + """
r = ask("stream", stream=True)
print(r.readline().decode().strip(), flush=True)
sys.stdin.readline()
r.close()
""", "https://api.openai.com/v1/chat/completions", CA, options=["--connect-to", way, "--cacert", CA])
first, gate, collector = p.stdout.readline().strip(), helpers("vcr-gate"), helpers("vcr-collector")
os.kill(gate[0], signal.SIGSTOP)
p.stdin.write("go\n")
p.stdin.flush()
until = time.monotonic() + 0.3  # the gate hears it that much later than the collector, which waits for it
while collector[0] in helpers("vcr-collector") and time.monotonic() < until:
    time.sleep(0.01)
os.kill(gate[0], signal.SIGCONT)
out, err = p.communicate(timeout=60)
up.go.set()
c, end = calls("left")
ok(p.returncode == 0 and [(v["complete"], v["error"]) for v in c] == [(False, "aborted")], "a client that leaves in the midst of an answer, and ends, has aborted it, whoever hears of it first", first, c, err)

# ---- Death ----

up.go.clear()
p = record("death", "gate", PYTHON, "-c", STREAM + """
sys.stdin.readline()
url = sys.argv[3]
print(ask("after").status)
""", "https://api.openai.com/v1/chat/completions", CA, "http://localhost:%d/v1/chat/completions" % up.port, options=["--connect-to", way, "--cacert", CA], VCR_MODEL_HOSTS="localhost:%d" % up.port)
first = p.stdout.readline().strip()
gate = helpers("vcr-gate")
ok(first == 'data: {"n":0}' and len(gate) == 1, "the gate is a process of its own", first, gate)
os.kill(gate[0], signal.SIGKILL)
second = p.stdout.readline().strip()
until = time.monotonic() + 30  # its connections end before its last breath
while gate[0] in helpers("vcr-gate") and time.monotonic() < until:
    time.sleep(0.01)
up.go.set()
out, err = p.communicate("go\n", timeout=60)
ok(second in ("ConnectionResetError", "IncompleteRead"), "when it is killed in the midst of an answer the program sees that", second, out, err)
ok(p.returncode == 0 and out.strip() == "200", "and later calls go to the real host", out, err)
c, end = calls("death")
ok([v["source"] for v in c] == ["gate", "tap"] and not c[0]["complete"] and c[1]["complete"], "the cut call is in the recording with what had come, the later one by the tap", c)
ok(any("the gate has ended" in w for w in end["unseen"]), "and the end says that the gate had ended", end["unseen"])
up.go.clear()
p = record("collector", "gate", PYTHON, "-c", STREAM, "https://api.openai.com/v1/chat/completions", CA, options=["--connect-to", way, "--cacert", CA])
p.stdout.readline()
os.kill(helpers("vcr-collector")[0], signal.SIGKILL)
up.go.set()
out, err = p.communicate(timeout=60)
c, end = calls("collector")
ok(p.returncode == 0 and len(c) == 1 and c[0]["complete"] and c[0]["source"] == "gate", "a collector that is killed loses nothing of what passes the gate", c, out, err)
with open(os.path.join(place.vcr_dir, "config"), "w") as f:
    f.write("lane gate\nconnect-to %s\ncacert %s\n" % (way, CA))
plain = [PYTHON, "-c", ASK + "print(ask('configured').status)", "https://api.openai.com/v1/chat/completions", CA]
r = subprocess.run([RECORD, "--session", "config", "--vcr-dir", place.vcr_dir, "--", *plain], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
c, end = calls("config")
ok(r.returncode == 0 and [(v["source"], v["host"], v["status"]) for v in c] == [("gate", "api.openai.com", 200)], "lane, connect-to and cacert of .vcr/config are enough", r, c)
p = record("over", "tap", PYTHON, "-c", ASK + "print(ask('over').status)", "http://localhost:%d/v1/chat/completions" % up.port, CA, VCR_MODEL_HOSTS="localhost:%d" % up.port)
out, err = p.communicate(timeout=60)
ok(p.returncode == 0 and [v["source"] for v in calls("over")[0]] == ["tap"], "--lane goes before the configuration", out, err)
with open(os.path.join(place.vcr_dir, "config"), "w") as f:
    f.write("lane best\n")
r = subprocess.run([RECORD, "--session", "badconf", "--vcr-dir", place.vcr_dir, "--", "true"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
ok(r.returncode == 0 and os.path.exists(os.path.join(place.vcr_dir, "badconf.vcr")), "a lane that is none costs nothing but itself", r)
os.unlink(os.path.join(place.vcr_dir, "config"))
p = record("wrong", "gate", PYTHON, "-c", "print('ran')", options=["--cacert", "/nonexistent/ca.pem"])
out, err = p.communicate(timeout=60)
ok(p.returncode == 0 and "ran" in out, "a command runs whatever the gate thinks of its certificates", out, err)
for words, say in ((["--lane=best"], "--lane wants"), (["--lane=tap", "--cacert", CA], "use --lane=gate")):
    r = subprocess.run([RECORD, *words, "--", "true"], cwd=place.dir, env=place.env, stderr=subprocess.PIPE, text=True)
    ok(r.returncode == 2 and say in r.stderr, "%s is answered by one line that says what is wanted" % words[0], r)
ok(not left(), "nothing is left in the runtime directory", left())
done()
