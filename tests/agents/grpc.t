#!/usr/bin/python3
"""The package grpcio as itself: what it says is heard by no hook, and the gate does not speak its HTTP/2. It works as without us, and the session says what was not recorded."""
import os
import subprocess
import sys

TOP = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
import agentkit
import troublekit
from agentkit import AGENTS_PYTHON, BUILD, done, need_agents, ok, skip

HOST = "generativelanguage.googleapis.com"
CALLS = os.path.join(agentkit.HERE, "grpccalls.py")
SAYS = "%s, %s: its calls and its stream are answered as without us, and the session says that they are not recorded"
WAYS = {"preload": "bare preload", "record": "vcr-record"}
TARGETS = {"by address": "ipv4:127.0.0.1:%s", "by name, found by c-ares": "dns:///%s:%%s" % HOST}
GATED = "--lane=gate, its host being listed: it is tunnelled to it, and the session says why"
REPLAYED = "in a replay it is refused, and no server is asked"
TITLES = [SAYS % (t, w) for t in TARGETS for w in WAYS.values()] + [GATED, REPLAYED]
need_agents(*TITLES)
troublekit.enter(HOST, __file__)
if agentkit.Place().run(AGENTS_PYTHON, "-c", "import grpc", how="plain").returncode:
    for title in TITLES:
        skip(title, "grpcio is not installed")
    done()
model = agentkit.server()  # for its certificates
server = subprocess.Popen([AGENTS_PYTHON, CALLS, "serve", os.path.join(model.dir, "leaf.pem")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
PORT = server.stdout.readline().strip()
ENV = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": model.ca}
ALONE = "speaks HTTP/2 alone"


bare, runs = {}, []


def run(place, how, target, *options, env=None):
    """Three calls."""
    runs.append(how)
    words = [AGENTS_PYTHON, CALLS, "ask", target % PORT, HOST]
    if options:
        words, how = [os.path.join(BUILD, options[0]), *options[1:], "--", *words], "tool"
    r = place.run(*words, how=how, env={**ENV, **(env or {})})
    return r.returncode, r.stdout.decode(), r.stderr.decode()


for name, target in TARGETS.items():
    if "name" in name and not troublekit.inside():
        for words in WAYS.values():
            skip(SAYS % (name, words), "no namespaces in which names can be made up")
        continue
    bare[name] = run(agentkit.Place(), "plain", target)
    for how, words in WAYS.items():
        place = agentkit.Place()
        mine = run(place, how, target)
        found = place.sessions()
        unseen = found[0].end["unseen"] if found else []
        ok(mine[:2] == bare[name][:2] and mine[1].count("\n") == 5 and "answer to question 1" in mine[1] and found and not found[0].calls() and
           [u for u in unseen if "its calls to %s are not recorded" % HOST in u and ALONE in u.replace("it speaks", "speaks")], SAYS % (name, words), mine, bare[name], unseen)
place = agentkit.Place()
listed = {"VCR_MODEL_HOSTS": "127.0.0.1:%s" % PORT}
mine = run(place, "tool", TARGETS["by address"], "vcr-record", "-q", "--lane=gate", env=listed)
session = place.session()
ok(mine[:2] == bare["by address"][:2] and len([u for u in session.end["unseen"] if ALONE in u and "127.0.0.1:%s" % PORT in u]) == 1, GATED, mine, session.end["unseen"])
before = 3 * len(runs)
again = run(place, "tool", TARGETS["by address"], "vcr-replay", "-q", session.path, env=listed)
served = int(server.communicate()[0])
ok(again[1] == "UNAVAILABLE\n" and served == before, REPLAYED, again, served, before)
done()
