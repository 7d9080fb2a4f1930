#!/usr/bin/python3
"""node of five majors and the one of this machine: its https, fetch and the clients of models, byte for byte; and what recording leaves alone."""
import base64
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import callcheck
import clients
import nodekit

CLIENT = os.path.join(agentkit.HERE, "clients.cjs")
SDKS = ("openai", "responses", "anthropic")
RUNS = [(node, name, "preload") for node in nodekit.NODES for name in ("https", "fetch")]
RUNS += [(node, name, "preload") for node in ("node22", "node26") for name in SDKS] + [("node20", "fetch", "record"), ("node24", "openai", "record")]
RUNS += [("node", name, "preload") for name in SDKS]


def environment(server):
    return {"NODE_EXTRA_CA_CERTS": server.ca, "MODEL_ASKS": json.dumps(clients.ASKS), "AGENTS_NPM": nodekit.AGENTS_NPM, "HOME": os.environ.get("HOME", "/")}


first = 100
for node, name, how in RUNS:
    title = "%s %s under %s" % (node, name, {"preload": "LD_PRELOAD", "record": "vcr-record"}[how])
    why = nodekit.missing(node, name in SDKS)
    if why:
        for promise in callcheck.PROMISES:
            agentkit.skip("%s: %s" % (title, promise), why)
        continue
    callcheck.check(title, (nodekit.program(node), CLIENT, name, str(first)), "async", how, name in SDKS, environment)
    first += 100

certs = agentkit.tempfile.mkdtemp(prefix="vcr-certs.")
agentkit.atexit.register(agentkit.shutil.rmtree, certs, True)
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-keyout", certs + "/key.pem", "-out", certs + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)
for node in nodekit.NODES:
    title = "%s http2: three calls at once on one connection are three frames, byte for byte" % node
    why = nodekit.missing(node)
    if why:
        agentkit.skip(title, why)
        continue
    place = agentkit.Place()
    r = place.run(nodekit.program(node), os.path.join(agentkit.HERE, "http2.cjs"), env={"CERTS": certs})
    session = place.session()
    said = sorted((base64.b64decode(s["request"]), base64.b64decode(s["answer"])) for s in map(json.loads, r.stdout.splitlines()))
    got = sorted((session.body(f, "request"), session.body(f, "response")) for f in session.calls() if f["frame_type"] == "llm")
    agentkit.ok(r.returncode == 0 and len(said) == 3 and got == said and not session.complaints, title, r.returncode, r.stderr[-2000:],
                [[(len(q), len(a)) for q, a in x] for x in (said, got)], session.complaints)
agentkit.done()
