#!/usr/bin/python3
"""vcr verify: what was changed, lost or torn in a session file is named with its line. vcr golden: what is kept, shown and refused."""
import json
import os
import re
import sys

SOURCE = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.join(SOURCE, "tests", "cli"), os.path.join(SOURCE, "tests", "shim")]
import serverkit
import tapkit
from clikit import BUILD, END, Place, chat, done, frame, header, ok, said

CLIENT = """
import http.client, json, sys
connection, messages = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1])), []
for turn in range(4):
    messages.append({'role': 'user', 'content': 'question %d ' % turn * 40})
    connection.request('POST', '/v1/chat/completions', json.dumps({'model': 'gpt-4o', 'messages': messages}), {'Content-Type': 'application/json'})
    messages.append(json.loads(connection.getresponse().read())['choices'][0]['message'])
"""


def answer(request, path):
    n = len(request["messages"])
    return serverkit.completion("answer %d " % n * 60, usage={"prompt_tokens": n, "completion_tokens": 2, "total_tokens": n + 2})


server = serverkit.Model(answer)
recorded = tapkit.Session(os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector")))
del recorded.env["LD_PRELOAD"]
r = recorded.run(os.path.join(BUILD, "vcr-record"), "-q", "--session", "right", "--", sys.executable, "-c", CLIENT, str(server.port))
lines = open(os.path.join(recorded.work, ".vcr", "right.vcr"), "rb").read().splitlines(True)
place = Place()


def verify(*lines, torn=b""):
    place.write("s", *lines, raw=torn)
    return place.run("vcr-verify", "s")


bodies = [k for k, line in enumerate(lines) if line.startswith(b'{"type":"vcr.body"')]
calls = [k for k, line in enumerate(lines) if b'"frame_type":"llm"' in line]
status, out, err = verify(*lines)
ok(r.returncode == 0 and len(bodies) == 8 and len(calls) == 4 and status == 0 and not err and re.fullmatch(r"s: \d+ frames, 8 bodies, 0 faults; the hash of all lines holds\n", out),
   "a recording holds what was recorded", r, len(bodies), len(calls), status, out, err)

changed = list(lines)
changed[calls[1]] = lines[calls[1]].replace(b"answer 3", b"answer 5")
status, out, err = verify(*changed)
ok(status == 1 and changed != lines and "s.vcr:%d: the lines before it are not those that were recorded" % len(lines) in err, "one changed word of one frame is found by the hash at the end", out, err)

lost = lines[:bodies[0]] + lines[bodies[0] + 1:]
status, out, err = verify(*lost)
named = [int(n) for n in re.findall(r"s\.vcr:(\d+): the request, body \S+ is not in the file", err)]
ok(status == 1 and named == [calls[0]], "a body that is gone is named at the frame that wants it", calls, out, err)

data = json.loads(lines[bodies[-1]])
data["data"]["sha256"] = "0" * 64
status, out, err = verify(*lines[:bodies[-1]], data, *lines[bodies[-1] + 1:])
ok(status == 1 and "s.vcr:%d: " % (bodies[-1] + 1) in err, "a body whose bytes are not those that were hashed is named", out, err)

status, out, err = verify(*lines[:-1])
ok(status == 0 and "it has no end" in out, "a recording that was cut behind a whole line has no fault, and that it has no end is said", out, err)
status, out, err = verify(*lines[:-1], torn=lines[-1][:40])
ok(status == 1 and "s.vcr:%d: the last line is torn" % len(lines) in err, "a torn last line is a fault", out, err)
status, out, err = verify(*lines[:2], b"{oops\n", *lines[2:])
ok(status == 1 and "s.vcr:3: the line is damaged" in err, "a damaged line is a fault", out, err)
status, out, err = verify(header("s"), chat(0, [{"role": "user", "content": "a"}], said("b")), chat(1, [{"role": "user", "content": "c"}], said("d"), after=7, omitted=2))
ok(status == 1 and "s.vcr:3: " in err, "a frame whose conversation begins in a frame that is not there is a fault", out, err)
place.write("s", *lines)
report = place.json("vcr-verify", "--json", "s")
ok(len(report) == 1 and report[0] == dict(session="s", frames=report[0]["frames"], bodies=8, damaged_lines=0, faults=0, ended=True, sealed=True, good=True), "--json says the same", report)

# ---- golden ----
os.unlink(place.path("s"))
place.write("right", *lines)
place.write("failed", header("failed"), chat(0, [{"role": "user", "content": "a"}], None, kind="error", error_type="rate_limit"), END)
place.write("empty", header("empty"), END)


def golden(*words):
    return place.run("vcr-golden", *words)


status, out, err = golden("save", "--tag", "ci", "--tag", "night", "--identity", "model=gpt-4o", "Add a login page", "right")
kept = out.split()[0] if out else "?"
ok(status == 0 and re.fullmatch("[0-9a-f]{16}", kept) and open(place.path("golden/" + kept), "rb").read().splitlines(True) == lines, "save keeps a copy of the session, byte for byte", out, err)
ok(golden("save", "Add a login page", "failed")[0] == 1 and "1 failed call" in golden("save", "x", "failed")[2] and golden("save", "x", "empty")[0] == 1 and golden("list")[1].count("\n") == 1,
   "a session that failed, or is empty, is not kept unless it is forced")
ok(golden("save", "--force", "Add a login page", "failed")[0] == 0 and [g["session_id"] for g in place.json("vcr-golden", "list", "--json")] == ["right", "failed"],
   "without the identity the same task is another run")
ok([g["session_id"] for g in place.json("vcr-golden", "list", "--json", "--tag", "ci", "-t", "night")] == ["right"] and golden("list", "--tag", "ci", "--tag", "no")[1] == "", "list picks by tags")
shown = place.json("vcr-golden", "show", "--json", "-imodel=gpt-4o", " add a LOGIN page")
ok(len(shown) == 1 and shown[0]["fingerprint"] == kept and shown[0]["total_tokens"] == 24 and shown[0]["identity"] == {"model": "gpt-4o"} and shown[0]["file"] == ".vcr/golden/%s.vcr" % kept,
   "show tells what is known of one, however its task is written", shown)
status, out, err = golden("replay", "--json", "-imodel=gpt-4o", "add a login page")
spent = json.loads(err)
ok(status == 0 and [json.loads(o) for o in out.splitlines()] == [json.loads(line)["data"]["output_state"] for line in lines if b'"type":"frame"' in line] and
   spent["original"]["tokens"] == spent["saved"]["tokens"] == 24 and spent["replay"]["tokens"] == 0 and spent["saved"]["percent"] == 100 and spent["steps_rerun"] == 0,
   "replay without a command prints each frame's output, and what that saved", status, out, err)
status, out, err = golden("verify")
ok(status == 0 and out.count("\n") == 2, "verify checks each of them", out, err)
with open(place.path("golden/" + kept), "r+b") as f:
    f.seek(100)
    f.write(b"X")
ok(golden("verify", "-imodel=gpt-4o", "add a login page")[0] == 1 and golden("verify")[0] == 1 and golden("verify", "add a login page")[0] == 0, "… and names the one that was changed")
ok(golden("invalidate", "-imodel=gpt-4o", "add a login page")[0] == 0 and not os.path.exists(place.path("golden/" + kept)) and len(place.json("vcr-golden", "list", "--json")) == 1,
   "invalidate takes one off the list, with its file")
status, out, err = golden("replay", "-imodel=gpt-4o", "add a login page", "--", "true")
ok(status == 1 and not out and "no golden run is kept for 'add a login page' with that identity" in err and err.count("\n") == 1, "a task that nothing is kept for is one clear line", out, err)
ok([golden(*w)[0] for w in ((), ("frob",), ("save",), ("save", " "), ("save", "-i", "x", "t"), ("list", "t"), ("list", "--", "true"), ("replay", "t", "--"))] == [2] * 8, "a wrong call is told so")

# An index is hostile input: only fingerprints name files, and no file outside is read for it.
secret = os.path.join(place.dir, "secret.vcr")
os.rename(place.path("golden/" + place.json("vcr-golden", "list", "--json")[0]["fingerprint"]), secret)
with open(os.path.join(place.vcr_dir, "golden", "index.json"), "w") as f:
    json.dump({"../../secret": {"task": "a"}, "8eba4d1d5855a5ab": {"task": "a\x1b[2Jb", "file": secret, "tags": 7, "total_tokens": "many", "created_at": []}, "x": 1}, f)
status, out, err = golden("list")
ok(status == 0 and "a\\x1b[2Jb" in out and out.count("\n") == 1, "no terminal obeys an index, and what is no entry is not listed", out, err)
ok(golden("verify")[0] == 1 and golden("replay", "Build a REST API with JWT auth")[0] == 1, "the file that an index names elsewhere is not read")
server.close()
done()
