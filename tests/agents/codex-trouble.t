#!/usr/bin/python3
"""codex whose model's host refuses the connection: it waits and goes on as it does without us, whether it is lent the gate as its proxy or led there by a supervisor.

Runs in a namespace in which its hosts' real names are this machine's, so that without us nothing stands between it and the refusal; where there can be none, a proxy of
the user's does, and only the lent proxy is tried."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import troublekit
from agentkit import ok, skip
from codexkit import HOSTS, POEM, Agent, no_codex

REFUSED = "%s: its network refused, it waits for it as it does without us, and when it is there, says and leaves the same"
WAYS = {(): "lent a proxy", ("--supervise",): "under --supervise"}
troublekit.enter(" ".join(HOSTS), __file__)
NAMED = troublekit.inside()
why = no_codex()
if why:
    for words in WAYS.values():
        skip(REFUSED % words, why)
    agentkit.done()


def wait_and_go_on(how, options=()):
    """((status, what it says, did it wait, files), session or None, its last words)"""
    agent = Agent(server=False, named=NAMED)
    p = agent.start(how, options=options)
    err = b""
    while b"waiting for network" not in err and (more := os.read(p.stderr.fileno(), 65536)):
        err += more
    waited = p.poll() is None
    agent.let_in()
    out, more = p.communicate(timeout=250)
    agent.stop()
    session = agent.place.session() if how != "plain" and p.returncode != 125 else None
    agent.server.close()
    return (p.returncode, out.decode(), waited, agent.left()), session, (err + more).decode(errors="replace")[-2000:]


bare, _, words = wait_and_go_on("plain")
ok(bare[0] == 0 and bare[2] and bare[3] == {"poem.txt": POEM.encode(), "shell.txt": b"from the shell\n"}, "without us it waits, and does its work", bare, words)
for options, name in WAYS.items():
    if options and not NAMED:
        skip(REFUSED % name, "no namespaces in which names can be made up")
        continue
    mine, session, words = wait_and_go_on("record", options)
    if mine[0] == 125:
        skip(REFUSED % name, words.strip())
        continue
    calls = [f["frame_type"] for f in session.calls()]
    ok(mine == bare and calls.count("llm") == 3, REFUSED % name, mine, bare, calls, session.end["unseen"], words)
agentkit.done()
