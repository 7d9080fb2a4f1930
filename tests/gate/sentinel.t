#!/usr/bin/python3
"""vcr-record --sentinel: what an agent writes is judged, and it is told of it in its own next request, in its provider's shape; what is recorded is what it
sent itself, so the session replays. The judge is a script (judge.py); the agent speaks each of the APIs, over TLS and without."""
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
from gatekit import BUILD, SOURCE, clikit, done, ok, skip

place = clikit.Place()
del place.env["VCR_COLLECTOR"]
server = modelserver.ModelServer(tempfile.mkdtemp(dir=place.dir))
place.env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", SSL_CERT_FILE=server.ca, VCR_JUDGE=os.path.join(SOURCE, "tests", "gate", "judge.py"),
                 VCR_MODEL_HOSTS="localhost:%d,localhost:%d" % (server.tls_port, server.port), OPENAI_API_KEY="sk-test-0123456789abcdef0123", JUDGE_WAITS=os.path.join(place.dir, "go"))

# Steps are asked for on the command line: write=FILE:TEXT, rm=FILE, run=SCRIPT, await=FILE, orphan (the collector dies), rejudge (the judge dies), regate (the gate dies, and another takes over), ask=TEXT, socket (asks for a WebSocket), aside (a question of another conversation), again (the last request once more).
AGENT = r"""
import json, os, subprocess, sys, time, urllib.request as u
base, api = sys.argv[1:3]
talk, last, n = [], None, 0
def block(role, text, n):
    if api == "chat": return {"role": role, "content": text} if role == "assistant" or n % 2 == 0 else {"role": "tool", "tool_call_id": "call_%d" % n, "content": text}
    if api == "messages":
        if role == "assistant": return {"role": role, "content": [{"type": "text", "text": text}]}
        return {"role": role, "content": text if n % 2 else [{"type": "tool_result", "tool_use_id": "toolu_%d" % n, "content": text}]}
    if api == "responses": return {"role": role, "content": text} if role == "assistant" or n % 2 == 0 else {"type": "function_call_output", "call_id": "call_%d" % n, "output": text}
    return {"role": "model" if role == "assistant" else role, "parts": [{"text": text}]}
PATH = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses", "gemini": "/v1beta/models/gemini-2.5-flash:generateContent"}
LIST = {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"}
def post(body):
    q = u.Request(base + PATH[api], body, {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})
    try:
        return u.urlopen(q).status, ""
    except u.HTTPError as e:
        return e.code, json.loads(e.read())["error"]["message"]
def named(program):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: words = open("/proc/%s/cmdline" % pid).read()
        except OSError: continue
        if program + "\0" in words and os.environ["XDG_RUNTIME_DIR"] + "/" in words: return int(pid)
def ask(list):
    global last
    last = json.dumps(dict({"model": "m", LIST[api]: list}, **({"max_tokens": 9} if api == "messages" else {}))).encode()
    print(*post(last), flush=True)
for step in sys.argv[3:]:
    what, _, text = step.partition("=")
    if what == "write":
        name, _, text = text.partition(":")
        open(name, "w").write(text.replace("|", "\n"))
    elif what == "rm": os.unlink(text)
    elif what == "await":
        while not os.path.exists(text): time.sleep(0.005)
    elif what == "orphan": os.kill(named("vcr-collector"), 9)
    elif what == "rejudge":
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try: judges = open("/proc/%s/cmdline" % pid).read() == "vcr-sentinel\0judge\0" and "XDG_RUNTIME_DIR=%s\0" % os.environ["XDG_RUNTIME_DIR"] in open("/proc/%s/environ" % pid).read()
            except OSError: continue
            if judges: os.kill(int(pid), 9)
    elif what == "regate":
        gone = named("vcr-gate")
        if not gone: continue # a replay has none
        os.kill(gone, 9)
        while named("vcr-gate") in (None, gone): time.sleep(0.005)
    elif what == "run": subprocess.run(["sh", text])
    elif what == "aside": ask([block("user", "name this [[q=%d]]" % n, 0)])
    elif what == "socket":
        try: print(u.urlopen(u.Request(base + "/v1/realtime?model=m", headers={"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "a2tra2tra2tra2tra2tra2s="})).status, flush=True)
        except u.HTTPError as e: print(e.code, flush=True)
    elif what == "again": print(*post(last), flush=True)
    else:
        talk.append(block("user", text if "[[" in text else "%s [[q=%d]]" % (text, n), n))
        ask(talk)
        talk.append(block("assistant", "answer %d" % n, n))
        n += 1
"""


