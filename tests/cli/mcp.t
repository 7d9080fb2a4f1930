#!/usr/bin/python3
"""An agent's MCP server over stdio: each tool it was asked for is a frame with arguments and result; pipes that carry anything else are let go."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok

SERVER = r'''
import json, os, sys
def say(**m):
    os.write(1, (json.dumps(dict(m, jsonrpc="2.0")) + "\n").encode())
for line in sys.stdin:
    m = json.loads(line)
    p = m.get("params", {})
    if m["method"] == "initialize":
        say(id=m["id"], result={"protocolVersion": p["protocolVersion"], "serverInfo": {"name": "files", "version": "1"}, "capabilities": {"tools": {}}})
    elif m["method"] == "tools/list":
        say(id=m["id"], result={"tools": [{"name": "add", "inputSchema": {"type": "object"}}]})
    elif p.get("name") == "add":
        say(id=m["id"], result={"content": [{"type": "text", "text": str(sum(p["arguments"]["numbers"]))}]})
    elif p.get("name") == "fail":
        say(id=m["id"], result={"isError": True, "content": [{"type": "text", "text": "no such file"}]})
    elif p.get("name") == "slow":
        sys.exit(3)
    elif "id" in m:
        say(id=m["id"], error={"code": -32602, "message": "unknown tool"})
'''
AGENT = r'''
import json, socket, subprocess, sys
how, server = sys.argv[1:]
if how == "sockets":
    mine, its = socket.socketpair()
    child = subprocess.Popen([sys.executable, "-c", server], stdin=its, stdout=its)
    its.close()
    to = back = mine.makefile("rwb")
else:
    child = subprocess.Popen([sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    to, back = child.stdin, child.stdout
n = 0
def ask(method, params, answer=True):
    global n
    to.write(json.dumps({"method": method, "params": params, "jsonrpc": "2.0", "id": n}).encode() + b"\n")
    to.flush()
    n += 1
    if answer:
        m = json.loads(back.readline())
        assert m["id"] == n - 1
ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "a rather long one, so that the protocol stands far behind"}})
to.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
ask("tools/list", {})
ask("tools/call", {"name": "add", "arguments": {"numbers": [1, 2, 39]}})
ask("tools/call", {"name": "fail", "arguments": {"path": "x", "token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a"}})
ask("tools/call", {"name": "nothing", "arguments": {}})
ask("tools/call", {"name": "slow", "arguments": {}}, False)
child.wait()
'''


def frames(how, kind, *argv):
    place = agentkit.Place()
    r = place.run(*argv, how=kind)
    return r, place.session() if kind == "record" or os.path.isdir(os.path.join(place.work, ".vcr")) or place.spools() else None


for how in ("pipes", "sockets"):
    for kind, under in (("preload", "LD_PRELOAD"), ("record", "vcr-record")):
        title = "over %s under %s " % (how, under)
        r, session = frames(how, kind, sys.executable, "-c", AGENT, how, SERVER)
        tools = [(f["node_name"], f["input_state"], f["output_state"], f["metadata"]["error_type"], f["frame_type"])
                 for f in session.frames if f["node_name"].startswith("tool:")] if session else []
        want = [("tool:add", {"numbers": [1, 2, 39]}, {"result": {"content": [{"type": "text", "text": "42"}]}}, None, "tool"),
                ("tool:nothing", {}, {"error": {"code": -32602, "message": "unknown tool"}}, "rpc_error", "tool"),
                ("tool:slow", {}, {"error": "unanswered"}, "unanswered", "tool")]
        ok(r.returncode == 0 and [t for t in tools if t[0] != "tool:fail"] == want, title + "each tool call is a frame with its arguments and its result or error",
           r.stderr.decode()[-1000:], tools, session and session.end)
        failed = [t for t in tools if t[0] == "tool:fail"]
        ok(len(failed) == 1 and failed[0][3] == "tool_error" and failed[0][2]["result"]["isError"], title + "a result that is an error is said to be one", failed)
        lines = [l["data"] for l in session.lines if l["type"] == "vcr.mcp"] if session else []
        want = [("initialize", "client", True), ("notifications/initialized", "client", False), ("tools/list", "client", True)]
        ok([(l["method"], l["from"], "response" in l) for l in lines] == want, title + "its other messages are vcr.mcp lines", lines)
        ok(session and "ghp_16C7e42F" not in open(session.path).read(), title + "a token among the arguments is not in the session")


place = agentkit.Place()
r = place.run("/bin/sh", "-c", "echo '{\"a\": 1}' | cat | cat; echo '{\"method\": \"x\"}' | cat | tr x y; printf hello | /usr/bin/python3 -c 'print(input())' | cat", how="record")
session = place.session()
plain = place.run("/bin/sh", "-c", "echo '{\"a\": 1}' | cat | cat; echo '{\"method\": \"x\"}' | cat | tr x y; printf hello | /usr/bin/python3 -c 'print(input())' | cat", how="plain")
ok(r.stdout == plain.stdout and not [f for f in session.frames if f["node_name"].startswith("tool:")] and not [l for l in session.lines if l["type"] == "vcr.mcp"],
   "pipelines of other programs give what they give without us, and no frame", r.stdout, session.end)
agentkit.done()
