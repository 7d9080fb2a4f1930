#!/usr/bin/python3
"""gemini-cli, an agent that runs on node: its model calls byte for byte, the files that its tools write, and the same again offline."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import nodekit
import troublekit
from agentkit import ok, skip
from geminikit import HOST, WANT, Gemini

TITLES = ("the session holds each model call of the agent, byte for byte", "the files that its tools wrote are in the session, each with its last content",
          "each file and each program follows the model call that asked for it",
          "each tool call of the agent is a frame with its arguments and its result")
ALONE = "the agent says and leaves what it does without us"
REPLAYED = "replayed with the model server gone, the agent says the same and leaves the same files"
NODES = {"node": ("preload", ALONE), "node24": ("record", REPLAYED)} # the agent takes its time: each promise once
NAMED = "its model is spoken to by its real name, with no variable that says another"

troublekit.enter(HOST, __file__)
for node, (how, last_title) in NODES.items():
    why = nodekit.missing(node, True)
    if why:
        for title in (*TITLES, NAMED, last_title):
            skip("%s: %s" % (node, title), why)
        continue
    run = Gemini(node, troublekit.inside())
    run.run(how)
    session, calls = run.place.session(), [c for c in run.server.calls() if c["method"] == "POST"]
    frames = session.calls()
    same = [session.body(f, "request") == c["request"] and session.body(f, "response") == c["answer"] and f["frame_type"] == "llm" for f, c in zip(frames, calls)]
    ok(run.r.returncode == 0 and len(frames) == len(calls) >= len(run.turns) and all(same) and not session.complaints, "%s: %s" % (node, TITLES[0]),
       run.r.returncode, run.r.stderr.decode()[-2000:], "%d frames, %d calls" % (len(frames), len(calls)), same, session.complaints)

    title = "%s: %s" % (node, NAMED)
    if troublekit.inside():
        ok(frames and {session.vcr(f)["host"] for f in frames} == {HOST}, title, [session.vcr(f)["host"] for f in frames])
    else:
        skip(title, "no namespaces in which names can be made up")

    there, last, writers = run.files(), {}, {}
    for f in session.frames:
        if f["node_name"] == "file:write":
            last[f["input_state"]["path"]] = f
            writers.setdefault(f["input_state"]["path"], []).append(f)
    contents = {p: open(os.path.join(session.dir, f["output_state"]["content"]), "rb").read() for p, f in last.items() if "content" in f["output_state"]}
    ok(there == WANT and {p: contents.get(p) for p in WANT} == WANT and len(writers["poem.txt"]) == 2, "%s: %s" % (node, TITLES[1]), there, contents, sorted(writers))

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
        other = Gemini(node, troublekit.inside())
        other.run("plain")
    else:
        other = run
        run.again(session)
    ok((said, there) == (other.said(), other.files()), "%s: %s" % (node, last_title), said, other.said(), sorted(there), sorted(other.files()), other.r.stderr.decode()[-2000:])
agentkit.done()
