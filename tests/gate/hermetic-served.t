#!/usr/bin/python3
"""A server that is a tool: an MCP server over stdio that an agent begins once it has spoken to its model. --hermetic answers in its place, request by request."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import clikit, done, ok
from hermetickit import World

SERVER = r"""
import json, os, sys
open(os.environ["RAN"], "a").write("1\n")
print("listening", file=sys.stderr, flush=True)
def say(**m):
    os.write(1, (json.dumps(dict(m, jsonrpc="2.0")) + "\n").encode())
for line in sys.stdin:
    m = json.loads(line)
    p = m.get("params", {})
    if m.get("method") == "initialize":
        say(id=m["id"], result={"protocolVersion": p["protocolVersion"], "serverInfo": {"name": "files", "version": "1"}, "capabilities": {"tools": {}}})
    elif m.get("method") == "tools/list":
        say(id=m["id"], result={"tools": [{"name": "add", "inputSchema": {"type": "object"}}]})
    elif p.get("name") == "add":
        say(method="notifications/progress", params={"progressToken": p["_meta"]["progressToken"], "progress": 1})
        say(id=m["id"], result={"content": [{"type": "text", "text": str(sum(p["arguments"]["numbers"]))}], "big": "b" * 20000})
    elif p.get("name") == "where":
        open("made", "w").write("by the server\n")
        say(id=m["id"], result={"content": [{"type": "text", "text": os.getcwd()}]})
    elif p.get("name") == "note":
        print("noting " + p["arguments"]["text"], file=sys.stderr, flush=True)
        open("note-" + p["arguments"]["text"], "w").write("noted\n")
        say(id=m["id"], result={"content": []})
    elif p.get("name") == "end":
        sys.exit(3)
    elif p.get("name") == "slow":
        pass
    elif "id" in m:
        say(id=m["id"], error={"code": -32602, "message": "unknown tool"})
sys.exit(4)
"""
AGENT = r"""
import glob, json, os, socket, subprocess, sys, urllib.request
model, _, first, how, *calls = sys.argv[1:]

def ask_model():
    urllib.request.urlopen(urllib.request.Request(model, b'{"model": "m"}', {"Content-Type": "application/json"})).read()

if not how.startswith("early"):
    ask_model()
server = subprocess.Popen(["sh", "-c", "python3 server.py; exit $?"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
n = int(first)

def ask(method, params):
    global n
    n += 1
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": n, "method": method, "params": params}).encode() + b"\n")
    server.stdin.flush()
    while line := server.stdout.readline():
        m = json.loads(line)
        if m.get("id") == n:
            return {k: v for k, v in m.items() if k != "id"}
        print("meanwhile", m["method"], m["params"].get("progressToken") == "t%d" % n)
    return "gone"

print(json.dumps(ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}})))
server.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
print(json.dumps(ask("tools/list", {})))
if how.startswith("early"):
    ask_model()
