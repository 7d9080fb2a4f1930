#!/usr/bin/python3
"""vcr-sentinel scan --sarif against the published schema of SARIF 2.1.0, by a validator from PyPI."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok, skip

TITLES = ("what --sarif says of this project's tests is SARIF 2.1.0, as its schema has it", "and so is what it says of nothing", "the schema would refuse another")
SCHEMA = os.environ.get("SARIF_SCHEMA", "")
agentkit.need_agents(*TITLES)
if not os.path.exists(SCHEMA):
    for title in TITLES:
        skip(title, "no schema: SARIF_SCHEMA=$(scripts/sarif-schema) is not set")
    agentkit.done()
    sys.exit()
VALIDATE = "import json, sys, jsonschema; jsonschema.validate(json.load(sys.stdin), json.load(open(sys.argv[1])))"


def valid(text):
    r = subprocess.run([agentkit.AGENTS_PYTHON, "-c", VALIDATE, SCHEMA], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return r.returncode == 0, r.stdout[-1500:]


def scan(*paths):
    return subprocess.run([os.path.join(agentkit.BUILD, "vcr-sentinel"), "scan", "--sarif", *paths], cwd=agentkit.TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


place = agentkit.Place()
with open(os.path.join(place.work, "é <a>.py"), "w") as f:
    f.write("def f(a, b, c, d, e, f, g, h, i):\n    pass\n")
out = scan("tests", place.work)
ok(valid(out)[0] and json.loads(out)["version"] == "2.1.0", TITLES[0], valid(out))
out = scan(os.path.join(agentkit.TOP, "data"))
ok(valid(out)[0] and json.loads(out)["runs"][0]["results"] == [], TITLES[1], out[-500:], valid(out))
ok(not valid(b'{"version":"2.1.0","runs":[{"results":[{}]}]}')[0], TITLES[2])
agentkit.done()
