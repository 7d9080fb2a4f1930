#!/usr/bin/python3
"""kill -9 at 200 random moments: of the agent, of the collector, of both. What was complete is there, what was cut is marked, the file opens."""
import concurrent.futures
import glob
import hashlib
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok

TRIALS = int(os.environ.get("KILLS", "200"))
SEED = int(os.environ.get("KILL_SEED", "7"))
WHO = ("agent", "collector", "both")
CALLER = os.path.join(agentkit.HERE, "caller.py")
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def collectors(run_dir):
    """The pids of the collectors that serve a spool of this directory; theirs are the only processes that name it."""
    out = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if b"--spool" in words and any(w.startswith(run_dir.encode()) for w in words):
            out.append(int(path.split("/")[2]))
    return out


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Trial:
    def __init__(self, number, server):
        chance = random.Random(SEED * 1000 + number)
        self.who, self.number = WHO[number % 3], number
        self.lines, self.wait = chance.randrange(1 if self.who != "agent" else 0, 40), chance.random() * 0.003
        self.agent_first = chance.random() < 0.5
        self.place = agentkit.Place(server)
        if chance.random() < 0.5:
            self.place.preload["CALLER_TLS"] = "1"
        self.log = os.path.join(self.place.dir, "log")
        self.wrong = []

    def strike(self, agent):
        targets = [agent.pid] if self.who != "collector" else []
        if self.who != "agent":
            there = collectors(self.place.run_dir)
            targets = targets + there if self.agent_first else there + targets
        for pid in targets:
            end(pid)

    def run(self):
        agent = self.place.start(PYTHON, CALLER, str(self.lines // 2 + (12 if self.who == "collector" else 500)), self.log, stdout=agentkit.subprocess.PIPE, stderr=agentkit.subprocess.DEVNULL)
        for _ in range(self.lines):
            agent.stdout.readline()
        until = time.monotonic() + self.wait
        while time.monotonic() < until:
            pass
        self.strike(agent)
        rest = agent.stdout.read()
        status = agent.wait()
        if status != (0 if self.who == "collector" else -signal.SIGKILL):
            self.wrong.append("the agent ended with %s" % status)
        if self.who == "collector" and not rest.endswith(b" calls\n"):
            self.wrong.append("the agent said %r last" % rest[-40:])
        self.judge()
        return self

    def judge(self):
        said = [l.split() for l in open(self.log).read().splitlines()] if os.path.exists(self.log) else []
        sent, done = {w[1] for w in said if w[0] == "sent"}, {w[1]: w[2] for w in said if w[0] == "done"}
        sessions = self.place.sessions()
        if len(sessions) != 1:
            if sent or sessions:
                self.wrong.append("%d sessions" % len(sessions))
            return
        session, seen = sessions[0], {}
        for f in session.calls():
            q = agentkit.question(session.body(f, "request")) or "a half"
            seen.setdefault(q, []).append((f["frame_type"], f["metadata"]["error_type"], hashlib.sha256(session.body(f, "response")).hexdigest()))
        self.wrong += ["question %s: complete, but %s" % (q, seen.get(q)) for q in done if seen.get(q) != [("llm", None, done[q])]]
        for q in set(seen) - set(done):
            if len(seen[q]) > 1 or seen[q][0][:2] not in (("error", "interrupted"), ("llm", None)):
                self.wrong.append("question %s: cut, but %s" % (q, seen[q]))
        self.wrong += ["question %s: cut, but not there" % q for q in sent - set(done) if q not in seen]
        self.cut = any(seen[q][0][1] == "interrupted" for q in seen)
        if not session.end or session.broken:
            self.wrong.append("it has no end: %s" % session.complaints)
        if session.bad_lines > 1 or (session.bad_lines and self.who == "agent"):
            self.wrong.append("%d torn lines" % session.bad_lines)


server = agentkit.server()
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    trials = list(pool.map(lambda n: Trial(n, server).run(), range(TRIALS)))
for who, title in zip(WHO, ("kill -9 of the agent", "kill -9 of the collector", "kill -9 of the agent and the collector")):
    mine = [t for t in trials if t.who == who]
    wrong = [(t.number, w) for t in mine for w in t.wrong]
    ok(not wrong, "%s at %d random moments: the file opens and is ended, every complete call is in it once, the cut one is marked" % (title, len(mine)),
       *["trial %d: %s" % w for w in wrong[:30]])
cut = sum(getattr(t, "cut", False) for t in trials)
ok(cut > TRIALS / 10, "calls were cut in the middle in many of these trials", "%d of %d" % (cut, TRIALS))
agentkit.done()
