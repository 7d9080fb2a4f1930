#!/usr/bin/python3
"""codex, an agent in Rust: one static program with a TLS of its own, and its shell. Recorded by the real name of its model's host, replayed offline, killed, and its gate
killed. codex-trouble.t has a host that refuses."""
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import replies
import troublekit
from agentkit import ok, skip
from codexkit import HOSTS, POEM, Agent, turn, no_codex

CALLS = "the session holds each model call of the agent, byte for byte"
FILES = "its tools' calls are frames with their results, and what its patch tool and its shell wrote is in the session, with what they wrote"
SHELL = "its shell runs with the environment that it would have, and what it does bears the call that asked for it"
BLIND = "hosts that are no model's are asked by it as ever, and nothing of it is kept"
ALONE = "it says and leaves what it does without us"
PROXY = "behind a proxy of the user's all goes by that proxy, and is recorded"
REPLAYED = "replayed with the model server gone and no network, it says the same and leaves the same files"
KILLED = "killed in the midst of an answer: it ends as it does without us, and what had come is in the session"
GATE = "the gate is killed in the midst of an answer: the agent asks again, says and leaves what it does without us, and is recorded to the end"
HERMETIC = "with --hermetic its shell does not run again, the agent hears what it heard, says the same and leaves the same files"
UNRECORDED = "and a command of it that was not recorded does not run, and is named"
TITLES = (CALLS, FILES, SHELL, BLIND, ALONE, PROXY, REPLAYED, HERMETIC, UNRECORDED, KILLED, GATE)
KNOWN = base64.b64encode(b"me:word-0123456789").decode()

why = no_codex()
if why:
    for title in TITLES:
        skip(title, why)
    agentkit.done()


def kill_codex(agent):
    """The static program itself, by its number."""
    for d in os.listdir("/proc"):
        try:
            if d.isdigit() and os.path.basename(os.readlink("/proc/%s/exe" % d)) == "codex" and agent.home.encode() in open("/proc/%s/environ" % d, "rb").read():
                os.kill(int(d), signal.SIGKILL)
        except OSError:
            pass


# ---- Recorded ----

agent = Agent()
said = agent.run("record")
session, calls, there = agent.place.session(), agent.calls(), agent.files()
frames = session.calls()
same = [session.body(f, "request") == c["request"] and session.body(f, "response") == c["answer"] and f["frame_type"] == "llm" and session.vcr(f)["program"] == "codex"
        for f, c in zip(frames, calls)]
ok(said[0] == 0 and len(frames) == len(calls) == 3 and all(same) and not session.complaints, CALLS, said, agent.err[-3000:], "%d frames, %d calls" % (len(frames), len(calls)), same, session.complaints)
last = {f["input_state"]["path"]: f for f in session.frames if f["node_name"] == "file:write"}
contents = {p: open(os.path.join(session.dir, f["output_state"]["content"]), "rb").read() for p, f in last.items() if "content" in f["output_state"]}
want = {"poem.txt": POEM.encode(), "shell.txt": b"from the shell\n"}
variables = there.pop("variables.txt", b"").decode().splitlines()
tools = {f["node_name"]: f for f in session.frames if f["node_name"].startswith("tool:")}
ok({k: there.get(k) for k in want} == {k: contents.get(k) for k in want} == want and {"tool:apply_patch", "tool:exec_command"} <= set(tools) and
   all(f["parent_frame_id"] in {c["frame_id"] for c in frames} and "result" in f["output_state"] for f in tools.values()), FILES, there, contents, tools)
