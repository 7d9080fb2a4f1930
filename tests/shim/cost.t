#!/usr/bin/python3
"""What a hook costs when there is nothing to record: instructions, counted by callgrind, which noise of the machine does not change."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import shutil
import gatekit
import tapkit
from tapkit import SHIM, ok, skip

LIMITS = {"write": 45, "read": 45, "close": 45, "send": 90, "open": 90}  # send: and recv; open: and close
session = tapkit.Session()
session.env.pop("LD_PRELOAD")


def instructions(how, n, preload):
    """All of a run; the program is the tool's child, so only it is preloaded."""
    out = os.path.join(session.dir, "callgrind.out")
    argv = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, tapkit.program("cost"), how, str(n)]
    r = session.run(*argv, env={"LD_PRELOAD": SHIM} if preload else {})
    found = re.search(r"Collected : (\d+)", r.stderr)
    return int(found.group(1)) if found else None


def per_call(how, preload):
    few, many = instructions(how, 1000, preload), instructions(how, 3000, preload)
    return None if few is None or many is None else (many - few) / 2000


for how, limit in LIMITS.items():
    title = "a %s that does not matter costs at most %d instructions more than the bare call" % (how, limit)
    if not shutil.which("valgrind"):
        skip(title, "valgrind is not installed")
        continue
    bare, hooked = per_call(how, False), per_call(how, True)
    ok(bare is not None and hooked is not None and 0 < hooked - bare <= limit, title, "bare %s, hooked %s" % (bare, hooked))
    print("# %s: %.1f bare, %.1f hooked, %.1f more" % (how, bare or 0, hooked or 0, (hooked or 0) - (bare or 0)))

MORE_IN_REPLAY = 750  # an open there is looked at by its name; to ask first whose code the caller is took 330 more here, and a millisecond in node
place = gatekit.clikit.Place()
gatekit.Recording(place).call({"model": "m"}, b"{}").write()


def replayed(n):
    out = os.path.join(session.dir, "callgrind.out")
    r = place.run("vcr-replay", "-q", "rec", "--", "valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, tapkit.program("cost"), "open", str(n))
    found = re.search(r"Collected : (\d+)", r[2])
    return int(found.group(1)) if found else 0


title = "in a replay an open to read costs at most %d instructions more than the bare call" % MORE_IN_REPLAY
if shutil.which("valgrind"):
    bare, hooked = per_call("open", False), (replayed(3000) - replayed(1000)) / 2000
    ok(bare is not None and 0 < hooked - bare <= MORE_IN_REPLAY, title, "bare %s, in a replay %s" % (bare, hooked))
    print("# open in a replay: %.1f more" % (hooked - (bare or 0)))
else:
    skip(title, "valgrind is not installed")
tapkit.done()
