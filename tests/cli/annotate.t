#!/usr/bin/python3
"""What programs say about themselves: through the library's function, and as lines of the file in $VCR_ANNOTATE."""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import TOP, ok, skip

PYTHON = "/usr/bin/python3"
EXAMPLES = os.path.join(TOP, "examples")
SAY = r'''
import ctypes, http.client, json, os, signal, sys, threading
said = ctypes.CDLL(None).vcr_annotate
def say(**what): return said(json.dumps(what).encode())
def call(text):
    c = http.client.HTTPConnection(os.environ["MODEL_HTTP"].split("//")[1])
    c.request("POST", "/v1/chat/completions", json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}), {"Content-Type": "application/json"})
    c.getresponse().read()
def write(name):
    with open(name, "w") as f: f.write(name)
'''


def collectors(place):
    found = []
    for f in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = open(f, "rb").read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == "vcr-collector" and any(w.startswith(place.run_dir) for w in words):
            found.append(int(f.split("/")[2]))
    return found


def nodes(session):
    return [f for f in session.frames if f["frame_type"] == "node"]


def tree(session):
    """Node names as they are nested: {name: [inner, …]}."""
    by_id = {f["frame_id"]: f for f in session.frames}
    return {f["node_name"]: by_id[f["parent_frame_id"]]["node_name"] if f["parent_frame_id"] else None for f in nodes(session)}


def states(session):
    return {f["node_name"]: (f["input_state"], f["output_state"]) for f in nodes(session)}


server = agentkit.server()

# The three examples.
WANTED = {"plan": ({"goal": "tidy up"}, {"steps": 1}), "look": ({}, {"files": 3})}
place = agentkit.Place()
binary = os.path.join(place.dir, "annotate")
built = subprocess.run(["cc", "-Wall", "-Werror", "-I" + os.path.join(TOP, "tools"), os.path.join(EXAMPLES, "annotate.c"), "-o", binary])
node = shutil.which("node")
for what, argv in (("C", (binary,)), ("Python", (PYTHON, os.path.join(EXAMPLES, "annotate.py"))), ("node", (node, os.path.join(EXAMPLES, "annotate.cjs")))):
    title = "the example in %s records a node inside another, with states and tags, and does nothing where nobody records" % what
    if not argv[0]:
        skip(title, "there is no %s" % what)
        continue
    place = agentkit.Place()
    alone = place.run(*argv, how="plain")
    left = os.listdir(place.work)
    r = place.run(*argv, how="record")
    s = place.session()
    tags = [f["metadata"]["custom"].get("tags") for f in nodes(s) if f["node_name"] == "plan"]
    ok(built.returncode == 0 and alone.returncode == r.returncode == 0 and not alone.stdout + alone.stderr + r.stdout and left == [".git"] and states(s) == WANTED and
       tree(s) == {"plan": None, "look": "plan"} and tags == [["example"]], title, alone, r, states(s), tree(s), tags)
place = agentkit.Place()
r = place.run(PYTHON, os.path.join(EXAMPLES, "annotate.py"))
ok(states(place.session()) == WANTED, "a bare preload that does nothing else than annotate has a session", r)
static = os.path.join(place.dir, "static")
title = "a static program runs with the header, and its lines in $VCR_ANNOTATE are recorded"
with open(os.path.join(place.dir, "static.c"), "w") as f:
    f.write('#include <vcr.h>\n#include <stdio.h>\n#include <stdlib.h>\nint main(void) { FILE *f = fopen(getenv("VCR_ANNOTATE"), "a");\n'
            'fputs("{\\"node\\":\\"by-line\\"}\\n", f); return fclose(f) + vcr_annotate("{}") + 1; }\n')
if subprocess.run(["cc", "-static", "-w", "-I" + os.path.join(TOP, "tools"), f.name, "-o", static], stderr=subprocess.DEVNULL).returncode:
    skip(title, "nothing static can be built here")
else:
    place = agentkit.Place()
    r = place.run(static, how="record")
    ok(r.returncode == 0 and list(states(place.session())) == ["by-line"], title, r)