number = {f["frame_id"]: i for i, f in enumerate(frames)}
writer = last.get("shell.txt")
lent = [v for v in variables if v.split("=")[0].upper().endswith("_PROXY") or v.split("=")[0] in ("VCR_LENT", "VCR_SPOOL", "LD_PRELOAD", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")]
ok(variables and not lent and "CODEX_CA_CERTIFICATE=" + agent.server.ca in variables and writer and session.vcr(writer).get("program") in ("bash", "sh") and number.get(writer["parent_frame_id"]) == 1 and number.get(last["poem.txt"]["parent_frame_id"]) == 0, SHELL, lent, variables, writer, last.get("poem.txt"))
alone = Agent()
other = alone.run("plain")
tunnelled = [c for c in session.lines if "github" in json.dumps(c) and c["type"] == "vcr.http"]
ok(not tunnelled and {h.split(" ")[1] for h in alone.proxy.heads} - {h + ":443" for h in HOSTS}, BLIND, tunnelled, alone.proxy.heads)
ok(other == said and alone.left() == there, ALONE, said, other, alone.err[-2000:])

# ---- Behind the user's proxy ----

behind = Agent()
ok(behind.run("proxied") == said and len(behind.place.session().calls()) == 3 and any(h.startswith("CONNECT api.openai.com:443 ") and KNOWN in h for h in behind.proxy.heads), PROXY, behind.status, behind.err[-2000:], behind.proxy.heads)

# ---- Replayed ----

agent.server.close()
*replayed, err = agent.replay(session.path)
ok(tuple(replayed) == said and agent.left() == there, REPLAYED, replayed, sorted(agent.files()), err[-3000:])

# ---- Its tools answered ----

hermit = Agent()
ran = os.path.join(hermit.place.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there


def turn_with_marks(api, request):
    reply = turn(api, request)
    for tool in reply.tools if reply and reply.number == "1" else ():
        tool[2]["cmd"] += " && echo shown && echo 1 >>" + ran
    return reply


hermit.server.script = turn_with_marks
said_first = hermit.run("record", options=("--capture=all",))
session, made = hermit.place.session(), hermit.left()  # a file with a secret comes back without it
kept = [l["data"] for l in session.lines if l["type"] == "vcr.output"]
hermit.server.close()
*replayed, err = hermit.replay(session.path, "--hermetic")
ok(said_first == said and tuple(replayed) == said and hermit.left() == made and "variables.txt" in hermit.files() and "shell.txt" in made and len(open(ran).readlines()) == 1 and kept and not [k for k in kept if "began it" not in k.get("not_kept", "began it")] and
   " 0 missed; nothing went to the network" in err and "answered from the session" in err and "refused:" not in err, HERMETIC, replayed, sorted(hermit.files()), open(ran).read(), kept, err[-3000:])
cut = os.path.join(os.path.dirname(session.path), "cut.vcr")
with open(cut, "w") as f:
    for l in session.lines:
        if l["type"] == "frame" and l["data"]["node_name"].startswith("exec:") and ran in json.dumps(l["data"]["input_state"]):
            l["data"]["input_state"]["argv"][-1] = "another command"
        f.write(json.dumps(l) + "\n")
status, out, err = hermit.replay(cut, "--hermetic")
ok(status and len(open(ran).readlines()) == 1 and "shell.txt" not in hermit.files() and "from the shell" in err and "(it was not recorded)" in err, UNRECORDED, status, out, sorted(hermit.files()), err[-3000:])

# ---- In trouble ----

ends = {}
for how in ("plain", "record"):
    cut = Agent()
    p = cut.start(how, "Write a poem. [[wait=hold after=4]]")
    until = time.monotonic() + 100
    while not cut.server.waiting.get("hold") and time.monotonic() < until and p.poll() is None:
        time.sleep(0.02)
    troublekit.until_passed_on(*cut.gates())
    kill_codex(cut)
    out, err = p.communicate(timeout=100)
    cut.server.release("hold")
    ends[how] = (p.returncode, out)
frames = cut.place.session().calls()
part = cut.place.session().body(frames[0], "response") if frames else b""
ok(ends["plain"] == ends["record"] and len(frames) == 1 and frames[0]["frame_type"] == "error" and part and replies.responses_stream(turn("openai.responses", {"input": []}))[0][:40] in part,
   KILLED, ends, frames, part[:200], err[-1500:])


orphan, killed = Agent(), []


def turn_and_kill(api, request):
    reply = turn(api, request)
    if reply and reply.number == "1" and not killed:
        killed.extend(os.kill(pid, signal.SIGKILL) for pid in orphan.gates())
    return reply


orphan.server.script = turn_and_kill
got = orphan.run("record")
session = orphan.place.session()
ok(got == said and killed and orphan.left() == there and [f["frame_type"] for f in session.calls()].count("llm") == 3 and len(orphan.calls()) == 4, GATE, got, len(orphan.calls()),
   [(f["frame_type"], f["metadata"]["error_type"]) for f in session.calls()], orphan.err[-2000:])
agentkit.done()
