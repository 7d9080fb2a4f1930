#!/usr/bin/python3
"""A gate on need: programs that cannot be tapped get one by themselves, under vcr-record and under a bare preload, and nobody else pays for it."""
import glob
import os
import shutil
import subprocess
import sys
import time

TOP = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
import agentkit
import tapkit
from agentkit import BUILD, done, ok

BUN, PYTHON, RECORD = tapkit.program("bunlike"), "/usr/bin/python3", os.path.join(BUILD, "vcr-record")
HOST, PATH = "api.openai.com", "/v1/chat/completions"
server = agentkit.server()
WAY = "%s:443:127.0.0.1:%d" % (HOST, server.tls_port)
ASK = [HOST, "443", PATH, server.ca, PATH]
URLLIB = """
import json, sys, urllib.request as u
q = u.Request("https://%s%s", json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode(), {"Content-Type": "application/json"})
print(u.urlopen(q, timeout=30).read().decode())
""" % (HOST, PATH)


class Work(agentkit.Place):
    """A workspace with a configuration."""

    def __init__(self, *config):
        super().__init__()
        if config:
            os.makedirs(os.path.join(self.work, ".vcr"))
            with open(os.path.join(self.work, ".vcr", "config"), "w") as f:
                f.write("".join(line + "\n" for line in config))

    def left(self):
        """What the runtime directory still has, once it has become quiet or a while has passed."""
        until = time.monotonic() + 20
        while True:
            found = [f for f in glob.glob(os.path.join(self.run_dir, "vcr", "*"))]
            if not found or time.monotonic() > until:
                return found
            time.sleep(0.02)

    def seen(self):
        """(source, host, status, program) of each model call, and the words about what was not seen."""
        s = self.session()
        calls = [s.vcr(f) for f in s.calls()]
        return [(v["source"], v["host"], v["status"], os.path.basename(v["program"])) for v in calls], s.end["unseen"]


def variables(r):
    return dict(line.split(" ", 1) for line in r.stdout.decode().splitlines()[:2])


def answers(r):
    return r.stdout.decode().count("Answer to question")


CONFIG = ("connect-to " + WAY, "cacert " + server.ca)
CALLS = [("gate", HOST, 200, "bunlike")] * 2

w = Work(*CONFIG)
r = w.run(BUN, *ASK, how="record")
extra = variables(r)["NODE_EXTRA_CA_CERTS"]
calls, unseen = w.seen()
ok(r.returncode == 0 and answers(r) == 2 and calls == CALLS and not unseen, "vcr-record, told nothing, records a program that no hook can hear", r, calls, unseen)
ok(extra.startswith(w.run_dir) and "not there" not in extra, "whose certificates are there before its main looks for them", extra)
ok(not w.left(), "key, certificates and spool are gone with the session", w.left())

w = Work(*CONFIG)
r = w.run(BUN, *ASK, how="preload")
calls, unseen = w.seen()
ok(r.returncode == 0 and answers(r) == 2 and calls == CALLS and not unseen, "a bare preload does, with connect-to and cacert of .vcr/config", r, calls, unseen)
ok([v["lane"] for v in w.session().end["coverage"]] == ["gate"] and not w.left(), "and leaves a session, its lane and nothing else", w.session().end["coverage"], w.left())

for how in ("record", "preload"):
    w = Work(*CONFIG)
    r = w.run(tapkit.program("pylike"), *ASK, how=how, env={"SSL_CERT_FILE": server.ca})
    calls, unseen = w.seen()
    ok(r.returncode == 0 and answers(r) == 2 and [c[:3] for c in calls] == [c[:3] for c in CALLS] and variables(r)["SSL_CERT_FILE"].startswith(w.run_dir) and not unseen,
       "a Python that has its OpenSSL linked in is recorded from its first connection on (%s)" % how, r, calls, unseen)