# What is inside.
place = agentkit.Place(server)
r = place.run(PYTHON, "-c", SAY + r'''
write("before")
assert say(begin="outer", input={"n": 1}) == 0
write("inside")
call("first")
write("after-call")
say(begin="inner"); os.system("echo x > by-child"); say(end="inner", output=[1, 2])
say(end="outer", error="it broke")
write("behind")
''', how="record")
s = place.session()
ids = {f["frame_id"]: f["node_name"] for f in s.frames}
parents = {f["input_state"].get("path", f["node_name"]): ids.get(f["parent_frame_id"]) for f in s.frames}
inside = {f["input_state"].get("path", f["node_name"]): ids.get(f["metadata"]["custom"]["vcr"].get("node")) for f in s.frames}
ok(r.returncode == 0 and [inside[k] for k in ("before", "inside", "llm:gpt-4o", "after-call", "by-child", "inner", "outer", "behind")] ==
   [None, "outer", "outer", "outer", "inner", "outer", None, None], "model calls, files and nodes name the node that they are in", r, inside)
ok([parents[k] for k in ("inside", "llm:gpt-4o", "after-call", "by-child", "inner", "behind")] == ["outer", "outer", "llm:gpt-4o", "inner", "outer", "llm:gpt-4o"],
   "a file's parent in a node is the last call there, else the node; a conversation's first call has the node", parents)
outer = [f for f in s.frames if f["node_name"] == "outer"][0]
ok(states(s)["inner"] == ({}, {"value": [1, 2]}) and outer["metadata"]["error_message"] == "it broke" and outer["metadata"]["latency_ms"] > 0,
   "a state that is no object is kept under value; an error is the node's", outer)

# Threads, ids, processes.
place = agentkit.Place(server)
r = place.run(PYTHON, "-c", SAY + r'''
def work(name):
    say(begin="work", input={"name": name}); both.wait(); say(node="step-" + name); both.wait(); say(end="work", output={"name": name})
both = threading.Barrier(2)
threads = [threading.Thread(target=work, args=(n,)) for n in "ab"]
for t in threads: t.start()
for t in threads: t.join()
say(begin="turn", id="1", input={"n": 1}); say(begin="turn", id="2", input={"n": 2}); say(end="turn", id="1", output={"n": 1}); say(end="turn", id="2", output={"n": 2})
say(begin="parent")
if os.fork() == 0:
    say(node="child"); os._exit(0)
os.wait()
say(begin="killed")
os.kill(os.getpid(), signal.SIGKILL)
''', how="record")
s = place.session()
by_id = {f["frame_id"]: f for f in s.frames}
name_of = lambda f: by_id[f["parent_frame_id"]]["input_state"].get("name", by_id[f["parent_frame_id"]]["node_name"])
pairs = [(f["input_state"], f["output_state"]) for f in nodes(s) if f["node_name"] in ("work", "turn")]
ok(len(pairs) == 4 and all(a == b for a, b in pairs) and [name_of(f) for f in nodes(s) if f["node_name"] == "step-a"] == ["a"] and
   [name_of(f) for f in nodes(s) if f["node_name"] == "step-b"] == ["b"], "threads have nodes of their own, and an id tells nodes of one thread apart", r, pairs)
ok(tree(s)["child"] == "parent", "what a child says is inside its parent's node", tree(s))
unfinished = {f["node_name"] for f in nodes(s) if f["metadata"]["custom"]["vcr"].get("unfinished")}
ok(r.returncode == -9 and unfinished == {"parent", "killed"}, "nodes of a program that was killed are in the session, marked as unfinished", unfinished)

# The file.
place = agentkit.Place(server)
r = place.run("/bin/sh", "-c", r'''
printf '{"begin":"by-shell","input":{"at":1}}\n{"tags":["inner"]}\n' >> "$VCR_ANNOTATE"
echo x > in-it; %s -c "$code"
echo '{"end":"by-shell"}' > "$VCR_ANNOTATE"
printf '{"node":"not-ended-by-a-newline"}' >> "$VCR_ANNOTATE"; stat -c %%a "$VCR_ANNOTATE"
''' % PYTHON, how="record", env={"code": SAY + "call('x')"})
s = place.session()
ids = {f["frame_id"]: f["node_name"] for f in s.frames}
inside = {f["input_state"].get("path", f["node_name"]): ids.get(f["metadata"]["custom"]["vcr"].get("node")) for f in s.frames}
ok(r.stdout == b"600\n" and {"by-shell", "not-ended-by-a-newline"} == set(states(s)) and inside["llm:gpt-4o"] == "by-shell" and inside["in-it"] == "by-shell",
   "lines that a shell appends to $VCR_ANNOTATE are recorded, one by one and around what other programs do, also when it empties the file", r, inside)
