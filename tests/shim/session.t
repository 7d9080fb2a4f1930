#!/usr/bin/python3
"""The session as a host lives with it: one however many processes begin it, a collector nobody notices, and no harm when things are missing."""
import glob
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import ok, skip

HOST, STANDIN = tapkit.program("host"), tapkit.program("standin")


def seen(session):
    return [line for f in glob.glob(os.path.join(session.run_dir, "vcr", "*.seen")) for line in open(f).read().splitlines()]


def header(session):
    return dict(word.split("=", 1) for word in session.lines()[0].split()[1:])


for n in (8, 40):
    session = tapkit.Session(STANDIN)
    r = session.run(HOST, "race", str(n))
    files = {l.split()[-1] for l in session.lines() if " OPEN " in l}
    ok(r.returncode == 0 and len(session.spools()) == 1 and len(seen(session)) == 1 and len(files) == n,
       "%d processes that race for the first event make one session with one collector and lose nothing" % n,
       "%d spools, %d collectors, %d files" % (len(session.spools()), len(seen(session)), len(files)), r.stderr)

session = tapkit.Session(STANDIN)
began = time.monotonic()
r = session.run("/bin/sh", "-c", "answer=$(%s quiet); echo \"$answer, status $?\"" % HOST)
ok(r.stdout == "sigchld=0 wait=-1 ECHILD wall=-1 descriptor=0, status 0\n" and time.monotonic() - began < 5,
   "the host gets no SIGCHLD, no child to wait for and no descriptor from the collector, and $(…) ends", r.stdout, r.stderr)
ok(any(" OPEN " in l and l.endswith("last") for l in session.lines()), "a signal to the host's process group does not reach the collector")
ok(seen(session) == ["descriptors=3 stdout=/dev/null signals=31 leader=1 preload=none spool=none soft=1"],
   "the collector has descriptors, signals, limits and a session of its own and no preload", *seen(session))

session = tapkit.Session(STANDIN)
r = session.run(HOST, "quiet", env={"STANDIN_DELAY_MS": "400"})
lines = session.lines()
first = os.stat(os.path.join(session.work, "first")).st_mtime
gate = os.stat(glob.glob(os.path.join(session.run_dir, "vcr", "*.seen"))[0]).st_mtime
ok(first - gate > 0.3, "the first change in the workspace waits until the start scan is complete", "%.3f s" % (first - gate))
session = tapkit.Session("/bin/true")
began = time.monotonic()
r = session.run("/bin/sh", "-c", "for i in 1 2 3; do : > f$i; /bin/touch g$i; done")
took = time.monotonic() - began
ok(r.returncode == 0 and took < 4, "a collector that never gets ready costs a session two seconds once, however many processes it has", "%.1f s" % took)
session = tapkit.Session()
began = time.monotonic()
r = session.run("/bin/sh", "-c", ": > f")
ok(r.returncode == 0 and time.monotonic() - began < 1 and header(session)["collector"] == "3", "a missing collector costs nothing; the spool keeps what was said")

session = tapkit.Session()
r = session.run("/bin/sh", "-c", "/bin/sh -c '/bin/sleep 0.3; : > late' & exit 0")
ok(any(" OPEN " in l and l.endswith("late") for l in session.lines()) and header(session)["users"] == "0",
   "a program left running in the background is recorded although the first process has ended", *session.lines())
session = tapkit.Session()
r = session.run("/usr/bin/python3", "-c", "import subprocess; subprocess.run(['/bin/true']); open('later', 'w').close()")
ok(any(" OPEN " in l and l.endswith("later") for l in session.lines()), "a session that began with a vfork child outlives that child: what its parent does later is recorded",
   r.stderr, *session.lines())
session = tapkit.Session()
os.symlink(session.work, session.dir + "/link")
r = session.run("/usr/bin/touch", session.dir + "/link/through-a-link")
ok(any(" OPEN " in l and l.endswith(" through-a-link") for l in session.lines()), "a file opened through a link into the workspace is known by its true path", *session.lines())

