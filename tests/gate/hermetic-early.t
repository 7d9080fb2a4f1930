#!/usr/bin/python3
"""A program that an agent ran before it first spoke to its model is no tool: --hermetic runs it again, but never in the place of a tool."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import done, ok
from hermetickit import World

AGENT = r"""
import subprocess, sys, urllib.request
model, _, *doings = sys.argv[1:]
for what in doings:
    if what == "model":
        urllib.request.urlopen(urllib.request.Request(model, b'{"model": "m"}', {"Content-Type": "application/json"})).read()
        continue
    r = subprocess.run(["sh", "-c", "echo %s >> \"$RAN\"; echo out; grep SigIgn /proc/self/status" % what], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, restore_signals=False)
    print(r.returncode, r.stdout.split(), flush=True)
"""
A, B = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
world = World()
ran = world.env["RAN"] = os.path.join(world.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
open(ran, "w").close()
world.agent = os.path.join(world.dir, "agent.py")
with open(world.agent, "w") as f:
    f.write(AGENT)


def runs():
    return len(open(ran).readlines())


said, err, status = world.record("early", A, "model", "other")
line = said.splitlines()[0] if said else ""
ok(status == 0 and line.startswith("0 ['out', 'SigIgn:'") and runs() == 2 and not err, "it runs when it is recorded", said, err, status)
again, err, status, _ = world.replay("early", "model", A, A, options=("--hermetic",))
lines = again.splitlines()
ok(len(lines) == 2 and lines[0] == line and runs() == 3, "where it begins behind that call in the replay, it runs as often as it did, with the signals ignored that were", said, again, err, status)
ok(len(lines) == 2 and lines[1].startswith("127 ") and "it was not run so often when it was recorded" in err, "and more often it is refused", again, err)
again, err, status, _ = world.replay("early", "model", B, options=("--hermetic",))
ok(again.startswith("127 ") and "it was not recorded" in err and runs() == 3, "one that is only like it does not run for it", again, err)
said, err, status = world.record("both", A, "model", B)
again, err, status, _ = world.replay("both", "model", A, A, options=("--hermetic",))
lines = again.splitlines()
ok(len(lines) == 2 and lines[0] == line and lines[1].startswith("127 ") and runs() == 5, "where a tool like it was recorded, that one is answered from the session, and when it is spent none runs", said, again, err)
done()
