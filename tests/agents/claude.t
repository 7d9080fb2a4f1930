#!/usr/bin/python3
"""claude-code by its model's real name, both as a node script and as Bun's single file: recorded, and the same again offline."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import nodekit
from agentkit import ok, skip
from claudekit import WANT, Claude, recorded, written

TITLES = ("the session holds each model call of the agent with its whole request and answer", "its tools' calls stand in them, and what the tools wrote and ran is in the session",
          "in a namespace without routes, its model gone, the agent says the same and leaves the same files", "and each of its questions is answered from the recording")
# How the agent is made, how it is recorded, what .vcr/config says besides where its model is, and the lane that it gets.
RUNS = {"native, vcr-record told nothing": ("bun", "record", ()), "native, a bare preload": ("bun", "preload", ()), "for node 20, through the gate": ("node", "gate", ()),
        "for node 20, a bare preload with lane gate": ("node", "preload", ("lane gate",))}

for name, (kind, how, config) in RUNS.items():
    why = nodekit.no_claude(kind) or (None if agentkit.OFFLINE else "no user namespaces")
    if why:
        for title in TITLES:
            skip("%s: %s" % (name, title), why)
        continue
    claude = Claude(kind)
    claude.configure(*config)
    r = claude.run(how)
    there, asked, session = claude.files(), claude.asked(), claude.place.session()
    said = r.returncode, r.stdout
    lanes = {v["lane"] for v in session.end["coverage"] if v["model_calls"]}
    ok(r.returncode == 0 and len(asked) >= 3 and recorded(session) == asked and lanes == {"gate"} and not session.complaints and not session.end["unseen"], "%s: %s" % (name, TITLES[0]),
       r.returncode, r.stderr.decode()[-2000:], len(asked), len(recorded(session)), session.end["coverage"], session.end["unseen"], session.complaints)
    tools = {b["name"] for f in session.calls() if f["frame_type"] == "llm" for b in f["output_state"]["response"].get("content", []) if b["type"] == "tool_use"}
    shells = [f for f in session.frames if f["node_name"] == "exec:bash" and any("shell.txt" in a for a in f["input_state"]["argv"])]
    files = written(session)
    ok(there == WANT and {p: files.get(p) for p in WANT} == WANT and tools == {"Write", "Bash"} and shells, "%s: %s" % (name, TITLES[1]), there, files, tools, len(shells))
    claude.server.close()
    r = claude.replay(session)
    ok((r.returncode, r.stdout) == said and claude.files() == WANT, "%s: %s" % (name, TITLES[2]), r.returncode, r.stdout, r.stderr.decode()[-3000:], sorted(claude.files()))
    ok(" 0 missed; nothing went to the network" in r.stderr.decode(), "%s: %s" % (name, TITLES[3]), r.stderr.decode()[-3000:])


def refused(err):
    return [tool for tools in re.findall(r" (?:was|were) refused: (.*)", err) for tool in tools.split("); ")]


def left(err):
    """Tools that were not asked for, and those that were refused, but for what it asks git while it starts or ends: how far it comes with that is a race, either time."""
    return [tool for tool in refused(err) + [l for l in err.splitlines() if "not asked for: " in l] if "/git " not in tool]


def ended(r, err):
    """Its status and what it says; that git was refused something is vcr-replay's status 1."""
    return 0 if r.returncode == 1 and refused(err) else r.returncode, r.stdout


title = "with --hermetic none of its tools runs, each is answered, and it says the same and leaves the same files"
why = nodekit.no_claude("bun") or (None if agentkit.OFFLINE else "no user namespaces")
if why:
    skip(title, why)
else:
    claude = Claude("bun")
    claude.configure("capture all")
    r = claude.run("record")
    said, session = (r.returncode, r.stdout), claude.place.session()
    claude.server.close()
    r = claude.replay(session, "--hermetic", "-v")
    err = r.stderr.decode()
    ok(ended(r, err) == said and claude.files() == WANT and " 0 missed; nothing went to the network" in err and "answered from the session" in err and not left(err),
       title, r.returncode, r.stdout, err[-3000:], sorted(claude.files()))

SERVER = r"""
import json, os, sys
open(os.environ["RAN"], "a").write("1\n")
for line in sys.stdin:
    m = json.loads(line)
    p, say = m.get("params", {}), None
    if m.get("method") == "initialize":
        say = {"protocolVersion": p["protocolVersion"], "serverInfo": {"name": "notes", "version": "1"}, "capabilities": {"tools": {}}}
    elif m.get("method") == "tools/list":
        say = {"tools": [{"name": "note", "description": "Notes it", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}]}
    elif m.get("method") == "tools/call":
        open("noted.txt", "w").write(p["arguments"]["text"] + "\n")
        say = {"content": [{"type": "text", "text": "noted at " + str(os.getpid())}]}
    if "id" in m:
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": say or {}}), flush=True)
"""
title = "with --hermetic an MCP server that is configured at start does not run again: its tool is answered, and what it wrote is there"
if why:
    skip(title, why)
else:
    claude = Claude("bun")
    claude.configure("capture all")
    ran, server, config = (os.path.join(d, n) for d, n in ((claude.place.run_dir, "ran"), (claude.place.dir, "server.py"), (claude.place.dir, "mcp.json")))
    with open(server, "w") as f:
        f.write(SERVER)
    with open(config, "w") as f:
        json.dump({"mcpServers": {"notes": {"command": sys.executable, "args": [server], "env": {"RAN": ran}}}}, f)
    claude.command += ["--mcp-config", config, "--strict-mcp-config"]
    claude.turns[:1] = [("I note it.", "mcp__notes__note", {"text": "a note"})]
    r = claude.run("record")
    said, session, files = (r.returncode, r.stdout), claude.place.session(), claude.files()
    claude.server.close()
    os.unlink(os.path.join(claude.place.work, "noted.txt"))
    r = claude.replay(session, "--hermetic", "-v")
    err = r.stderr.decode()
    calls = [f for f in session.frames if f["node_name"] == "tool:note" and "source" in session.vcr(f)]
    ok(ended(r, err) == said and files == claude.files() and files["noted.txt"] == b"a note\n" and files["shell.txt"] and len(open(ran).readlines()) == 1 and calls and
       " 0 missed; nothing went to the network" in err and "answered from the session" in err and not left(err),
       title, said, r.returncode, r.stdout, err[-3000:], files, claude.files(), open(ran).read(), len(calls))
agentkit.done()
