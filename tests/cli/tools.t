#!/usr/bin/python3
"""What a run means: tool calls of every provider as frames, files and programs under the call that asked for them, and processes that ask a model as a tree."""
import glob
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import replies
from agentkit import BUILD, HERE, ok

WORKER = os.path.join(HERE, "worker.py")
APIS = {"chat": "openai.chat", "responses": "openai.responses", "anthropic": "anthropic.messages", "gemini": "gemini.generate", "gemini-ids": "gemini.generate"}


def first_text(request):
    """The prompt of a conversation, and how many answers it holds."""
    items = request.get("messages") or request.get("input") or request.get("contents")
    content = items[0].get("content") or items[0]["parts"]
    turns = sum(i.get("role") in ("assistant", "model") or i.get("type") == "function_call" and "id" in i and not i["id"].endswith("+") for i in items)
    return content if isinstance(content, str) else content[0]["text"], turns


class Run:
    """A worker whose model follows a plan: prompt to a list of turns, each a list of (name, arguments); ids are counted over all."""

    def __init__(self, api, plan, prompt, *more, how="preload", env=()):
        self.server = agentkit.server()
        self.place = agentkit.Place(self.server)
        self.plan, self.n, self.api = plan, 0, api
        self.server.script = self.turn
        self.r = self.place.run(sys.executable, WORKER, api, prompt, *more, how=how, env=dict(env))
        self.server.settle()
        self.server.close()
        self.session = self.place.session()
        self.frames = self.session.frames
        self.by_id = {f["frame_id"]: f for f in self.frames}

    def turn(self, api, request):
        prompt, _ = first_text(request)
        items = request.get("messages") or request.get("input") or request.get("contents")
        results = [i for i in items if i.get("role") == "tool" or i.get("type") == "function_call_output" or "tool_result" in json.dumps(i) or "functionResponse" in json.dumps(i)]
        turns, done = self.plan.get(prompt, []), len({id(i) for i in results})
        if api in ("openai.chat", "openai.responses"): # a result an item: so many turns are behind
            left = done
            done = 0
            while left > 0 and done < len(turns):
                left -= len(turns[done])
                done += 1
        calls = []
        for name, arguments in turns[done] if done < len(turns) else []:
            with self.server.lock:
                self.n += 1
            calls.append(("call_%012d" % self.n, name, arguments))
        return replies.Reply("I say something." if not calls else "", request.get("model") or "worker-1", calls, 10, 5, str(self.n))

    def tools(self):
        return [f for f in self.frames if f["node_name"].startswith("tool:")]

    def tool(self, name, nth=0):
        return [f for f in self.tools() if f["node_name"] == "tool:" + name][nth]

    def full(self, frame):
        return json.loads(self.show("--json", str(self.frames.index(frame))))

    def show(self, *words):
        r = subprocess.run([os.path.join(BUILD, "vcr-show"), *words[:-1], self.session.path, words[-1]], cwd=self.place.work, env=self.place.plain, stdout=subprocess.PIPE, text=True)
        return r.stdout

    def asked(self, frame):
        """What the call that a frame hangs under asked for: the names."""
        parent = self.by_id.get(frame["parent_frame_id"])
        return [n for _, n, _ in calls_in(self.api, parent)] if parent else None

    def prompt(self, frame):
        """Of the conversation that a model call belongs to: of its first request."""
        return first_text(json.loads(self.session.body(frame, "request")))[0]


def calls_in(api, frame):
    sys.path.insert(0, HERE)
    import worker
    return worker.calls_of(api, frame["output_state"]["response"])[1]


LONG = "Zeile für Zeile, 日本語: " + "abcdefghij " * 120
SHELL = "printf 'from the shell\\n' > shell.txt"
PLAN = {"Write it down.": [[("write", {"path": "poem.txt", "content": "eins\nzwei"})], [("write", {"path": "long.txt", "content": LONG}), ("bash", {"command": SHELL})],
                           [("read", {"path": "long.txt"}), ("read", {"path": "not there"})], [("leave", {})]]}
