#!/usr/bin/python3
"""What an agent asks of the world besides its model: recorded with --capture=all, and answered from the session."""
import os
import signal
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
import tapkit
from gatekit import BUILD, clikit, done, json, ok
from hermetickit import World

# ---- HTTP ----

world = World()
said, err, _ = world.record("http", "/one", "/missing", "/one")
kept = [l["data"] for l in world.lines("http") if l["type"] == "vcr.http"]
ok([(k["path"], k["status"], k["api"]) for k in kept] == [("/one", 200, "none"), ("/missing", 404, "none"), ("/one", 200, "none")],
   "vcr-record --capture=all records every HTTP exchange", kept, err)
again, err, status, asked = world.replay("http", "/one", "/missing", "/one")
ok(again == said and said.count("page") == 3 and not asked and status == 0, "a replay answers them from the session, in recorded order, without their server", said, again, err, asked)
other, err, status, asked = world.replay("http", "/one", "/other")
ok("200 page" in other and "\n403 vcr replay: GET %s/other was not recorded" % world.web.url[7:] in other and not asked and "refused" in err and world.web.url[7:] in err, "what was not recorded is refused by name, and listed at the end", other, err, asked)
said, err, _ = world.record("both", "/one", "echo said")
again, err, status, asked = world.replay("both", "/one", "echo said", options=("--hermetic",))
ok(again == said and "200 page" in said and not asked and status == 0, "with --hermetic too", said, again, err, asked)
again, err, status, asked = world.replay("both", "/two", "echo other", options=("--hermetic",))
ok(not asked and status == 1 and "nothing goes to the network: %s (" % world.web.url[7:] in err and "echo other (it was not recorded)" in err and "\n403 vcr replay: GET %s/two was not recorded" % world.web.url[7:] in again,
   "and there a page and a tool that were not recorded are both named", again, err, status)
world.record("models", "/one", options=())
ok(not [l for l in world.lines("models") if l["type"] == "vcr.http"], "without it only models' exchanges are kept")
with open(os.path.join(world.vcr_dir, "config"), "w") as f:
    f.write("capture all\n")
world.record("configured", "/one", options=())
world.record("not", "/one", options=("--capture=models",))
count = [sum(l["type"] == "vcr.http" for l in world.lines(s)) for s in ("configured", "not")]
ok(count == [1, 0], "capture in .vcr/config says it too, and the option goes before it", count)
ok(world.record("x", options=("--capture=some",))[2] == 2, "another word is a wrong call")
os.unlink(os.path.join(world.vcr_dir, "config"))

# ---- Tools ----

