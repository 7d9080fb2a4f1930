#!/usr/bin/python3
"""vcr sentinel on a terminal and off it: colours, and how far a scan has come."""
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, ok, skip, done  # noqa: E402

place = Place()
signal.alarm(300)  # a scan that does not come to where it is waited for
SCAN = [os.path.join(BUILD, "vcr-sentinel"), "scan", "--no-cache"]


def put(name, text):
    path = os.path.join(place.dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


class Run:
    """A scan with standard output and standard error each a terminal of its own, the foreground's, or a pipe."""

    def __init__(self, *argv, out=False, err=False, env=None):
        self.said = {1: b"", 2: b""}
        ends = {1: pty.openpty() if out else os.pipe(), 2: pty.openpty() if err else os.pipe()}

        def begin():
            os.setsid()
            if out or err:
                fcntl.ioctl(1 if out else 2, termios.TIOCSCTTY, 0)

        self.p = subprocess.Popen([*SCAN, *argv], cwd=place.dir, env=dict(place.env, **env or {}), stdin=subprocess.DEVNULL, stdout=ends[1][1], stderr=ends[2][1], preexec_fn=begin)
        self.ends = {fd: r for fd, (r, _) in ends.items()}
        for _, w in ends.values():
            os.close(w)

    def read(self, fd, end):
        try:
            while more := os.read(end, 4096):
                self.said[fd] += more
        except OSError:
            pass  # a terminal without a process
        os.close(end)

    def end(self):
        readers = [threading.Thread(target=self.read, args=one) for one in self.ends.items()]
        for t in readers:
            t.start()
        for t in readers:
            t.join()
        return self.p.wait(120), self.said[1].decode(), self.said[2].decode()


put("a/wide.py", "def s(a, b, c, d, e, f, g, h):\n    return a\n")
status, out, err = Run("a").end()
if "not installed" in err:
    skip("colours and progress of vcr-sentinel scan", "no grammars here; scripts/grammars fetches them")
    done()
    sys.exit()

# colours
plain = out
shown = {name: Run(*argv, "a", out=is_terminal, env=env).end() for name, argv, is_terminal, env in (
    ("terminal", [], True, {}), ("NO_COLOR", [], True, {"NO_COLOR": "1"}), ("NO_COLOR empty", [], True, {"NO_COLOR": ""}), ("dumb", [], True, {"TERM": "dumb"}),
    ("never", ["--color=never"], True, {}), ("always", ["--color=always"], False, {"NO_COLOR": "1"}), ("json", ["--json"], True, {}))}
coloured = {name for name, (_, out, _) in shown.items() if "\033" in out}
ok("\033" not in plain and coloured == {"terminal", "NO_COLOR empty", "always"}, "a scan is coloured on a terminal, without NO_COLOR, unless --color says otherwise; JSON never is", coloured, plain)
bare = {name: re.sub("\033\\[\\d*m", "", out).replace("\r", "") for name, (_, out, _) in shown.items() if name != "json"}
ok(set(bare.values()) == {plain} and "\033[33mwarning\033[m" in shown["terminal"][1], "colours are all that differs, and a warning has one", bare, shown["terminal"])

# progress: a grammar that takes its time, for as long as nobody writes to the pipe that stands for it
for n in range(70):
    put("many/f%d.py" % n, "def f%d(a):\n    return a\n" % n)
put("many/a.go", "package a\n")
found = [d for d in (os.environ.get("VCR_GRAMMARS"), os.path.join(os.path.abspath(BUILD), "grammars")) if d and os.path.exists(os.path.join(d, "python.so"))]
titles = ("a scan of more than two seconds says on a terminal how far it has come, and takes that away at its end", "off a terminal it says nothing of that, nor with -q",
          "nor on a terminal while it is quick")
if not found:
    for title in titles:
        skip(title, "it is not known where the grammars are")
    done()
    sys.exit()
runs = {}
for name, argv, is_terminal in (("terminal", [], True), ("pipe", [], False), ("quiet", ["-q"], True)):
    grammars = os.path.join(place.dir, "grammars-" + name)
    os.mkdir(grammars)
    os.symlink(os.path.join(found[0], "python.so"), os.path.join(grammars, "python.so"))
    os.mkfifo(os.path.join(grammars, "go.so"))
    runs[name] = Run("-J", "1", *argv, "many", err=is_terminal, env={"VCR_GRAMMARS": grammars}), os.path.join(grammars, "go.so")
held = [os.open(fifo, os.O_WRONLY) for _, fifo in runs.values()]  # each of them has begun, and waits for its grammar
began = time.monotonic()
while time.monotonic() < began + 2.1:
    time.sleep(0.05)
for fd in held:
    os.close(fd)
said = {name: run.end() for name, (run, _) in runs.items()}
errs = {name: err for name, (_, _, err) in said.items()}
ok("\r64 of 71 files" in errs["terminal"] and "\r71 of 71 files\r\033[K" in errs["terminal"] and "70 files, 70 functions" in said["terminal"][1], titles[0], said["terminal"])
ok("of 71 files" not in errs["pipe"] + errs["quiet"] and "the grammar of Go cannot be loaded" in errs["pipe"], titles[1], said)
for _ in range(5):
    began = time.monotonic()
    quick = Run("many", err=True).end()
    if time.monotonic() < began + 1:
        ok("of 71 files" not in quick[2] and quick[1], titles[2], quick)
        break
else:
    skip(titles[2], "this machine is too busy for a quick scan")
done()