ok(not [n for n in os.listdir(os.path.join(place.run_dir, "vcr")) if n.endswith(".notes")], "nothing of the file is left when the session is over")

# The collector is killed: what is said while there is none is read by the one that takes its place.
place = agentkit.Place()
p = subprocess.Popen([os.path.join(agentkit.BUILD, "vcr-record"), "-q", "--session", "killed", "--", "/bin/sh", "-c",
                      'say() { echo "{\\"node\\":\\"$1\\"}" >> "$VCR_ANNOTATE"; }; say one; /bin/true; echo ready; read line; say two; /bin/true; echo ready; read line; say three'],
                     cwd=place.work, env=place.record, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
tool = lambda: subprocess.run([os.path.join(agentkit.BUILD, "vcr-log"), "--json", "killed"], cwd=place.work, env=place.record, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout
p.stdout.readline()
before = tool()
mine = collectors(place)
for pid in mine:
    os.kill(pid, signal.SIGKILL)
p.stdin.write(b"go on\n")
p.stdin.flush()
p.stdout.readline()
between = tool()
p.communicate(b"go on\n")
names = [f["node_name"] for f in nodes(place.session())]
ok(len(mine) == 1 and '"one"' in before and '"two"' in between and names == ["one", "two", "three"],
   "lines that are appended while the collector is dead are in the session, each once", mine, names, before, between)

# Hostile, secret, refused.
place = agentkit.Place()
r = place.run(PYTHON, "-c", SAY + r'''
assert said(b"x" * (300 << 10)) == -1 and said(None) == -1
for bad in (b"", b"{", b"[]", b'{"begin":""}', b'{"begin":7}', b'{"begin":"a","end":"a"}', b'{"begin":"%s"}' % (b"n" * 300), b'{"tags":"x"}', b"[" * 100000): said(bad)
say(node="a", input={"api_key": "Canary7Kx2Rm9Qw4Tz", "deep": eval("[" * 80 + "]" * 80)}, output={"text": "the key is Canary7Kx2Rm9Qw4Tz"}, tags=["Canary7Kx2Rm9Qw4Tz", 7, "t" * 300])
say(end="never begun", output={"n": 1})
for i in range(1030): say(begin="open")
with open(os.environ["VCR_ANNOTATE"], "ab") as f: f.write(b"x" * (600 << 10) + b'\n\0\0\n{"node":"behind-the-long-one"}\r\n')
''', how="record", env={"QUIET": "no"})
s = place.session()
end = s.end
text = open(s.path, "rb").read()
ok(r.returncode == 0 and b"Canary" not in text and {"a", "never begun", "open", "behind-the-long-one"} == set(states(s)), "secrets in annotations are replaced, and what is behind a hostile one is recorded",
   set(states(s)), text[max(0, text.find(b"Canary") - 300):][:600])
ok(end["annotations"]["refused"] == 1 + 8 + 6 + 1 and end["annotations"]["nodes"] == 2 + 1024 + 1 and "256 KiB" in end["annotations"]["refused_because"],
   "annotations that are too long, no JSON, without sense or too many are counted, with the reason of the first", end["annotations"])
place = agentkit.Place()
r = subprocess.run([os.path.join(agentkit.BUILD, "vcr-record"), "--", "/bin/sh", "-c", 'echo nonsense >> "$VCR_ANNOTATE"; echo "{\\"tags\\":[\\"nightly\\"]}" >> "$VCR_ANNOTATE"'],
                   cwd=place.work, env=place.record, stderr=subprocess.PIPE, text=True)
ok("annotations that were refused: 1; the first: not a JSON object" in r.stderr, "vcr-record says at the end what was refused", r.stderr)
r = subprocess.run([os.path.join(agentkit.BUILD, "vcr-log"), "--tag=nightly", "--json"], cwd=place.work, env=place.record, stdout=subprocess.PIPE, text=True)
ok(r.returncode == 0 and json.loads(r.stdout)["tags"] == ["nightly"], "tags that are given outside of nodes are the session's, and vcr-log finds it by them", r)
agentkit.done()
