#!/usr/bin/python3
"""Every hook of VCR_HOOKS(X), in every situation: which were really called there by the victims of hooks.t, programs.t, tls.t and lead.t, counted by a library
that stands before the shim (witness.c). A new hook is missing here until a victim calls it; what comes of the call is those tests' business."""
import os
import platform
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from leadkit import Gate, make_ca, make_leaf
from tapkit import SHIM, Session, ok, skip

SITUATIONS = {"main": "from main", "constructor": "from a constructor that runs before the shim's", "thread": "from a thread", "signal": "from a signal handler",
              "vfork": "from a vfork child", "closefrom": "after closefrom(3)", "exit": "during exit"}  # witness.c's order
# What begins or becomes a program; programs.t has their sense.
PROGRAMS = """execve execv execvp execvpe execl execlp execle execveat fexecve posix_spawn posix_spawnp system popen fork _Fork vfork clone forkpty daemon wait waitpid wait3 wait4
    waitid _exit _Exit""".split()
WITNESS = os.path.join(tapkit.BUILD, "tests", "shim", ".libs", "libwitness.so")
SLOT, NAME = 64, 32
header = open(os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "shim", "hooks.h")).read()
listed = set(re.findall(r"\bX\(([a-zA-Z_0-9]+)\)", header)) - {"name", "X", "vcr_annotate"}

if platform.machine() != "x86_64":
    for title in SITUATIONS.values():
        skip("each hook of the list is called by a victim " + title, "the witness knows x86-64 only")
    tapkit.done()

keys = Session()
CA, CA_KEY = make_ca(keys.dir, "gate-ca")
LEAF = make_leaf(keys.dir, CA, CA_KEY)
counts = os.path.join(keys.dir, "counts")
with open(counts, "wb") as f:
    f.truncate(SLOT * len(listed))


def run(session, program, *argv, when):
    path = os.path.dirname(tapkit.program("programs")) + ":/usr/bin:/bin"
    return session.run(tapkit.program(program), *argv, env={"LD_PRELOAD": WITNESS + ":" + SHIM, "WITNESS": counts, "WHERE": when, "PATH": path}).returncode


def called():
    """Hook -> calls per situation."""
    with open(counts, "rb") as f:
        data = f.read()
    slots = (data[at:at + SLOT] for at in range(0, len(data), SLOT))
    return {s[:NAME].split(b"\0")[0].decode(): struct.unpack("8I", s[NAME:])[:len(SITUATIONS)] for s in slots}


failures = []
for when in SITUATIONS:
    led = Session()
    gate = Gate(led, LEAF, CA, "api.openai.com", flags="r6")
    runs = {"victim": run(Session(), "victim", when=when), "tlsuser": run(Session(), "tlsuser", when=when), "leads": run(led, "leads", str(gate.port), when=when)}
    runs.update({how: run(Session(), "programs", how, tapkit.program("programs"), "show", when=when) - 7 for how in PROGRAMS})
    failures += [(when, what, status) for what, status in runs.items() if status]
ok(not failures, "each victim does in each situation, behind a second preload, what it does alone", *failures)
table = called()
ok(set(table) == listed, "the witness stands before each hook of the list", sorted(set(table) ^ listed))
for column, (when, title) in enumerate(SITUATIONS.items()):
    missing = sorted(name for name in listed if not table.get(name, (0,) * 7)[column])
    ok(not missing, "each hook of the list is called by a victim " + title, "not called: " + " ".join(missing))
tapkit.done()
