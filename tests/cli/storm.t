#!/usr/bin/python3
"""Storms of programs and files: while the collector lets them rest unread, nothing of them loses who did it, and what comes of them is seen meanwhile."""
import glob
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, ok  # noqa: E402


class Project(Place):
    def __init__(self):
        super().__init__()
        self.env.update(VCR_COLLECTOR=os.path.join(BUILD, "vcr-collector"), VCR_SHIM=os.environ.get("VCR_SHIM", os.path.join(BUILD, ".libs", "libvcrshim.so")))
        self.work = os.path.join(self.dir, "work")
        os.makedirs(self.work)
        subprocess.run(["git", "init", "-q"], cwd=self.work, env=self.env, check=True)

    def vcr(self, *argv):
        return self.run("vcr", *argv, cwd=self.work)

    def start(self, *argv):
        return subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", *argv], cwd=self.work, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def frames(self):
        return [d["data"] for d in map(json.loads, self.vcr("export", "--full", "last")[1].splitlines()) if d["type"] == "frame"]


# More processes end than the collector remembers.
p = Project()
status, out, err = p.vcr("record", "-q", "--burst=off", "--", "sh", "-c", "i=0; while [ $i -lt 2600 ]; do (echo > s$i); i=$((i+1)); done")
own = [f["metadata"]["custom"]["vcr"] for f in p.frames() if f["node_name"].startswith("file:")]
ok(len(own) == 2600, "of 2,600 processes that each make a file every file has a frame", status, len(own), err)
nobody = [c for c in own if c.get("source") != "shim" or not c.get("program")]
ok(not nobody, "and each of them says whose it is", len(nobody), nobody[:3])

# One is put off its core in the midst of a record.
p = Project()
status, out, err = p.vcr("record", "-q", "--", os.path.join(BUILD, "tests", "shim", "stuck"), "made")
made = [f["metadata"]["custom"]["vcr"] for f in p.frames() if f["node_name"].startswith("file:") and f["input_state"]["path"] == "made"]
ok(len(made) == 1 and made[0].get("source") == "shim" and made[0].get("program") == "stuck" and made[0].get("pid") == int(out.split()[-1]),
   "whose a file is, is known too where the last words of its process stand behind another's that are not whole yet", status, out, err, made)

# One cannot make the spool's file longer.
p = Project()
status, out, err = p.vcr("record", "-q", "--burst=off", "--", "python3", "-c", "import resource as r\nr.setrlimit(r.RLIMIT_FSIZE, (65536, 65536))\nfor i in range(8000):\n    open('%0200d' % i, 'w').close()")
own = [f["metadata"]["custom"]["vcr"] for f in p.frames() if f["node_name"].startswith("file:")]
nobody = [c for c in own if c.get("source") != "shim" or not c.get("program")]
ok(status == 0 and len(own) == 8000 and not nobody and "LOST" not in err, "nothing is lost of a program with a limit on the size of files, which cannot make the spool larger itself", status, len(own), len(nobody), err)

# Likewise, and the collector has no core for a while: it was asked before.
HALTED = """import glob, os, resource as r, signal, sys
r.setrlimit(r.RLIMIT_FSIZE, (65536, 65536))
spool, = glob.glob(sys.argv[1] + '/vcr/*.spool')
collector, = [int(n) for n in os.listdir('/proc') if n.isdigit() and os.path.exists('/proc/%s/exe' % n) and spool.encode() in open('/proc/%s/cmdline' % n, 'rb').read().split(b'\\0') and
              os.readlink('/proc/%s/exe' % n).endswith('vcr-collector')]
made = 0
def make(n):
    global made
    for made in range(made, made + n):
        open('%0200d' % made, 'w').close()
    made += 1
while made < 4000 and os.stat(spool).st_size < 4 << 20:
    make(10)
os.kill(collector, signal.SIGSTOP)
make(5000)
os.kill(collector, signal.SIGCONT)
print(made)
"""
p = Project()
status, out, err = p.vcr("record", "-q", "--burst=off", "--", "python3", "-c", HALTED, p.run_dir)
own = [f["metadata"]["custom"]["vcr"] for f in p.frames() if f["node_name"].startswith("file:")]
nobody = [c for c in own if c.get("source") != "shim" or not c.get("program")]
ok(status == 0 and len(own) == int(out) > 5000 and not nobody and "LOST" not in err, "nor does it lose anything while the collector, which it has asked for room once, is put off its core",
   status, out, len(own), len(nobody), err)

# One has found no room, in the midst of appending, and nobody makes any.
p = Project()
status, out, err = p.vcr("record", "-q", "--", os.path.join(BUILD, "tests", "shim", "stuck"))
lines = [json.loads(line) for line in p.vcr("export", "last")[1].splitlines()]
ok(status == 0 and "background" not in err and lines[-1]["type"] == "vcr.end", "a session ends, too, whose last record was to stand where its spool does not reach", status, err, lines[-1])

# Somebody annotates meanwhile, from outside.
p = Project()
running = p.start("--burst=off", "--", "python3", "-c", "import os\nprint(os.environ['VCR_ANNOTATE'], flush=True)\nfor i in range(4000):\n    open('a%d' % i, 'w').close()\ninput()")
lines = 0
with open(running.stdout.readline().strip(), "a") as notes:
    while not os.path.exists(os.path.join(p.work, "a3999")) and running.poll() is None:
        notes.write('{"node":"n%d"}\n' % lines)
        notes.flush()
        lines += 1
        time.sleep(0.01)
running.communicate("x\n")
frames = p.frames()
own = {f["input_state"]["path"]: f["metadata"]["custom"]["vcr"] for f in frames if f["node_name"].startswith("file:")}
nobody = [c for c in own.values() if c.get("source") != "shim" or not c.get("program")]
ok(len(own) == 4000 and len(nobody) <= lines, "of 4,000 files that are made while there are annotations each is its program's, but for the one that is just being made when an annotation comes",
   len(own), len(nobody), lines, nobody[:3])
said = [f["node_name"] for f in frames if f["frame_type"] == "node"]
ok(said == ["n%d" % i for i in range(lines)], "and each annotation has its frame", len(said), lines, said[:5])

# A storm is over, and a little goes on.
p = Project()
ON = "import os, subprocess, time\nfor i in range(8000):\n    open('g%d' % i, 'w').close()\nwhile not os.path.exists('enough'):\n    subprocess.run(['true'])\n    time.sleep(0.04)\n"
running = p.start("--", "python3", "-c", ON)
while not os.path.exists(os.path.join(p.work, "g7999")) and running.poll() is None:
    time.sleep(0.1) # as long as it takes: only then is it over
found, until = 0, time.monotonic() + 20
while found < 10 and time.monotonic() < until and running.poll() is None:
    time.sleep(0.1)
    found = sum(open(name, "rb").read().count(b'"exec:true"') for name in glob.glob(os.path.join(p.work, ".vcr", "*.vcr")))
open(os.path.join(p.work, "enough"), "w").close()
running.communicate()
ok(found >= 10, "of programs that follow upon 8,000 files, one every 40 ms, frames are seen while they go on", found)
done()
