#!/usr/bin/python3
"""--supervise: programs that the library cannot enter and that heed no variable, told by the kernel; recorded, replayed, and left unharmed when it dies."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, clikit, done, ok, skip
import leadkit

HOST = "api.model.example"
FILES = "a static program's changes of files are in the session as its own, what failed is not"
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
for name in [n for n in place.env if n.lower().endswith("_proxy")]:
    del place.env[name]
probe = subprocess.run([os.path.join(BUILD, "vcr-record"), "--supervise", "-q", "--vcr-dir", os.path.join(place.dir, "probe"), "--", "/bin/true"], env=place.env, cwd=place.dir,
                       stderr=subprocess.PIPE, text=True)
if probe.returncode == 125:
    ok("--supervise cannot be had: " in probe.stderr and "the command is not run" in probe.stderr, "where the kernel refuses it, a line says so, and the command is not run", probe.stderr)
    skip("programs are supervised", probe.stderr.strip())
    done()
DOER = os.path.join(place.dir, "doer")
SOURCE = os.path.join(gatekit.SOURCE, "tests", "gate", "doer.c")
builds = [["musl-gcc", "-O", "-static", SOURCE, "-o", DOER], ["gcc", "-O", "-static", SOURCE, "-o", DOER]]
for command in builds:
    if shutil.which(command[0]) and not subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        break
    skip("a static program of " + command[0], "cannot be built here")
else:
    done()


upstream = leadkit.Upstream()
WAY = ["--connect-to", "%s:80:127.0.0.1:%d" % (HOST, upstream.port), "--connect-to", "192.0.2.1:80:127.0.0.1:%d" % upstream.port]
os.makedirs(place.vcr_dir)
with open(os.path.join(place.vcr_dir, "config"), "w") as f:
    f.write("model-host %s\n" % HOST)


def workspace(name):
    path = os.path.join(place.dir, name)
    os.makedirs(path, exist_ok=True)
    for file in ("old.txt", "log.txt"):
        with open(os.path.join(path, file), "w") as f:
            f.write(file + "\n")
    return path


def waiting():
    """What each process of this run waits for: said when it takes for ever."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as c, open("/proc/%s/wchan" % pid) as w, open("/proc/%s/syscall" % pid) as s:
                words, where, call = c.read().replace(b"\0", b" ").decode("utf-8", "replace"), w.read(), s.read().split(" ")[0].strip()
        except OSError:
            continue
        if place.dir in words or "vcr-" in words:
            print("# %s %s: in %s, system call %s" % (pid, words[:200], where, call))


def run(verb, directory, *words, env=None, **more):
    argv = [os.path.join(BUILD, verb), *words]
    with subprocess.Popen(argv, cwd=directory, env=dict(place.env, **env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more) as p:
        try:
            out, err = p.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            waiting()
            p.kill()
            raise
    return p.returncode, out, err


def record(session, *command, options=(), where=None, env=None, way=WAY):
    return run("vcr-record", where or workspace(session), "--supervise", "--session", session, "--vcr-dir", place.vcr_dir, *way, *options, "--", *command, env=env)


def lines(session):
    return gatekit.frames(place.path(session))


def frames(session, node=""):
    return [l["data"] for l in lines(session) if l["type"] == "frame" and l["data"]["node_name"].startswith(node)]


def about(f):
    return f["metadata"]["custom"]["vcr"]


def changes(session):
    return sorted((f["node_name"], f["input_state"]["path"], about(f).get("program")) for f in frames(session, "file:"))


def body(text):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})


# ---- Files ----

EXPECTED = sorted([("file:rename", "new.txt", "doer"), ("file:delete", "old.txt", "doer"), ("file:write", "log.txt", "doer"), ("file:mkdir", "made", "doer"), ("file:write", "child.txt", "doer")])
# What comes by a rename was not there before: its write may be told of under the new name, if a look fell between both.
for name, command in (("top", [DOER, "FILES"]), ("below", ["/bin/sh", "-c", '"$@"; exit $?', "sh", DOER, "FILES"])):
    status, out, err = record(name, *command)
    told = [c for c in changes(name) if c[0] != "file:write" or c[1] != "new.txt"]
    ok(status == 0 and told == EXPECTED, "%s: %s" % ({"top": "as the command itself", "below": "below a shell"}[name], FILES), status, err, changes(name))
