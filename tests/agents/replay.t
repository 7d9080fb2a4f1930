#!/usr/bin/python3
"""Real client packages are recorded, the model server is stopped, and the same program is run again: it hears the same, offline."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import clients
from agentkit import ok, skip

RUNS = [(n, w) for n in ("openai", "responses", "anthropic", "genai", "httpx") for w in ("sync", "async")] + [("requests", "sync"), ("requests", "sync plain"), ("aiohttp", "async")]
# By variables alone, and led by the library alone. aiohttp takes no proxy from the environment.
NAMED, LED = ("%%s %%s: recorded, then replayed %s, the client hears the same answers, errors and ends of streams" % how
              for how in ("with the model server stopped", "without a variable that points anywhere, in a namespace without routes"))
WAYS = [(r, way) for r in RUNS for way in (NAMED, LED) if r[0] != "aiohttp" or way is LED]
agentkit.need_agents(*[way % r for r, way in WAYS])
POINTERS = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
UNPOINTED = ("env", *[w for name in POINTERS for w in ("-u", name)])


def heard(r):
    return [json.loads(l) for l in r.stdout.splitlines()]


def again(place, way, session, argv):
    """The replay, and what differs of it. Without the library nobody leads; with it nobody is to heed variables."""
    env = {k: v for k, v in place.plain.items() if k not in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}
    env.update(MODEL_REPLAYED="1", VCR_SHIM=agentkit.SHIM if way is LED else "/nonexistent/libvcrshim.so")
    before, words = (agentkit.OFFLINE, (*UNPOINTED, *argv)) if way is LED else ((), argv)
    return subprocess.run((*before, os.path.join(agentkit.BUILD, "vcr-replay"), session.path, "--", *words), cwd=place.work, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)


def check(run, first):
    name, words = run
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
    for way in (way for r, way in WAYS if r == run):
        if way is LED and not agentkit.OFFLINE:
            skip(way % run, "no user namespaces")
            continue
        r = again(place, way, session, argv)
        wrong = ["question %s: %.200s, not %.200s" % (a["q"], b, a) for a, b in zip(heard(recorded), heard(r)) if a != b]
        ok(len(heard(recorded)) == len(heard(r)) == len(clients.ASKS) and not wrong and r.returncode == recorded.returncode and b", 0 missed;" in r.stderr, way % run, r.returncode,
           r.stderr.decode()[-2000:], *wrong)


for i, run in enumerate(RUNS):
    check(run, 100 * (i + 1))
agentkit.done()
