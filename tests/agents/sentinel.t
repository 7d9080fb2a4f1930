#!/usr/bin/python3
"""Real coding agents that write bad code and are told so: mini-swe-agent, claude-code and codex, unmodified, under vcr-record --sentinel=warn. The model, which is
scripted, mends its code if and only if its request carries the warning; the whole session replays without network, judge or model. The code is a function of 109
lines, complexity 32 and 9 parameters, and a copy of one that stands in another file. Without a grammar of Python a script judges (tests/gate/judge.py)."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import agentkit
import nodekit
import replies
import scenario
from agentkit import ok, skip
from careless import BAD, GOOD, OTHER, RULES, WORDS

JUDGE = os.path.join(agentkit.TOP, "tests", "gate", "judge.py")
MARK = "<system-reminder>\nThe code that was just written has been checked"
probe = subprocess.run([os.path.join(agentkit.BUILD, "vcr-sentinel"), "scan", "--json", __file__.replace("sentinel.t", "scenario.py")], stdout=subprocess.PIPE)
REAL = b"not installed" not in probe.stdout
SAID = [w.encode() for w in WORDS] if REAL else [b"'report' is bad"]
TITLES = ("the warning is in the request that follows the write, and in none before", "the model mends the code, and the file that is left is clean",
          "each later request carries the same words at the same place, and nothing new", "the session has the agent's own requests, the write's finding and its correction",
          "it replays offline to the same words and the same file")


class Agent:
    """One of them in a place of its own. Its model writes report.py with `first`, and again with `second` when it is warned."""

    api, host = None, None

    def __init__(self):
        self.server = agentkit.server()
        self.server.script = self.turn
        self.place = agentkit.Place()
        self.prepare()
        with open(os.path.join(self.place.work, "other.py"), "w") as f:
            f.write(OTHER)

    def done(self, request):
        """How many answers of the model the conversation holds."""
        return sum(m.get("role") == "assistant" for m in request.get("messages", []))

    def turn(self, api, request):
        if api != self.api or self.is_aside(request):
            return None
        n, warned = self.done(request), MARK in json.dumps(request, ensure_ascii=False).replace("\\n", "\n")
        what = "write" if n == 0 else "mend" if n == 1 and warned else "look" if n == 2 and warned else "end"
        tools = self.tools(what, n)
        return replies.Reply({"write": "I write it.", "mend": "I mend it.", "look": "I look at it.", "end": "Done."}[what], self.model, tools, 100, 20, "m%d" % n)

    def is_aside(self, request):
        return False

    def run(self, words, env):
        return subprocess.run(words + self.command, cwd=self.place.work, env={**self.place.record, **self.env, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=300)

    def record(self):
        ways = [w for w in ("--connect-to", "%s:443:127.0.0.1:%d" % (self.host, self.server.tls_port))] if self.host else []
        return self.run([os.path.join(agentkit.BUILD, "vcr-record"), "-q", "--sentinel=warn", *ways, "--cacert", self.server.ca, "--"], {} if REAL else {"VCR_JUDGE": JUDGE})

    def replay(self, session):
        self.again()
        return self.run([*agentkit.OFFLINE, os.path.join(agentkit.BUILD, "vcr-replay"), session.path, "--"], {"VCR_JUDGE": "/nonexistent"})

    def again(self):
        os.unlink(self.path)

    @property
    def path(self):
        return os.path.join(self.place.work, "report.py")

    def said(self, r):
        return r.returncode, r.stdout


class Mini(Agent):
    api, model = "openai.chat", scenario.MODEL

    def prepare(self):
        self.scenario = scenario.Scenario(os.path.join(self.place.dir, "scenario"), agentkit.AGENTS_PYTHON)
        self.server.close()
        self.server = self.scenario.server
        self.server.script = self.turn
        self.place.work = self.scenario.project
        self.command = self.scenario.command
        self.env = {**self.scenario.env, "HOME": self.place.home, "VCR_MODEL_HOSTS": "localhost:%d" % self.server.tls_port}

    def tools(self, what, n):
        text = {"write": BAD, "mend": GOOD}.get(what)
        command = {"look": "cat report.py", "end": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"}.get(what, "cat > report.py <<'EOF'\n%sEOF" % text)
        return [("call_%d" % n, "bash", {"command": command})]

    def said(self, r):
        return r.returncode, b"COMPLETE_TASK" in r.stdout


class Claude(Agent):
    api, host, model = "anthropic.messages", "api.anthropic.com", "claude-sonnet-4-5"

    def prepare(self):
        self.command = nodekit.claude("bun") + ["-p", "Write a report.", "--dangerously-skip-permissions", "--model", self.model]
        self.env = {"ANTHROPIC_API_KEY": "sk-ant-api03-0123456789abcdefghijklmnop", "IS_SANDBOX": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_MAX_RETRIES": "1", "TERM": "dumb"}

    def is_aside(self, request):
        return not request.get("tools")

    def tools(self, what, n):
        if what in ("write", "mend"):
            return [("toolu_%d" % n, "Write", {"file_path": self.path, "content": BAD if what == "write" else GOOD})]
        return [("toolu_%d" % n, "Bash", {"command": "cat report.py", "description": "Look"})] if what == "look" else []


class Codex(Agent):
    api, host, model = "openai.responses", "api.openai.com", "gpt-5.5"

    def prepare(self):
        self.home = os.path.join(self.place.home, ".codex")
        os.makedirs(self.home)
        self.command = [nodekit.program("node"), CODEX, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", self.model, "Write a report."]
        self.env = {"CODEX_API_KEY": "sk-test-0123456789abcdef0123456789abcdef", "CODEX_HOME": self.home, "TERM": "dumb", "CODEX_CA_CERTIFICATE": self.server.ca, "NO_COLOR": "1"}

    def done(self, request):
        return sum(str(i.get("type")).endswith("_call_output") for i in request.get("input", []))

    def tools(self, what, n):
        if what == "write":
            return [("call_%d" % n, "apply_patch", "*** Begin Patch\n*** Add File: report.py\n%s*** End Patch\n" % "".join("+%s\n" % l for l in BAD.splitlines()))]
        command = {"mend": "cat > report.py <<'EOF'\n%sEOF" % GOOD, "look": "cat report.py"}.get(what)
        return [("call_%d" % n, "exec_command", {"cmd": command})] if command else []

    def again(self):
        super().again()
        shutil.rmtree(self.home)
        os.makedirs(self.home)


CODEX = os.path.join(nodekit.AGENTS_NPM, "node_modules", "@openai", "codex", "bin", "codex.js")
WHY = {Mini: None if agentkit.AGENTS_PYTHON and os.access(agentkit.AGENTS_PYTHON, os.X_OK) else "no clients: AGENTS_PYTHON=$(scripts/agents-env) is not set",
       Claude: nodekit.no_claude("bun"), Codex: nodekit.missing("node", True) or (None if os.path.exists(CODEX) else "no codex here")}

for kind, name in ((Mini, "mini-swe-agent"), (Claude, "claude-code"), (Codex, "codex")):
    if WHY[kind] or not agentkit.OFFLINE:
        for title in TITLES:
            skip("%s: %s" % (name, title), WHY[kind] or "no user namespaces")
        continue
    agent = kind()
    r = agent.record()
    agent.server.settle()
    sent = [c["request"] for c in agent.server.calls() if c["api"] == agent.api and c["method"] == "POST" and not agent.is_aside(json.loads(c["request"]))]
    session = agent.place.session()
    bodies = [session.body(f, "request") for f in session.calls() if session.vcr(f)["api"] == agent.api]
    marks = [b.count(b"The code that was just written has been checked") for b in sent]
    left = open(agent.path).read() if os.path.exists(agent.path) else None
    ok(marks == [0, 1, 1, 1] and all(w in sent[1] for w in SAID), "%s: %s" % (name, TITLES[0]), marks, r.returncode, r.stderr.decode()[-2000:], left)
    ok(left == GOOD, "%s: %s" % (name, TITLES[1]), left)
    ends = [b.find(b"</system-reminder>", b.find(b"The code that was just written has been checked")) for b in sent[1:]]
    at = [b.find(b"The code that was just written has been checked") for b in sent[1:]]
    words = {b[a:e] for b, a, e in zip(sent[1:], at, ends)}
    key = "input" if agent.api == "openai.responses" else "messages"
    places = [[i for i, m in enumerate(json.loads(b)[key]) if "The code that was just written has been checked" in json.dumps(m)] for b in sent[1:]]
    ok(len(words) == 1 and len(places) == 3 and places[0] == places[1] == places[2], "%s: %s" % (name, TITLES[2]), words, places)
    judged = [f["output_state"] for f in session.frames if f["node_name"] == "sentinel:analysis"]
    ok(not any(b"has been checked" in b for b in bodies) and [j["passed"] for j in judged] == [False, True] and len(judged[1]["corrected"]) == (len(RULES) if REAL else 1), "%s: %s" % (name, TITLES[3]), judged)
    agent.server.close()
    again = agent.replay(session)
    ok(agent.said(again) == agent.said(r) and open(agent.path).read() == GOOD, "%s: %s" % (name, TITLES[4]), again.returncode, again.stderr.decode()[-2500:], again.stdout[-500:], r.stdout[-500:])
agentkit.done()
