#!/usr/bin/python3
"""Large files, which savepoints do not hold: under --supervise they are kept before they go, and vcr-rollback brings them back."""
import hashlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, clikit, done, ok, skip

MB = 1 << 20
NAMES = ("deleted", "replaced", "cut", "grown", "truncated")
BACK = "large files that it deleted, replaced, emptied, wrote into and cut are as they were after vcr-rollback"
SMALL = "small files in node_modules that it deleted, replaced, emptied, wrote into and cut come back too"
EACH = "of what a program with the library has just made and destroys, by absolute paths, from its directory or from another, each large file is kept, and nothing else"
UNDO = "vcr-rollback --undo takes that back, and --redo does it again"
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
DOER, SOURCE = os.path.join(place.dir, "doer"), os.path.join(gatekit.SOURCE, "tests", "gate", "doer.c")
probe = subprocess.run([os.path.join(BUILD, "vcr-record"), "--supervise", "-q", "--vcr-dir", os.path.join(place.dir, "probe"), "--", "/bin/true"], env=place.env, cwd=place.dir, stderr=subprocess.PIPE, text=True)
if probe.returncode == 125:
    for title in (BACK, UNDO, SMALL, EACH):
        skip(title, probe.stderr.strip())
    done()
compilers = [c for c in ("musl-gcc", "gcc") if shutil.which(c) and not subprocess.run([c, "-O", "-static", SOURCE, "-o", DOER], stderr=subprocess.DEVNULL).returncode]
SHELL = "rm deleted.bin; echo small > small.tmp; mv small.tmp replaced.bin; echo cut > cut.bin; echo more >> grown.bin; truncate -s 10 truncated.bin"
COMMANDS = {"a static program": [DOER, "DESTROY"] if compilers else None, "programs with the library": ["/bin/sh", "-c", SHELL]}


def fill(name, size, seed):
    block = hashlib.sha256(seed.encode()).digest() * 32768
    with open(name, "wb") as f:
        for _ in range(size // MB):
            f.write(block)


def run(where, verb, *words):
    p = subprocess.run([os.path.join(BUILD, verb), *words], cwd=where, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


def state(where):
    return {n: (hashlib.sha256(open(os.path.join(where, n + ".bin"), "rb").read()).hexdigest() if os.path.exists(os.path.join(where, n + ".bin")) else None) for n in NAMES}


for who, command in COMMANDS.items():
    if not command:
        for title in (BACK, UNDO, SMALL):
            skip("%s: %s" % (who, title), "no compiler builds static programs here")
        continue
    where = os.path.join(place.dir, who.replace(" ", "-"))
    os.mkdir(where)
    for n in NAMES:
        fill(os.path.join(where, n + ".bin"), 17 * MB, who + n)
    os.chmod(os.path.join(where, "deleted.bin"), 0o640)
    before = state(where)
    recorded = run(where, "vcr-record", "--supervise", "--session", "big", "--vcr-dir", os.path.join(where, ".vcr"), "--", *command)
    after = state(where)
    back = run(where, "vcr-rollback", "--to", "start", "--vcr-dir", os.path.join(where, ".vcr"), "big")
    now = state(where)
    ok(recorded[0] == 0 and after["deleted"] is None and all(after[n] != before[n] for n in NAMES) and back[0] == 0 and now == before and
       os.stat(os.path.join(where, "deleted.bin")).st_mode & 0o777 == 0o640, "%s: %s" % (who, BACK), recorded, back, before, after, now)
    undone = run(where, "vcr-rollback", "--undo", "--vcr-dir", os.path.join(where, ".vcr"))
    small = state(where)
    redone = run(where, "vcr-rollback", "--redo", "--vcr-dir", os.path.join(where, ".vcr"))
    ok(small == after and undone[0] == redone[0] == 0 and state(where) == before, "%s: %s" % (who, UNDO), undone, redone, small, state(where))
    if who != "a static program":
        continue
    heavy = os.path.join(where, "node_modules")
    os.mkdir(heavy)
    for n in NAMES:
        with open(os.path.join(heavy, n + ".bin"), "w") as f:
            f.write("small " * 5 + n)
    was = {n: open(os.path.join(heavy, n)).read() for n in os.listdir(heavy)}
    deed = run(where, "vcr-record", "--supervise", "--session", "small", "--vcr-dir", os.path.join(where, ".vcr"), "--", "/bin/sh", "-c", "cd node_modules && exec '%s' DESTROY" % DOER)
    changed = {n: open(os.path.join(heavy, n)).read() for n in os.listdir(heavy)}
    back = run(where, "vcr-rollback", "--to", "start", "--vcr-dir", os.path.join(where, ".vcr"), "small")
    now = {n: open(os.path.join(heavy, n)).read() for n in os.listdir(heavy)}
    ok(deed[0] == back[0] == 0 and changed != was and now == was, "%s: %s" % (who, SMALL), deed, back, was, changed, now)
DESTROY = """
import os
MB, top = 1 << 20, os.getcwd()
os.mkdir("sub")
fd = os.open("sub", os.O_RDONLY)
def make(name, size=17 * MB):
    with open(os.path.join(top, "sub", name), "xb") as f:
        f.truncate(size)
    return name
os.unlink("sub/" + make("a"))
os.unlink(os.path.join(top, "sub", make("b")))
os.unlink(make("c"), dir_fd=fd)
os.rename("sub/" + make("small", 10), "sub/" + make("d"))
os.rename(make("small", 10), make("e"), src_dir_fd=fd, dst_dir_fd=fd)
os.chdir("sub")
os.truncate(make("f"), 5)
open(make("g"), "wb").close()
os.close(os.open(make("h"), os.O_WRONLY | os.O_TRUNC, dir_fd=fd))
for name in (make("i", MB - 1), make("j", 10)):
    os.unlink(name)
open(make("k", 16 * MB), "wb").close()
os.symlink("a", "l")
os.unlink("l")
"""
where = os.path.join(place.dir, "each")
os.mkdir(where)
made = run(where, "vcr-record", "-v", "--supervise", "--vcr-dir", os.path.join(where, ".vcr"), "--", sys.executable, "-c", DESTROY)
ok(made[0] == 0 and "0 refused, 8 large files kept" in made[2], EACH, made)
done()
