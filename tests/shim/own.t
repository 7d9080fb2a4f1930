#!/usr/bin/python3
"""Which program it is that a process says of itself: the file that the kernel says, by whatever name it was started."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import ok

STARTER = """import os, sys
how, path = sys.argv[1:3]
open("begun", "w").close()
if how == "path":
    os.execve(path, sys.argv[2:], os.environ)
fd = os.open(path, os.O_RDONLY)
if how == "memfd":
    made = os.memfd_create("made", 0)
    os.write(made, os.read(fd, os.fstat(fd).st_size))
    fd = made
os.execve(fd, sys.argv[2:], os.environ)
"""
LINK = "/proc/self/exe"
session = tapkit.Session()
work, outside = session.work, os.path.join(session.dir, "a")
readlink = shutil.which("readlink")


def link(target, *where):
    path = os.path.join(*where)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)
    return path


copy = os.path.join(outside, "real", "bin", "tell")
os.makedirs(os.path.dirname(copy))
shutil.copy(readlink, copy)
os.link(copy, os.path.join(outside, "real", "bin", "twin"))
link("real", outside, "dir")
link("tell", outside, "real", "bin", "short")
link("../bin/tell", outside, "real", "up", "tell")
link(os.path.join(outside, "dir", "bin", "short"), outside, "far")
for i in range(12):
    link("chain%d" % (i - 1) if i else copy, outside, "chain%d" % i)
script = os.path.join(outside, "script")
with open(script, "w") as f:
    f.write("#!%s\n" % os.path.join(outside, "dir", "bin", "short"))
os.chmod(script, 0o755)
long = os.path.join(outside, *["d" * 200] * 18)
os.makedirs(long)
shutil.copy(readlink, os.path.join(long, "tell"))
shutil.copy(readlink, os.path.join(work, "tell"))
loader = os.path.realpath("/lib64/ld-linux-x86-64.so.2" if os.path.exists("/lib64/ld-linux-x86-64.so.2") else "/lib/ld-linux-aarch64.so.1")

WAYS = [
    ("by its path", "path", copy), ("by a hard link to it", "path", os.path.join(outside, "real", "bin", "twin")), ("by a link to it", "path", os.path.join(outside, "real", "bin", "short")),
    ("through a directory that is a link", "path", os.path.join(outside, "dir", "bin", "tell")), ("by a link through a link", "path", os.path.join(outside, "far")),
    ("by a link with .. in it", "path", os.path.join(outside, "real", "up", "tell")), ("by twelve links", "path", os.path.join(outside, "chain11")),
    ("by a path with .. and . and //", "path", outside + "/real/../real/.//bin/tell"), ("by a path relative to where it is", "path", "./tell"), ("by a path of 3,700 bytes", "path", os.path.join(long, "tell")),
    ("as the interpreter of a script", "path", script), ("by a descriptor", "fd", copy), ("from memory", "memfd", copy),
]


def start(*argv):
    """(what the kernel told it of itself, what it says in its record, and why)"""
    session.forget()
    r = session.run(sys.executable, "-c", STARTER, *argv, LINK)
    records = [line for line in session.lines() if line.startswith("PROC ")]
    said = records[-1].split(" ", 4)[4].split(" %s [" % work)[0] if records else ""
    return r.stdout.strip().replace(work + "/", ""), said, [r.stderr, *records]


for how, starter, path in WAYS:
    kernel, said, why = start(starter, path)
    ok(kernel and said == kernel, "a program that is started %s says of itself what the kernel says" % how, said, kernel, *why)
kernel, said, why = start("path", loader, copy)
ok(kernel and said in (kernel, copy), "one that the loader is told to start says that it is that program, where the loader itself does", said, kernel, *why)
tapkit.done()