# A connection whose descriptor was copied before anything was said, and one that came from another process.
PASSED = """import os, socket, threading
def serve(l):
    for i in range(2):
        s = l.accept()[0]
        while not s.recv(99).endswith(b"the end"): pass
        s.sendall(b"answer"); s.close()
l = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(l,), daemon=True).start()
a = socket.create_connection(l.getsockname())
b = socket.socket(fileno=os.dup(a.fileno()))
b.sendall(b"POST /copied HTTP/1.1\\r\\n\\r\\n"); a.sendall(b"the end"); a.recv(99); a.close(); b.close()
x, y = socket.socketpair()
socket.send_fds(x, [b"x"], [socket.create_connection(l.getsockname()).detach()])
c = socket.socket(fileno=socket.recv_fds(y, 9, 1)[1][0])
c.sendall(b"POST /passed HTTP/1.1\\r\\n\\r\\n"); c.sendall(b"the end"); c.recv(99)"""
session = tapkit.Session()
r = session.run("/usr/bin/python3", "-c", PASSED)
said = [l.split(" ", 4)[4] for l in session.lines("--bytes") if l.split()[0] in ("OUT", "IN")]
ok(r.returncode == 0 and [l[:12] for l in said] == [w for k in ("copied", "passed") for w in ("POST /" + k, "the end", "answer")],
   "what goes through a copy of a connection's descriptor, or one that another process sent, is recorded", said, r.stderr)

session = tapkit.Session()
r = session.run(HOST, "storm")
lines = session.lines()
opened = [l.split()[-1] for l in lines if " OPEN " in l]
whose = {by: {re.search(r"pid=(\d+)", l).group(1) for l in lines if " OPEN " in l and (l.split()[-1] == "by-vfork") == by} for by in (False, True)}
expected = int(r.stdout or -1)
ok(r.returncode == 0 and len([f for f in opened if f != "by-vfork"]) == expected and opened.count("by-vfork") == 40 and not [l for l in lines if "HOLE" in l or "BAD" in l] and
   header(session)["dropped"] == "0", "threads, a 5 kHz signal handler and vfork children write at once: nothing is lost or torn",
   "status %d, wrote %d, found %d + %d vfork, dropped %s" % (r.returncode, expected, len([f for f in opened if f != "by-vfork"]), opened.count("by-vfork"), header(session)["dropped"]), r.stderr)
ok(len(whose[False]) == 1 and len(whose[True]) == 40 and not whose[False] & whose[True], "and each says which process it was", whose)

SHARED = """import ctypes, os, signal
libc = ctypes.CDLL(None)
w = lambda name: open(name, "w").close()
w("before")
run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda argument: (w("child"), 0)[1])
stack = ctypes.create_string_buffer(1 << 20)
child = libc.clone(run, ctypes.c_void_p(ctypes.addressof(stack) + (1 << 20) - 64), 0x100 | 0x4000 | signal.SIGCHLD, None) if %d else libc.syscall(57)
if child == 0:
    w("child")
    os._exit(0)
os.waitpid(child, 0)
w("after")"""
for title, by in (("a child that clone makes in its parent's memory", 1), ("one that a system call by libc's name makes", 0)):
    if not by and os.uname().machine != "x86_64":
        skip(title + " is told apart from its parent", "57 is fork on x86-64 only")
        continue
    session = tapkit.Session()
    r = session.run("/usr/bin/python3", "-c", SHARED % by)
    pids = {l.split()[-1]: re.search(r"pid=(\d+)", l).group(1) for l in session.lines() if " OPEN " in l}
    ok(r.returncode == 0 and len(pids) == 3 and pids["before"] == pids["after"] != pids["child"], title + " is told apart from its parent", pids, r.stderr)



def who_opened(session):
    """File -> the process, and how often the first process ended."""
    lines = session.lines()
    return {l.split()[-1]: re.search(r"pid=(\d+)", l).group(1) for l in lines if " OPEN " in l}, sum(l.startswith("ROOT_END") for l in lines)


