#!/usr/bin/python3
"""Every hook leaves its record from wherever it is called."""
import os
import re
import subprocess
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import ok

TITLES = {
    "main": "from main",
    "thread": "from a thread",
    "signal": "from a signal handler",
    "vfork": "from a vfork child, which touches nothing of its parent",
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
        elif word[0] == "HOLE" or "BAD_CRC" in line:
            out.append(line)
    return Counter(out)


for when, title in TITLES.items():
    session = tapkit.Session()
    r = session.run(tapkit.program("victim"), when, env={"VICTIM_WHEN": when})
    wanted, got = Counter(r.stdout.splitlines()), recorded(session)
    ok(r.returncode == 0 and sum(wanted.values()) > 60 and wanted == got, "each file, descriptor and socket hook records its call " + title,
       "status %d, %d records expected" % (r.returncode, sum(wanted.values())), "missing: %s" % list((wanted - got).elements())[:9],
       "too many: %s" % list((got - wanted).elements())[:9], r.stderr)

called = set(subprocess.run([tapkit.program("victim"), "--hooks"], stdout=subprocess.PIPE, text=True).stdout.split())
called |= set(subprocess.run([tapkit.program("leads"), "--hooks"], stdout=subprocess.PIPE, text=True).stdout.split())  # lead.t
called |= set("""execve execv execvp execvpe execl execlp execle execveat fexecve posix_spawn posix_spawnp system popen fork _Fork forkpty daemon wait waitpid
    wait3 wait4 waitid _exit _Exit closefrom prctl""".split())  # programs.t
called |= {"vcr_annotate"}  # cli/annotate.t
header = open(os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "shim", "hooks.h")).read()
listed = set(re.findall(r"\bX\(([a-zA-Z_0-9]+)\)", header)) - {"name", "X"}
tls = {name for name in listed if name.startswith("SSL_")}  # tls.t, lead.t
ok(called == listed - tls, "the tests call every hook of the list", "not called: %s" % (listed - tls - called), "not listed: %s" % (called - listed))
tapkit.done()