for api in APIS:
    for stream in ("", "1"):
        run = Run(api, PLAN, "Write it down.", env={"WORKER_STREAM": stream})
        under = "%s%s: " % (api, ", streamed" if stream else "")
        got = [(f["node_name"], f["frame_type"], run.asked(f)) for f in run.tools()]
        want = [("tool:write", "tool", ["write"]), ("tool:write", "tool", ["write", "bash"]), ("tool:bash", "tool", ["write", "bash"]), ("tool:read", "tool", ["read", "read"]),
                ("tool:read", "tool", ["read", "read"]), ("tool:leave", "tool", ["leave"])]
        ok(run.r.returncode == 0 and got == want and not run.session.complaints, under + "each tool call is a tool frame, once, under the call that asked for it",
           run.r.stderr.decode()[-1500:], got, [f["node_name"] for f in run.frames], run.session.complaints)
        if got != want:
            continue
        write, long, bash, read, missing, leave = run.tools()
        ok(write["input_state"] == {"path": "poem.txt", "content": "eins\nzwei"} and "written" in json.dumps(write["output_state"]["result"]) and bash["input_state"] == {"command": SHELL},
           under + "it shows the arguments and the result", write, bash)
        ok(leave["output_state"] == {"error": "no result seen"} and leave["metadata"]["error_type"] is None, under + "a call whose result was never seen says so", leave)
        if api in ("anthropic", "gemini", "gemini-ids"):
            ok("No such file" in json.dumps(missing["output_state"].get("error")) and missing["metadata"]["error_type"] == "tool_error" and "No such" in missing["metadata"]["error_message"],
               under + "a result that says it is an error is one", missing)
        ids = [run.session.vcr(f).get("tool_call") for f in run.tools()]
        ok(ids == ([None] * 6 if api.startswith("gemini") else ["call_%012d" % k for k in range(1, 7)]) and all(run.session.vcr(f)["started_at"] for f in run.tools()) and
           write["metadata"]["latency_ms"] > 0, under + "it names the call's id, when it began and how long it took", ids, write["metadata"])
        line = json.dumps(long) + json.dumps(read)
        ok(LONG not in line and len(line) < 3500, under + "a long argument or result stands once in the file", len(line))
        ok(run.full(long)["input_state"] == {"path": "long.txt", "content": LONG} and LONG in json.dumps(run.full(read)["output_state"], ensure_ascii=False) and LONG[:300] in run.show("--color=never", str(run.frames.index(read))),
           under + "vcr-show gives it whole", run.full(long), run.full(read))
        if stream:
            continue
        full = os.path.join(run.place.dir, "full.vcr")
        subprocess.run([os.path.join(BUILD, "vcr-export"), "--full", "-o", full, run.session.path], cwd=run.place.work, env=run.place.plain, check=True)
        lines = [json.loads(l)["data"] for l in open(full) if '"type":"frame"' in l[:40]]
        there = {f["frame_id"]: f for f in lines}
        ok([there[f["frame_id"]]["input_state"] for f in run.tools()] == [run.full(f)["input_state"] for f in run.tools()] and
           [there[f["frame_id"]]["output_state"] for f in run.tools()] == [run.full(f)["output_state"] for f in run.tools()] and "whole" not in json.dumps(lines),
           under + "vcr-export --full writes it whole")
        files = {f["input_state"]["path"]: f for f in run.frames if f["node_name"].startswith("file:")}
        shell = [f for f in run.frames if f["node_name"] == "exec:sh"]
        want = {"poem.txt": write, "long.txt": long, "shell.txt": bash}
        ok(set(files) == set(want) and all(files[p]["parent_frame_id"] == t["parent_frame_id"] for p, t in want.items()) and [f["parent_frame_id"] for f in shell] == [bash["parent_frame_id"]],
           under + "each file and program hangs under the call that asked for it", {p: (f["parent_frame_id"], run.session.vcr(f)) for p, f in files.items()})
        if not api.startswith("gemini"):
            named = {p: (run.session.vcr(f).get("tool_call"), run.session.vcr(f).get("known_by")) for p, f in files.items()}
            ok(named == {"poem.txt": (ids[0], "alone"), "long.txt": (ids[1], "argument"), "shell.txt": (ids[2], "process")} and run.session.vcr(shell[0]).get("tool_call") == ids[2],
               under + "and names the tool call, of two that were pending the one whose argument says so", named, shell)