session = tapkit.Session()
r = session.run(HOST, "begins")
whose, ends = who_opened(session)
ok(r.returncode == 0 and len(whose) == 3 and whose["first"] == whose["last"] != whose["by-child"] and ends == 1 and header(session)["users"] == "0",
   "a forked child that first does what pthread_atfork says is not taken for its parent, nor is its end for the end of that", r, whose, ends, header(session))

session = tapkit.Session()
r = session.run(HOST, "twice")
whose, ends = who_opened(session)
ok(r.returncode == 0 and len(whose) == 5 and whose["first"] == whose["last"] and whose["worker"] == whose["worker-last"] and len(set(whose.values())) == 3,
   "nor is one that a handler forks in the midst of vfork, and its own vfork child is told apart from it", r, whose)

LOADED = """#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *unused)
{
	const char *what = getenv("WHAT");
	if (!strcmp(what, "close")) close(-1);
	if (!strcmp(what, "read")) return (void *)read(-1, NULL, 0);
	if (!strcmp(what, "dup2")) dup2(1, 1);
	if (!strcmp(what, "_exit")) _exit(0);
	if (!strcmp(what, "vfork")) { pid_t p = vfork(); if (!p) _exit(0); waitpid(p, NULL, 0); }
	return NULL;
}
__attribute__((constructor)) static void load(void) { pthread_t t; pthread_create(&t, NULL, work, NULL); pthread_join(t, NULL); }
"""
title = "a module whose constructor waits for a thread's first system calls is loaded"
session = tapkit.Session()
with open(os.path.join(session.dir, "loaded.c"), "w") as f:
    f.write(LOADED)
module = os.path.join(session.dir, "loaded.so")
if not shutil.which("cc") or subprocess.run(["cc", "-shared", "-fPIC", f.name, "-o", module, "-pthread"], stderr=subprocess.DEVNULL).returncode:
    skip(title, "no compiler here makes a module")
else:
    wrong = []
    for what in ("close", "read", "dup2", "_exit", "vfork"):
        try:
            r = session.run("/usr/bin/python3", "-c", "import ctypes, sys\nctypes.CDLL(sys.argv[1])", module, env={"WHAT": what})
            wrong += [(what, r)] if r.returncode else []
        except subprocess.TimeoutExpired:
            wrong.append((what, "it waits for ever"))
    ok(not wrong, title, *wrong)

session = tapkit.Session()
r = session.run(HOST, "bomb", "2000")
lines = session.lines()
ok(r.stdout == "2000\n" and len([l for l in lines if l.startswith("FORK")]) == 2000 and len([l for l in lines if "EXIT" in l and "WAIT" in l]) == 2000,
   "2,000 short children are each recorded with their birth and their end", r.stdout, r.stderr)

session = tapkit.Session()
r = session.run(HOST, "sandbox")
ok(r.returncode == 5 and r.stdout == "alive\n", "a host that locks itself into a seccomp filter is not killed by a system call of ours", "status %d" % r.returncode)

for size, files, what in ((1000, 1024, "RLIMIT_FSIZE of 1000 bytes"), (1 << 30, 4, "RLIMIT_NOFILE of 4"), (1000, 4, "both limits low")):
    session = tapkit.Session(STANDIN)
    r = session.run(HOST, "limits", str(size), str(files))
    ok(r.returncode == 0 and r.stdout == "still here\n" and not r.stderr, "a host with %s runs as without us" % what, "status %d" % r.returncode, r.stdout, r.stderr)

