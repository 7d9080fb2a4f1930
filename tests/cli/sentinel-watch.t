#!/usr/bin/python3
"""vcr sentinel watch: each file is judged as it is written."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, ok, skip, done  # noqa: E402

place = Place()
WIDE = "def s(a, b, c, d, e, f, g, h):\n    return a\n"


def put(name, text):
    path = os.path.join(place.dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


class Watch:
    def __init__(self, *argv):
        self.p = subprocess.Popen([os.path.join(BUILD, "vcr-sentinel"), "watch", *argv], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        signal.signal(signal.SIGALRM, lambda *_: self.p.kill())  # what it does not say is not waited for without end
        signal.alarm(100)
        self.ready = self.p.stderr.readline()

    def line(self):
        return self.p.stdout.readline()

    def end(self, sig):
        self.p.send_signal(sig)
        out, err = self.p.communicate(timeout=60)
        return self.p.returncode, out, err


put("w/old.py", WIDE)
put("w/legacy/old.py", WIDE)
put("w/more/notes.txt", "no code\n")
put("w/node_modules/m.py", "x = 1\n")
if "not installed" in place.run("vcr-sentinel", "scan", "w")[2]:
    skip("what is written is judged as it is written", "no grammars here; scripts/grammars fetches them")
    done()
    sys.exit()
w = Watch("w")
ok("3 directories are watched" in w.ready, "it says when it watches; directories of dependencies are none of it", w.ready)
put("w/notes.txt", "no code\n")
put("w/node_modules/m.py", WIDE)
put("w/old.py", "x = 1\n" + WIDE)
put("w/a.py", WIDE)
said = w.line()
ok(said.startswith("a.py:1: warning: s() takes 8 parameters"), "a finding is said when its file has been written; what stood there before is not", said)
put("w/a.py.tmp", "def s(a):\n    return a\n")
os.rename(os.path.join(place.dir, "w/a.py.tmp"), os.path.join(place.dir, "w/a.py"))
said = w.line()
ok(said.startswith("corrected: a.py:1: warning: s()"), "and its correction, also by a file that takes its place", said)
put("w/new/deep/b.py", WIDE.replace("h)", "h, i, j, k)"))
said = w.line()
ok(said.startswith("new/deep/b.py:1: critical: s() takes 11 parameters"), "directories that are made are watched too", said)
put("w/new/deep/b.py", WIDE + WIDE.replace("s(", "t("))
said = w.line()
ok(said.startswith("new/deep/b.py:3: warning: t() takes 8"), "what stands already is not said again", said)
os.rename(os.path.join(place.dir, "w/old.py"), os.path.join(place.dir, "w/moved.py"))
os.rename(os.path.join(place.dir, "w/legacy"), os.path.join(place.dir, "w/more/legacy"))
put("w/z.py", WIDE.replace("s(", "z("))
said = w.line()
ok(said.startswith("z.py:1: warning: z()"), "what stood in a file before it was moved, or its directory, is nothing new", said)
status, out, err = w.end(signal.SIGTERM)
ok(status == 0 and "findings made, 1 corrected afterwards, 3 stand" in out and not err, "it ends when it is told to, with the sum", status, out, err)
w = Watch("--json", "w")
put("w/c.py", WIDE.replace("h)", "h, i, j, k)"))
seen = json.loads(w.line())
status, out, err = w.end(signal.SIGINT)
ok(seen["path"] == "c.py" and seen["violations"][0]["state"] == "new" and json.loads(out)["standing"] == 1 and status == 1, "with --json a line for each; the status is that of what stands", seen, out, status)
got = [place.run("vcr-sentinel", "watch", d) for d in ("w/none", "w/a.py")]
ok([(s, o, e.count("\n")) for s, o, e in got] == [(3, "", 1)] * 2, "what is no directory is a failure", got)
done()