pids = {f["input_state"]["path"]: about(f)["pid"] for f in frames("top", "file:")}
ran = frames("top", "exec:doer")
ok(len(ran) == 1 and pids.get("new.txt") == ran[0]["input_state"]["pid"] != pids.get("child.txt"), "each change has the number of the process that made it", pids, ran)
status, out, err = record("hooked", "/bin/sh", "-c", "echo 1 > one; mv one two; rm old.txt; echo x >> log.txt; /bin/mkdir made")
bare = run("vcr-record", workspace("bare"), "--session", "bare", "--vcr-dir", place.vcr_dir, "--", "/bin/sh", "-c", "echo 1 > one; mv one two; rm old.txt; echo x >> log.txt; /bin/mkdir made")


def told_of(session):
    return sorted((f["node_name"], f["input_state"].get("path"), f["input_state"].get("argv"), about(f).get("program"), about(f).get("writes")) for f in frames(session))


ok(status == bare[0] == 0 and told_of("hooked") == told_of("bare"), "programs that have the library are told of once, as without it", told_of("hooked"), told_of("bare"))
status, out, err = record("runs", DOER, "RUN", DOER, "RUN", "/bin/sh", "-c", "echo x > by-shell")
ran = [(f["node_name"], f["input_state"]["argv"][1:3]) for f in frames("runs", "exec:")]
ok(status == 0 and ("exec:doer", ["RUN", "/bin/sh"]) in ran and ("exec:sh", ["-c", "echo x > by-shell"]) in ran and ("file:write", "by-shell", "dash") in
   [(a, b, "dash" if c in ("sh", "bash") else c) for a, b, c in changes("runs")], "programs that a static program starts are in the session", status, err, ran, changes("runs"))

# ---- Connections ----


def calls(session):
    return frames(session, "llm:")


for name, command in (("asks", [DOER, "ASK", HOST, body("one")]), ("polls", [DOER, "ASK", HOST, body("two"), "EPOLL"])):
    before = len(upstream.asked)
    status, out, err = record(name, *command)
    found = calls(name)
    v = about(found[0]) if found else {}
    title = "a connect" if name == "asks" else "a connect that does not block, on a socket that is polled already,"
    ok(status == 0 and "answer %d" % (before + 1) in out and len(found) == 1 and (v["program"], v["source"], v["status"], v["host"]) == ("doer", "gate", 200, HOST),
       title + " of a program that heeds no variable is led to the gate, and its model call is in the session", status, out, err, found)
    said = [f for f in frames(name, "file:write") if f["input_state"]["path"] == "said.txt"]
    ok(len(said) == 1 and found and said[0]["parent_frame_id"] == found[0]["frame_id"] and about(said[0])["program"] == "doer",
       "what it wrote then follows that call", said)
    there = workspace(name + "-again")
    again = run("vcr-replay", there, "--supervise", "--vcr-dir", place.vcr_dir, name, "--", *command)
    ok(again[:2] == (status, out) and len(upstream.asked) == before + 1 and open(os.path.join(there, "said.txt")).read() == open(os.path.join(place.dir, name, "said.txt")).read(),
       "replayed, it is answered the same, with the server not asked", again, out)
before = len(upstream.asked)
status, out, err = record("elsewhere", DOER, "ASK", "other.example", body("three"))
ok(status == 0 and len(upstream.asked) == before + 1 and not calls("elsewhere") and "three" not in open(place.path("elsewhere")).read().replace(body("three"), "").replace(json.dumps(body("three"))[1:-1], ""),
   "what it says to another host passes to the address that it chose", status, out, err)
again = run("vcr-replay", workspace("elsewhere-again"), "--supervise", "--vcr-dir", place.vcr_dir, "asks", "--", DOER, "ASK", "other.example", body("three"))
ok(again[0] != 0 and "192.0.2.1:80" in again[2] and len(upstream.asked) == before + 1, "in a replay it is refused, and named", again)

here = "127.0.0.1:%d" % upstream.port
before = len(upstream.asked)
status, out, err = record("bound", DOER, "BOUND", str(upstream.port), here, body("six"), env={"VCR_MODEL_HOSTS": here})
unseen = [w for l in lines("bound") if l["type"] == "vcr.end" for w in l["data"].get("unseen", [])]
if "no connection: Operation not permitted" in out:
    skip("a connection that is bound to an interface goes by that interface, and the session says so", "this kernel lets root alone bind to one")
else:
    ok(status == 0 and len(upstream.asked) == before + 1 and not calls("bound") and any("bound to a network interface" in w for w in unseen),
       "a connection that is bound to an interface goes by that interface, and the session says so", status, out, err, unseen)