class Run:
    """The agent in a new workspace, recorded."""

    def __init__(self, name, how, api, *steps, base=None, env=None, files={}):
        self.name, self.api, self.steps = name, api, steps
        self.work = os.path.join(place.dir, name)
        os.makedirs(self.work)
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(self.work, path)), exist_ok=True)
            with open(os.path.join(self.work, path), "w") as f:
                f.write(text)
        subprocess.run(["git", "init", "-q"], cwd=self.work, env=place.env, check=True)
        self.env = dict(place.env, **env or {})
        self.base = base or server.https
        first = len(server.calls())
        words = ["--lane=gate"] if how is None else ["--sentinel=" + how] if how else ["--sentinel"]
        self.r = subprocess.run([os.path.join(BUILD, "vcr-record"), "-q", "--json", "--session", name, *words, "--", *self.command()], cwd=self.work, env=self.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        server.settle()
        self.sent = [c["request"] for c in server.calls()[first:]]
        self.session = agentkit.Session(os.path.join(self.work, ".vcr", name + ".vcr"))
        self.calls = self.session.calls()
        self.told = [self.session.vcr(f).get("sentinel") for f in self.calls]
        self.bodies = [self.session.body(f, "request") for f in self.calls]
        self.judged = [f for f in self.session.frames if f["node_name"] == "sentinel:analysis"]
        end = json.loads(open(self.session.path).read().splitlines()[-1])["data"]
        self.end, self.lost = end.get("sentinel"), end["unseen"]

    def command(self, steps=None):
        return ["/usr/bin/python3", "-c", AGENT, self.base, self.api, *(steps or self.steps)]

    def replay(self, *options, steps=None, env={}):
        for name in os.listdir(self.work):
            if name.endswith(".py"):
                os.unlink(os.path.join(self.work, name))
        return subprocess.run([os.path.join(BUILD, "vcr-replay"), "-q", *options, self.name, "--", *self.command(steps)], cwd=self.work, env=dict(place.env, VCR_JUDGE="/nonexistent"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def marks(body):
    return body.count(b"<system-reminder>")


def without(body, reminders, api):
    """The agent's own request: what ours holds more is taken out again, by meaning."""
    q = json.loads(body)
    key = {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"}[api]
    out = []
    for item in q[key]:
        text = json.dumps(item)
        if "<system-reminder>" not in text:
            out.append(item)
        elif api == "messages":
            left = [b for b in item["content"] if "<system-reminder>" not in json.dumps(b)]
            out.append(dict(item, content=left[0]["text"] if left[0]["type"] == "text" else left))
    q[key] = out
    return q


STEPS = ("ask=begin", "write=a.py:x = 1|BAD one|", "aside", "ask=done", "ask=and on", "write=a.py:x = 2|", "ask=mended", "write=b.py:BAD two|BAD three|", "ask=more", "again")
for api, base in (("chat", server.https), ("messages", server.https), ("responses", server.https), ("gemini", server.http), ("chat", server.http)):
    run = Run("%s-%s" % (api, base.split(":")[0]), "warn", api, *STEPS, base=base)
    kind = "%s over %s" % (api, base.split(":")[0])
    ok(run.r.returncode == 0 and run.r.stdout == "200 \n" * 7 and [marks(b) for b in run.sent] == [0, 0, 1, 1, 1, 2, 2],
       "%s: the next request of the conversation carries the finding, once, and each later one again; a question aside carries none" % kind, run.r, [marks(b) for b in run.sent])
    ok(b"a.py:2: critical: 'one' is bad [bad]" in run.sent[2] and b"'two' is bad" in run.sent[5] and b"'three' is bad" in run.sent[5] and run.sent[5] == run.sent[6],
       "%s: in words that say where and what; two of one time in one reminder; asked again the same" % kind, run.sent[2], run.sent[5])
    ends = [run.sent[i].rfind(b"</system-reminder>") + 18 for i in (2, 3, 4)]
    ok(len(set(ends)) == 1 and len({run.sent[i][:ends[0]] for i in (2, 3, 4, 5)}) == 1, "%s: up to its end the later requests are the same, byte for byte" % kind, ends)
    own = [json.loads(b) for b in run.bodies]
    ok(not any(map(marks, run.bodies)) and own == [without(b, None, api) for b in run.sent] and all(marks(s) == 0 and s == b or marks(s) for s, b in zip(run.sent, run.bodies)),
       "%s: recorded is what the agent sent itself" % kind, run.bodies[2:4], run.sent[2:4])
    texts = [[r.get("text") for r in t["reminders"]] if t else None for t in run.told]
    ids = [[r["id"] for r in t["reminders"]] if t else None for t in run.told]
    ok(ids == [None, None, [1], [1], [1], [1, 2], [1, 2]] and [t and [bool(x) for x in t] for t in texts] == [None, None, [True], [False], [False], [False, True], [False, False]]
       and run.told[2]["reminders"][0]["items"] == 3, "%s: the frame says what was put in and where, each text once" % kind, run.told)
    again = run.replay()
    ok(again.returncode == 0 and again.stdout == run.r.stdout and len(server.calls()) and again.stderr == "", "%s: it replays without a model and without a judge" % kind, again)
    if api == "chat" and base == server.https:
        frames = [(f["input_state"]["file_path"], f["output_state"]["passed"], f["output_state"]["violation_count"], len(f["output_state"]["corrected"])) for f in run.judged]
        writes = {f["frame_id"]: f["input_state"]["path"] for f in run.session.frames if f["node_name"] == "file:write"}
        ok(frames == [("a.py", False, 1, 0), ("a.py", True, 0, 1), ("b.py", False, 2, 0)] and [writes.get(run.session.vcr(f)["write"]) for f in run.judged] == ["a.py", "a.py", "b.py"],
           "each write has an analysis beside it, which names it, and says what it found and what was corrected", frames, run.judged)
        ok(run.end == {"judged": 3, "unjudged": 0, "violations": 3, "claims": 0, "standing": 2, "corrected": 1, "reminders": 2, "unjudged_because": None}, "the session's end counts them", run.end)

# ---- observe: only recorded ----

run = Run("observe", "", "chat", "ask=begin", "write=a.py:BAD one|", "write=readme.txt:BAD no code|", "ask=done")
ok([marks(b) for b in run.sent] == [0, 0] and run.sent == run.bodies and [f["output_state"]["violation_count"] for f in run.judged] == [1],
   "--sentinel alone observes: the agent hears nothing, the session has the finding; what the judge passes over has no analysis", run.r, run.judged)

# ---- Another gate; a recording that goes on ----

run = Run("another-gate", "warn", "chat", "ask=begin", "write=a.py:BAD one|", "ask=done", "regate", "ask=and on", "write=b.py:BAD two|", "ask=more", "regate", "ask=and more")
ends = [b.rfind(b"</system-reminder>", 0, b.find(b"and on") if b"and on" in b else None) + 18 for b in run.sent[1:]]
ok(run.r.returncode == 0 and [marks(b) for b in run.sent] == [0, 1, 1, 2, 2] and len({b[:e] for b, e in zip(run.sent[1:], ends)}) == 1,
   "a gate that takes over from one that died repeats what that had said, at the same place, and nothing else", run.r, run.sent)
again = run.replay()
ok(again.returncode == 0 and again.stdout == run.r.stdout, "and it replays", again)

MORE = ["ask=and more still", "ask=to the end"]
for api, base in (("chat", server.https), ("messages", server.https), ("responses", server.https), ("gemini", server.http)):
    run = Run("goes-on-" + api, "warn", api, *STEPS[:7], base=base)
    first = len(server.calls())
    r = run.replay("--mode=new-episodes", steps=[*STEPS[:7], *MORE])
    sent = [c["request"] for c in server.calls()[first:]]
    end = run.sent[-1].rfind(b"</system-reminder>") + 18
    ok(r.stdout == run.r.stdout + "200 \n" * 2 and [marks(b) for b in sent] == [1, 1] and {b[:end] for b in sent} == {run.sent[-1][:end]},
       "%s: where a replay goes on to the real host, its requests carry what the recorded ones did, byte for byte" % api, r, sent, run.sent[-1])
    went = [agentkit.Session(os.path.join(run.work, ".vcr", n)) for n in os.listdir(os.path.join(run.work, ".vcr")) if n.endswith(".vcr") and n != run.name + ".vcr"]
    calls = went[0].calls()
    own = [went[0].body(f, "request") for f in calls]
    ok(len(went) == 1 and not any(map(marks, own)) and [json.loads(b) for b in own] == [without(b, None, api) for b in sent] and
       [[(bool(t.get("text")), t["items"]) for t in went[0].vcr(f)["sentinel"]["reminders"]] for f in calls] == [[(True, 3)], [(False, 3)]],
       "%s: that session, too, has what the agent sent itself, and says what was put in and where" % api, own, [went[0].vcr(f).get("sentinel") for f in calls])
    if api != "chat":
        continue
    kept, run.name = run.name, os.path.basename(went[0].path)[:-4]
    first = len(server.calls())
    more = run.replay("--mode=new-episodes", steps=[*STEPS[:7], *MORE, "ask=again and again"])
    sent = [c["request"] for c in server.calls()[first:]]
    ok(more.stdout == r.stdout + "200 \n" and [marks(b) for b in sent] == [1] and sent[0][:end] == run.sent[-1][:end], "nor is it said twice where that one goes on", more, sent)
    golden = [subprocess.run([os.path.join(BUILD, "vcr-golden"), "-q", *words], cwd=run.work, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
              for words in (["save", "task", kept], ["replay", "--mode=new-episodes", "task", "--", *run.command([*STEPS[:7], "ask=golden"])])]
    ok(golden[1].stdout == run.r.stdout + "200 \n" and server.calls()[-1]["request"][:end] == run.sent[-1][:end], "and so do those of a golden run of which a part is live", golden, server.calls()[-1])

# ---- block ----

run = Run("block", "block", "messages", "ask=begin", "write=a.py:WORSE one|", "ask=done", "again", "aside", "write=a.py:fine|", "ask=mended")
lines = run.r.stdout.splitlines()
ok([l[:3] for l in lines] == ["200", "400", "400", "200", "200"] and "a.py:1: blocker: 'one' is bad" in lines[1] and len(run.sent) == 3,
   "--sentinel=block: while a blocker stands the conversation is answered with the provider's own error, and nothing is sent; mended it goes on", run.r.stdout, run.r.stderr)
ok([f["frame_type"] for f in run.calls] == ["llm", "error", "error", "llm", "llm"] and "'one' is bad" in run.told[1]["refused"], "the session has the refusal as what was answered", run.told)
again = run.replay()
ok(again.stdout == run.r.stdout, "and it replays", again)
run = Run("another-judge", "block", "chat", "ask=begin", "write=a.py:WORSE one|", "ask=done", "write=b.py:DIE|", "write=a.py:WORSE one|more|", "ask=still there", "write=a.py:fine|", "ask=mended")
ok([l[:3] for l in run.r.stdout.splitlines()] == ["200", "400", "400", "200"], "after the judge has died a blocker stands until it is mended", run.r)
run = Run("new-judge", "block", "chat", "ask=begin", "write=a.py:WORSE one|", "ask=done", "write=b.py:DIE|", "write=a.py:fine|", "ask=mended")
ok([l[:3] for l in run.r.stdout.splitlines()] == ["200", "400", "200"], "after the judge has died the next one says what is mended, though it never saw it bad", run.r)
run = Run("no-judge", "block", "chat", "ask=begin", "write=a.py:WORSE one|", "ask=done", *("write=b%d.py:DIE|" % i for i in range(5)), "write=a.py:fine|", "ask=nobody is left to say so")
ok([l[:3] for l in run.r.stdout.splitlines()] == ["200", "400", "200"], "a blocker does not outlive the last judge, who alone could see that it is mended", run.r)
run = Run("old", "block", "chat", "write=a.py:fine|", "ask=begin", "write=a.py:BAD small|", "ask=done")
ok(run.r.stdout == "200 \n" * 2 and [marks(b) for b in run.sent] == [0, 1], "what is no blocker is told under block as under warn", run.r)
runs = [Run("own-" + how, how, "chat", "ask=begin", "write=a.py:OWN one|", "ask=done") for how in ("warn", "block")]
ok([[l[:3] for l in run.r.stdout.splitlines()] for run in runs] == [["200", "200"], ["200", "400"]] and not runs[0].end["violations"],
   "its judge knows that comments of the agent's own allow no blocker; under warn they do", [run.r for run in runs])
run = Run("stop", "block:stop", "chat", "ask=begin", "write=a.py:WORSE one|", "ask=done", "write=late.py:x|", "ask=still here")
ok(run.r.returncode in (-15, 128 + 15) and len(run.sent) == 1 and not os.path.exists(os.path.join(run.work, "late.py")), "--sentinel=block:stop: the run is ended", run.r)

run = Run("orphan", "block", "chat", "ask=begin", "write=a.py:WORSE one|", "ask=done", "orphan", "write=a.py:fine|", "ask=mended")
ok([l[:3] for l in run.r.stdout.splitlines()] == ["200", "400", "200"] and "the collector died" in run.r.stderr, "a blocker does not outlive the collector, which alone could see that it is mended", run.r)

# ---- WebSockets, in which nothing is asked ----

runs = {how: Run("socket-" + how.replace(":", "-"), how, "chat", "ask=begin", "socket", "socket", "ask=more") for how in ("warn", "block", "block:stop")}
lost = {how: [w for w in run.lost if "WebSocket" in w] for how, run in runs.items()}
ok(all(runs[how].r.stdout.split() == ["200", "426", "426", "200"] and len(runs[how].sent) == 2 and ["refused (426)" in w for w in lost[how]] == [True] for how in ("block", "block:stop")),
   "under --sentinel=block a WebSocket is answered with 426 and does not go out, and the session says so once", [runs[how].r for how in runs], lost)
ok(runs["warn"].r.stdout.split() == ["200", "404", "404", "200"] and ["tells the agent nothing" in w for w in lost["warn"]] == [True], "under warn it goes out, and that nothing is told there is said once", runs["warn"].r, lost)

# ---- What is said about tests ----

server.texts["pass"] = "I have mended it. All tests pass now."
run = Run("claims", "warn", "chat", "ask=begin", "ask=[[q=1 say=pass]]", "write=run_tests.sh:exit 1|", "run=./run_tests.sh", "ask=[[q=2 say=pass]]", "write=run_tests.sh:exit 0|", "run=./run_tests.sh",
          "ask=[[q=3 say=pass]]", "ask=end")
claims = [(f["output_state"]["violations"][0], f["parent_frame_id"]) for f in run.judged if f["input_state"]["trigger"] == "claim"]
answers = {f["frame_id"]: i for i, f in enumerate(run.calls)}
runs = {f["frame_id"]: f["output_state"] for f in run.session.frames if f["node_name"] == "exec:sh"}
ok([(answers[v["answer"]], v["run"] and runs[v["run"]], v["said"]) for v, _ in claims] == [(1, None, "All tests pass now."), (2, {"exit_code": 1}, "All tests pass now.")],
   "an answer that says that tests pass when none was run, or when the last run failed, is a finding that names both frames; after a run that passed it is none", claims, run.r, runs)
ok([marks(b) for b in run.sent] == [0, 0, 1, 1, 1] and b"says that tests pass, but none was run" in run.sent[2] and (run.end["claims"], run.end["corrected"]) == (2, 1),
   "the agent is told with its next request, and a run that passes corrects it", [marks(b) for b in run.sent], run.end)

# ---- check: a session that was recorded without any of it ----

LONG = "def f(a, b, c, d, e, g, h, i):|" + "    a += b|" * 70 + "    return a|"
run = Run("check", None, "chat", "ask=begin", "write=old.py:" + LONG + "# more|", "write=new.py:" + LONG.replace("def f", "def n").replace("+=", "*="), "ask=[[q=1 say=pass]]", "write=new.py:def n(a):|    return a|", "ask=mended",
          "write=last.py:def l(a, b, c, d, e, f, g, h):|    return a|", "ask=end", files={"old.py": LONG.replace("|", "\n")})


def check(*words):
    r = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "check", *words, "check"], cwd=run.work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return r.returncode, r.stdout, r.stderr


status, out, err = check("--json")
lines = [json.loads(l) for l in out.splitlines()]
if not any(l.get("violations") for l in lines):
    skip("what vcr-sentinel check says of a session", "no grammars here; scripts/grammars fetches them")
else:
    writes = [(l["path"], sorted((v["rule"], v["state"]) for v in l["violations"]), sorted(v["rule"] for v in l["corrected"])) for l in lines if "violations" in l]
    both = ["function-length", "parameters"]
    ok(writes == [("old.py", [(r, "old") for r in both], []), ("new.py", [(r, "new") for r in both], []), ("new.py", [], both), ("last.py", [("parameters", "new")], [])],
       "check judges each write of a session: what stood there before it is old, what is new, and what was corrected afterwards", writes)
    claim = [l for l in lines if "claim" in l]
    ok([(l["claim"], l["run"]) for l in claim] == [("All tests pass now.", None)] and run.session.frames[claim[0]["frame"]]["node_name"].startswith("llm:"),
       "and what its answers say of tests", claim)
    ok((lines[-1]["made"], lines[-1]["corrected"], lines[-1]["standing"], lines[-1]["claims"]) == (4, 2, 2, 1) and status == 1, "it counts what was corrected, and its status is that of what stands", lines[-1], status)
    status, out, err = check()
    ok(status == 1 and "last.py:1: warning: l() takes 8 parameters" in out and "corrected: new.py:1: warning: n() is" in out and "old.py" not in out and "no tests were run [claims]" in out and
       "4 findings made, 2 corrected afterwards, 2 stand" in out, "people see what a frame made worse and what it mended", out, err)
    said = {how: check(how) for how in ("--sarif", "--github", "--junit")}
    results = json.loads(said["--sarif"][1])["runs"][0]["results"]
    ok([(r["ruleId"], len(r["locations"])) for r in results] == [("claims", 0), ("parameters", 1)] and {s for s, _, _ in said.values()} == {1},
       "--sarif says what stands in the end, in its file, or of an answer in none", said)
    lines = said["--github"][1].splitlines()
    ok(len(lines) == 2 and lines[0].startswith("::error title=vcr-sentinel claims::frame ") and lines[1].startswith("::warning file=last.py,line=1,"), "and --github", lines)
    ok('name="answers">' in said["--junit"][1] and said["--junit"][1].count("<failure ") == 2 and 'tests="4" failures="2"' in said["--junit"][1], "and --junit", said["--junit"][1])
    with open(os.path.join(run.work, ".vcr", "sentinel.conf"), "w") as f:
        f.write("rule parameters=off\nrule function-length=off\n")
    ok('"made":1' in check("--json")[1], ".vcr/sentinel.conf says what is expected")
    with open(os.path.join(run.work, ".vcr", "sentinel.conf"), "w") as f:
        f.write("exclude new.py\n")
    ok('"made":2' in check("--json")[1], "and what is not judged")
    os.unlink(os.path.join(run.work, ".vcr", "sentinel.conf"))
    kept = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "baseline"], cwd=run.work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    states = [(l["path"], sorted((v["rule"], v["state"]) for v in l["violations"])) for l in map(json.loads, check("--json")[1].splitlines()) if l.get("violations")]
    ok(states == [("old.py", [(r, "old") for r in both]), ("new.py", [(r, "new") for r in both]), ("last.py", [("parameters", "old")])] and '"made":3' in check("--json")[1] and
       '"made":4' in check("--json", "--no-baseline")[1], "what the baseline has is old in the sessions that check judges; --no-baseline", kept, states)

# ---- A judge that is slow, dies, or is not there ----

run = Run("slow", "warn", "chat", "ask=begin", "write=a.py:WAIT|BAD one|", "ask=done", "write=" + place.env["JUDGE_WAITS"] + ":go", "await=" + place.env["JUDGE_WAITS"] + ".done", "write=b.py:fine|", "ask=later")
ok(run.r.stdout == "200 \n" * 3 and [marks(b) for b in run.sent] == [0, 0, 1], "a judge that is slow holds a request back for a while only, and its finding comes with the next", run.r, [marks(b) for b in run.sent])
run = Run("dies", "warn", "chat", "ask=begin", "write=a.py:DIE|", "write=b.py:BAD two|", "ask=done")
found = {f["input_state"]["file_path"]: f["output_state"] for f in run.judged}
ok(run.r.stdout == "200 \n" * 2 and found["a.py"]["passed"] is None and "signal 11" in found["a.py"]["error"] and found["b.py"]["violation_count"] == 1 and marks(run.sent[1]) == 1,
   "one that dies costs the file that it died of, which the session says", run.r, found)
ok(run.end["unjudged"] == 1 and run.end["unjudged_because"] == "the judge died of signal 11", "and the session's end too", run.end)
run = Run("found", "block", "chat", "ask=begin", "write=.vcr/sentinel.conf:allow one|", "write=a.py:DIE|", "write=b.py:WORSE one|", "ask=done", files={".vcr/sentinel.conf": "allow two\n"})
found = {f["input_state"]["file_path"]: f["output_state"] for f in run.judged}
ok("signal 11" in found["a.py"]["error"] and [l[:3] for l in run.r.stdout.splitlines()] == ["200", "400"] and "'one' is bad" in run.r.stdout,
   "one that is started again judges by sentinel.conf as the session found it, not as the agent left it", run.r, found)
WIDE = "def l(a, b, c, d, e, f, g, h):\n    return a\n"
real = {"VCR_JUDGE": os.path.join(BUILD, "vcr-sentinel")}
kept = '{"sentinel_baseline":1,"findings":[{"rule":"parameters","path":"a.py","function":"l","value":8}]}\n'
run = [Run("kept-%d" % n, "warn", "chat", "ask=begin", "write=a.py:" + WIDE.replace("\n", "|"), "ask=done", env=real, files={".vcr/sentinel-baseline.json": kept} if n else {}) for n in range(2)]
if not run[0].end["judged"]:
    skip("a recording's judge knows the workspace's baseline", "no grammars here; scripts/grammars fetches them")
else:
    ok([[v["state"] for f in x.judged for v in f["output_state"]["violations"]] for x in run] == [["new"], ["old"]] and [marks(x.sent[1]) for x in run] == [1, 0],
       "a recording's judge knows the workspace's baseline: the agent is not told of what is in it", [x.judged for x in run], run[1].r)
title = "a judge that takes over from one that died knows what stood there before the session: what the session made stays new, is not told again, and its correction is in the frame"
if not run[0].end["judged"]:
    skip(title, "no grammars here; scripts/grammars fetches them")
else:
    wide = WIDE.replace("\n", "|")
    run = Run("took-over", "warn", "chat", "write=a.py:" + wide, "ask=begin", "rejudge", "write=a.py:x = 1|" + wide, "ask=done", "rejudge", "write=a.py:x = 2|", "ask=mended", env=real)
    got = [([v["state"] for v in f["output_state"]["violations"]], len(f["output_state"]["corrected"])) for f in run.judged]
    ok(got == [(["new"], 0), (["new"], 0), ([], 1)] and marks(run.sent[-1]) == 1 and
       [run.end[k] for k in ("judged", "unjudged", "corrected", "standing", "reminders")] == [3, 0, 1, 0, 1] and not [n for n in os.listdir(place.env["XDG_RUNTIME_DIR"]) if ".judged" in n],
       title, got, run.end, [marks(b) for b in run.sent], run.r)
r = subprocess.run([os.path.join(BUILD, "vcr-record"), "--sentinel=loud", "--", "true"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
ok(r.returncode == 2 and "--sentinel wants observe, warn, block, block:stop or off, not 'loud'" in r.stderr, "a wrong word is said", r)
server.close()
done()