# ---- Sub-agents ----
TASKS = ["Count the first half of the words.", "Count the other half of the words."]
PLAN = {"Count all the words.": [[("task", {"prompt": p}) for p in TASKS], [("write", {"path": "sum.txt", "content": "42"})]]}
PLAN.update({p: [[("bash", {"command": "echo %d > half%d.txt" % (k, k)})]] for k, p in enumerate(TASKS)})
for api in ("anthropic", "chat"):
    for how in ("preload", "record", "gate"):
        run = Run(api, PLAN, "Count all the words.", "title", "router", how=how)
        under = "%s, %s: " % (api, how)
        calls = run.session.calls()
        groups = {}
        for f in calls:
            groups.setdefault(run.prompt(f), []).append(f)
        pids = {p: {run.session.vcr(f)["pid"] for f in fs} for p, fs in groups.items()}
        main, title, router = (groups.get(p + "Count all the words.", []) for p in ("", "A title for: ", "Who is to do this: "))
        tree = {p: [f["parent_frame_id"] for f in fs] for p, fs in groups.items()}
        chain = lambda fs, root: [root] + [f["frame_id"] for f in fs[:-1]]
        good = run.r.returncode == 0 and len(main) == 3 and len(title) == len(router) == 1 and all(len(groups.get(t, [])) == 2 for t in TASKS)
        ok(good and len(set().union(*pids.values())) == 3 and tree["Count all the words."] == chain(main, None) and [f["parent_frame_id"] for f in title + router] == [None] * 2 and
           all(tree[t] == chain(groups[t], main[0]["frame_id"]) for t in TASKS),
           under + "a run that calls the model from three processes, two of them sub-agents, shows as a tree, its title call and its router apart", run.r.stderr.decode()[-1500:], tree, pids)
        if not good:
            continue
        drawn = subprocess.run([os.path.join(BUILD, "vcr-log"), "--graph", "--type=llm", run.session.path], cwd=run.place.work, env=run.place.plain, stdout=subprocess.PIPE, text=True).stdout
        lane = {line.replace("*", "", 1).replace("|", "").split()[0]: line.index("*") for line in drawn.splitlines() if "*" in line}
        lanes = {p: {lane.get(str(run.frames.index(f))) for f in fs} for p, fs in groups.items()}
        ok(lanes["Count all the words."] == {0} and all(None not in lanes[t] and min(lanes[t]) > 0 for t in TASKS), under + "and is drawn as one, each sub-agent beside the lane that it came from", drawn, lanes)
        asked = {t["input_state"]["prompt"]: run.session.vcr(t)["tool_call"] for t in run.tools() if t["node_name"] == "tool:task"}
        ok({t: run.session.vcr(groups[t][0]).get("tool_call") for t in TASKS} == asked and {run.session.vcr(groups[t][0])["known_by"] for t in TASKS} == {"prompt"},
           under + "each sub-agent's first call names the tool call that it came from", asked, [run.session.vcr(groups[t][0]).get("known_by") for t in TASKS])
        halves = {f["input_state"]["path"]: f for f in run.frames if f["node_name"] == "file:write"}
        ok(set(halves) == {"half0.txt", "half1.txt", "sum.txt"} and all(halves["half%d.txt" % k]["parent_frame_id"] == groups[t][0]["frame_id"] for k, t in enumerate(TASKS)) and
           halves["sum.txt"]["parent_frame_id"] == main[1]["frame_id"], under + "each file hangs under the agent that wrote it", halves)

PLAN = {"Let it be counted.": [[("job", {"prompt": "Count the letters."})], [("job", {"prompt": "Count the lines."}), ("job", {"prompt": "Count the dots."})]], "As a job: Count the letters.": []}
run = Run("chat", PLAN, "Let it be counted.")
jobs = {run.prompt(f): f for f in run.session.calls() if run.prompt(f).startswith("As a job")}
main = [f for f in run.session.calls() if f not in jobs.values()]
letters = jobs.get("As a job: Count the letters.", {})
ok(letters and letters["parent_frame_id"] == main[0]["frame_id"] and (run.session.vcr(letters)["tool_call"], run.session.vcr(letters)["known_by"]) == ("call_%012d" % 1, "process"),
   "a process that was begun while one tool call was pending belongs to that call, whatever it says", letters and run.session.vcr(letters))
two = [jobs.get("As a job: Count the %s." % w, {}) for w in ("lines", "dots")]
ok(all(two) and all(f["parent_frame_id"] == main[1]["frame_id"] and "tool_call" not in run.session.vcr(f) for f in two),
   "of two that were pending none is named when nothing says which; the model call that asked for both is known", [f and run.session.vcr(f) for f in two])

