#!/usr/bin/python3
"""--deterministic: process numbers, and what is made of them, are the same when a session is replayed; the recording loses nothing by it."""
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, clikit, done, ok, skip

PYTHON, RECORD, REPLAY = "/usr/bin/python3", os.path.join(BUILD, "vcr-record"), os.path.join(BUILD, "vcr-replay")
OWN = "$$, $RANDOM, $!, names made of them, os.getpid(), uuid1 and the addresses of objects are the same again"
FITS = "a program's numbers fit each other: what fork, waitpid, kill and /proc call it is what it calls itself"
ENDS = "how each program ended stands in the session"
OUTLIVES = "a process that outlives the command goes on being recorded, and the session ends with it"
STATUS = "the command ends as it does without"
REFUSED = "where the kernel refuses, a line says who and what helps, and the command runs with the kernel's numbers"
place = clikit.Place()
del place.env["VCR_COLLECTOR"]


def run(*argv, before=(), **env):
    r = subprocess.run([*before, *argv], cwd=place.dir, env=dict(place.env, **env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    return r.returncode, r.stdout, r.stderr


def record(session, *command, options=(), before=()):
    return run(RECORD, "--deterministic", *options, "--session", session, "--vcr-dir", place.vcr_dir, "--", *command, before=before)


def frames(session, node):
    return [l["data"] for l in gatekit.frames(place.path(session)) if l["type"] == "frame" and l["data"]["node_name"].startswith(node)]


refused = record("probe", "/bin/true")[2]
why = refused.partition("process numbers are the kernel's, and others in each run: ")[2].partition("\n")[0]

# ---- The same again ----

SHELL = r"""
echo $$ $PPID $BASHPID $RANDOM $RANDOM; (echo $BASHPID $RANDOM); /bin/true & echo $!; wait
d=$(mktemp -d); echo "$d/of.$$.$RANDOM"; rmdir "$d"; echo $((RANDOM % 1000))
"$1" -c 'import os, subprocess, uuid; print(os.getpid(), os.getppid(), uuid.uuid1(), object(), subprocess.Popen("true").pid)'
"""
can = any(not subprocess.run(["unshare", how, "--mount-proc", "true"], stderr=subprocess.DEVNULL).returncode for how in ("-pf", "-Urpf")) if shutil.which("unshare") else False
if why and not can:
    skip(OWN, why)
else:
    status, out, err = record("same", "/bin/bash", "-c", SHELL, "bash", PYTHON)
    again = [run(REPLAY, "--deterministic", "--vcr-dir", place.vcr_dir, "same", "--", "/bin/bash", "-c", SHELL, "bash", PYTHON)[:2] for _ in range(3)]
    ok(status == 0 and out.startswith("2 0 2 ") and again == [(0, out)] * 3, OWN, status, out, err, again)

SELF = """
import os, signal
child = os.fork()
if child == 0:
    os._exit(os.getppid() % 100)
print([os.readlink("/proc/self") == str(os.getpid()), os.path.exists("/proc/%d/stat" % child), os.waitpid(child, 0) == (child, os.getpid() % 100 << 8)])
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
status, out, err = record("fits", PYTHON, "-c", SELF)
ok(status == 0 and out == "[True, True, True]\nheard\n", FITS, status, out, err)

# Where the machine keeps what the last UUID of a time was.
KEPT = "UUIDs of times are drawn without the number that the machine keeps for them"
keep = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs none /var/lib && mkdir /var/lib/libuuid && exec "$@"', "sh"]
if not shutil.which("unshare") or subprocess.run([*keep, "true"], stderr=subprocess.DEVNULL).returncode:
    skip(KEPT, "no namespace in which there would be one")
else:
    command = ["/bin/sh", "-c", "%s -c 'import uuid; print(uuid.uuid1())'; ls /var/lib/libuuid" % PYTHON]
    status, out, err = record("kept", *command, before=keep)
    ok(status == 0 and len(out.splitlines()) == 1, KEPT, status, out, err)

# ---- The recording ----

status, out, err = record("ends", "/bin/sh", "-c", "/bin/true; /bin/false; /bin/sh -c 'exit 7'; /bin/sh -c 'kill -9 $$'; exit 3")
said = [(f["input_state"]["argv"][-1], f["output_state"].get("exit_code"), f["output_state"].get("signal")) for f in frames("ends", "exec:")]
ok(status == 3 and [s[1:] for s in said[:4]] == [(0, None), (1, None), (7, None), (None, 9)], ENDS, status, said, err)
ok([record("end%d" % i, "/bin/sh", "-c", c)[0] for i, c in enumerate(("exit 5", "kill -TERM $$"))] == [5, -15], STATUS)

DOOR = os.path.join(place.dir, "door")
os.mkfifo(DOOR)
LATER = "(read x <'%s'; echo later >'%s/later.txt') >/dev/null 2>&1 </dev/null & exit 0" % (DOOR, place.dir)
status, out, err = record("outlives", "/bin/sh", "-c", LATER)
goes_on = "processes of the session still run" in err
with open(DOOR, "w") as f:
    f.write("go\n")
for _ in range(600):
    lines = gatekit.frames(place.path("outlives"))
    if lines[-1]["type"] == "vcr.end":
        break
    time.sleep(0.05)
ok(status == 0 and goes_on and lines[-1]["type"] == "vcr.end" and [f["input_state"]["path"] for f in frames("outlives", "file:write")].count("later.txt") == 1, OUTLIVES, status, err,
   [f["input_state"] for f in frames("outlives", "file:write")])

# ---- Refused ----

refuse = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_pid_namespaces && exec "$@"', "sh"]
if not shutil.which("unshare") or subprocess.run([*refuse, "true"], stderr=subprocess.DEVNULL).returncode:
    skip(REFUSED, "no user namespace in which it could be refused")
else:
    status, out, err = record("refused", "/bin/sh", "-c", "echo $$", before=refuse)
    ok(status == 0 and int(out) > 2 and "process numbers are the kernel's, and others in each run: a setting of the kernel" in err and "sysctl user.max_user_namespaces" in err, REFUSED, status, out, err)
done()
