#!/usr/bin/python3
"""gemini-cli, an agent that runs on node: its model calls byte for byte, the files that its tools write, and the same again offline."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import nodekit
import replies
from agentkit import ok, skip

TITLES = ("the session holds each model call of the agent, byte for byte", "the files that its tools wrote are in the session, each with its last content",
          "each file and each program follows the model call that asked for it",
          "each tool call of the agent is a frame with its arguments and its result")
ALONE = "the agent says and leaves what it does without us"
REPLAYED = "replayed with the model server gone, the agent says the same and leaves the same files"
NODES = {"node": ("preload", ALONE), "node24": ("record", REPLAYED)} # the agent takes its time: each promise once
MODEL = "gemini-2.5-flash"
SETTINGS = {"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}, "privacy": {"usageStatisticsEnabled": False},
            "general": {"disableAutoUpdate": True, "disableUpdateNag": True}}
POEM = "Zeile eins\nZeile zwei: où? 日本語 ☃\n"


def turns(work):
    """What the model says and has done, a turn each: (text, tool, its arguments, the file that is written)."""
    return [("I write a poem.", "write_file", {"file_path": os.path.join(work, "poem.txt"), "content": POEM}, "poem.txt"),
            ("The shell writes too.", "run_shell_command", {"command": "printf 'from the shell\\n' > shell.txt && cp shell.txt copy.txt"}, "shell.txt"),
            ("One word is wrong.", "replace", {"file_path": os.path.join(work, "poem.txt"), "old_string": "zwei", "new_string": "drei", "instruction": "mend", "allow_multiple": False}, "poem.txt"),
            ("Done.", None, None, None)]


class Run:
    """The agent at work, once."""

    def __init__(self, node, how):
        self.server = agentkit.server()
        self.place = agentkit.Place(self.server)
        self.turns = turns(self.place.work)
        self.server.script = self.turn
        os.makedirs(os.path.join(self.place.home, ".gemini"))
        with open(os.path.join(self.place.home, ".gemini", "settings.json"), "w") as f:
            json.dump(SETTINGS, f)
        gemini = os.path.join(nodekit.AGENTS_NPM, "node_modules", "@google", "gemini-cli", "bundle", "gemini.js")
        self.env = {"NODE_EXTRA_CA_CERTS": self.server.ca, "GOOGLE_GEMINI_BASE_URL": self.server.https, "GEMINI_API_KEY": "AIzaSyTest0123456789abcdefghijklmnopqrs",
                    "GEMINI_CLI_TRUST_WORKSPACE": "true", "TERM": "dumb"}
        self.command = [nodekit.program(node), gemini, "-y", "-m", MODEL, "-p", "Write a poem, and mend it."]
        self.r = self.place.run(*self.command, how=how, env=self.env)
        self.server.settle()
        self.server.close()

    def again(self, session):
        """The same command in the same place as it was, its model being the recording."""
        for name in self.files():
            os.unlink(os.path.join(self.place.work, name))
        shutil.rmtree(os.path.join(self.place.home, ".gemini", "tmp"), True)
        replay = [os.path.join(agentkit.BUILD, "vcr-replay"), "-q", session.path, "--"]
        self.r = subprocess.run(replay + self.command, cwd=self.place.work, env={**self.place.record, **self.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=300)

    def turn(self, api, request):
        n = sum(c.get("role") == "model" for c in request.get("contents", []))
        if api != "gemini.generate" or n >= len(self.turns):
            return None
        text, tool, arguments, _ = self.turns[n]
        used = len(json.dumps(request)) // 4
        return replies.Reply(text, MODEL, [("call_%d" % n, tool, arguments)] if tool else [], used, 20, "g%d" % n)

    def said(self):
        return self.r.returncode, re.sub(r"/tmp/\S*|/var/tmp/\S*", "X", self.r.stdout.decode())

    def files(self):
        """Path to content, of all but .git and .vcr."""
        out = {}
        for d, names, files in os.walk(self.place.work):
            names[:] = [n for n in names if n not in (".git", ".vcr")]
            out.update({os.path.relpath(os.path.join(d, f), self.place.work): open(os.path.join(d, f), "rb").read() for f in files})
        return out


for node, (how, last_title) in NODES.items():
    why = nodekit.missing(node, True)
    if why:
        for title in TITLES + (last_title,):
            skip("%s: %s" % (node, title), why)
        continue
    run = Run(node, how)
    session, calls = run.place.session(), [c for c in run.server.calls() if c["method"] == "POST"]
    frames = session.calls()
    same = [session.body(f, "request") == c["request"] and session.body(f, "response") == c["answer"] and f["frame_type"] == "llm" for f, c in zip(frames, calls)]
    ok(run.r.returncode == 0 and len(frames) == len(calls) >= len(run.turns) and all(same) and not session.complaints, "%s: %s" % (node, TITLES[0]),
       run.r.returncode, run.r.stderr.decode()[-2000:], "%d frames, %d calls" % (len(frames), len(calls)), same, session.complaints)

    there, last, writers = run.files(), {}, {}
    for f in session.frames:
        if f["node_name"] == "file:write":
            last[f["input_state"]["path"]] = f
            writers.setdefault(f["input_state"]["path"], []).append(f)
    contents = {p: open(os.path.join(session.dir, f["output_state"]["content"]), "rb").read() for p, f in last.items() if "content" in f["output_state"]}
    want = {"poem.txt": POEM.replace("zwei", "drei").encode(), "shell.txt": b"from the shell\n", "copy.txt": b"from the shell\n"}
    ok(there == want and {p: contents.get(p) for p in want} == want and len(writers["poem.txt"]) == 2, "%s: %s" % (node, TITLES[1]), there, contents, sorted(writers))

    number = {f["frame_id"]: i for i, f in enumerate(frames)}
    strangers = []
    for path, fs in writers.items():
        for f in fs:
            at = number.get(f["parent_frame_id"])
            call = json.loads(session.body(frames[at], "request")) if at is not None else {}
            asked = run.turns[min(sum(c.get("role") == "model" for c in call.get("contents", [])), len(run.turns) - 1)]
            if path not in json.dumps(asked) or not session.vcr(f).get("pid") or session.vcr(f).get("source") != "shim":
                strangers.append((path, at, session.vcr(f)))
    shells = [f for f in session.frames if f["node_name"].startswith("exec:") and any("shell.txt" in a for a in f["input_state"].get("argv", []))]
    ok(not strangers and writers and shells and all(number.get(f["parent_frame_id"]) is not None for f in shells), "%s: %s" % (node, TITLES[2]), strangers,
       [f["input_state"] for f in session.frames if f["node_name"].startswith("exec:")])

    tools = [f for f in session.frames if f["node_name"].startswith("tool:")]
    asked = [(t[1], t[2]) for t in run.turns if t[1]]
    ok([(f["node_name"], f["input_state"]) for f in tools] == [("tool:" + n, a) for n, a in asked] and all("result" in f["output_state"] for f in tools) and
       all(f["parent_frame_id"] in number for f in tools), "%s: %s" % (node, TITLES[3]), tools)

    said = run.said()
    if last_title == ALONE:
        other = Run(node, "plain")
    else:
        other = run
        run.again(session)
    ok((said, there) == (other.said(), other.files()), "%s: %s" % (node, last_title), said, other.said(), sorted(there), sorted(other.files()), other.r.stderr.decode()[-2000:])
agentkit.done()