world = World()
ran = os.path.join(world.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
for name in ("old", "gone"):
    open(os.path.join(world.dir, name), "w").write(name + "\n")
TOOLS = ("echo said; echo wrong >&2; exit 3", "date", "date +%%N; echo 1 >>%s" % ran, "date +%%N; echo 1 >>%s" % ran, "pwd; echo \"in $PWD\" >here; echo 1 >>%s" % ran,
         "mkdir -p sub/deep; echo new >sub/deep/made; chmod 755 sub/deep/made; mv old moved; rm gone; ln -s made sub/deep/link", "kill -9 $$", "sh -c 'echo nested; sh -c \"echo deeper >nested\"'", "system:echo by a shell of system >shell; echo 1 >>%s; exit 6" % ran, "system:kill -15 $$", "exec sh -c 'echo another; exit 7'")
said, err, status = world.record("tools", *TOOLS)
results = [json.loads(l) for l in said.splitlines() if l.startswith("[")]
ok(results[0] == [3, "said\n", "wrong\n"] and results[4][1] == world.dir + "\n" and results[6] == [-9, "", ""] and results[7][1] == "nested\n" and "\n%d\n15\n" % (6 << 8) in said and results[8] == [7, "another\n", ""] and not err,
   "tools that are recorded end and print as they would", said, err)
kept = [l["data"] for l in world.lines("tools") if l["type"] == "vcr.output"]
ok(len(kept) == len(TOOLS) and not [k for k in kept if "not_kept" in k], "what each of them printed is in the session, and nothing of what ran under them apart", kept)

other = clikit.Place()
for name in ("old", "gone"):
    open(os.path.join(other.dir, name), "w").write(name + "\n")
count = len(open(ran).readlines())
again, err, status, asked = world.replay("tools", *TOOLS, options=("--hermetic",), cwd=other.dir)
there = {n: open(os.path.join(other.dir, n)).read() for n in ("here", "sub/deep/made", "sub/deep/link", "moved", "nested", "shell") if os.path.exists(os.path.join(other.dir, n))}
ok(again == said.replace(world.dir, other.dir) and status == 0 and not asked and len(open(ran).readlines()) == count,
   "--hermetic: none of them runs, and each prints and ends as it did, in another directory with its paths", again, said, err, status)
ok(there == {"here": "in %s\n" % other.dir, "sub/deep/made": "new\n", "sub/deep/link": "new\n", "moved": "old\n", "nested": "deeper\n", "shell": "by a shell of system\n"} and
   not os.path.exists(os.path.join(other.dir, "gone")) and os.path.islink(os.path.join(other.dir, "sub/deep/link")) and os.stat(os.path.join(other.dir, "sub/deep/made")).st_mode & 0o777 == 0o755,
   "what they did to files is done again: written, moved, removed, linked, made executable", there, err)
again, err, status, asked = world.replay("tools", TOOLS[0], "uname -n", TOOLS[1], TOOLS[1], options=("--hermetic",))
lines = [json.loads(l) for l in again.splitlines()[1:]]
ok(lines[0][0] == 3 and lines[1][0] == 127 and "uname -n: it was not recorded" in lines[1][2] and lines[2][0] == 0 and lines[3][0] == 127 and "so often" in lines[3][2] and status == 1 and "2 tools were refused" in err and "uname -n" in err,
   "what was not recorded, or not so often, ends with 127 and its name, is listed at the end, and the replay's status says so", again, err, status)
again, err, status, asked = world.replay("tools", "echo 1 >>" + ran)
ok(len(open(ran).readlines()) == count + 1, "without --hermetic tools run", again, err)
world.record("plain", options=())
again, err, status, asked = world.replay("plain", options=("--hermetic",))
ok(status == 125 and "--capture=all" in err and not again, "a session in which no tool's output was kept is not replayed so, and it is said what keeps it", again, err, status)
ok("--mode" in world.run("vcr-replay", "--hermetic", "--mode=all", "tools", "--", "true")[1] and world.run("vcr-replay", "--hermetic", "tools")[2] == 2, "--hermetic with what goes online, or without a command, is a wrong call")

OTHERS = ("popen:echo read; echo 1 >>%s; exit 4" % ran, "popen:echo read; echo 1 >>%s; exit 4" % ran, "popenw:cat >written; echo 1 >>%s; exit 5" % ran, "fed:cat >/dev/null; echo fed; echo 1 >>%s" % ran,
          "paired:head -c5; echo 1 >>%s" % ran, "crossed:yes | tr -d '\\n' | head -c2000000 & head -c3000000 >/dev/null; wait; echo 1 >>%s" % ran, "unfed:echo 1 >>%s; exit 2" % ran, "together:echo 1 >>%s; sleep 0.1" % ran)
said, err, status = world.record("others", *OTHERS)
count = len(open(ran).readlines())
ok([json.loads(l) for l in said.splitlines()[1:]] == [[4 << 8, "read\n"]] * 2 + [[5 << 8, 300000], [0, 1000000, "fed\n"], ["words", 0], [2000000, 0], [2]] and not err,
   "shells of popen(3) and of several threads, and tools that are fed, are recorded as they are", said, err)
kept = [l["data"] for l in world.lines("others") if l["type"] == "vcr.output"]
ok(len(kept) == 11 and not [k for k in kept if "not_kept" in k], "what a shell of popen(3) printed is kept too, and its file", kept)
os.unlink(os.path.join(world.dir, "written"))
again, err, status, asked = world.replay("others", *OTHERS, options=("--hermetic",))
ok(again == said and status == 0 and len(open(ran).readlines()) == count and os.path.getsize(os.path.join(world.dir, "written")) == 300000,
   "--hermetic: they do not run either, and who feeds a tool more than a pipe holds, never ends its input, or talks with it through one socket, hears what he heard", again, err, status)
again, err, status, asked = world.replay("others", "byfd:echo 1 >>" + ran, "popen:echo 2 >>" + ran, "filtered:echo 1 >>" + ran, options=("--hermetic",))
ok(len(open(ran).readlines()) == count and status == 1 and err.count("it was not recorded") >= 3,
   "nor does one that is run by a descriptor, or by a process with a filter on its system calls, and each is named", again, err, status)

shots = os.path.join(world.env["HOME"], ".claude/shell-snapshots")
os.makedirs(shots)
SHOT = "SNAPSHOT_FILE=%s/snapshot-bash-%s.sh\necho 1 >$SNAPSHOT_FILE"
world.record("shot", SHOT % (shots, "1-a"), SHOT % (world.dir, "1-a"))
os.unlink(os.path.join(world.dir, "snapshot-bash-1-a.sh"))
again, err, status, asked = world.replay("shot", SHOT % (shots, "2-b"), SHOT % (world.dir, "2-b"), options=("--hermetic",))
found = sorted(os.listdir(shots))
ok(again.count('[0, "", ""]') == 2 and found == ["snapshot-bash-1-a.sh", "snapshot-bash-2-b.sh"] and not os.path.getsize(os.path.join(shots, found[1])) and not os.path.exists(os.path.join(world.dir, "snapshot-bash-2-b.sh")),
   "the file that claude-code's shell makes is there by its name of this run, empty, and nowhere else", again, err, found)

PROXIED = """
import os, socket, subprocess, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ.get("HTTPS_PROXY", sys.argv[1]))
socket.create_connection((proxy.hostname, proxy.port)).close()
print(subprocess.run(["echo", "from", "a tool"], stdout=subprocess.PIPE, text=True).stdout, end="")
"""
world.agent = os.path.join(world.dir, "proxied.py")
open(world.agent, "w").write(PROXIED)
again, err, status, asked = world.replay("tools", options=("--hermetic",))
ok("echo from a tool" in err and "1 tool was refused" in err, "a program that takes the gate for its proxy, as Bun does, has spoken to a model too", again, err)

# ---- A recorded tool is what it would be ----

PROBE = """
import ctypes, errno, json, os, resource, signal, subprocess, sys, time, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{"model": "m"}', {"Content-Type": "application/json"})).read()
say = {}
p = subprocess.Popen(["sh", "-c", "echo $$ $PPID; read line; echo got $line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
out = p.communicate("a line\\n")[0].split()
say["pid"] = out[0] == str(p.pid) and out[1] == str(os.getpid())
say["stdin"] = out[2:] == ["got", "a", "line"]
big = subprocess.run([sys.executable, "-c", "import sys\\nfor i in range(3000): sys.stdout.write('o' * 1000); sys.stderr.write('e' * 100)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
later = subprocess.Popen([sys.executable, "-c", "print('l' * 3000000)"], stdout=subprocess.PIPE)
os.read(later.stdout.fileno(), 1)
subprocess.run(["echo", "meanwhile"], stdout=subprocess.PIPE)
say["later"] = len(later.communicate()[0]) == 3000000
say["large"] = [len(big.stdout), len(big.stderr)] == [3000000, 300000]
limited = [subprocess.run([sys.executable, "-c", "print('l' * 100000)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))) for n in (0, 4096)]
say["limited"] = [(l.returncode, len(l.stdout)) for l in limited] == [(0, 100001)] * 2
p = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE)
p.terminate()
say["signal"] = p.wait() == -signal.SIGTERM and p.stdout.read() == b""
both = subprocess.run(["sh", "-c", "echo 1; echo 2 >&2; echo 3; echo 4 >&2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
say["order"] = both.stdout == b"1\\n2\\n3\\n4\\n"
try:
    subprocess.run(["no-such-program"])
except FileNotFoundError:
    say["missing"] = True
with open("nothing", "w") as f:
    f.write("this is no program\\n")
os.chmod("nothing", 0o755)
with open("nobody", "w") as f:
    f.write("#!/no/such/interpreter\\n")
os.chmod("nobody", 0o755)
failed = []
for name in ("./nothing", "./nobody"):
    try:
        subprocess.run([name])
    except OSError as e:
        failed.append(e.errno)
say["no program"] = failed == [errno.ENOEXEC, errno.ENOENT]
print("first", flush=True)
subprocess.run(["echo", "among its parent's"])
print("last", flush=True)
before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
say["system"] = os.system("trap 'exit 9' INT; kill -INT $$; exit 1") == 9 << 8 and (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before
p = subprocess.Popen(["sh", "-c", "cat & exec 1>&-; exit 5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
say["early end"] = p.wait() == 5
p.stdin.close()
say["its end"] = p.stdout.read() == b""
with open("log", "w") as f:
    f.write("first\\n")
    f.flush()
    subprocess.run(["echo", "second"], stdout=f)
with open(".env", "w") as f:
    subprocess.run(["echo", "a word that nobody knows for a secret"], stdout=f)
with open("gone", "w+") as f:
    subprocess.run(["sh", "-c", "echo kept; echo and this >&2"], stdout=f, stderr=f)
    os.unlink("gone")
    say["unlinked"] = os.pread(f.fileno(), 100, 0) == b"kept\\nand this\\n"
os.makedirs("tools", exist_ok=True)
with open("tools/looked-for", "w") as f:
    f.write("#!/bin/sh\\necho $1 is found\\n")
os.chmod("tools/looked-for", 0o755)
os.environ["PATH"] = os.path.abspath("tools") + ":" + os.environ["PATH"]
r, w = os.pipe()
os.waitpid(os.posix_spawnp("looked-for", ["looked-for", "it"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, w, 1)]), 0)
os.close(w)
say["search"] = os.read(r, 100) == b"it is found\\n"
libc = ctypes.CDLL(None, use_errno=True)
ctypes.set_errno(errno.EXDEV)
libc.system(b"true")
say["errno"] = ctypes.get_errno() == errno.EXDEV
os.mkfifo("held")
ignored = lambda: int(open("/proc/self/status").read().split("SigIgn:")[1].split()[0], 16) & 6  # INT and QUIT
held = os.open("held", os.O_RDWR)
before, thread = ignored(), ctypes.c_ulong()
libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.system, ctypes.c_void_p), b"read line <held")
libc.pthread_cancel(thread)
os.write(held, b"\\n")
libc.pthread_join(thread, None)
os.close(held)
say["cancelled"] = ignored() == before
os.unlink("held")
say["file"] = open("log").read() == "first\\nsecond\\n"
os.set_blocking(0, False)
p = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
p.stdout.read(10)
p.stdout.close()
say["reader gone"] = p.wait() == -signal.SIGPIPE
if hasattr(os, "posix_spawn"):
    r, w = os.pipe()
    pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, w, 1), (os.POSIX_SPAWN_CLOSE, r)])
    os.close(w)
    say["spawn"] = os.read(r, 100) == b"spawned\\n" and os.waitpid(pid, 0)[1] == 0
try:
    os.waitpid(-1, 0)
    say["children"] = False
except ChildProcessError:
    say["children"] = True
print(json.dumps(say))
"""
world.agent = os.path.join(world.dir, "probe.py")
open(world.agent, "w").write(PROBE)
said, err, status = world.record("probe")
secret = [l["data"] for l in world.lines("probe") if l["type"] == "vcr.output" and "secret" in l["data"].get("not_kept", "")]
ok(len(secret) == 1 and "stdout" not in secret[0], "what it prints into a file of secrets is not kept", secret)
ok(said.startswith("first\namong its parent's\nlast\n"), "what a tool prints where its parent prints comes in its place", said)
say = json.loads(said.splitlines()[-1]) if said else {}
for what, title in (("pid", "has the number that its parent knows, and its parent"), ("stdin", "reads what it is given"), ("large", "may print much on both"), ("later", "may be read later, when another has ended"), ("limited", "may print more than its files may have"), ("signal", "dies of the signal that it is sent"),
                    ("order", "prints to one pipe in its order"), ("missing", "is missing if it is"), ("no program", "fails as it would where it is no program"), ("system", "may be a shell of system(3), with the signals that are its own"), ("early end", "may end before those that it leaves"), ("its end", "is read to its end then"),
                    ("file", "may print into a file that others write"), ("search", "is looked for where its parent looks"), ("errno", "leaves errno alone as a shell of system(3)"), ("cancelled", "may be a shell of system(3) whose thread is cancelled"), ("unlinked", "may print into a file that is gone when it has ended"), ("reader gone", "hears that nobody reads"), ("spawn", "may be spawned"), ("children", "leaves its parent no child that it did not make")):
    ok(say.get(what) is True, "a tool whose output is kept " + title, said, err, status)
again, err, status, asked = world.replay("probe", options=("--hermetic",))
say = json.loads(again.splitlines()[-1]) if again else {}
ok(say.get("large") and say.get("later") and say.get("signal") is not None and say.get("order") is not None and say.get("file") and say.get("unlinked") and say.get("spawn") and say.get("no program"), "and is answered as large, to whoever reads it later, into files, and when it is spawned", again, err, status)

SHELLS = """
import ctypes, errno, fcntl, json, os, sys, threading, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{"model": "m"}', {"Content-Type": "application/json"})).read()
say = {}
libc = ctypes.CDLL(None, use_errno=True)
libc.popen.restype, libc.pclose.argtypes, libc.fileno.argtypes = ctypes.c_void_p, [ctypes.c_void_p], [ctypes.c_void_p]
ignored = lambda: int(open("/proc/self/status").read().split("SigIgn:")[1].split()[0], 16) & 6  # INT and QUIT
before = ignored()
os.mkfifo("begun")
names, begun, threads = ("held1", "held2"), os.open("begun", os.O_RDWR), []
for name in names:
    os.mkfifo(name)
    threads.append((threading.Thread(target=libc.system, args=(b"exec 3<>%s; echo >begun; read line <&3" % name.encode(),)), os.open(name, os.O_RDWR)))
    threads[-1][0].start()
    os.read(begun, 1)
during = []
for t, fd in threads:
    os.write(fd, b"\\n")
    t.join()
    during.append(ignored())
say["together"] = during == [6, before]
for mode, cloexec in ((b"r", 0), (b"w", 0), (b"re", 1), (b"ew", 1), (b"rr", 0), (b"rw", None), (b"rb", None), (b"r+", None), (b"", None), (b"e", None)):
    ctypes.set_errno(0)
    f = libc.popen(b"true", mode)
    if (fcntl.fcntl(libc.fileno(f), fcntl.F_GETFD) if f else None) != cloexec or (not f and ctypes.get_errno() != errno.EINVAL):
        say["modes"] = False
    if f:
        libc.pclose(f)
say.setdefault("modes", True)
f = libc.popen(b"cat", b"w")
g = libc.popen(b"! test -e /proc/self/fd/%d" % libc.fileno(f), b"r")
say["streams"] = libc.pclose(g) == 0 and libc.pclose(f) == 0
print(json.dumps(say))
"""
world.agent = os.path.join(world.dir, "shells.py")
open(world.agent, "w").write(SHELLS)
said, err, status = world.record("shells")
say = json.loads(said) if said else {}
for what, title in (("together", "shells of system(3) that run beside each other: the last one puts the signals back"), ("modes", "modes of popen(3) are libc's"), ("streams", "a shell of popen(3) has none of the streams to others")):
    ok(say.get(what) is True, title, said, err, status)

title = "a program of a format that is none of ours is the kernel's to judge, where it knows others (binfmt_misc)"
fake, misc = os.path.join(world.dir, "misc"), "/proc/sys/fs/binfmt_misc"
os.mkdir(fake)
open(os.path.join(fake, "status"), "w").write("enabled\n")
open(os.path.join(world.dir, "foreign"), "wb").write(b"MZ\0\1")
os.chmod(os.path.join(world.dir, "foreign"), 0o755)
world.agent = os.path.join(world.dir, "foreign.py")
open(world.agent, "w").write("""
import subprocess, sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{"model": "m"}', {"Content-Type": "application/json"})).read()
try:
    print(subprocess.run(["./foreign"], stdout=subprocess.PIPE).returncode)
except OSError as e:
    print(e)
""")
try:
    there = subprocess.run(["unshare", "-m", "mount", "--bind", fake, misc], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
except FileNotFoundError:
    there = False
if not there:
    tapkit.skip(title, "no file system can be mounted there")
else:
    r = world.run("/usr/bin/env", "unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh", fake, misc, os.path.join(BUILD, "vcr-record"), "-q", "--session", "foreign", "--capture=all", "--", *world.command())
    ok(r[0] == "126\n", title, r)

# ---- A bare preload ----

bare = World()
bare.env.update(VCR_COLLECTOR=os.path.join(BUILD, "vcr-collector"))
subprocess.run(bare.command(), cwd=bare.dir, env=dict(bare.env, LD_PRELOAD=tapkit.SHIM), stdout=subprocess.DEVNULL, timeout=60)
bare.run("vcr-log")  # waits until it is complete
session = [f[:-4] for f in os.listdir(bare.vcr_dir) if f.endswith(".vcr")][0]
same = bare.replay(session)[1]
with open(bare.agent, "a") as f:
    f.write("# another version\n")
other = bare.replay(session)[1]
ok("another version" not in same and "another version of it: " in other and "agent.py" in other, "a session of a bare preload knows its program too, and a replay of another version says so", same, other, bare.lines(session)[0])

# ---- A recording is hostile ----

bad = [l for l in world.lines("tools")]
evil = ("../escaped", "/" + ran.lstrip("/") + ".evil", ".git/hooks/x", ".vcr/x", "sub/../../escaped")
n = 0
for l in bad:
    if l["type"] == "frame" and l["data"]["node_name"].startswith("file:") and n < len(evil):
        l["data"]["input_state"]["path"], n = evil[n], n + 1
    if l["type"] == "frame":
        l["data"]["output_state"].get("after") and l["data"]["output_state"]["after"].update(mode="106755")
world.write("evil", *bad)
victim = clikit.Place()
os.makedirs(os.path.join(victim.dir, "in"))
world.agent = os.path.join(world.dir, "agent.py")
again, err, status, asked = world.replay("evil", *TOOLS, options=("--hermetic",), cwd=os.path.join(victim.dir, "in"))
found = [os.path.join(d, f) for d, _, files in os.walk(victim.dir) for f in files]
ok(n == len(evil) and not [f for f in found if "escaped" in f or "/.git/" in f or f.endswith(".vcr/x")] and not os.path.exists(ran + ".evil") and not [f for f in found if os.lstat(f).st_mode & 0o7000] and err.count("not made again") >= n,
   "files outside of the workspace, of git and of ours are not touched, no file gets a set-id bit, and what is not done is named", n, found, err)

for l in bad:
    if l["type"] == "frame" and l["data"]["node_name"].startswith("exec:") and "signal" in l["data"]["output_state"]:
        l["data"]["output_state"].update(exit_code=None, signal=int(signal.SIGSTOP))
    elif l["type"] == "vcr.output" and "signal" in l["data"]:
        l["data"]["signal"] = int(signal.SIGSTOP)
world.write("stops", *bad)
again, err, status, asked = world.replay("stops", "kill -9 $$", options=("--hermetic",))
ok("how it ended was not seen" in err, "no tool ends with a signal of which nobody ends, and so waits for ever", again, err, status)

world = World()
many = "yes \" $(printf '\\057a')\" | head -c 1200000"
said, err, status = world.record("many", many)
world.write("swells", *json.loads(json.dumps(world.lines("many")).replace(world.dir, "/a")))
deep = os.path.join(world.dir, *["d" * 200] * 4)
os.makedirs(deep)
world.agent = os.path.join(world.dir, "agent.py")
again, err, status, asked = world.replay("swells", many, options=("--hermetic",), cwd=deep)
ok(len(said) > 1200000 and len(again) < 1000 and "it printed too much" in err, "what is made of short recorded paths is bounded", len(said), len(again), err)

# ---- A tool is hostile ----

world = World()
world.env["PLACE"] = os.path.join(world.env["XDG_RUNTIME_DIR"], "vcr")
said, err, status = world.record("queer", "cd $PLACE/*.out && cp $$.0 0.0 && rm $$.0 && mkfifo $$.0 && echo it is; exit", "echo another tool")
kept = [l["data"] for l in world.lines("queer") if l["type"] == "vcr.output"]
ok("it is" in said and len(kept) == 2 and "not_kept" not in kept[0] and "not_kept" in kept[1], "a tool that puts a pipe where what it printed is kept does not stop the recording", said, err, kept)
ok(not os.listdir(world.env["PLACE"]), "nothing of what tools printed is left in the runtime directory, whoever was to take it", os.listdir(world.env["PLACE"]))
CUTS = """
import os, subprocess, sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{"model": "m"}', {"Content-Type": "application/json"})).read()
if os.path.exists("cut"):
    os.truncate(os.readlink("cut"), 100)
print(subprocess.run("echo hello >made; true", shell=True).returncode)
"""
world.agent = os.path.join(world.dir, "cuts.py")
open(world.agent, "w").write(CUTS)
world.record("cut")
os.symlink(world.path("cut"), os.path.join(world.dir, "cut"))
again, err, status, asked = world.replay("cut", options=("--hermetic",))
ok(again == "0\n" and status == 0 and "a tool's change is not made again" in err, "a session that is cut while its replay runs harms no more than what was in it", again, err, status)

# ---- Arguments of which a recording has a part ----

LARGE = '''
import subprocess, sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{"model": "m"}', {"Content-Type": "application/json"})).read()
for last in sys.argv[3:]:  # behind 200 others, behind 70 KB, and in a text of that size
    for words in [["shift 199; echo $1", *"a" * 200, last], ["echo $2", "x" * 70000, last], ["echo #" + "x" * 70000 + "\\necho " + last]]:
        r = subprocess.run(["sh", "-c", *words], stdout=subprocess.PIPE)
        print(r.returncode, r.stdout, flush=True)
for words in [] if sys.argv[3:] else [["echo large #" + "x" * 70000], ["echo $#", *"a" * 200], ["echo $#", "b" * 30000, "c" * 35506, "d"], ["echo $#", "e" * 30000, "f" * 35523, "g"], ["echo small"]]:
    r = subprocess.run(["sh", "-c", *words], stdout=subprocess.PIPE)
    print(r.returncode, r.stdout, flush=True)
'''
world.agent = os.path.join(world.dir, "large.py")
open(world.agent, "w").write(LARGE)
said, err, status = world.record("large")
again, err, status, asked = world.replay("large", options=("--hermetic",))
ok(len(said.splitlines()) == 5 and again == said and status == 0, "tools with more arguments than a recording has are answered too", said, again, err)

said, err, status = world.record("rest", "one", world.dir, "two")
other = clikit.Place()
again, err, status, asked = world.replay("rest", "two", "three", other.dir, "one", options=("--hermetic",), cwd=other.dir)
lines, then = said.splitlines()[:9], again.splitlines()[:12]
ok(len(lines) == 9 and then[:3] == lines[6:] and [l[:5] for l in then[3:6]] == ["127 b"] * 3 and then[6:9] == [l.replace(world.dir, other.dir) for l in lines[3:6]] and then[9:] == lines[:3] and "3 tools were refused" in err,
   "they are told apart by those that it has elsewhere, whatever directory stands there", lines, then, err)

# ---- Many tools ----

ASKS = """
import glob, os, socket, sys
place = glob.glob(os.path.join(os.environ["XDG_RUNTIME_DIR"], "vcr", "*.tools"))[0]
ticks = lambda: sum(int(n) for n in open("/proc/%d/stat" % os.getppid()).read().rsplit(")", 1)[1].split()[11:13])
before = ticks()
for i in range(1200):
    s = socket.socket(socket.AF_UNIX)
    s.connect(place)
    s.sendall(b"/nowhere\\0tool\\0number x%07d\\0" % i)
    s.shutdown(socket.SHUT_WR)
    while s.recv(65536):
        pass
    s.close()
print(ticks() - before)
"""
costs = {}
for many in (10, 10000):
    world.write("many%d" % many, clikit.header("many"), *(clikit.frame(n, "tool", "exec:tool", {"argv": ["tool", "number y%07d" % n], "cwd": "/nowhere", "pid": n}, {"exit_code": 0},
                custom=clikit.vcr(tool_run=str(uuid.UUID(int=n + 1)), source="shim")) for n in range(many)), clikit.END)
    out = world.run("vcr-replay", "-q", "--hermetic", "--vcr-dir", world.vcr_dir, "many%d" % many, "--", sys.executable, "-c", ASKS)
    costs[many] = int(out[0] or -1000)
ok(0 <= costs[10000] <= 2 * costs[10] + 10, "a question costs no more among 10,000 recorded tools than among 10", costs, out)
done()
