#!/usr/bin/python3
"""vcr-record --test-command: the user's tests run at each savepoint with changes, apart from the agent; a run is a frame beside what it tested, and what the agent
says of tests is held against it."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import gatekit
import modelserver
from gatekit import BUILD, SOURCE, clikit, done, ok

place = clikit.Place()
del place.env["VCR_COLLECTOR"]
KEY = "sk-test-0123456789abcdef0123"
server = modelserver.ModelServer(tempfile.mkdtemp(dir=place.dir))
place.env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", SSL_CERT_FILE=server.ca, VCR_JUDGE=os.path.join(SOURCE, "tests", "gate", "judge.py"),
                 VCR_MODEL_HOSTS="localhost:%d,localhost:%d" % (server.tls_port, server.port), OPENAI_API_KEY=KEY)

# Steps: write=FILE:TEXT, ask=TEXT, tested=N (wait until so many runs are in the session), touch=FILE, await=FILE.
AGENT = r"""
import json, os, sys, time, urllib.request as u
talk = []
def tested():
    return open(".vcr/" + sys.argv[2] + ".vcr").read().count('"node_name":"test:run"')
for n, step in enumerate(sys.argv[3:]):
    what, _, text = step.partition("=")
    if what == "write":
        name, _, text = text.partition(":")
        open(name, "w").write(text + "\n")
    elif what == "tested":
        while tested() < int(text): time.sleep(0.01)
    elif what == "touch": open(text, "w").close()
    elif what == "await":
        while not os.path.exists(text): time.sleep(0.01)
    else:
        text = text if "[[" in text else "%s [[q=%d]]" % (text, n + 100)
        talk += [{"role": "user", "content": text}, {"role": "assistant", "content": "answer"}]
        body = json.dumps({"model": "m", "messages": talk[:-1]}).encode()
        u.urlopen(u.Request(sys.argv[1] + "/v1/chat/completions", body, {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})).read()
