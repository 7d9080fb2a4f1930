#!/usr/bin/python3
"""Real client packages are recorded, the model server is stopped, and the same program is run again: it hears the same, offline."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import clients
from agentkit import ok

# aiohttp takes no proxy from the environment.
RUNS = [(n, w) for n in ("openai", "responses", "anthropic", "genai", "httpx") for w in ("sync", "async")] + [("requests", "sync"), ("requests", "sync plain")]
NAMES = ["%s %s: recorded, then replayed with the model server stopped, the client hears the same answers, errors and ends of streams" % r for r in RUNS]
agentkit.need_agents(*NAMES)


def check(title, name, words, first):
    server = agentkit.server()
    place = agentkit.Place(server)
    argv = (agentkit.AGENTS_PYTHON, agentkit.CLIENTS, name, str(first), *words.split())
    recorded = place.run(*argv, how="record")
    for call in range(first, first + len(clients.ASKS)):
        for style in "sa":
            server.release("%d-%s" % (call, style))
    session = place.session()
    server.settle()
    server.close()
    replay = (os.path.join(agentkit.BUILD, "vcr-replay"), session.path, "--")
    plain = {k: v for k, v in place.plain.items() if k not in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}
    again = subprocess.run(replay + argv, cwd=place.work, env=dict(plain, MODEL_REPLAYED="1"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    before, after = ([json.loads(l) for l in r.stdout.splitlines()] for r in (recorded, again))
    wrong = ["question %s: %.200s, not %.200s" % (a["q"], b, a) for a, b in zip(before, after) if a != b]
    ok(len(before) == len(after) == len(clients.ASKS) and not wrong and again.returncode == recorded.returncode, title, again.returncode, again.stderr.decode()[-2000:], *wrong)


for i, (name, words) in enumerate(RUNS):
    check(NAMES[i], name, words, 100 * (i + 1))
agentkit.done()
