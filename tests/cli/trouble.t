#!/usr/bin/python3
"""Hosts in trouble: whatever is broken around the recorder, the agent says, does and returns what it does without us, and what is lost is said."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok, skip

AGENT = r'''
import http.client, json, os, signal, subprocess, sys, urllib.parse
words = sys.argv[1:]
def number(name, default): return next((int(w.split("=")[1]) for w in words if w.startswith(name + "=")), default)
if "storm" in words:
    hits = [0]
    def hit(*_): hits[0] += 1
    signal.signal(signal.SIGALRM, hit)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
url = urllib.parse.urlparse(os.environ["MODEL_HTTP"])
for q in range(number("calls", 4)):
    conn = http.client.HTTPConnection(url.hostname, url.port)
    body = json.dumps({"model": "gpt-4o-mini", "stream": q % 2 == 1, "messages": [{"role": "user", "content": "?[[q=%d size=%d]]" % (q, number("size", 0))}]})
    conn.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    answer = conn.getresponse().read()
    conn.close()
    print("answer", q, len(answer))
    with open("work-%d.txt" % q, "w") as f: f.write("text %d\n" % q * 10)
    os.rename("work-%d.txt" % q, "done-%d.txt" % q)
    r = subprocess.run(["/bin/cat", "done-%d.txt" % q], stdout=subprocess.PIPE)
    print("child", r.returncode, len(r.stdout))
if "storm" in words:
    signal.setitimer(signal.ITIMER_REAL, 0, 0)
    print("stormed" if hits[0] > 20 else "calm")
print(sorted(f for f in os.listdir(".") if not f.startswith(".")))
sys.stderr.write("last words\n")
sys.exit(7)
'''
PYTHON = "/usr/bin/python3"
HOST = os.path.join(agentkit.BUILD, "tests", "shim", "host")
RECORD = os.path.join(agentkit.BUILD, "vcr-record")
server = agentkit.server()
namespaces = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0


class Result:
    def __init__(self, place, r):
        self.place, self.said, self.err, self.status = place, r.stdout.decode(), r.stderr.decode(), r.returncode
        self.words = "\n".join(l for l in self.err.splitlines() if l.startswith("vcr"))
        self.own_err = "\n".join(l for l in self.err.splitlines() if not l.startswith("vcr"))
        self.same = (self.said, self.own_err, self.status)


def run(how, command, before="", env=None, drop=()):
    """The command under sh, after what `before` does to its surroundings; there "$@" is the command as it is to be run."""
    place = agentkit.Place(server)
    base = {k: v for k, v in dict(place.plain if how == "plain" else place.record, **(env or {})).items() if k not in drop}
    words = {"plain": [], "record": [RECORD, "--"], "preload": ["env", "LD_PRELOAD=" + agentkit.SHIM]}[how] + command
    line = ["/bin/sh", "-c", (before + "\n" if before else "") + '"$@"', "sh"] + words
    mounts = ["unshare", "-m"] if "mount" in before else []
    r = subprocess.run(mounts + line, cwd=place.work, env=base, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240)
    return Result(place, r)


def agent(*words):
    return [PYTHON, "-c", AGENT, *words]


def unharmed(title, command, **around):
    """Run the command without us, under LD_PRELOAD and under vcr-record in the same surroundings; say whether it was the same thrice."""
    if "mount" in around.get("before", "") and not namespaces:
        skip(title + ": the agent is unharmed", "mount namespaces need privileges here")
        return None, None
    plain, preload, record = (run(how, command, **around) for how in ("plain", "preload", "record"))
    ok(plain.same == preload.same == record.same and plain.said, "%s: the agent says, does and returns what it does without us" % title,
       "without:", *plain.same, "LD_PRELOAD:", *preload.same, preload.words, "vcr-record:", *record.same, record.words)
    return preload, record


def sessions(result):
    return result.place.sessions() if result else []


MOUNT = "mkdir -p .vcr && mount -t tmpfs -o size=%s none .vcr && "
KEEP = "trap 'cp -r .vcr ../kept' EXIT\n"

title = "a full disk"
preload, record = unharmed(title, agent("calls=12", "size=20000"), before=MOUNT % "48k" + "true\n" + KEEP)
if record:
    ok("LOST" in record.words and "No space left" in record.words, "%s: vcr-record says what was lost and why" % title, record.words)
    kept = [agentkit.Session(os.path.join(d, f)) for r in (preload, record) for d in [os.path.join(r.place.dir, "kept")] if os.path.isdir(d)
            for f in os.listdir(d) if f.endswith(".vcr")]
    ok(len(kept) == 2 and all(s.calls() and not s.broken for s in kept), "%s: what was written before it was full opens" % title, [s.complaints for s in kept])

title = "a read-only .vcr"
preload, record = unharmed(title, agent(), before="mkdir -p .vcr && mount --bind .vcr .vcr && mount -o remount,bind,ro .vcr\n")
if record:
    ok("Read-only" in record.words, "%s: vcr-record says so" % title, record.words)

title = "no memory file system"
preload, record = unharmed(title, agent(), before="mount -t tmpfs -o ro none /dev/shm && mount -t tmpfs -o ro none /run\n", drop=("XDG_RUNTIME_DIR",))
if record:
    ok(record.words, "%s: vcr-record says that nothing is recorded" % title, record.words)

title = "a missing collector"
preload, record = unharmed(title, agent(), env={"VCR_COLLECTOR": "/nonexistent/vcr-collector"})
ok("/nonexistent/vcr-collector" in record.words, "%s: vcr-record names it" % title, record.words)

for title, env in (("an unwritable HOME", {"HOME": "/proc/nowhere", "XDG_STATE_HOME": "/proc/nowhere/state"}), ("no HOME at all", {"HOME": "", "XDG_STATE_HOME": ""})):
    preload, record = unharmed(title, agent(), env=env)
    got = [len(s.calls()) for r in (preload, record) for s in sessions(r)]
    ok(got == [4, 4] and "LOST" not in record.words, "%s: the recording is whole all the same" % title, got, record.words)

for title, limits in (("RLIMIT_FSIZE of 4 KB", "ulimit -f 4"), ("RLIMIT_NOFILE of 12", "ulimit -n 12"), ("both limits low", "ulimit -f 4; ulimit -n 12")):
    preload, record = unharmed(title, agent(), before=limits + "\n")
    got = [len(s.calls()) for r in (preload, record) for s in sessions(r)]
    ok(got == [4, 4] or "LOST" in record.words or "NOT RECORDED" in record.words, "%s: all is recorded, or vcr-record says what is lost" % title, got, record.words)

preload, record = unharmed("a host that locks itself into a seccomp filter", [HOST, "sandbox"])

title = "a child in namespaces of its own"
inside = ["unshare", "-mpf", "--mount-proc", PYTHON, "-c", AGENT]
if namespaces:
    preload, record = unharmed(title, inside)
    got = [len(s.calls()) for r in (preload, record) for s in sessions(r)]
    ok(got == [4, 4] and all(s.end for r in (preload, record) for s in sessions(r)), "%s: its calls are recorded and the session ends" % title, got, record.words)
    title = "a child whose /dev/shm and /run are hidden"
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/shm && mount -t tmpfs none /run && exec "$0" "$@"', PYTHON, "-c", AGENT]
    preload, record = unharmed(title, hidden)
    for spool in preload.place.spools():  # whoever would take it sees another /dev/shm
        os.unlink(spool)
else:
    skip(title, "namespaces need privileges here")

title = "a storm of SIGALRM"
preload, record = unharmed(title, agent("storm", "calls=8"))
got = [len(s.calls()) for r in (preload, record) for s in sessions(r)]
ok(got == [8, 8] and "stormed" in record.said, "%s: every call is recorded" % title, got, record.said)

title = "a collector that starts when the program does not wait for it any more"
place = agentkit.Place()
go, slow = os.path.join(place.dir, "go"), os.path.join(place.dir, "vcr-collector")
with open(slow, "w") as f:
    f.write('#!/bin/sh\nuntil [ -e %s ]; do sleep 0.02; done\nexec %s "$@"\n' % (go, agentkit.COLLECTOR))
os.chmod(slow, 0o755)
with open(os.path.join(place.work, "gone"), "w") as f:
    f.write("was there\n")
place.run("/bin/sh", "-c", "echo one > first; echo two >> first; mkdir d; mv first d/second; rm gone; : > %s; until ls .vcr/*.vcr; do sleep 0.02; done; echo last > third" % go, env={"VCR_COLLECTOR": slow})
found = {f["input_state"]["path"]: (f["node_name"], f["metadata"]["custom"]["vcr"]["source"]) for s in place.sessions() for f in s.work() if f["node_name"].startswith("file:")}
ok(found.get("d/second", [])[1:] == ("shim",) and found.get("gone") == ("file:delete", "shim") and "third" in found, title + ": what was written, renamed and removed before it looked is recorded", found)

title = "2,000 short children"
preload, record = unharmed(title, ["/bin/sh", "-c", ": > begun; i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done; echo $i"])
for how, r in (("LD_PRELOAD", preload), ("vcr-record", record)):
    found = sessions(r)
    ends = [f["output_state"] for s in found for f in s.work() if f["node_name"] == "exec:true"]
    lost = sum(sum(s.end["losses"].values()) for s in found if s.end)
    ok(ends.count({"exit_code": 0}) + lost >= 2000 and len(found) == 1, "%s: each is recorded with its end under %s, or counted as lost" % (title, how), len(ends), lost, r.words)
agentkit.done()
