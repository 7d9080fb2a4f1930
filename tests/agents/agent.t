#!/usr/bin/python3
"""A complete coding agent under bare LD_PRELOAD: its session against what strace saw of the very same run, and against a run without us."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import scenario
import straced
from agentkit import ok, skip

TITLES = ("the session holds each model call of the agent, byte for byte", "files written, renamed, removed and made are those that strace saw, each",
          "programs run are those that strace saw, each with its arguments and its exit", "the last content of each file in the session is what lies there",
          "each file and each program follows the model call that asked for it, and names its process",
          "each tool call of the agent is a frame, with its arguments and its result, under the model call that asked for it",
          "each file and each program names the tool call that it was done for",
          "the agent does, says and leaves what it does without us")
agentkit.need_agents(*TITLES)


class Run:
    """The scenario, once."""

    def __init__(self, how, before=()):
        self.place = agentkit.Place()
        self.scenario = scenario.Scenario(os.path.join(self.place.dir, "scenario"), agentkit.AGENTS_PYTHON)
        self.place.work = self.project = self.scenario.project
        env = {**self.place.plain, **self.scenario.env, "HOME": self.place.home}
        if how == "preload":
            env["VCR_COLLECTOR"] = agentkit.COLLECTOR
            before = [*before, "env", "LD_PRELOAD=" + agentkit.SHIM] if not before else [*before, "-E", "LD_PRELOAD=" + agentkit.SHIM]
        self.r = subprocess.run([*before, *self.scenario.command], cwd=self.project, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, timeout=300)
        self.scenario.server.settle()

    def said(self):
        """Without paths that are made anew each time, and without how long unittest took, which is another time's."""
        return re.sub(r"\b\d+\.\d+s\b", "N s", re.sub(r"localhost:\d+|/tmp/\S*|/var/tmp/\S*", "X", self.r.stdout))

    def files(self):
        """Path to content, of all but .git and .vcr."""
        out = {}
        for d, names, files in os.walk(self.project):
            names[:] = [n for n in names if n not in (".git", ".vcr")]
            for f in files:
                path = os.path.join(d, f)
                out[os.path.relpath(path, self.project)] = open(path, "rb").read()
        return out


if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode:
    for title in TITLES:
        skip(title, "strace cannot trace here")
    agentkit.done()

traces = agentkit.tempfile.mkdtemp(prefix="vcr-strace.")
agentkit.atexit.register(agentkit.shutil.rmtree, traces, True)
run = Run("preload", straced.command(os.path.join(traces, "t")))
session, trace = run.place.session(), straced.Trace(os.path.join(traces, "t"), run.project)
calls = run.scenario.server.calls()
frames = session.calls()
same = [session.body(f, "request") == c["request"] and session.body(f, "response") == c["answer"] and f["frame_type"] == "llm" for f, c in zip(frames, calls)]
ok(run.r.returncode == 0 and len(frames) == len(calls) == len(scenario.TURNS) and all(same) and not session.complaints, TITLES[0],
   run.r.returncode, run.r.stderr[-2000:], "%d frames, %d calls" % (len(frames), len(calls)), same, session.complaints)

# A file that is written and renamed is one rename with new content; one that comes and goes between two model calls is a transient.
files = [f for f in session.frames if f["node_name"].startswith("file:")]
of = {}
for f in files:
    of.setdefault(f["node_name"][5:], []).append((f["input_state"].get("old_path"), f["input_state"]["path"]))
moved = {old for old, new in trace.renames}
want = {"write": sorted((None, p) for p in trace.writes - moved - trace.removed), "rename": sorted(trace.renames),
        "delete": sorted((None, p) for p in trace.removed), "mkdir": sorted((None, p) for p in trace.made)}
gone = {p for _, p in of.get("delete", [])}
got = {kind: sorted((pair for pair in of.get(kind, []) if kind != "write" or pair[1] not in gone), key=str) for kind in want}
ok(got == want and set(of) <= set(want) and all(want.values()), TITLES[1], "recorded: %s" % got, "strace:   %s" % want, "kinds: %s" % sorted(of))

programs = [f for f in session.frames if f["node_name"].startswith("exec:")]
got = sorted((f["input_state"]["pid"], f["input_state"]["argv"]) for f in programs)
want = sorted(e for e in trace.execs if e[1] != run.scenario.command)
ends = [f["output_state"] for f in programs]
ok(got == want and len(want) > 10 and all(e == {"exit_code": 0} for e in ends), TITLES[2], "recorded: %s" % [g for g in got if g not in want],
   "strace:   %s" % [w for w in want if w not in got], "%d and %d" % (len(got), len(want)), ends)

there, last = run.files(), {}
for f in files:
    last[f["input_state"]["path"]] = f
contents = {p: open(os.path.join(session.dir, f["output_state"]["content"]), "rb").read() for p, f in last.items() if "content" in f["output_state"]}
ok(contents and all(there.get(p) == c for p, c in contents.items()) and all(p in contents for p in there if p in last), TITLES[3],
   *[(p, c, there.get(p)) for p, c in contents.items() if there.get(p) != c])

numbers = {f["frame_id"]: i for i, f in enumerate(frames)}
strangers = []
for f in files + programs:
    path, after = f["input_state"]["path"], numbers.get(f["parent_frame_id"])
    v = session.vcr(f)
    word = " ".join(f["input_state"].get("argv", [])) or os.path.basename(path)
    asked = scenario.TURNS[after][1] if after is not None else "uname -p"
    if not any(w in asked for w in (word, word.split()[0], os.path.basename(f["input_state"].get("old_path") or "?"))) and "git maintenance" not in word \
            and not word.startswith(("/bin/sh", "/usr/lib/git-core")):
        strangers.append("%s %s after call %s" % (f["node_name"], word, after))
    if not v.get("pid") or not v.get("program") or v.get("source") != "shim":
        strangers.append("%s %s: %s" % (f["node_name"], path, v))
ok(not strangers, TITLES[4], *strangers)

tools = [f for f in session.frames if f["node_name"].startswith("tool:")]
got = [(f["node_name"], numbers.get(f["parent_frame_id"]), f["input_state"], session.vcr(f)["tool_call"], "result" in f["output_state"]) for f in tools]
want = [("tool:bash", i, {"command": command}, "call_%d" % i, i + 1 < len(scenario.TURNS)) for i, (_, command) in enumerate(scenario.TURNS)]
ok(got == want and tools[-1]["output_state"] == {"error": "no result seen"} and "words.py" in json.dumps(tools[0]["output_state"]), TITLES[5], got, [f["output_state"] for f in tools])
named = [(f["node_name"], session.vcr(f).get("tool_call"), session.vcr(f).get("known_by"), "call_%s" % numbers.get(f["parent_frame_id"])) for f in files + programs
         if numbers.get(f["parent_frame_id"]) is not None]
ok(len(named) > 20 and all(call == of for _, call, _, of in named), TITLES[6], [n for n in named if n[1] != n[3]], len(named), len(files + programs))

alone = Run("plain")
ok((run.r.returncode, run.said(), run.files()) == (alone.r.returncode, alone.said(), alone.files()) and alone.r.stderr == run.r.stderr, TITLES[7],
   run.r.returncode, alone.r.returncode, "with us:", run.said()[-1500:], "without:", alone.said()[-1500:], run.r.stderr[-500:], alone.r.stderr[-500:])
agentkit.done()
