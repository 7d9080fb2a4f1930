#!/usr/bin/python3
"""Many at once: threads, processes, tasks. No call is lost, doubled or swapped with another."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok

# client, words, processes, questions of each
CROWDS = [("8 threads of one program", "openai", "crowd=8", 1, 40), ("8 threads over plain HTTP", "requests", "plain crowd=8", 1, 40),
          ("8 processes with 4 threads each", "httpx", "crowd=4", 8, 20), ("50 streams in one event loop", "openai", "async crowd=50", 1, 50),
          ("50 streams of aiohttp", "aiohttp", "async crowd=50", 1, 50), ("50 plain streams of aiohttp", "aiohttp", "async plain crowd=50", 1, 50)]
PROMISE = "no frame is lost, doubled or swapped, under %s"
HOW = {"preload": "LD_PRELOAD", "record": "vcr-record"}
agentkit.need_agents(*["%s: %s" % (c[0], PROMISE % HOW[how]) for c in CROWDS for how in HOW])

for title, name, words, processes, each in CROWDS:
    for how in HOW:
        server = agentkit.server()
        place = agentkit.Place(server)
        line = "; ".join('"$0" "$1" %s %d %s &' % (name, 100 + p * 1000, words) for p in range(processes)).replace("&;", "&") + " wait"
        r = place.run("/bin/sh", "-c", line, agentkit.AGENTS_PYTHON, agentkit.CLIENTS, how=how)
        session = place.session()
        wrong = agentkit.differences(session, server)
        n, lines = len(session.calls()), r.stdout.count(b"\n")
        ok(n == lines == processes * each and not wrong and session.end and not session.end["lost_lines"] and b"died" not in r.stderr, "%s: %s" % (title, PROMISE % HOW[how]),
           "%d frames, %d answers heard" % (n, lines), r.stderr.decode()[-1000:], *wrong[:20])
        server.close()
agentkit.done()
