#!/usr/bin/python3
"""The Python package ai-agent-vcr and vcr read each other's session files."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import BUILD, HERE, done, ok, skip

PYTHON = os.environ.get("RIVAL_PYTHON") or agentkit.AGENTS_PYTHON
if not PYTHON or not os.access(PYTHON, os.X_OK):
    skip("ai-agent-vcr plays what vcr records, every method of its player included", "no ai-agent-vcr: neither RIVAL_PYTHON nor AGENTS_PYTHON is set")
    skip("vcr-export --full gives it complete states", "no ai-agent-vcr")
    skip("vcr reads the sessions, forks, golden files and diff_mode files that it writes", "no ai-agent-vcr")
    done()

AGENT = r'''
import http.client, http.server, json, os, subprocess, sys, threading


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        n = len(request["messages"])
        status = 429 if n == 6 else 200
        message = {"role": "assistant", "content": "answer %d \u00e4" % n}
        body = {"error": {"type": "rate_limit", "message": "slow down"}} if status != 200 else {
            "id": "x", "object": "chat.completion", "model": "gpt-4o", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10 * n, "completion_tokens": 5, "total_tokens": 10 * n + 5}}
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
messages, asked = [{"role": "system", "content": "Be brief."}], []
connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
for turn in range(5):
    messages.append({"role": "user", "content": "question %d" % turn, "__type__": "datetime", "data": 7} if turn == 1 else {"role": "user", "content": "question %d" % turn})
    request = {"model": "gpt-4o", "tools": [{"type": "function", "function": {"name": "bash"}}], "messages": messages, "_vcr": {"mine": turn}}
    connection.request("POST", "/v1/chat/completions", json.dumps(request), {"Content-Type": "application/json"})
    asked.append(json.loads(json.dumps(request)))
    answer = json.loads(connection.getresponse().read())
    messages.append(answer["choices"][0]["message"] if "choices" in answer else {"role": "assistant", "content": "never mind"})
    with open("notes.txt", "a") as f:
        f.write("turn %d\n" % turn)
    subprocess.run(["true"])
json.dump(asked, open(sys.argv[1], "w"))
'''


def rival(*words, cwd=None):
    r = subprocess.run([PYTHON, os.path.join(HERE, "player.py"), *words], cwd=cwd or place.dir, env=place.plain, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    if r.returncode:
        print("# " + r.stderr.replace("\n", "\n# "))
        return None
    return json.loads(r.stdout)


def vcr(*words):
    return subprocess.run([os.path.join(BUILD, words[0]), *words[1:]], cwd=place.work, env=dict(place.plain, VCR_COLLECTOR=agentkit.COLLECTOR), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=300)


def objects(*words):
    return [json.loads(line) for line in vcr(*words).stdout.splitlines()]


place = agentkit.Place()
asked_file = os.path.join(place.dir, "asked.json")
r = place.run(sys.executable, "-c", AGENT, asked_file, how="record")
asked = json.load(open(asked_file))
session = place.session()
calls = [k for k, f in enumerate(session.frames) if f["node_name"].startswith("llm:")]
ok(r.returncode == 0 and len(calls) == 5, "an agent's session is recorded", r.stderr, len(calls))

plain = rival("play", session.path, os.path.join(place.dir, "resumed"))
ok(plain and plain["frames"] == len(session.frames) and plain["nodes"] == [f["node_name"] for f in session.frames] and not plain["unused"],
   "ai-agent-vcr loads what vcr records; every method of its player runs on every frame", plain and plain["unused"])
tokens = sum(f["metadata"]["tokens_used"] or 0 for f in session.frames)
ok(plain and plain["tokens"] == tokens > 0 and plain["errors"] == 1 and plain["session"]["session_id"] == session.head["session_id"],
   "tokens, errors and the session's name are the same on both sides", plain and (plain["tokens"], tokens, plain["errors"]))
ok(plain and any("after" in i.get("_vcr", {}) for i in plain["inputs"]), "the plain file leaves out what an earlier frame shows")

windy = agentkit.Place()
r = windy.run("sh", "-c", "for i in $(seq 200); do echo > storm$i; done", how="record")
storm = windy.session()
stormy = rival("play", storm.path, os.path.join(place.dir, "resumed-storm"))
ok(r.returncode == 0 and stormy and "file:burst" in stormy["nodes"] and not stormy["unused"], "a storm of file changes that is told by one frame is loaded and shown too", r.stderr,
   stormy and stormy["nodes"])

full = os.path.join(place.dir, "full.vcr")
r = vcr("vcr-export", "--full", "-o", full)
ok(r.returncode == 0 and not r.stderr, "vcr-export --full writes the session", r.stderr)
whole = rival("play", full, os.path.join(place.dir, "resumed-full"))
shown = [json.loads(json.dumps(i)) for i in whole["inputs"]] if whole else []
for i in shown:
    i["_vcr"] = i.get("_vcr", {}).get("is") if isinstance(i.get("_vcr"), dict) else None
ok(whole and [shown[k] for k in calls] == asked, "each request in the export is complete, as ai-agent-vcr shows it", *[(shown[k], a) for k, a in zip(calls, asked) if shown[k] != a][:1])
ok(whole and whole["outputs"] == plain["outputs"] and not whole["unused"], "answers are the same, and every method of the player runs on the export")
ok([f["input_state"] for f in (objects("vcr-show", "--json", "call:%d" % k)[0] for k in range(5))] == asked == [f["input_state"] for f in (objects("vcr-show", "--json", full, "call:%d" % k)[0] for k in range(5))],
   "vcr-show gives the complete requests, from the session and from its export")

r = vcr("vcr-golden", "save", "--force", "--tag", "t", "Build a REST API with JWT auth")
theirs = rival("golden", ".vcr", "  build a REST api with jwt AUTH", cwd=place.work) if r.returncode == 0 else None
ok(theirs and theirs["outputs"] == plain["outputs"] and theirs["ledger"]["original"]["tokens"] == tokens and theirs["ledger"]["steps_replayed"] == len(session.frames),
   "ai-agent-vcr's golden cache replays a run that vcr-golden saved", r.stderr, theirs and theirs["ledger"])
ok(theirs and [(g["fingerprint"], g["task"], g["tags"], g["frame_count"]) for g in theirs["listed"]] == [("8eba4d1d5855a5ab", "Build a REST API with JWT auth", ["t"], len(session.frames))] and
   theirs["invalidated"] and vcr("vcr-golden", "list").stdout == "", "it lists it, and what it invalidates is gone for vcr-golden too", theirs and theirs["listed"])

theirs = os.path.join(place.dir, "theirs")
wrote = rival("write", theirs)
listed = {s["session_id"]: s for s in objects("vcr-log", "--vcr-dir", theirs, "--json")}
ok(wrote and set(listed) == {"plain", "forked", "resumed", "diff", "async"}, "vcr-log lists every session that ai-agent-vcr writes", sorted(listed))
ok(listed["plain"]["tags"] == ["t1", "t2"] and listed["plain"]["frames"] == 6 and listed["plain"]["tokens"] == 15 and listed["plain"]["cost_usd"] == 0.25, "with tags, frames, tokens and cost", listed["plain"])
ok([(listed[s]["parent_session_id"], listed[s]["forked_from_frame"]) for s in ("forked", "resumed")] == [("plain", 2), ("plain", 1)], "forks and resumed sessions name their parent and frame", listed)
lines = vcr("vcr-log", "--vcr-dir", theirs, "plain")
ok(lines.returncode == 0 and not lines.stderr and "Grüße 😀 → Hallo" in lines.stdout and "ToolError: not found" in lines.stdout and "ValueError: boom" in lines.stdout, "its frames read like ours", lines.stdout, lines.stderr)
for name, path in (("plain", os.path.join(theirs, "plain.vcr")), ("golden", wrote["golden"])):
    got = [objects("vcr-show", "--json", path, str(k))[0] for k in range(6)]
    lack = [(k, key) for k, f in enumerate(wrote["frames"]) for key in f if key != "timestamp" and got[k].get(key) != f[key]]
    ok(not lack, "each member of each frame of a %s file is shown as it was written" % name, lack, got[0], wrote["frames"][0])
got = [objects("vcr-show", "--json", os.path.join(theirs, "diff.vcr"), str(k))[0] for k in range(6)]
ok([f["input_state"] for f in got] == [{}] * 6 and got[0]["state_diff"] is None and all(f["state_diff"] for f in got[1:]), "a diff_mode file shows the differences that it holds", got)
ok("── changes ──" in vcr("vcr-show", os.path.join(theirs, "diff.vcr"), "5").stdout, "and people see them")
listed = objects("vcr-golden", "--vcr-dir", theirs, "list", "--json")
r = vcr("vcr-golden", "--vcr-dir", theirs, "replay", "--json", "A TASK")
ok([(g["fingerprint"], g["task"], g["tags"]) for g in listed] == [(wrote["fingerprint"], "a task", ["gold"])] and r.returncode == 0 and
   [json.loads(line) for line in r.stdout.splitlines()] == [f["output_state"] for f in wrote["frames"]] and json.loads(r.stderr)["original"]["tokens"] == 15,
   "vcr-golden lists and replays a run that ai-agent-vcr's golden cache saved", listed, r.stdout, r.stderr)
r = vcr("vcr-golden", "--vcr-dir", theirs, "verify")
ok(r.returncode == 0 and "6 frames" in r.stdout, "and verifies it", r.stdout, r.stderr)
r = vcr("vcr-export", "--full", os.path.join(theirs, "plain.vcr"))
ok(r.returncode == 0 and r.stdout == open(os.path.join(theirs, "plain.vcr")).read(), "a file of theirs is exported as it is")
done()
