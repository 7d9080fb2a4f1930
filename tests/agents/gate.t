#!/usr/bin/python3
"""Real client packages whose calls pass the gate: they hear what they hear without it, and the session is what the tap would have recorded."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import callcheck
import clients
from agentkit import ok

RUNS = [("openai", "sync"), ("anthropic", "async"), ("genai", "sync"), ("httpx", "async"), ("requests", "sync plain"), ("aiohttp", "async")]
SAME = [("openai", "sync"), ("anthropic", "async")]
NAMES = ["%s %s through the gate" % run for run in RUNS]
SAYS = ("the tap and the gate recorded the same requests and answers, byte for byte", "cut, aborted, refused and malformed answers end as they do without us")
RETRY = "a 429 is asked again, as often and with the same fields as without us"
KILLED = ("the gate's death in the midst of a stream is a broken connection to the client", "and its next question goes to the model itself")
agentkit.need_agents(*["%s: %s" % (n, p) for n in NAMES for p in callcheck.PROMISES], *["%s %s: %s" % (*run, s) for run in SAME for s in SAYS], RETRY, *KILLED)
ASK = """
import os, openai, sys
client = openai.OpenAI(base_url=os.environ["MODEL_HTTPS"] + "/v1", api_key="sk-test-0123456789abcdefghijklmnopqrstuvwxyz", max_retries=int(sys.argv[1]))
def ask(text, **more):
    return client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}], **more)
"""


def hosts(server):
    return {"VCR_MODEL_HOSTS": "localhost:%d,127.0.0.1:%d" % (server.tls_port, server.port)}


def hear(run, how):
    """(session or None, {question: call}, {question: what the client heard}), of a server of its own: what was released stays released."""
    server = agentkit.server()
    place = agentkit.Place(server)
    r = place.run(agentkit.AGENTS_PYTHON, agentkit.CLIENTS, run[0], "100", *run[1].split(), how=how, env=hosts(server))
    for q in range(100, 100 + len(clients.ASKS)):
        for style in "sa":
            server.release("%d-%s" % (q, style))
    server.settle()
    server.close()
    heard = {h["q"]: h for h in map(json.loads, r.stdout.splitlines())}
    return None if how == "plain" else place.session(), {c["q"]: c for c in server.calls()}, heard


def recorded(session, cut):
    """By question, what must not depend on the lane. An answer that was reset may have lost its end on the way."""
    out = {}
    for f in session.calls():
        v, request = session.vcr(f), session.body(f, "request")
        q = agentkit.question(request)
        keep = ("api", "scheme", "method", "path", "status", "streamed", "k0", "k1", "stop_reason")
        out[q] = dict({k: v.get(k) for k in keep}, request=request, response=None if q in cut else session.body(f, "response"), kind=f["frame_type"])
        for fields in ("request_headers", "response_headers"):  # but for what the server counts, and its port
            out[q][fields] = {k: w for k, w in (v.get(fields) or {}).items() if k.lower() not in ("x-request-id", "host")}
    return out


for first, (name, words) in enumerate(RUNS, 1):
    callcheck.check("%s %s through the gate" % (name, words), (agentkit.AGENTS_PYTHON, agentkit.CLIENTS, name, str(1000 * first)), words, "gate", name in clients.SDKS, env=hosts)
for run in SAME:
    (_, direct, plain), (tap, _, _), (gate, calls, heard) = [hear(run, how) for how in ("plain", "record", "gate")]
    cut = {q for q, c in calls.items() if c.get("ended") == "reset"}
    a, b = recorded(tap, cut), recorded(gate, cut)
    different = ["%s: %s: %r, not %r" % (q, k, str(b[q][k])[:300], str(a[q][k])[:300]) for q in a for k in a[q] if q in b and a[q][k] != b[q][k]]
    sources = {s: {s.vcr(f)["source"] for f in s.calls()} for s in (tap, gate)}
    ok(a.keys() == b.keys() and len(a) == len(clients.ASKS) and not different and list(sources.values()) == [{"tap"}, {"gate"}], "%s %s: %s" % (*run, SAYS[0]), sources.values(), *different)
    different = ["%s: %r, not %r" % (q, heard.get(q), plain[q]) for q in plain if heard.get(q) != plain[q]]
    ok(len(plain) == len(clients.ASKS) and not different, "%s %s: %s" % (*run, SAYS[1]), *different)

# ---- Asked again ----

server = agentkit.server()
tried = {}
for how in ("plain", "gate"):
    before = len(server.calls())
    place = agentkit.Place(server)
    r = place.run(agentkit.AGENTS_PYTHON, "-c", ASK + "print(ask('again [[q=%s once=429]]').choices[0].message.content)" % how, "2", how=how, env=hosts(server))
    server.settle()
    asked = server.calls()[before:]
    tried[how] = [(c["status"], sorted(k for k in c["headers"] if k != "connection"), c["headers"].get("x-stainless-retry-count")) for c in asked]
    right = r.returncode == 0 and r.stdout.decode().strip() == asked[-1]["text"]
    if how == "gate":
        frames = [(f["frame_type"], place.session().vcr(f)["status"]) for f in place.session().calls()]
ok(right and tried["plain"] == tried["gate"] and [t[0] for t in tried["gate"]] == [429, 200] and frames == [("error", 429), ("llm", 200)], RETRY,
   right, frames, *[set(a[1]) ^ set(b[1]) or (a, b) for a, b in zip(tried["plain"], tried["gate"]) if a != b], r.stderr.decode()[-800:])

# ---- Death ----

place = agentkit.Place(server)
p = subprocess.Popen([os.path.join(agentkit.BUILD, "vcr-record"), "--lane=gate", "--", agentkit.AGENTS_PYTHON, "-c", ASK + """
try:
    for event in ask("a story [[q=1 wait=end]]", stream=True):
        print("heard", flush=True)
except Exception as e:
    print(type(e).__name__, flush=True)
print(ask("after [[q=2]]").choices[0].message.content)
""", "0"], cwd=place.work, env=dict(place.record, **hosts(server)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
first = p.stdout.readline().strip()
gates = []
for e in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open("/proc/%s/cmdline" % e, "rb").read().split(b"\0")
    except OSError:
        continue
    if words[0].endswith(b"/vcr-gate") and any(w.startswith(place.run_dir.encode()) for w in words):
        gates.append(int(e))
ok(first == "heard" and len(gates) == 1, "the gate is a process of its own", first, gates)
for gate in gates:
    os.kill(gate, signal.SIGKILL)
out, err = p.communicate(timeout=120)
server.release("end")
said = [l for l in out.splitlines() if l != "heard"]
s = place.session()
cut, after = [(f["frame_type"], s.vcr(f)["source"], s.vcr(f)["complete"]) for f in sorted(s.calls(), key=lambda f: s.vcr(f)["seq"])] if len(s.calls()) == 2 else (None, None)
ok(len(said) == 2 and said[0] in ("APIConnectionError", "RemoteProtocolError", "ReadError") and cut == ("error", "gate", False), KILLED[0], said, cut, err)
server.settle()
ok(p.returncode == 0 and said[-1:] == [next(c["text"] for c in server.calls() if c["q"] == "2")] and after == ("llm", "tap", True) and any("gate" in u for u in s.end["unseen"]), KILLED[1], said, after, s.end["unseen"])
agentkit.done()
