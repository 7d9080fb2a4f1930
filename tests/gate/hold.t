#!/usr/bin/python3
"""In the gate the answer waits for the savepoint of its call: what the program does upon the answer is never in it. Nobody waits for a collector that is dead."""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import gatekit
import modelserver
from gatekit import BUILD, clikit, done, ok

FILES, ROUNDS = 30 if gatekit.sanitized() else 120, 4  # an answer is held for two seconds at most, and sanitizers take their time
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
place.env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
work = os.path.join(place.dir, "work")
os.makedirs(work)
subprocess.run(["git", "init", "-q"], cwd=work, env=place.env, check=True)
server = modelserver.ModelServer(tempfile.mkdtemp(dir=place.dir))
place.env.update(SSL_CERT_FILE=server.ca, VCR_MODEL_HOSTS="localhost:%d" % server.tls_port)

AGENT = """
import json, os, signal, sys, time, urllib.request as u
url, files, rounds, stop, again, tell = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "stop" in sys.argv, "again" in sys.argv, "tell" in sys.argv
def write(text):
    for i in range(files):
        with open("f%d.txt" % i, "w") as f: f.write((text + " %d\\n" % i) * 3000)
def ask(n):
    q = u.Request(url, json.dumps({"model": "m", "messages": [{"role": "user", "content": "round %d [[q=%d]]" % (n, n)}]}).encode(), {"Content-Type": "application/json"})
    begin = time.monotonic()
    u.urlopen(q).read()
    return time.monotonic() - begin
for n in range(rounds):
    if stop and n == 1:
        print("stop me", flush=True)
        sys.stdin.readline()
    write("before %d" % n)
    took = ask(n)
    if again:
        if tell: print("again", flush=True); sys.stdin.readline()
        ask(n)
    write("after %d" % n)
    if tell: print("written", flush=True); sys.stdin.readline()
    if stop: print(took, flush=True)
"""


def record(session, *argv):
    return subprocess.Popen([os.path.join(BUILD, "vcr-record"), "-q", "--session", session, "--lane=gate", "--", "/usr/bin/python3", "-c", AGENT,
                             server.https + "/v1/chat/completions", *argv], cwd=work, env=place.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wrong(text):
    """Files that are not as the program had them."""
    return [i for i in range(FILES) if open(os.path.join(work, "f%d.txt" % i)).read() != (text + " %d\n" % i) * 3000]


p = record("exact", str(FILES), str(ROUNDS))
out, err = p.communicate(timeout=120)
ok(p.returncode == 0 and len(server.calls()) == ROUNDS, "a program that rewrites all its files upon each answer runs", out, err)
lines = [json.loads(l) for l in open(os.path.join(work, ".vcr", "exact.vcr"))]
end = lines[-1]["data"]
ok(end["savepoints"]["taken"] >= ROUNDS and not end["savepoints"]["unstable"], "each call has its savepoint, and no file changed while it was taken", end["savepoints"])
for n in reversed(range(ROUNDS)):
    r = subprocess.run([os.path.join(BUILD, "vcr"), "rollback", "-q", "--to", "call:%d" % n, "exact"], cwd=work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    bad = wrong("before %d" % n) if not r.returncode else r.stdout
    ok(r.returncode == 0 and not bad, "rolled back to call %d the files are as they were when it was asked" % n, r.stdout, bad)


def collector():
    for e in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % e, "rb").read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/vcr-collector") and any(w.startswith(place.run_dir.encode()) for w in words):
            return int(e)


# ---- A call that follows no change is not held: its savepoint is the one before, whatever is done upon its answer ----

p = record("again", "4", str(ROUNDS), "again", "tell")
stopped, bad = [], []
for n in range(ROUNDS):
    p.stdout.readline()
    pid, spool = collector(), glob.glob(os.path.join(place.run_dir, "**", "*.spool"), recursive=True)[0]
    stopper = subprocess.Popen([os.path.join(BUILD, "tests", "gate", "stopper"), spool, str(pid)], stdout=subprocess.PIPE, text=True)
    stopper.stdout.readline()
    p.stdin.write("go\n")
    p.stdin.flush()
    stopped.append(stopper.communicate()[0])  # where the machine has a moment for it, the collector has looked and has not read the request
    p.stdout.readline()
    os.kill(pid, signal.SIGCONT)  # now the files are those of after its answer
    p.stdin.write("go on\n")
    p.stdin.flush()
out, err = p.communicate(timeout=120)
for n in range(ROUNDS):
    r = subprocess.run([os.path.join(BUILD, "vcr"), "rollback", "-q", "--to", "call:%d" % (2 * n + 1), "again"], cwd=work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    bad += [(n, i) for i in wrong("before %d" % n) if i < 4] if not r.returncode else [r.stdout]
ok(p.returncode == 0 and not bad, "what is done upon the answer of a call that follows no change is not in its savepoint either", stopped, err, bad)

# ---- Nobody looks ----

p = record("dead", "2", "4", "stop")
first = float(p.stdout.readline())
p.stdout.readline()
pid = collector()
os.kill(pid, signal.SIGSTOP)
p.stdin.write("go\n")
p.stdin.flush()
took = [float(p.stdout.readline()) for _ in range(3)]
os.kill(pid, signal.SIGCONT)
out, err = p.communicate(timeout=60)
ok(p.returncode == 0 and 1.5 < took[0] < 10 and max(took[1:]) < 1.5, "a collector that does not look holds one answer back for two seconds, and no other", first, took, err)
place_left = glob.glob(os.path.join(place.run_dir, "**", "*.spool"), recursive=True)
ok(not place_left, "and the session ends in order", place_left, err)
server.close()
done()
