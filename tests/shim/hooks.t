#!/usr/bin/python3
"""Every hook leaves its record from wherever it is called."""
import os
import re
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import ok

TITLES = {
    "main": "from main",
    "thread": "from a thread",
    "signal": "from a signal handler",
    "vfork": "from a vfork child, which touches nothing of its parent, or counts what it cannot record",
    "closefrom": "after closefrom(3)",
    "exit": "during exit",
    "constructor": "from a constructor that runs before the shim's",
    "destructor": "from a destructor that runs after the shim's last word",
    "jump": "after siglongjmp out of a blocked read",
    "cancel": "after another thread was cancelled in a blocked read",
}


def recorded(session):
    out = []
    for line in session.lines("--bytes"):
        word = line.split()
        if word[0] == "FILE":
            out.append(" ".join(["FILE", word[3], *word[6:]]))
        elif word[0] in ("OUT", "IN"):
            out.append("NET " + re.sub(r"( HTTP/1.1)?(\\r\\n)+$", "", line.split(" ", 4)[4]))
        elif word[0] == "SPOOL":
            out += ["LOST"] * int(word[-1].split("=")[1])
        elif word[0] == "HOLE" or "BAD_CRC" in line:
            out.append(line)
    return Counter(out)


for when, title in TITLES.items():
    session = tapkit.Session()
    where = {} if when in ("jump", "cancel") else {"VICTIM_LATE": "1"} if when == "destructor" else {"WHERE": when}
    r = session.run(tapkit.program("victim"), *(() if where else (when,)), env=where)
    wanted, got = Counter(r.stdout.splitlines()), recorded(session)
    ok(r.returncode == 0 and sum(wanted.values()) > 60 and wanted == got, "each file, descriptor and socket hook records its call " + title,
       "status %d, %d records expected" % (r.returncode, sum(wanted.values())), "missing: %s" % list((wanted - got).elements())[:9],
       "too many: %s" % list((got - wanted).elements())[:9], r.stderr)

tapkit.done()