class First:
    """A server that speaks first, and then echoes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s, _ = self.listener.accept()
            with s:
                s.sendall(b"welcome ")
                while part := s.recv(9999):
                    s.sendall(part)


first = First()
status, out, err = record("local", DOER, "SEND", str(first.port))
ok(status == 0 and "welcome ping" in out, "a connection to a port of this machine is its own", status, out, err)

# ---- A host that refuses ----

hole = socket.socket()  # a port that nobody listens at
hole.bind(("127.0.0.1", 0))
gone = hole.getsockname()[1]
for words, more in (("a program", []), ("a program whose socket does not block", ["EPOLL"])):
    name = "refused" + "".join(more)
    bare = subprocess.run([DOER, "SEND", str(gone), *more], cwd=place.dir, stdout=subprocess.PIPE, text=True)
    status, out, err = record(name, DOER, "SEND", str(gone), *more, env={"VCR_MODEL_HOSTS": "127.0.0.1:%d" % gone})
    failed = [about(f) for f in frames(name) if f["frame_type"] == "error"]
    ok((status, out) == (bare.returncode, bare.stdout) and "Connection refused" in out and [(v["host"], v["program"]) for v in failed] == [("127.0.0.1:%d" % gone, "doer")],
       words + " whose model refuses the connection hears that, as it does without us, and has made one failed call", status, out, err, bare, failed)
    status, out, err = record(name + "-far", DOER, "ASK", "far.example", body("seven"), *more, way=["--connect-to", "192.0.2.1:80:127.0.0.1:%d" % gone])
    unseen = [w for l in lines(name + "-far") if l["type"] == "vcr.end" for w in l["data"].get("unseen", [])]
    ok(status == 1 and "no connection: Connection refused" in out and any("connection to 192.0.2.1:80 failed" in w for w in unseen),
       words + " that is refused by an address hears that too, and the session says that nobody knows whose it was", status, out, err, unseen)

# ---- TLS, by a program of Go's ----

GO = shutil.which("go") or "/usr/local/go/bin/go"
GOER = os.path.join(place.dir, "goer")
TLS_TITLES = ("a program of Go's that heeds no proxy: its call over TLS is in the session", "its file, renamed into place, is its own", "replayed, it is answered the same",
              "one that accepts no certificate but its own is left alone from the second time on, and the session says so")
env = dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GO111MODULE="off", GOFLAGS="", GOPROXY="off")
built = os.access(GO, os.X_OK) and subprocess.run([GO, "build", "-o", GOER, os.path.join(gatekit.SOURCE, "tests", "gate", "doer.go")], env=env, stderr=subprocess.PIPE, text=True)
if not built or built.returncode:
    for title in TLS_TITLES:
        skip(title, "no go here; apt install golang-go" if not built else "go builds no static program here")
else:
    ca, key = leadkit.make_ca(place.dir, "server-ca")
    secure = leadkit.Upstream(leadkit.make_leaf(place.dir, ca, key))
    WAY += ["--cacert", ca, "--connect-to", "api.openai.com:443:127.0.0.1:%d" % secure.port, "--connect-to", "192.0.2.1:443:127.0.0.1:%d" % secure.port]
    command = [GOER, "https://api.openai.com/v1/chat/completions", body("four")]
    status, out, err = record("go", *command)
    found = calls("go")
    ok(status == 0 and "answer 1" in out and [(about(f)["program"], about(f)["host"], about(f)["source"]) for f in found] == [("goer", "api.openai.com", "gate")], TLS_TITLES[0], status, out, err, found)
    ok(("file:rename", "said.txt", "goer") in changes("go") or ("file:write", "said.txt", "goer") in changes("go"), TLS_TITLES[1], changes("go"))
    again = run("vcr-replay", workspace("go-again"), "--supervise", "--vcr-dir", place.vcr_dir, "go", "--", *command)
    ok(again[:2] == (status, out) and len(secure.asked) == 1, TLS_TITLES[2], again)
    status, out, err = record("pinned", *command, ca)
    ok(status == 0 and "answer 2" in out and not calls("pinned") and "does not accept the run's certificate" in err, TLS_TITLES[3], status, out, err)

# ---- What it says ----

status, out, err = record("nested", os.path.join(BUILD, "vcr-record"), "--supervise", "--session", "inner", "--vcr-dir", place.vcr_dir, "--", "/bin/true")
ok(status == 125 and "supervised already" in err, "a supervisor inside another is refused with the reason", status, err)
status, out, err = record("fails", DOER, "NONSENSE")
ok(status == 1, "the command's status is its own", status, err)

# ---- Programs of another identity ----

title = "a set-user-ID program runs without its privileges, and that is said"
setid = os.path.join(place.dir, "setid") if os.getuid() == 0 else shutil.which("su")
if os.getuid() == 0:
    shutil.copy("/usr/bin/id", setid)
    os.chown(setid, 65534, -1)
    os.chmod(setid, 0o4755)
for how, command in (("by a program that has the library", ["/bin/sh", "-c", '"$@"; exit $?', "sh", setid, "--version"]), ("by a static one", [DOER, "RUN", setid, "--version"])):
    if not setid:
        skip("%s, started %s" % (title, how), "there is none here")
        continue
    name = "identity-" + how.split()[-1]
    status, out, err = record(name, *command)
    unseen = [w for l in lines(name) if l["type"] == "vcr.end" for w in l["data"].get("unseen", [])]
    words = "what %s, a set-user-ID program, does with its privileges: under --supervise it runs without them" % os.path.basename(setid)
    ok(unseen.count(words) == 1 and words in err, "%s, started %s" % (title, how), status, out, err, unseen)
if os.getuid() == 0:
    bare = subprocess.run([setid, "-u"], stdout=subprocess.PIPE, text=True).stdout
    status, out, err = record("identity", setid, "-u")
    ok((bare, out) == ("65534\n", "0\n"), "which is what the kernel does, and a file without it would not be noticed", bare, out)
help_says = run("vcr-record", place.dir, "--help")[1]
ok("setuid programs will not work" in help_says, "--help says so beforehand", help_says)

# ---- Programs that fence themselves in ----

FILTER = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in [(0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (6, 0, 0, 0x50000 | 1), (6, 0, 0, 0x7fff0000)]))
class Program(ctypes.Structure): _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(code)))) == 0
try: os.symlink("x", "refused")
except PermissionError: print("refused")
open("allowed", "w").close()
"""
number = {"x86_64": "88"}.get(os.uname().machine)
if number:
    status, out, err = record("filter", "/usr/bin/python3", "-c", FILTER, number)
    ok(status == 0 and out == "refused\n" and [c[:2] for c in changes("filter")] == [("file:write", "allowed")], "a program that installs a seccomp filter of its own keeps it", status, out, err)