w = Work()
r = w.run(BUN, how="preload")
ok(r.returncode == 0 and w.run_dir in variables(r)["NODE_EXTRA_CA_CERTS"] and not w.left() and not os.path.exists(os.path.join(w.work, ".vcr")),
   "a program that asks no model leaves no session, though it had its gate", r, w.left())
w = Work()
p = w.start("sh", "-c", '"$0"; exec sleep 100', BUN, stdout=subprocess.PIPE)
began = p.stdout.readline().startswith(b"NODE_EXTRA_CA_CERTS /")
p.kill()
p.communicate()
ok(began and not w.left(), "nor does one that is killed", began, w.left())

for how, options in (("config", ()), ("option", ("--lane=tap",))):
    w = Work("lane auto", " \tlane  tap \r") if how == "config" else Work()
    r = w.run(BUN, how="preload") if how == "config" else w.run(RECORD, "-q", *options, "--", BUN, how="tool")
    ok(r.returncode == 0 and variables(r) == {"NODE_EXTRA_CA_CERTS": "-", "SSL_CERT_FILE": "-"}, "lane tap of the %s means that there is no gate" % how, r)
users = os.path.join(server.dir, "ca.pem")
w = Work()
r = w.run("sh", "-c", 'NODE_EXTRA_CA_CERTS=$1 "$0" | { read -r name path; cat "$path"; }', BUN, users, how="preload")
ok(open(users, "rb").read().strip() in r.stdout, "the user's own NODE_EXTRA_CA_CERTS go on to be trusted", r.stderr)

w = Work("lane gate", *CONFIG)
r = w.run(PYTHON, "-c", URLLIB, how="preload")
calls, unseen = w.seen()
ok(r.returncode == 0 and answers(r) == 1 and [c[:3] for c in calls] == [CALLS[0][:3]], "lane gate of .vcr/config holds for a bare preload of any program", r, calls, unseen)
w = Work("lane gate", *CONFIG)
long = URLLIB.replace('"hello"', '"hello" * 400000')
r = w.run("sh", "-c", 'ulimit -f 2048; exec "$0" "$@"', PYTHON, "-c", long, how="preload")  # of 512 bytes; the spool will be larger
calls, unseen = w.seen()
ok(r.returncode == 0 and answers(r) == 1 and [c[:3] for c in calls] == [CALLS[0][:3]], "also where the program, and with it the gate, may not make a file as large as the request", r, calls, unseen)
w = Work("lane gate")
r = w.run(PYTHON, "-c", "print('ran')", how="preload")
ok(r.stdout == b"ran\n" and not os.path.exists(os.path.join(w.run_dir, "vcr")), "but one that connects to nothing starts nothing", r)

# ---- A gate that does not come ----

broken = Work()
place = os.path.join(broken.dir, "libexec")
os.makedirs(place)
shutil.copy(agentkit.COLLECTOR, place)
with open(os.path.join(place, "vcr-gate"), "w") as f:
    f.write("#!/bin/sh\nexec sleep 5\n")
os.chmod(os.path.join(place, "vcr-gate"), 0o755)
began = time.monotonic()
r = broken.run(BUN, "127.0.0.1", "1", PATH, server.ca, how="preload", env={"VCR_COLLECTOR": os.path.join(place, "vcr-collector")})
took = time.monotonic() - began
words = broken.session().end["unseen"]
ok(r.returncode == 0 and variables(r)["NODE_EXTRA_CA_CERTS"] == "-" and took < 5, "a gate that does not come costs a program a moment, and it runs as it would without", r, took)
ok(any("gate was not ready" in u for u in words), "and the session says so", words)
os.unlink(os.path.join(place, "vcr-gate"))
broken = Work()
r = broken.run(BUN, "127.0.0.1", "1", PATH, server.ca, how="preload", env={"VCR_COLLECTOR": os.path.join(place, "vcr-collector")})
ok(r.returncode == 0 and variables(r)["NODE_EXTRA_CA_CERTS"] == "-" and any("gate was not ready" in u for u in broken.session().end["unseen"]), "nor does one that is not installed", r)
done()