for c in calls:
    name, _, arguments = c.partition(" ")
    if name == "bare":  # a question that says which server and nothing more
        for path in glob.glob(os.environ["XDG_RUNTIME_DIR"] + "/**/*.tools", recursive=True):
            for k in range(4 if not os.path.isdir(path) else 0):
                s = socket.socket(socket.AF_UNIX)
                s.connect(path)
                s.sendall(b"\x01%d\0" % k)
                s.shutdown(socket.SHUT_WR)
                s.recv(100)
        continue
    if name == "look":  # at what the server has done so far, and said
        print("there", sorted(glob.glob("note-*")), os.read(server.stderr.fileno(), 1000) if arguments else "")
        continue
    if name == "within":  # a tool that asks a server by a pipe of its own
        asks = r'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'
        for fed in subprocess.DEVNULL, subprocess.PIPE:
            p = subprocess.Popen(["sh", "-c", "echo begin; echo '%s' | python3 server.py; echo end $?" % asks], stdin=fed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            print(p.communicate()[0].decode(), p.returncode)
        continue
    if name == "slow":  # is not answered: it is cancelled
        n += 1
        for m in {"id": n, "method": "tools/call", "params": {"name": "slow", "arguments": {}}}, {"method": "notifications/cancelled", "params": {"requestId": n}}:
            server.stdin.write(json.dumps(dict(m, jsonrpc="2.0")).encode() + b"\n")
        server.stdin.flush()
        continue
    print(json.dumps(ask("tools/call", {"name": name, "arguments": json.loads(arguments or "{}"), "_meta": {"progressToken": "t%d" % (n + 1)}})))
server.terminate() if how.endswith("kill") else server.stdin.close()
print(server.stderr.readline(), server.wait())
"""
world = World()
ran = world.env["RAN"] = os.path.join(world.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
open(ran, "w").close()
world.agent = os.path.join(world.dir, "agent.py")
for name, text in (("agent.py", AGENT), ("server.py", SERVER)):
    with open(os.path.join(world.dir, name), "w") as f:
        f.write(text)
ADD, WHERE = 'add {"numbers": [1, 2, 39]}', "where"


def runs():
    return len(open(ran).readlines())


said, err, status = world.record("calls", "0", "close", ADD, ADD, WHERE, "nothing")
ok('"text": "42"' in said and world.dir in said and "unknown tool" in said and "b'listening\\n' 4" in said and runs() == 1 and not err, "an MCP server that is a tool is what it would be when it is recorded", said[-500:], err)
other = clikit.Place()
again, err, status, _ = world.replay("calls", "100", "close", ADD, ADD, WHERE, "nothing", options=("--hermetic",), cwd=other.dir)
made = os.path.join(other.dir, "made")
ok(again == said.replace(world.dir, other.dir) and runs() == 1 and status == 0 and again.count("meanwhile notifications/progress True") == 2,
   "--hermetic: it does not run; each request has the answer that it had, by the id, token and directory of this run", said, again, err, status)
ok(os.path.exists(made) and open(made).read() == "by the server\n" and "1 tool was answered" in err, "what it did to files is done again", err)
again, err, status, _ = world.replay("calls", "0", "close", WHERE, 'add {"numbers": [5]}', ADD, ADD, ADD, options=("--hermetic",))
lines = again.splitlines()
ok(runs() == 1 and status == 1 and again.count('"42"') == 2 and "vcr replay: tools/call add" in again and 'tools/call add {"numbers":[5]} (it was not recorded)' in err and err.count("tools/call add") == 2 and "b'listening" in again,
   "requests in another order are answered; what was not recorded, or not so often, is an error of the server's, and named at the end", again, err, status)
said, err, status = world.record("ends", "0", "close", ADD, "end")
again, err, status, _ = world.replay("ends", "0", "close", ADD, "end", options=("--hermetic",))
ok('"gone"' in said and said.endswith(" 3\n") and again == said and runs() == 2, "one that ended instead of answering ends so again", said, again, err)
said, err, status = world.record("killed", "0", "kill", ADD)
again, err, status, _ = world.replay("killed", "0", "kill", ADD, options=("--hermetic",))
ok(said.endswith(" -15\n") and again == said and status == 0 and runs() == 3, "one that is killed when it is no more needed is so again", said, again, err)
said, err, status = world.record("cancelled", "0", "close", "slow", ADD, "bare", ADD)
again, err, status, _ = world.replay("cancelled", "0", "close", "slow", ADD, "bare", ADD, options=("--hermetic",))
ok(said.count('"42"') == 2 and said.endswith(" 4\n") and again == said and status == 0 and runs() == 4,
   "a request that was cancelled is not answered again, and those behind it are; a question without a line is no harm", said, again, err, status)
said, err, status = world.record("within", "0", "close", "within")
again, err, status, _ = world.replay("within", "0", "close", "within", options=("--hermetic",))
ok(said.count("begin\n") == said.count("end 4\n") == 2 and said.count('"add"') == 3 and again == said and status == 0 and runs() == 7, "a tool that has asked a server itself prints all that it did", said, again, err, status)

# ---- One that is configured at start: it begins before the first model call ----

os.unlink(made)
for session, how in ("at-start", "early"), ("at-start-killed", "early-kill"):
    said, err, status = world.record(session, "0", how, ADD, ADD, WHERE, "nothing")
    count = runs()
    again, err, status, _ = world.replay(session, "100", how, ADD, ADD, WHERE, "nothing", options=("--hermetic",), cwd=other.dir)
    ok(said.count('"text": "42"') == 2 and again == said.replace(world.dir, other.dir) and runs() == count and status == 0 and "1 tool was answered" in err and os.path.exists(made),
       "a server that begins before the first model call does not run either, and is answered as one that begins later%s" % (", where it is killed at the end too" if how != "early" else ""), said, again, err, status)
for session, how in ("steps", "close"), ("steps-at-start", "early"):
    doings = "look", 'note {"text": "one"}', "look all", 'note {"text": "two"}', "look all"
    notes = [os.path.join(world.dir, "note-" + n) for n in ("one", "two")]
    said, err, status = world.record(session, "0", how, *doings)
    for n in notes:
        os.unlink(n)
    again, err, status, _ = world.replay(session, "0", how, *doings, options=("--hermetic",))
    ok("there []" in said and "there ['note-one'] b'listening\\nnoting one\\n'" in said and "there ['note-one', 'note-two'] b'noting two\\n'" in said and again == said and status == 0,
       "what a server did to files is done when it is asked for it, and its error output comes then%s" % (", where it was configured at start too" if how == "early" else ""), said, again, err)
    for n in notes:
        os.unlink(n)
again, err, status, _ = world.replay("steps", "0", "close", 'note {"text": "two"}', "look all", options=("--hermetic",))
ok("there ['note-two'] b'listening\\nnoting one\\nnoting two\\n'" in again, "what it did for requests that are not made is not done", again, err)
again, err, status, _ = world.replay("ends", "0", "close", "end", options=("--hermetic",))
ok('"gone"' in again and again.endswith(" 3\n"), "a server that ended on a request ends on it also where it is asked less before", again, err)
count = runs()
again, err, status, _ = world.replay("at-start", "0", "early", ADD, 'add {"numbers": [5]}', options=("--hermetic",))
ok(runs() == count and status == 1 and 'tools/call add {"numbers":[5]} (it was not recorded)' in err, "and what it was not asked when it was recorded is an error of the server's, and named", again, err, status)
done()
