#!/usr/bin/python3
"""A runtime directory of 4 MB, as a container may have it: a storm of files loses nothing there, and a collector that does not read holds nobody for long."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, ok, skip  # noqa: E402

WHOLE = "of 20,000 files that four programs make on a runtime directory of 4 MB no record is lost"
OWNED = "and each file has a frame, which says whose it is"
BOUND = "nor of 5,000 that a program makes which has a limit on the size of files, and so cannot make the spool larger itself"
HELD = "where the collector does not read at all the programs go on, and the session says that records were lost, and whose"
MOUNT = ["unshare", "-m" if os.geteuid() == 0 else "-rm"]
SMALL = 'mount -t tmpfs -o size=%s,mode=700 none "$XDG_RUNTIME_DIR" && exec "$@"'
FILES = """
import os, sys
for k in range(4):
    if not os.fork():
        for i in range(5000):
            open('%0200d.%d' % (i, k), 'w').close()
        os._exit(0)
sys.exit(sum(os.wait()[1] for k in range(4)))
"""
BOUNDED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
for i in range(5000):
    open('%0200d' % i, 'w').close()
"""
# The collector is the one whose command line names a spool in our runtime directory.
STOPPED = """
import glob, os, signal
def is_ours(path):
    try:
        return b'vcr-collector' in (text := open(path, 'rb').read()) and os.environ['XDG_RUNTIME_DIR'].encode() in text
    except OSError:
        return False
pid, = [int(p.split('/')[2]) for p in glob.glob('/proc/[0-9]*/cmdline') if is_ours(p)]
os.kill(pid, signal.SIGSTOP)
try:
    for i in range(12000):
        open('%0200d' % i, 'w').close()
finally:
    os.kill(pid, signal.SIGCONT)
"""
if subprocess.run(MOUNT + ["sh", "-c", "mount -t tmpfs none /mnt"], stderr=subprocess.DEVNULL).returncode:
    for title in (WHOLE, OWNED, BOUND, HELD):
        skip(title, "nothing can be mounted here")
    done()


class Project(Place):
    def __init__(self):
        super().__init__()
        self.env.update(VCR_COLLECTOR=os.path.join(BUILD, "vcr-collector"), VCR_SHIM=os.environ.get("VCR_SHIM", os.path.join(BUILD, ".libs", "libvcrshim.so")))
        self.work = os.path.join(self.dir, "work")
        os.makedirs(os.path.join(self.work, ".git"))

    def record(self, size, code):
        """The command's status, its frames of files, the last line, and what was said."""
        r = subprocess.run([*MOUNT, "sh", "-c", SMALL % size, "sh", os.path.join(BUILD, "vcr"), "record", "--burst=off", "--", "/usr/bin/python3", "-c", code], cwd=self.work, env=self.env,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        lines = [json.loads(line) for line in self.run("vcr", "export", "--full", "last", cwd=self.work)[1].splitlines()]
        return r.returncode, [d["data"] for d in lines if d["type"] == "frame" and d["data"]["node_name"].startswith("file:")], lines[-1]["data"], r.stderr


status, files, end, err = Project().record("4m", FILES)
ok(status == 0 and not any(end["losses"].values()) and "LOST" not in err, WHOLE, status, end, err)
nobody = [f for f in files if f["metadata"]["custom"]["vcr"].get("source") != "shim" or not f["metadata"]["custom"]["vcr"].get("program")]
ok(len(files) == 20000 == len({f["input_state"]["path"] for f in files}) and not nobody, OWNED, len(files), len(nobody), nobody[:2])
status, files, end, err = Project().record("4m", BOUNDED)
ok(status == 0 and len(files) == 5000 and not any(end["losses"].values()), BOUND, status, len(files), end, err)
status, files, end, err = Project().record("2m", STOPPED)
lost = {c["program"]: c["dropped_records"] for c in end["coverage"] if c["dropped_records"]}
ok(status == 0 and len(files) == 12000 and lost == {os.path.basename(os.path.realpath("/usr/bin/python3")): end["losses"].get("dropped_records")} and all(n > 1000 for n in lost.values()),
   HELD, status, len(files), end, err)
done()