# More than a process has mapped of the spool at first: 256 KB, from where the records ended as it began.
MUCH = """import os, sys, threading
place = "/".join(["n" * 200] * 4)
os.makedirs(place, exist_ok=True)
def write(which, n):
    for i in range(n):
        os.close(os.open("%s/%s-%d" % (place, which, i), os.O_CREAT | os.O_WRONLY))
"""
session = tapkit.Session()
r = session.run("/usr/bin/python3", "-c", MUCH + """threads = [threading.Thread(target=write, args=(k, 150)) for k in range(8)]
for t in threads: t.start()
for t in threads: t.join()""")
opened = {l.split("/")[-1].split()[0] for l in session.lines() if " OPEN " in l}
ok(r.returncode == 0 and opened == {"%d-%d" % (k, i) for k in range(8) for i in range(150)} and header(session)["dropped"] == "0",
   "threads that together write four times as much as is mapped at first lose nothing", r.stderr, len(opened), header(session))
LIMITED = MUCH + """import resource, subprocess, time
other = subprocess.Popen([sys.executable, "-c", %r, sys.argv[1]], stdin=subprocess.PIPE)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
place_of_spools = os.environ["XDG_RUNTIME_DIR"]
os.rename(place_of_spools + "/vcr", place_of_spools + "/gone")
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
other.stdin.close()
write("last", 30)
os.rename(place_of_spools + "/gone", place_of_spools + "/vcr")
other.wait()
""" % (MUCH + "write('other', 900)\nopen(sys.argv[1], 'w').close()\nsys.stdin.read()\n")
session = tapkit.Session()
r = session.run("/usr/bin/python3", "-c", LIMITED, session.dir + "/written")
opened = [l for l in session.lines() if " OPEN " in l and "/last-" in l]
ok(r.returncode == 0 and len(opened) == 30 and header(session)["dropped"] == "0",
   "a process that has no descriptor left, and cannot reach the spool's file any more, writes on beyond that", r.stderr, len(opened), header(session))
NARROW = MUCH.replace("* 4)", "* 16)") + """import resource
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (160 << 20, hard))
write("narrow", 120)
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
write("wide", 6000)
"""
session = tapkit.Session()
r = session.run("/usr/bin/python3", "-c", NARROW)
opened = sum(" OPEN " in l for l in session.lines())
ok(r.returncode == 0 and opened == 6120 and header(session)["dropped"] == "0",
   "a limit of addresses that stood while more was mapped (a vfork child's, or its own) is not one for good", r.stderr, opened, header(session))
session = tapkit.Session()
with open(os.path.join(session.dir, "other.py"), "w") as f:
    f.write(MUCH + "write('other', 900)")
r = session.run(HOST, "sandbox", "exec /usr/bin/python3 %s/other.py" % session.dir)
ends = [l for l in session.lines() if l.startswith("EXIT") and "SELF" in l and "status=0x500" in l]
ok(r.returncode == 5 and r.stdout == "alive\n" and len(ends) == 1, "and so does one that has locked itself in since: its end is recorded", r.returncode, r.stdout, r.stderr, *session.lines()[-3:])

session = tapkit.Session()
r = session.run(HOST, "cut", os.path.join(session.run_dir, "vcr"))
ok(r.returncode == 0 and r.stdout == "alive\n", "what a stranger has cut off the spool's end is noticed before it is stored to: no SIGBUS", "status %d" % r.returncode, r.stderr)

session = tapkit.Session()
r = session.run(HOST, "wild", os.path.join(session.run_dir, "vcr"))
ok(r.returncode == 0 and r.stdout == "alive\n", "a spool that says that the next record is to be at the end of all addresses is not written to there", "status %d" % r.returncode, r.stderr)

title = "without any memory file system the host runs as without us"
probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "-o", "ro", "none", "/dev/shm"], stderr=subprocess.DEVNULL)
if probe.returncode:
    skip(title, "mount namespaces need privileges here")
else:
    session = tapkit.Session(STANDIN)
    del session.env["XDG_RUNTIME_DIR"]
    preload = session.env.pop("LD_PRELOAD")
    r = session.run("unshare", "-m", "sh", "-c", "mount -t tmpfs -o ro none /dev/shm && LD_PRELOAD=%s %s limits 100000 100" % (preload, HOST))
    ok(r.returncode == 0 and r.stdout == "still here\n" and not r.stderr, title, r.stdout, r.stderr)
tapkit.done()