for name, fence in (("bwrap", ["--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all"]), ("unshare", ["-Ur", "-mn"])):
    title = "in a sandbox of %s programs do what they do" % name
    if not shutil.which(name) or subprocess.run([name, *fence, "true"], stderr=subprocess.DEVNULL).returncode:
        skip(title, "%s is not here, or is refused" % name)
        continue
    status, out, err = record("in-" + name, name, *fence, DOER, "MANY", "20")
    ok(status == 0 and out == "20 of 20\n", title, status, out, err)

# ---- It dies ----

seed = random.randrange(1 << 32)
rounds, harmed, lost = random.Random(seed), [], 0
for i in range(6):
    where = workspace("dies-%d" % i)
    with open(os.path.join(where, "out"), "w") as out:
        p = subprocess.Popen([os.path.join(BUILD, "vcr-record"), "--supervise", "--session", "dies-%d" % i, "--vcr-dir", place.vcr_dir, "--", DOER, "MANY", "3000"], cwd=where, env=place.env,
                             stdout=out, stderr=subprocess.DEVNULL, start_new_session=True)
    while not os.path.exists(os.path.join(where, "began")) and p.poll() is None:
        time.sleep(0.001)
    time.sleep(rounds.random() * 0.1)
    lost += p.poll() is None
    p.kill()
    p.wait()
    until = time.monotonic() + 60
    while not open(os.path.join(where, "out")).read() and time.monotonic() < until:
        time.sleep(0.01)
    said = open(os.path.join(where, "out")).read()
    if said != "3000 of 3000\n":
        harmed.append((i, said))
ok(not harmed and lost, "vcr-record may be killed at any moment: what it supervised goes on as if nothing had been", "seed %d" % seed, harmed, lost)


def guards():
    found = []
    for d in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open("/proc/%s/comm" % d).read() == "vcr-guard\n" and place.run_dir in open("/proc/%s/environ" % d).read():
                found.append(int(d))
        except OSError:
            pass
    return found


until = time.monotonic() + 30
while guards() and time.monotonic() < until:
    time.sleep(0.05)
ok(not guards(), "nobody is left who guards when nobody is left to be guarded", guards())
run("vcr-log", place.dir, "--vcr-dir", place.vcr_dir)  # what the killed ones left is decoded now
said = [l["data"].get("unseen", []) for i in range(6) for l in (lines("dies-%d" % i) if os.path.exists(place.path("dies-%d" % i)) else []) if l["type"] == "vcr.end"]
ok(any("the supervisor has ended" in words for unseen in said for words in unseen), "and the session says that it was not supervised to its end", said)
done()
