#!/usr/bin/python3
"""The reading tools beside real recordings: right after the agent, while it runs, and when its collector was killed."""
import glob
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, json, ok
import tapkit

COLLECTOR = os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector"))


class Live(Place):
    def __init__(self):
        super().__init__()
        os.mkdir(os.path.join(self.dir, ".git"))
        self.env.update(VCR_COLLECTOR=COLLECTOR, VCR_SHIM=tapkit.SHIM)

    def agent(self, script, **more):
        """A shell script under the bare preload."""
        return subprocess.Popen(["/bin/sh", "-c", script], cwd=self.dir, env=dict(self.env, LD_PRELOAD=tapkit.SHIM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)

    def paths(self):
        return [f["what"].split()[0] for f in self.json("vcr-log", "last", "--json", "--node=file:*")]

    def collectors(self):
        found = []
        for p in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                words = open(p, "rb").read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == "vcr-collector" and any(w.startswith(self.run_dir) for w in words):
                found.append(int(p.split("/")[2]))
        return found


place = Live()
lost, states = 0, []
for n in range(10):
    a = place.agent("for i in 1 2 3 4 5; do echo $i > r%d-$i; done; /bin/true" % n)
    a.communicate()
    states.append(place.json("vcr-log", "--json", "-n1")[0]["state"])
    lost += len({"r%d-%d" % (n, i) for i in range(1, 6)} - set(place.paths()))
    lost += "exec:true" not in [f["node"] for f in place.json("vcr-log", "last", "--json")]
ok(not lost, "a tool that is started right after the agent sees all that it did (ten runs)", lost)
ok(states.count("ended") > 4, "and most often a session that has ended", states)

place = Live()
follow = subprocess.Popen([os.path.join(BUILD, "vcr-log"), "--follow", "--json"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
guard = threading.Timer(100, follow.kill)
guard.start()
ok("waiting for a session" in follow.stderr.readline(), "--follow can be started before there is any session")
a = place.agent("echo one > one; /bin/true; read line; echo two > two; /bin/false")
first = json.loads(follow.stdout.readline())
ok(a.poll() is None and first["type"] == "tool", "frames are shown while the agent still runs", first)
status, out, err = place.run("vcr-status")
ok(status == 0 and "processes" in out, "vcr-status knows the session meanwhile", status, out, err)
states = [s["state"] for s in place.json("vcr-log", "--json")]
ok(states == ["live"], "vcr-log lists it as live", states)
status, out, err = place.run("vcr-annotate", "a note", "--meta", "who=me")
ok(status == 0 and "frame" in out, "vcr-annotate puts a note into it", out, err)
status, out, err = place.run("vcr-savepoint", "here")
ok(status == 0, "vcr-savepoint takes stock of its files", out, err)
a.communicate(b"go on\n")
rest = [json.loads(line) for line in follow.stdout]
follow.wait()
guard.cancel()
nodes = [first["node"]] + [f["node"] for f in rest]
ok(follow.returncode == 0 and {"note", "savepoint", "file:write", "exec:true", "exec:false"} <= set(nodes), "--follow shows all of it, and ends when the session does", follow.returncode, nodes)
ok([first["index"]] + [f["index"] for f in rest] == list(range(len(rest) + 1)), "each frame once, in order")
ok([s["state"] for s in place.json("vcr-log", "--json")] == ["ended"] and place.run("vcr-status")[0] == 1, "then it has ended, and nothing is being recorded")
shown = place.run("vcr-show", str([f["index"] for f in rest if f["node"] == "note"][0]))[1]
ok('"text": "a note"' in shown and '"who": "me"' in shown, "the note is in the session", shown)

place = Live()
a = place.agent("echo one > one; /bin/true; echo ready; read line; echo two > two; /bin/false")
a.stdout.readline()
place.run("vcr-log")
killed = place.collectors()
for pid in killed:
    os.kill(pid, signal.SIGKILL)
a.communicate(b"go on\n")
nodes = [f["node"] for f in place.json("vcr-log", "last", "--json")]
ok(len(killed) == 1 and nodes.count("exec:false") == 1 and nodes.count("exec:true") == 1, "programs that a killed collector left in the spool are decoded by the next tool, once", killed, nodes)
states = [s["state"] for s in place.json("vcr-log", "--json")]
ok(states == ["ended"], "and the session is complete then", states)
ok(place.paths() == ["one", "two"], "files that were changed after its death are in the session too", place.paths())

place = Live()
a = place.agent("echo one > one; /bin/true; echo ready; read line; echo two > two; rm one; /bin/false; echo ready; read line; echo three > two; /bin/true")
a.stdout.readline()
place.run("vcr-log")
killed = place.collectors()
for pid in killed:
    os.kill(pid, signal.SIGKILL)
a.stdin.write(b"go on\n")
a.stdin.flush()
a.stdout.readline()
paths = place.paths()
again = place.collectors()
ok(len(killed) == 1 and len(again) == 1 and paths == ["one", "two", "one"], "a tool puts a new collector in the place of a killed one while the agent lives", killed, again, paths)
states = [s["state"] for s in place.json("vcr-log", "--json")]
ok(states == ["live"] and place.run("vcr-status")[0] == 0, "the session goes on", states)
a.communicate(b"go on\n")
frames = place.json("vcr-log", "last", "--json")
ok(place.paths() == ["one", "two", "one", "two"] and [f["node"] for f in frames].count("exec:true") == 2, "and is complete at the end, each frame once", [f["what"] for f in frames])
shown = place.run("vcr-show", str([f["index"] for f in frames if f["what"].startswith("two")][-1]))[1]
ok("-two" in shown and "+three" in shown, "what the new collector saw itself has its old content again", shown)
# Its collector begins when the tool has had half a second to take its place.
place = Live()
held, gate = os.path.join(place.dir, "held"), os.path.join(place.dir, "gate")
with open(held, "w") as f:
    f.write("#!/bin/sh\nread line <'%s'\nexec '%s' \"$@\"\n" % (gate, COLLECTOR))
os.chmod(held, 0o755)
os.mkfifo(gate)
place.env["VCR_COLLECTOR"] = held
listener = socket.create_server(("127.0.0.1", 0))
ask = subprocess.Popen(["/usr/bin/python3", "-BIc", """import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: model\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
s.recv(100)""", str(listener.getsockname()[1])], cwd=place.dir, env=dict(place.env, LD_PRELOAD=tapkit.SHIM))
served = listener.accept()[0]
served.recv(1000)
served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
ask.wait()
tool = subprocess.Popen([os.path.join(BUILD, "vcr-log")], cwd=place.dir, env=dict(place.env, VCR_COLLECTOR=COLLECTOR), stdout=subprocess.DEVNULL)
try:
    tool.wait(0.5)
except subprocess.TimeoutExpired:
    pass
with open(gate, "w") as f:
    f.write("begin\n")
tool.wait()
place.env["VCR_COLLECTOR"] = COLLECTOR
lines = [json.loads(line) for p in glob.glob(os.path.join(place.vcr_dir, "*.vcr")) for line in open(p)]
calls = [line["data"]["metadata"]["custom"]["vcr"] for line in lines if line["type"] == "frame"]
ok(len(calls) == 1 and calls[0].get("savepoint"), "the call of a program that was over before its collector began has its savepoint, although a tool came first", calls, lines[-1])

# Three collectors that cannot be run. Who waits for them until they must have begun, waits once.
place = Live()
place.env["VCR_COLLECTOR"] = "/bin/false"
for a in [place.agent("echo %d > file%d; /bin/true" % (n, n)) for n in range(3)]:
    a.communicate()
took = []
for n in range(3):
    began = time.monotonic()
    place.run("vcr-log")
    took.append(time.monotonic() - began)
ok(len(glob.glob(os.path.join(place.run_dir, "vcr", "*.spool"))) == 3 and min(took) < 2, "collectors that cannot be run are not waited for by each tool", took)

place = Live()
a = place.agent("echo one > one; MY_API_KEY=Canary7Kx2Rm9Qw4Tz sh -c 'echo it is $MY_API_KEY > leak; /bin/true'; export NIGHTLY_TOKEN=Canary8Ly3Sn0Rx5Ua; /bin/true; "
                "echo and $NIGHTLY_TOKEN > leak2; /bin/true")
a.communicate()
paths = place.paths()
text = b"".join(open(p, "rb").read() for p in glob.glob(os.path.join(place.vcr_dir, "*.vcr")))
ok(sorted(paths) == ["leak", "leak2", "one"] and b"Canary" not in text and b"vcr:secret" in text,
   "a secret that only a child's environment holds is secret too", paths, b"Canary7K" in text, b"Canary8L" in text)

place = Live()
a = place.agent("echo one > one; printf '# mine\\nMODE=fast\\nexport MY_TOKEN=Canary9Mz4To1Sy6Vb\\n' > settings; echo it is Canary9Mz4To1Sy6Vb > leak; /bin/true")
a.communicate()
paths = place.paths()
text = b"".join(open(p, "rb").read() for p in glob.glob(os.path.join(place.vcr_dir, "*.vcr")))
ok(sorted(paths) == ["leak", "one", "settings"] and b"Canary" not in text and b"MODE=fast" in text,
   "a file that holds variables and nothing else is read as a .env is, whatever its name", paths, b"Canary" in text)

place = Live()
out = os.path.join(place.dir, "out")
with open(os.path.join(place.dir, "x"), "w") as f:
    f.write("of cat\n")
a = place.agent("bash -c '/bin/cat x > out'; echo ready; read line")
a.stdout.readline()


def frames_of_out(least):
    """Each as vcr-show shows it. Who writes leaves the file alone meanwhile: one that changes every few milliseconds is told when it is quiet."""
    shown, until = [], time.monotonic() + 60
    while len(shown) < least and time.monotonic() < until:
        shown = [place.run("vcr-show", str(f["index"]))[1] for f in place.json("vcr-log", "last", "--json", "--node=file:*") if f["what"].startswith("out")]
    return shown


shown = frames_of_out(1)
with open(out, "w") as f:
    f.write("stranger\n")
shown = frames_of_out(2)
a.communicate(b"go on\n")
ok(len(shown) > 1 and "by: " in shown[0] and "+stranger" in shown[-1] and "by: " not in shown[-1],
   "what a stranger writes into a file that a program has left open at its end is not put down to that program", *shown)

PARENT = '''
import os, sys
open("one", "w").close()
def end(*argv):
    pid = os.fork()
    if not pid:
        if argv:
            os.execv(argv[0], argv)
        open("forked", "w").close()
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    print("dead", flush=True)
    sys.stdin.readline()
    os.waitpid(pid, 0)
end("/bin/sh", "-c", "kill -9 $$")
end()
'''
place = Live()
a = subprocess.Popen(["/usr/bin/python3", "-c", PARENT], cwd=place.dir, env=dict(place.env, LD_PRELOAD=tapkit.SHIM), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for _ in range(2):
    a.stdout.readline()
    place.run("vcr-log")
    a.stdin.write(b"wait\n")
    a.stdin.flush()
a.communicate()
frames = place.json("vcr-log", "last", "--json")
frames = {f["node"] + f["what"].split()[0]: json.loads(place.run("vcr-show", str(f["index"]), "--json")[1]) for f in frames}
ok("file:writeforked" in frames, "a tool that is started right after the agent sees the files that it wrote at its very end", list(frames))
killed = [f["output_state"] for k, f in frames.items() if k.startswith("exec:sh")]
ok(killed == [{"signal": 9}], "how a child ended is known though its parent waits for it long after it was dead", killed)
program = frames.get("file:writeforked", frames["file:writeone"])["metadata"]["custom"]["vcr"].get("program", "")
ok(program.startswith("python3"), "a file names the program of the process that wrote it though that one was forked and is gone", program)

OPENED = '''
import os, signal, subprocess
def begin(name):
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
open("first", "w").close()
slow = begin("slow")
subprocess.run(["/bin/true"])
os.write(slow, b"in the end\\n")
os.write(begin("quick"), b"at once\\n")
os.fchmod(slow, 0o600)
os.kill(os.getpid(), signal.SIGKILL)
'''
place = Live()
p = subprocess.run(["/usr/bin/python3", "-c", OPENED], cwd=place.dir, env=dict(place.env, LD_PRELOAD=tapkit.SHIM))
frames = [f["index"] for f in place.json("vcr-log", "last", "--json") if f["node"] == "file:write"]
frames = [json.loads(place.run("vcr-show", str(i), "--json")[1]) for i in frames]
told = {f["input_state"]["path"]: (f["metadata"]["custom"]["vcr"].get("program", "")[:7], f["metadata"]["custom"]["vcr"]["source"], f["output_state"].get("mode")) for f in frames}
ok({k: v[:2] for k, v in told.items()} == {n: ("python3", "shim") for n in ("first", "slow", "quick")} and "in the end" in str(frames) and "at once" in str(frames),
   "what is written to files that are open when their program is killed is its own, at once or a while after they were opened", told, frames)

place = Live()
a = place.agent("echo one > one; /bin/true --api-key Canary7Kx2Rm9Qw4Tz; echo ready; read line; echo 'the key is Canary7Kx2Rm9Qw4Tz' > leak; /bin/true; echo ready; read line")
a.stdout.readline()
place.run("vcr-log")
killed = place.collectors()
for pid in killed:
    os.kill(pid, signal.SIGKILL)
a.stdin.write(b"go on\n")
a.stdin.flush()
a.stdout.readline()
paths = place.paths()
a.communicate(b"go on\n")
place.run("vcr-log")
text = b"".join(open(p, "rb").read() for p in glob.glob(os.path.join(place.vcr_dir, "*.vcr")))
ok(len(killed) == 1 and paths == ["one", "leak"] and b"Canary7Kx" not in text and b"vcr:secret" in text,
   "what a killed collector had learnt to be secret is secret to the one that takes its place", killed, paths)
until = time.monotonic() + 30
while place.collectors() and time.monotonic() < until:
    time.sleep(0.02)
left = os.listdir(os.path.join(place.run_dir, "vcr"))
ok(not [f for f in left if f.endswith(".learnt")], "and nothing of it is left when the session is over", left)

# A program that was killed before it did anything leaves its spool; so it seems does one whose first process has ended and that is idle.
spools, ids = lambda: sorted(glob.glob(os.path.join(place.run_dir, "vcr", "*.spool"))), []
place = Live()
for script in ("/bin/true; kill -9 $$", "exec 3<&0; { /bin/true; echo ready; read line <&3; echo late > late; } & exit 0"):
    a = place.agent(script)
    a.stdout.readline()
    a.wait()
    ids += set(spools()) - set(ids)
for path in ids:
    os.utime(path, (1, 1))
place.run("vcr-log", cwd=place.home)
place.run("vcr-status")
left = spools()
a.communicate(b"go on\n")
ok(len(ids) == 2 and left == ids[1:], "a spool that nobody needs is removed by whatever tool comes later, not one that an idle program holds", ids, left)
ok(place.paths() == ["late"], "which is recorded when it does something", place.paths())
done()
