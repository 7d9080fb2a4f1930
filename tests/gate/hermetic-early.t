#!/usr/bin/python3
"""What runs before an agent first speaks to its model: --hermetic asks about it from the start, and the session decides, not the time."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import clikit, done, ok, skip
from hermetickit import World

AGENT = r"""
import os, subprocess, sys, urllib.request
model, _, *doings = sys.argv[1:]
for what in doings or os.environ["DOINGS"].split():
    if what == "model":
        urllib.request.urlopen(urllib.request.Request(model, b'{"model": "m"}', {"Content-Type": "application/json"})).read()
        continue
    how, _, word = what.rpartition(":")  # shown: it prints where we do; else we read it
    r = subprocess.run(["sh", "-c", "echo %s >> \"$RAN\"; echo out; echo %s > made; grep SigIgn /proc/self/status" % (word, word)], stdout=None if how else subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                       restore_signals=False)
    print(r.returncode, r.stdout and r.stdout.split(), flush=True)
"""
A, B = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
world = World()
ran = world.env["RAN"] = os.path.join(world.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
made = os.path.join(world.dir, "made")
open(ran, "w").close()
world.agent = os.path.join(world.dir, "agent.py")
with open(world.agent, "w") as f:
    f.write(AGENT)


def runs():
    return len(open(ran).readlines())


def record(session, *todo, within=()):
    world.env["DOINGS"] = " ".join(todo)
    return world.run("vcr-record", "-q", "--session", session, "--capture=all", "--", *within, *world.command())


def replay(session, *todo, within=(), cwd=None):
    world.env["DOINGS"] = " ".join(todo)
    return world.run("vcr-replay", "--hermetic", "--vcr-dir", world.vcr_dir, session, "--", *within, *world.command(), cwd=cwd)


def ends(said):
    return [l.split()[0] for l in said.splitlines() if l[:1].isdigit()]


# ---- What was shown where its parent prints, and not kept, runs again ----

said, err, status = record("early", "shown:" + A, "model", "other")
line = said.splitlines()[1] if said else ""
ok(status == 0 and line.startswith("SigIgn:") and ends(said) == ["0", "0"] and runs() == 2 and not err, "it runs when it is recorded", said, err, status)
again, err, status = replay("early", "model", "shown:" + A, "shown:" + A)
ok(again.splitlines()[1:2] == [line] and runs() == 3, "where it begins behind that call in the replay, it runs as often as it did, with the signals ignored that were", said, again, err, status)
ok(ends(again) == ["0", "127"] and "it was not run so often when it was recorded" in err, "and more often it is refused", again, err)
again, err, status = replay("early", "model", "shown:" + B)
ok(ends(again) == ["127"] and "it was not recorded" in err and runs() == 3, "one that is only like it does not run for it", again, err)
said, err, status = record("both", "shown:" + A, "model", B)
again, err, status = replay("both", "model", A, A)
ok(ends(again) == ["0", "127"] and line in again.replace("['out', 'SigIgn:', '", "SigIgn:\t") and runs() == 5, "where a tool like it was recorded, that one is answered from the session, and when it is spent none runs", said, again, err)

# ---- The session decides, not the time ----

said, err, status = record("order", "model", A, "other")
count = runs()
again, err, status = replay("order", A, "model", "other")
ok(again == said and status == 0 and runs() == count and "2 tools were answered" in err, "a tool that begins before the first model call this time is answered, and does not run", said, again, err, status)
said, err, status = record("before", "shown:" + A, "shown:" + A, "model", "other")
count = runs()
again, err, status = replay("before", "shown:" + B, "new", "shown:" + A, "shown:" + A, "model", "other")
ok(ends(again) == ["0", "127", "0", "127", "0"] and status == 1 and runs() == count + 2 and "echo new >>" in err and "(it was not recorded)" in err and "so often" in err,
   "what ran before it runs, under other UUIDs too, and not more often; what was not recorded is refused by name", said, again, err, status)
other = clikit.Place()
count = runs()
around = ("/bin/sh", "-c", "/bin/sh -c 'echo around >>\"$RAN\"'; \"$@\"; exit $?", "sh")
again, err, status = replay("before", "shown:" + A, "new", "shown:" + A, "model", "other", within=around, cwd=other.dir)
ok(ends(again) == ["0", "127", "0", "0"] and runs() == count + 3 and "1 tool was refused" in err, "what is only around the recorded command this time runs, and the command is what it was, in another directory too", again, err, status)

# ---- What was read is kept, and answered ----

said, err, status = record("read", A, "model", "other", A)
count = runs()
os.unlink(made)
again, err, status = replay("read", A, "model", "other", B)
ok(again == said and status == 0 and runs() == count and "3 tools were answered from the session, 0 recorded runs" in err and open(made).read() == A + "\n",
   "what ran before the first model call and was read does not run again either, and what it did to files is done again", said, again, err, status)
for session, how, script in ("pipe", "in a script that reads what it says", '"$@" | cat'), ("script", "in a script that begins others too", 'echo first | cat; "$@" | cat; sh -c "echo 1 >>\\"$RAN\\"; echo last" | cat'):
    within = ("/bin/sh", "-c", script, "sh")
    said, err, status = record(session, A, "model", "other", within=within)
    count = runs()
    again, err, status = replay(session, A, "model", "other", within=within)
    ok(again == said and ends(said) == ["0", "0"] and "1 of 1 recorded model calls were asked for" in err and runs() == count and status == 0, "the agent itself runs %s, and what it begins is answered" % how, said, again, err, status, runs() - count)

# ---- What they print may be secret ----

SECRET = "zq7Kd93mWx0pLr5tYb2v"
with open(os.path.join(world.run_dir, "pass"), "w") as f:
    f.write(SECRET + "\n")
within = ("/bin/sh", "-c", 'MODEL_API_KEY=$(/bin/cat "%s/pass"); for i in 1 2 3; do x=$(/bin/echo "known $i"); done; export MODEL_API_KEY; "$@" | cat' % world.run_dir, "sh")
said, err, status = record("secret", A, "model", "other", within=within)
with open(world.path("secret")) as f:
    text = f.read()
again, err2, status2 = replay("secret", A, "model", "other", within=within)
ok(ends(said) == ["0", "0"] and "known 3" in text and SECRET not in text and again == said and status2 == 0, "a key that a program prints before the agent has it in its environment is not in the session; all else that it prints is", said, err, SECRET in text, again, err2)

# ---- Who reads them may be gone ----

with open(os.path.join(world.dir, "looks.py"), "w") as f:
    f.write("import os, select, sys\nos.write(1, b'line\\n')\np = select.poll()\np.register(1, 0)\nos.write(2, b'hears it\\n' if p.poll(20000) else b'waits\\n')\n")
for how, script in ("by a pipe", "python3 looks.py | head -n 1"), ("by a pair of sockets", "python3 -c 'import socket, subprocess; a, b = socket.socketpair(); p = subprocess.Popen([\"python3\", \"looks.py\"], stdout=b); b.close(); print(a.recv(100)); a.close(); p.wait()'"):
    said, err, status = record("gone" + how[-4:], "model", within=("/bin/sh", "-c", script + '; "$@"', "sh"))
    ok("line" in said and "hears it" in err and status == 0, "a program that looks whether anybody reads it any more, as tail -f does, hears it %s" % how, said, err, status)

# ---- The stand-in may not be there ----

WITHOUT = "a program that begins where the stand-in is not to be had, in another root, runs as it would, before the first model call and as a tool"
root = os.path.join(world.run_dir, "root")
os.mkdir(root)
with open(root + ".c", "w") as f:
    f.write('#include <stdio.h>\nint main(void) { puts("inside"); return 5; }\n')
ELSEWHERE = """import os, sys
for how in "exec", "spawn":
    out, into = os.pipe()
    if not (p := os.fork()):
        os.chroot(sys.argv[1])
        os.dup2(into, 1)
        if how == "exec":
            os.execve("/prog", ["prog"], os.environ)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/prog", ["prog"], os.environ), 0)[1]))
    os.close(into)
    print(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]), os.read(out, 100), flush=True)
"""
if os.geteuid():
    skip(WITHOUT, "only root can have another root")
elif subprocess.run(["gcc", "-static", "-o", os.path.join(root, "prog"), root + ".c"], stderr=subprocess.DEVNULL).returncode:
    skip(WITHOUT, "no static programs can be made here")
else:
    with open(world.agent, "a") as f:
        f.write("sys.argv[1:] = [%r]\n%s" % (root, ELSEWHERE))
    said, err, status = record("elsewhere", "model", within=("/bin/sh", "-c", '"$0" -c "$1" "$2"; shift 2; "$@"', sys.executable, ELSEWHERE, root))
    ok(said == "5 b'inside\\n'\n" * 4 and status == 0, WITHOUT, said, err, status)
done()
