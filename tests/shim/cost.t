#!/usr/bin/python3
"""What a hook costs when there is nothing to record, and what a file and a program cost that are recorded: instructions, counted by callgrind, and system calls, counted by
strace, which noise of the machine does not change."""
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

# What is recorded. A file of many that one program writes, and a program of many that one starts.
FILES = """import os, sys
for i in range(int(sys.argv[1])):
    os.close(os.open('f%05d' % i, os.O_WRONLY | os.O_CREAT))"""
WRITERS = {
    "that a program makes": (0.9, lambda n: ["/usr/bin/python3", "-c", FILES, str(n)]),
    "that a shell writes": (0.9, lambda n: ["sh", "-c", "i=0; while [ $i -lt %d ]; do echo x > f$i; i=$((i+1)); done" % n]),
    "that tar unpacks elsewhere": (1.9, lambda n: ["tar", "xf", tar_of(n), "-C", "out"]),  # is the descriptor still that directory's?
}  # and now and then a page of the spool, or the working directory, when 50 ms have passed: with each file it would be one
CALLS_OF_A_PROGRAM = 55   # 8 are the loader's for any library; 13 ask whether a connection was inherited


def tar_of(n):
    name = os.path.join(recorded.dir, "%d.tar" % n)
    if not os.path.exists(name):
        source = os.path.join(recorded.dir, "of-%d" % n)
        os.mkdir(source)
        for i in range(n):
            with open(os.path.join(source, "t%05d" % i), "w") as f:
                f.write("text")
        subprocess.run(["tar", "cf", name, "-C", source, "."], check=True)
    return name


def system_calls(argv, record):
    """Of that program and those that it starts."""
    work, trace = os.path.join(recorded.dir, "work"), os.path.join(recorded.dir, "trace")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(os.path.join(work, "out"))
    traced = ["strace", "-f", "-qq", "-e", "trace=!futex", "-o", trace, *argv]  # the collector is woken where it sleeps, which is as it happens
    recorder = [os.path.join(gatekit.clikit.BUILD, "vcr-record"), "-q", "--"] if record else []
    r = subprocess.run(recorder + traced, cwd=work, env=recorded.env, stdout=subprocess.DEVNULL)
    with open(trace) as f:
        return sum("resumed>" not in line for line in f) if r.returncode == 0 else None


def more_calls(argv_of, few, many):
    """That recording adds to each of those beyond the first few."""
    of = {record: [system_calls(argv_of(n), record) for n in (few, many)] for record in (False, True)}
    return None if None in of[False] + of[True] else (of[True][1] - of[True][0] - of[False][1] + of[False][0]) / (many - few)


recorded = gatekit.clikit.Place()
recorded.env.update(VCR_SHIM=SHIM, VCR_COLLECTOR=os.path.join(gatekit.clikit.BUILD, "vcr-collector"))
traces = shutil.which("strace") and subprocess.run(["strace", "-qq", "-o", os.devnull, "true"]).returncode == 0
for what, (limit, argv_of) in WRITERS.items():
    title = "recording a file %s costs at most %s system calls" % (what, limit)
    if not traces:
        skip(title, "strace cannot be used here")
        continue
    more = more_calls(argv_of, 100, 500)
    ok(more is not None and more <= limit, title, more)
    print("# %s: %s more" % (what, more))
title = "recording a program that a shell starts costs at most %d" % CALLS_OF_A_PROGRAM
if traces:
    more = more_calls(lambda n: ["sh", "-c", "i=0; while [ $i -lt %d ]; do /bin/true; i=$((i+1)); done" % n], 20, 60)
    ok(more is not None and 0 < more <= CALLS_OF_A_PROGRAM, title, more)
    print("# a program: %s more" % more)
else:
    skip(title, "strace cannot be used here")

KILLED = """import os, time
for i in range(2000):
    open("f%d" % i, "w").close()
    i % 30 or time.sleep(0.004)
os.kill(os.getpid(), 9)"""
POLLS = 900  # some 75, 300 on a busy machine; one that turned in a circle made ten thousand, 1,300 under strace
title = "a collector whose first process is killed in a storm of files polls at most %d times" % POLLS
if traces:
    polls, wrapper, work = (os.path.join(recorded.dir, name) for name in ("polls", "vcr-collector", "killed"))
    os.mkdir(work)
    with open(wrapper, "w") as f:
        f.write("#!/bin/sh\nexec strace -f -qq -e trace=poll -e signal=none -o %s %s \"$@\"\n" % (polls, os.path.join(gatekit.clikit.BUILD, "vcr-collector")))
    os.chmod(wrapper, 0o755)
    subprocess.run([os.path.join(gatekit.clikit.BUILD, "vcr-record"), "-q", "--", "/usr/bin/python3", "-c", KILLED], cwd=work, env=dict(recorded.env, VCR_COLLECTOR=wrapper))
    with open(polls) as f:
        n = sum("poll(" in line for line in f)
    ok(0 < n <= POLLS, title, n)
    print("# polls: %d" % n)
else:
    skip(title, "strace cannot be used here")

FAULTS_OF_A_PROGRAM = 10  # each takes as long as five to ten system calls. Two are the loader's for any library; what we touch stands together (shim/near.c, shim/order.ld)
FAULTS = """import os
def faults():
    return os.wait4(os.posix_spawn("/bin/true", ["true"], os.environ), 0)[2].ru_minflt
print(min(faults() for i in range(40)))"""


def faults(recorder):
    r = subprocess.run([*recorder, "/usr/bin/python3", "-c", FAULTS], cwd=recorded.dir, env=recorded.env, stdout=subprocess.PIPE, text=True)
    return int(r.stdout or 0)


bare, more = faults([]), faults([os.path.join(gatekit.clikit.BUILD, "vcr-record"), "-q", "--"])
ok(bare and 0 < more - bare <= FAULTS_OF_A_PROGRAM, "recording a program that does nothing costs at most %d page faults" % FAULTS_OF_A_PROGRAM, bare, more)
print("# a program: %d page faults more than %d" % (more - bare, bare))

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
