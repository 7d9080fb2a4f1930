#!/usr/bin/python3
"""What an agent asks of the world besides its model: recorded with --capture=all, and answered from the session."""
import contextlib
import http.server
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, OPENAI, clikit, done, json, ok

AGENT = """
import json, subprocess, sys, urllib.error, urllib.request
model, web, *doings = sys.argv[1:]

def fetch(url, data=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()

print(fetch(model, json.dumps({"model": "m", "messages": [{"role": "user", "content": "go"}]}).encode())[0], flush=True)
for what in doings:
    if what.startswith("/"):
        print(*fetch(web + what), flush=True)
    else:
        r = subprocess.run(what if " " in what else [what], shell=" " in what, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        print(json.dumps([r.returncode, r.stdout, r.stderr]), flush=True)
"""


class Web(http.server.ThreadingHTTPServer):
    """A model, and pages that count how often they were asked for."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]


class Page(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        body = b'{"choices": []}' if self.path == OPENAI else b"page %d of %s" % (len(self.server.asked), self.path.encode())
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json" if self.path == OPENAI else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class World(clikit.Place):
    def __init__(self):
        super().__init__()
        self.env.pop("VCR_COLLECTOR")
        self.web = Web()
        self.agent = os.path.join(self.dir, "agent.py")
        with open(self.agent, "w") as f:
            f.write(AGENT)

    def run(self, *argv, cwd=None):
        r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:]], cwd=cwd or self.dir, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        return r.stdout, r.stderr, r.returncode

    def command(self, *doings):
        return (sys.executable, self.agent, self.web.url + OPENAI, self.web.url, *doings)

    def record(self, session, *doings, options=("--capture=all",)):
        return self.run("vcr-record", "-q", "--session", session, *options, "--", *self.command(*doings))

    def replay(self, session, *doings, options=(), cwd=None):
        """(what it printed, stderr, status, what its server was asked meanwhile)"""
        before = len(self.web.asked)
        return self.run("vcr-replay", *options, "--vcr-dir", self.vcr_dir, session, "--", *self.command(*doings), cwd=cwd) + (self.web.asked[before:],)

    def lines(self, session):
        return gatekit.frames(self.path(session))


# ---- HTTP ----

world = World()
said, err, _ = world.record("http", "/one", "/missing", "/one")
kept = [l["data"] for l in world.lines("http") if l["type"] == "vcr.http"]
ok([(k["path"], k["status"], k["api"]) for k in kept] == [("/one", 200, "none"), ("/missing", 404, "none"), ("/one", 200, "none")],
   "vcr-record --capture=all records every HTTP exchange", kept, err)
again, err, status, asked = world.replay("http", "/one", "/missing", "/one")
ok(again == said and said.count("page") == 3 and not asked and status == 0, "a replay answers them from the session, in recorded order, without their server", said, again, err, asked)
other, err, status, asked = world.replay("http", "/one", "/other")
ok("200 page" in other and "\n403 " in other and not asked and "refused" in err and world.web.url[7:] in err, "what was not recorded is refused by name, and listed at the end", other, err, asked)
world.record("models", "/one", options=())
ok(not [l for l in world.lines("models") if l["type"] == "vcr.http"], "without it only models' exchanges are kept")
with open(os.path.join(world.vcr_dir, "config"), "w") as f:
    f.write("capture all\n")
world.record("configured", "/one", options=())
world.record("not", "/one", options=("--capture=models",))
count = [sum(l["type"] == "vcr.http" for l in world.lines(s)) for s in ("configured", "not")]
ok(count == [1, 0], "capture in .vcr/config says it too, and the option goes before it", count)
ok(world.record("x", options=("--capture=some",))[2] == 2, "another word is a wrong call")
os.unlink(os.path.join(world.vcr_dir, "config"))
done()
