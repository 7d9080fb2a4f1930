#!/usr/bin/python3
"""claude-code in trouble - killed in the midst of an answer, its network refused, the gate killed - behaves as it does without us.

Runs in a namespace in which the model's real name is this machine's, and the model listens on the port that it really has."""
import os
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
import agentkit
import nodekit
from agentkit import ok, skip
from claudekit import HOST, WANT, Claude

NAMES = {"native, by a bare preload": ("bun", ()), "for node 20, tapped": ("node", ()), "for node 20, through the gate": ("node", ("lane gate",))}
KILLED = ("killed in the midst of an answer, it ends as it does without us and leaves the same", "and what had come of the answer is recorded as a call that was cut")
REFUSED = "with its network refused, it gives up as it does without us"
GATE = ("with the gate killed in the midst of an answer, it asks again, and leaves what it leaves without us", "and the session says so, with the call that was cut")
INSIDE = "VCR_TEST_INSIDE"
WAIT = {"wait": "mid", "after": "6"}


def enter():
    """This program again, in such a namespace; returns where there can be none."""
    hosts = tempfile.NamedTemporaryFile("w", prefix="vcr-hosts.", delete=False)
    hosts.write("127.0.0.1 localhost %s\n" % HOST)
    hosts.close()
    way = ["unshare", "-rnm", "sh", "-c", 'ip link set lo up && mount --bind "$0" /etc/hosts && exec "$@"', hosts.name]
    try:
        if subprocess.run([*way, "grep", "-q", HOST, "/etc/hosts"], stderr=subprocess.DEVNULL).returncode == 0:
            sys.exit(subprocess.run([*way, sys.executable, os.path.abspath(__file__)], env=dict(os.environ, **{INSIDE: "1"})).returncode)
    except FileNotFoundError:
        pass
    finally:
        os.unlink(hosts.name)


def begin(kind, config, how, **do):
    claude = Claude(kind, 443, **do)
    claude.env["NODE_EXTRA_CA_CERTS"] = claude.server.ca
    if how == "preload":
        claude.configure(*config)
    return claude


def start(claude, how):
    return subprocess.Popen(claude.command, cwd=claude.place.work, env={**getattr(claude.place, how), **claude.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def until_asked(claude, p):
    until = time.monotonic() + 120
    while not claude.server.waiting.get("mid") and p.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def main_calls(session):
    """(kind, complete, source) of the calls that ask with tools, as the agent's own questions do, in the order in which they were asked."""
    calls = sorted((f for f in session.calls() if session.vcr(f)["api"] == "anthropic.messages" and b'"name":"Bash"' in session.body(f, "request")), key=lambda f: session.vcr(f)["started_at"])
    return [(f["frame_type"], session.vcr(f)["complete"], session.vcr(f)["source"]) for f in calls]


def killed(kind, config, how):
    claude = begin(kind, config, how, **WAIT)
    p = start(claude, how)
    until_asked(claude, p)
    p.kill()
    p.communicate()
    calls = main_calls(claude.place.session()) if how == "preload" else None
    claude.server.close()
    return (p.returncode, claude.files()), calls


def refused(kind, config, how):
    claude = begin(kind, config, how)
    claude.server.close()
    p = start(claude, how)
    out, _ = p.communicate(timeout=280)
    claude.place.settle()
    return p.returncode, out[:10], claude.files()


def gate_killed(kind, config, how):
    """Only the agent, where there is no gate."""
    claude = begin(kind, config, how, **WAIT)
    p = start(claude, how)
    until_asked(claude, p)
    for pid in claude.gates():
        os.kill(pid, signal.SIGKILL)
    claude.server.release("mid")
    out, _ = p.communicate(timeout=280)
    session = claude.place.session() if how == "preload" else None
    claude.server.close()
    return (p.returncode, out, claude.files()), session


def check(name, kind, config):
    gated = kind == "bun" or config
    bare, _ = killed(kind, config, "plain")
    mine, calls = killed(kind, config, "preload")
    ok(mine == bare and bare[0] == -signal.SIGKILL, "%s: %s" % (name, KILLED[0]), mine, bare)
    ok(calls == [("error", False, "gate" if gated else "tap")], "%s: %s" % (name, KILLED[1]), calls)
    bare, mine = refused(kind, config, "plain"), refused(kind, config, "preload")
    ok(mine == bare and bare[:2] == (1, b"API Error:"), "%s: %s" % (name, REFUSED), mine, bare)
    if not gated:
        return
    (bare, _), (mine, session) = gate_killed(kind, config, "plain"), gate_killed(kind, config, "preload")
    ok(mine == bare and bare[0] == 0 and bare[2] == WANT, "%s: %s" % (name, GATE[0]), mine, bare)
    # where a static program was lent the gate, as its rg is, another takes its place
    said = [u for u in session.end["unseen"] if "the gate has ended: %s is spoken to directly" % HOST in u or "the gate has died and another has taken its place" in u]
    ok(main_calls(session)[:1] == [("error", False, "gate")] and len(said) == 1, "%s: %s" % (name, GATE[1]), main_calls(session), session.end["unseen"])


if INSIDE not in os.environ:
    enter()
for name, (kind, config) in NAMES.items():
    why = nodekit.no_claude(kind) or (None if INSIDE in os.environ else "no namespaces in which names can be made up")
    if why:
        for title in (*KILLED, REFUSED, *(GATE if kind == "bun" or config else ())):
            skip("%s: %s" % (name, title), why)
    else:
        check(name, kind, config)
agentkit.done()
