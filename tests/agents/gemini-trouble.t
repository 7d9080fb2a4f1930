#!/usr/bin/python3
"""gemini-cli in trouble - killed in the midst of an answer, its network refused, the gate killed - behaves as it does without us.

Runs in a namespace in which the model's real name is this machine's, and the model listens on the port that it really has."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import nodekit
import troublekit
from agentkit import ok, skip
from geminikit import HOST, Gemini, plain

KILLED = ("killed in the midst of an answer, it ends as it does without us and leaves the same", "and what had come of the answer is recorded as a call that was cut")
REFUSED = "with its network refused, it gives up as it does without us, and says the same"
GATE = ("with the gate killed in the midst of an answer, it ends as it does without us where the connection ends there", "and the session has the call that was cut")
LANES = {"tapped": (), "through the gate": ("lane gate",)}
WAIT = {"wait": "mid", "after": "1"}  # its streams are short


def begin(config, how, **do):
    gemini = Gemini("node24", True, **do)
    gemini.env.update(GEMINI_CLI_NO_RELAUNCH="true", TMPDIR=gemini.place.dir)  # one process, whose end is the agent's; its reports of errors are in its place
    if how == "preload":
        gemini.configure(*config)
    return gemini


def tool_calls(session):
    """Those that ask with tools, in the order in which they were asked."""
    return sorted((f for f in session.calls() if b'"functionDeclarations"' in session.body(f, "request")), key=lambda f: session.vcr(f)["started_at"])


def first(session):
    """(kind, complete, source) of the first call that asks with tools."""
    return [(f["frame_type"], session.vcr(f)["complete"], session.vcr(f)["source"]) for f in tool_calls(session)[:1]]


def said(r):
    return (r[0], plain(r[1]), *r[2:])


troublekit.enter(HOST, __file__)
why = nodekit.missing("node24", True) or (None if troublekit.inside() else "no namespaces in which names can be made up")
if why:
    for lane in LANES:
        for title in (*KILLED, REFUSED, *(GATE if LANES[lane] else ())):
            skip("%s: %s" % (lane, title), why)
    agentkit.done()
bare = {"killed": troublekit.killed(begin((), "plain", **WAIT), "plain")[0], "refused": said(troublekit.refused(begin((), "plain"), "plain"))}
for lane, config in LANES.items():
    mine, session, asked = troublekit.killed(begin(config, "preload", **WAIT), "preload")
    ok(mine == bare["killed"] and mine[0] == -signal.SIGKILL, "%s: %s" % (lane, KILLED[0]), mine, bare["killed"])
    ok(first(session) == [("error", False, "gate" if config else "tap")] and troublekit.begun(session, tool_calls(session)[0], asked), "%s: %s" % (lane, KILLED[1]), first(session), session.end["unseen"])
    mine = said(troublekit.refused(begin(config, "preload"), "preload"))
    ok(mine == bare["refused"] and mine[0], "%s: %s" % (lane, REFUSED), mine, bare["refused"])
    if config:
        cut = said(troublekit.to_end(begin((), "plain", abort="cut", after="1"), "plain"))
        mine, session = troublekit.gate_killed(begin(config, "preload", **WAIT), "preload")
        ok(said(mine) == cut and cut[0] and cut[1], "%s: %s" % (lane, GATE[0]), mine, cut)
        ok(first(session) == [("error", False, "gate")], "%s: %s" % (lane, GATE[1]), first(session), session.end["unseen"])
agentkit.done()
