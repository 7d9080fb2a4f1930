#!/usr/bin/python3
"""node of five majors and the one of this machine: its https, fetch and the clients of models, byte for byte; and what recording leaves alone."""
import json
import os
import shutil
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
agentkit.done()