"""


class Run:
    def __init__(self, name, command, words, *steps, cwd="."):
        self.work = os.path.join(place.dir, name)
        os.makedirs(os.path.join(self.work, cwd))
        subprocess.run(["git", "init", "-q"], cwd=self.work, env=place.env, check=True)
        first = len(server.calls())
        self.r = subprocess.run([os.path.join(BUILD, "vcr-record"), "--session", name, "--test-command", command, *words, "--", "/usr/bin/python3", "-c", AGENT, server.https, name, *steps],
                                cwd=os.path.join(self.work, cwd), env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        server.settle()
        self.sent = [c["request"] for c in server.calls()[first:]]
        self.session = agentkit.Session(os.path.join(self.work, ".vcr", name + ".vcr"))
        self.calls = self.session.calls()
        self.tests = [f for f in self.session.frames if f["node_name"] == "test:run"]
        self.end = json.loads(open(self.session.path).read().splitlines()[-1])["data"]
        self.found = [(f["output_state"]["violations"][0], f["parent_frame_id"]) for f in self.session.frames if f["node_name"] == "sentinel:analysis"]


# ---- What a run is ----

go = os.path.join(place.dir, "go")
run = Run("plain", "grep good code.txt && echo key %s, spool $VCR_SPOOL$LD_PRELOAD. >&2" % KEY, ["--lane=gate"],
          "ask=begin", "write=code.txt:bad", "ask=one", "tested=1", "ask=again", "write=code.txt:good", "ask=two", "tested=2", "write=code.txt:bad, late")
states = [(f["output_state"]["passed"], f["output_state"]["exit_code"], f["output_state"]["changes_meanwhile"]) for f in run.tests]
ok(run.r.returncode == 0 and states == [(False, 1, 0), (True, 0, 0), (False, 1, 0)],
   "the tests run at each savepoint in which files changed, and at none without; the last one's run is waited for at the end", run.r, run.tests)
text = open(run.session.path).read()
printed = run.tests[1]["output_state"]
ok(printed["output"].startswith("good\nkey {{vcr:") and printed["output"].endswith(", spool .\n") and KEY not in text and not printed["cut"],
   "what they print is in the frame, without secrets; nothing of them is recorded", printed)
ok(not [f for f in run.session.frames if f["node_name"].startswith("exec:") and "grep" in f["node_name"]], "their programs are not the agent's", [f["node_name"] for f in run.session.frames])
saved = [run.session.vcr(f)["savepoint"] for f in run.calls]
ok([f["input_state"]["commit"] for f in run.tests[:2]] == [saved[1], saved[3]] and [f["parent_frame_id"] for f in run.tests] == [run.calls[i]["frame_id"] for i in (0, 2, 3)],
   "a run names its savepoint and hangs under the call whose work it tests", run.tests, saved)
ok(run.end["tests"] == {"runs": 3, "passed": 1, "failed": 2, "undecided": 0, "superseded": 0, "last": "exit 1", "error": None} and "tests: 3 runs, 1 passed, 2 failed; the last: exit 1" in run.r.stderr,
   "the session's end counts them, and vcr-record says it", run.end.get("tests"), run.r.stderr)
log = subprocess.run([os.path.join(BUILD, "vcr-log"), "plain"], cwd=run.work, env=place.env, stdout=subprocess.PIPE, text=True).stdout
ok(len([l for l in log.splitlines() if "test:run" in l and "exit 1" in l]) == 2, "vcr-log shows how each ended", log)

# ---- Beside an agent that goes on ----

run = Run("beside", "cd %s; test -e begun || { touch begun; while ! test -e go; do sleep 0.01; done; }; cat %s/beside/code.txt" % (place.dir, place.dir), ["--lane=gate"],
          "ask=begin", "write=code.txt:1", "ask=one", "await=" + os.path.join(place.dir, "begun"), "write=code.txt:2", "ask=two", "write=code.txt:3", "ask=three", "touch=" + go, "tested=2")
ok([f["output_state"]["output"] for f in run.tests] == ["3\n"] * 2 and run.tests[0]["output_state"]["changes_meanwhile"] == 2 and run.tests[1]["output_state"]["changes_meanwhile"] == 0,
   "the agent waits for no run; one whose files changed meanwhile says so", run.r, run.tests)
ok(run.end["tests"]["superseded"] == 1, "of the savepoints that wait the newest is tested: never two runs at once", run.end["tests"])

# ---- Limits ----

run = Run("slow", "echo begun; exec sleep 100", ["--lane=gate", "--test-timeout=1"], "ask=begin", "write=code.txt:1", "ask=one")
ok(run.r.returncode == 0 and len(run.tests) == 1 and run.tests[0]["output_state"]["passed"] is None and run.tests[0]["output_state"]["ended_by"] == "time limit"
   and run.tests[0]["output_state"]["output"] == "begun\n" and run.end["tests"]["undecided"] == 1, "a run that takes too long is ended, and is no result", run.r, run.tests)
home = os.path.join(place.dir, "at-home")
os.mkdir(home)
subprocess.run(["git", "init", "-q"], cwd=home, env=place.env, check=True)
r = subprocess.run([os.path.join(BUILD, "vcr-record"), "--test-command=true", "--", "/bin/sh", "-c", "echo 1 > code.txt"], cwd=home, env=dict(place.env, HOME=home), stdin=subprocess.DEVNULL,
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
ok(r.returncode == 0 and "NOT TESTED: " in r.stderr, "where no savepoint can be taken it is said that nothing is tested", r)
os.umask(0o027)
run = Run("sub", "pwd; umask", ["--lane=gate"], "write=code.txt:1", cwd="deep/er")
ok(len(run.tests) == 1 and run.tests[0]["output_state"]["output"].startswith(os.path.join(run.work, "deep/er") + "\n0027\n"), "it runs where vcr-record was called, with the user's umask", run.tests)
wrong = [subprocess.run([os.path.join(BUILD, "vcr-record"), *w, "--", "true"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
         for w in (["--test-command", ""], ["--test-timeout=5"], ["--test-command=true", "--test-timeout=0"], ["--test-command=true", "--sealed"])]
ok([w.returncode for w in wrong] == [2] * 4, "an empty command, a timeout that is none or without a command, and --sealed are wrong calls", wrong)

# ---- What the agent says of tests ----

server.texts["pass"] = "I have mended it. All tests pass now."
run = Run("said", "! grep bad code.txt", ["--sentinel=warn"], "ask=begin", "write=code.txt:good", "ask=one", "tested=1", "ask=[[q=1 say=pass]]", "write=code.txt:bad", "ask=[[q=2 say=pass]]", "tested=2",
          "ask=told", "write=code.txt:good", "ask=mended", "tested=3", "ask=end")
answers = {f["frame_id"]: i for i, f in enumerate(run.calls)}
failed = run.tests[1]["frame_id"]
ok([(v["rule"], v["run"], answers.get(v.get("answer"))) for v, _ in run.found] == [("tests-failing", failed, None), ("claims", failed, 3)],
   "a run that fails after one that passed is a finding; so is an answer that said meanwhile that tests pass, with both frames named", run.r, run.found, run.tests)
told = [b.count(b"<system-reminder>") for b in run.sent]
ok(told == [0, 0, 0, 0, 1, 1, 1] and b"the tests passed before and fail now (exit 1): ! grep bad code.txt [tests-failing]" in run.sent[4] and b"but the last run of tests failed" in run.sent[4],
   "the agent is told with its next request", told, run.sent[4])
ok((run.end["sentinel"]["corrected"], run.end["sentinel"]["standing"], run.end["sentinel"]["claims"]) == (2, 0, 1), "a run that passes corrects both", run.end["sentinel"])


# ---- Afterwards ----

server.texts["passes"] = "All tests pass."
run = Run("check", "! grep bad code.txt", ["--lane=gate"], "ask=begin", "write=code.txt:good", "ask=one", "tested=1", "ask=[[q=1 say=passes]]", "write=code.txt:bad", "ask=two", "tested=2", "ask=[[q=2 say=passes]]", "ask=end")
r = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "check", "check"], cwd=run.work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
index = {f["frame_id"]: i for i, f in enumerate(run.session.frames)}
ok(r.stdout.count("[claims]") == 1 and "but the last run of tests, frame %d, failed" % index[run.tests[1]["frame_id"]] in r.stdout,
   "vcr-sentinel check takes these runs too: what an answer says before one that failed is none of its findings, what it says after is", r, run.found)
server.close()
done()
