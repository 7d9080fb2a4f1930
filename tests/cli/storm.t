#!/usr/bin/python3
"""Storms of programs and files: while the collector lets them rest unread, nothing of them loses who did it, and what comes of them is seen meanwhile."""
import json
import os
import subprocess
import sys

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
done()