# ---- The same words, seen twice ----
SERVER = r'''
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    r = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}} if m["method"] == "initialize" else {
        "content": [{"type": "text", "text": str(sum(m["params"]["arguments"]["numbers"]))}]}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)
'''
run = Run("anthropic", {"Add it up.": [[("mcp__sums__add", {"numbers": [1, 2, 39]})], [("remote", {"key": "ghp_16C7e42F292c6912E7710c838347Ae178B4a"})]]}, "Add it up.", env={"MCP_SERVER": SERVER})
served, told = [[f for f in run.tools() if f["node_name"] == n] for n in ("tool:add", "tool:mcp__sums__add")]
ok(len(served) == 1 and len(told) == 1 and run.session.vcr(told[0]).get("mcp", served[0]["frame_id"]) == served[0]["frame_id"] and run.session.vcr(served[0])["tool_call"] == run.session.vcr(told[0])["tool_call"] and
   served[0]["parent_frame_id"] == told[0]["parent_frame_id"] is not None, "a tool call that was also seen between client and MCP server is two frames, and the server's names the model's call", served, told)
remote = run.tool("remote")
ok("ghp_16C7e42F" not in open(run.session.path).read() and set(remote["input_state"]) == {"key"}, "a token among the arguments is not in the session", remote)
stamps = [f["timestamp"] for f in run.frames]
ok(stamps == sorted(stamps) and {f["frame_type"] for f in run.frames} <= {"node", "tool", "llm", "error", "checkpoint"} and
   all(isinstance(f[k], dict) for f in run.frames for k in ("input_state", "output_state")), "frames stay in order of time, of the five types, their states objects")

# ---- A collector that dies in between ----


class Killed(Run):
    """The collector is killed while the third request waits for its answer: by then two calls were asked for, and one is answered."""

    def turn(self, api, request):
        if len(request["messages"]) == 5 and not self.killed:
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    words = open(path, "rb").read().split(b"\0")
                    if b"--spool" in words and any(w.startswith(self.place.run_dir.encode()) for w in words):
                        os.kill(int(path.split("/")[2]), 9)
                        self.killed += 1
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return Run.turn(self, api, request)

    killed = 0


PLAN = {"Go on.": [[("write", {"path": "a.txt", "content": "a"})], [("write", {"path": "b.txt", "content": LONG})], [("write", {"path": "c.txt", "content": "c"})]]}
run = Killed("anthropic", PLAN, "Go on.")
told = [(f["input_state"]["path"], run.session.vcr(f)["tool_call"], "result" in f["output_state"], run.asked(f)) for f in run.tools()]
ok(run.r.returncode == 0 and run.killed and told == [(p, "call_%012d" % (k + 1), True, ["write"]) for k, p in enumerate(("a.txt", "b.txt", "c.txt"))] and not run.session.complaints,
   "when the collector is killed in between, each tool call is still told once, with its result", run.killed, told, run.session.complaints)

# ---- A request in a wrapper ----
CLIENT = r'''
import http.client, json, os, urllib.parse
u = urllib.parse.urlparse(os.environ["MODEL_HTTP"])
c = http.client.HTTPConnection(u.hostname, u.port)
items = [{"role": "user", "parts": [{"text": "one"}]}]
for k in range(3):
    c.request("POST", "/v1internal:generateContent", json.dumps({"model": "gemini-2.5-flash", "project": "p", "request": {"contents": items, "systemInstruction": {"parts": [{"text": "be"}]}}}),
              {"Content-Type": "application/json"})
    items += [json.loads(c.getresponse().read())["candidates"][0]["content"], {"role": "user", "parts": [{"text": "more %d" % k}]}]
'''
server = agentkit.server()
place = agentkit.Place(server)
r = place.run(sys.executable, "-c", CLIENT)
server.settle()
session = place.session()
calls = session.calls()
ok(len(calls) == 3 and not session.complaints and all(json.loads(session.body(f, "request")) == session.input(f) for f in calls) and
   [f["parent_frame_id"] for f in calls] == [None] + [f["frame_id"] for f in calls[:-1]], "a conversation in a wrapper, as Code Assist has it, goes on and is rebuilt whole", session.complaints, r.stderr)
agentkit.done()
