#!/usr/bin/python3
"""claude-code in trouble - killed in the midst of an answer, its network refused, the gate killed - behaves as it does without us; tapped, where there is no gate, it is
recorded whole.

Runs in a namespace in which the model's real name is this machine's, and the model listens on the port that it really has."""
import os
import signal
import sys

TOP = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
import agentkit
import nodekit
import troublekit
from agentkit import ok, skip
from claudekit import HOST, WANT, Claude, recorded, written
from troublekit import WAIT

NAMES = {"native, by a bare preload": ("bun", ()), "for node 20, tapped": ("node", ()), "for node 20, through the gate": ("node", ("lane gate",))}
KILLED = ("killed in the midst of an answer, it ends as it does without us and leaves the same", "and what had come of the answer is recorded as a call that was cut")
REFUSED = "with its network refused, it gives up as it does without us, and says the same"
GATE = ("with the gate killed in the midst of an answer, it asks again, and leaves what it leaves without us", "and the session says so, with the call that was cut")

WHOLE = "the session holds each model call with its whole request and answer, its tools' calls and their files, and replays without the model to the same"


def begin(kind, config, how, **do):
    claude = Claude(kind, 443, **do)
    claude.env["NODE_EXTRA_CA_CERTS"] = claude.server.ca
    if how == "preload":
        claude.configure(*config)
    return claude


def both(trouble, kind, config, **do):
    """Without us, and with us."""
    return [trouble(begin(kind, config, how, **do), how) for how in ("plain", "preload")]


def tool_calls(session):
    """The calls that ask with tools, as the agent's own questions do, in the order in which they were asked."""
    return sorted((f for f in session.calls() if session.vcr(f)["api"] == "anthropic.messages" and b'"name":"Bash"' in session.body(f, "request")), key=lambda f: session.vcr(f)["started_at"])


def main_calls(session):
    """(kind, complete, source) of them."""
    return [(f["frame_type"], session.vcr(f)["complete"], session.vcr(f)["source"]) for f in tool_calls(session)]


def whole(claude, title):
    r = claude.run("preload")
    there, asked, session = claude.files(), claude.asked(), claude.place.session()
    claude.server.close()
    files = written(session)
    tools = {f["node_name"] for f in session.frames if f["node_name"].startswith("tool:")}
    lanes = {v["lane"] for v in session.end["coverage"] if v["model_calls"]}
    again = claude.replay(session, offline=())
    ok(r.returncode == 0 and len(asked) >= 3 and recorded(session) == asked and lanes == {"tap"} and there == WANT == {p: files.get(p) for p in WANT} and tools >= {"tool:Write", "tool:Bash"} and
       (again.returncode, again.stdout) == (0, r.stdout) and claude.files() == WANT and b" 0 missed; nothing went to the network" in again.stderr, title, r.returncode, r.stderr[-1500:], len(asked),
       len(recorded(session)), session.end["coverage"], sorted(there), tools, again.returncode, again.stderr[-1500:])


def check(name, kind, config):
    gated = kind == "bun" or config
    (bare, *_), (mine, session, asked) = both(troublekit.killed, kind, config, **WAIT)
    ok(mine == bare and bare[0] == -signal.SIGKILL, "%s: %s" % (name, KILLED[0]), mine, bare)
    ok(main_calls(session) == [("error", False, "gate" if gated else "tap")] and troublekit.begun(session, tool_calls(session)[0], asked), "%s: %s" % (name, KILLED[1]), main_calls(session),
       session.end["unseen"])
    bare, mine = both(troublekit.refused, kind, config)
    ok(mine == bare and bare[0] == 1 and bare[1].startswith(b"API Error:"), "%s: %s" % (name, REFUSED), mine, bare)
    if not gated:
        whole(begin(kind, config, "preload"), "%s: %s" % (name, WHOLE))
        return
    (bare, _), (mine, session) = both(troublekit.gate_killed, kind, config, **WAIT)
    ok(mine == bare and bare[0] == 0 and bare[2] == WANT, "%s: %s" % (name, GATE[0]), mine, bare)
    # where a static program was lent the gate, as its rg is, another takes its place; what is asked before that is there goes directly
    said = [u for u in session.end["unseen"] if "the gate has ended: %s is spoken to directly" % HOST in u or "the gate has died and another has taken its place" in u]
    ok(main_calls(session)[:1] == [("error", False, "gate")] and said, "%s: %s" % (name, GATE[1]), main_calls(session), session.end["unseen"])


troublekit.enter(HOST, __file__)
for name, (kind, config) in NAMES.items():
    why = nodekit.no_claude(kind) or (None if troublekit.inside() else "no namespaces in which names can be made up")
    if why:
        for title in (*KILLED, REFUSED, *(GATE if kind == "bun" or config else (WHOLE,))):
            skip("%s: %s" % (name, title), why)
    else:
        check(name, kind, config)
agentkit.done()
