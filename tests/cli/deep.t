#!/usr/bin/python3
"""Files whose path is longer than the kernel takes at once: made from one directory to the next, they are seen, told as whose they are, and rolled back."""
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import ok, done  # noqa: E402
from project import SHIM, Project, differences  # noqa: E402

# What the programs of this test begin with: dig(N) goes down N directories of 250 letters, and makes them.
DIG = """import os, sys
def dig(n, name='n' * 250):
    for _ in range(n):
        if not os.path.isdir(name):
            os.mkdir(name)
        os.chdir(name)
"""


def look(p):
    """As Project.look, of any depth."""
    found = {}
    for at, dirs, files, fd in os.fwalk(p.work):
        dirs[:] = [d for d in dirs if d not in (".git", ".vcr")]
        for name in dirs + files:
            st = os.lstat(name, dir_fd=fd)
            what = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(st.st_mode) else None
            if stat.S_ISREG(st.st_mode):
                with open(name, "rb", opener=lambda n, flags: os.open(n, flags, dir_fd=fd)) as f:
                    what = st.st_size, f.read(100)
            found[os.path.relpath(os.path.join(at, name), p.work)] = (oct(st.st_mode), what)
    return found


def python(p, text, bare=False):
    with open(p.dir + "/program.py", "w") as f:
        f.write(DIG + text)
    argv = [sys.executable, p.dir + "/program.py"]
    if bare:
        return subprocess.run(argv, cwd=p.work, env=dict(p.env, LD_PRELOAD=SHIM), stdin=subprocess.DEVNULL).returncode
    return p.vcr("record", "-q", "--", *argv)[0]


def changes(p):
    """Of what no path reaches: (node, name, source, program)."""
    frames = [p.json("vcr", "show", "--json", str(f["index"]), cwd=p.work)[0] for f in p.json("vcr", "log", "--json", "last", cwd=p.work) if f["node"].startswith("file:")]
    return {(f["node_name"], os.path.basename(f["input_state"]["path"])): f["metadata"]["custom"]["vcr"] for f in frames if len(f["input_state"]["path"]) > 4096}



for bare in (False, True):
    how = "under a bare preload" if bare else "recorded"
    p = Project(git=False)
    p.sh("echo a > a; mkdir sub; echo s > sub/s")
    subprocess.run([sys.executable, "-c", DIG + "dig(17)\nopen('old', 'w').write('old')\nopen('gone', 'w').write('gone')\nos.mkdir('full')\nopen('full/f', 'w').write('f')"], cwd=p.work, check=True)
    before = look(p)
    status = python(p, """fd = os.open('.', os.O_RDONLY)
dig(17)
open('old', 'a').write('more')
os.unlink('gone')
open('new', 'w').write('new')
os.rename('full', 'moved')
os.chmod('moved/f', 0o600)
os.symlink('new', 'link')
os.rename('sub', 'sub2', src_dir_fd=fd)
os.rename('new', 'up', dst_dir_fd=fd)
os.fchdir(fd)
open('a', 'a').write('b')
""", bare)
    after = look(p)
    told = changes(p)
    ok(status == 0 and max(map(len, after)) > 4096 and told[("file:write", "old")]["source"] == "shim" and told[("file:write", "old")]["program"].startswith("python") and ("file:delete", "gone") in told,
       "%s: what a program does where no path reaches is told, and as what it did" % how, status, {k: v.get("source") for k, v in told.items()})
    status, out, err = p.back("-q")
    ok(status == 0 and look(p) == before, "%s: and a rollback takes it back, with what was moved to and from there" % how, status, out[:300], err[:300], *(d[:100] for d in differences(before, look(p))))
    status, out, err = p.back("-q", "--undo")
    ok(status == 0 and look(p) == after, "%s: --undo brings it again" % how, status, out[:300], err[:300], *(d[:100] for d in differences(after, look(p))))

# ---- large ones ----
p = Project(git=False)
before = look(p)
python(p, "dig(17)\nf = open('large', 'w')\nf.truncate(17 << 20)\nf.write('l')\n")
after = look(p)
status, out, err = p.back("-q")
gone = look(p)
undone = p.back("-q", "--undo")
ok(status == 0 and gone == before and undone[0] == 0 and look(p) == after, "a file that is too large for a savepoint goes from there, and comes back by --undo", status, out[:300], err[:300], undone[0], undone[2][:300])

# ---- deeper than is looked ----
p = Project(git=False)
p.sh("echo a > a")
subprocess.run([sys.executable, "-c", DIG + "dig(270, 'd')\nopen('f', 'w').write('f')"], cwd=p.work, check=True)
before = look(p)
p.record("echo b >> a; echo n > n; rm -f d/none; mkdir e; echo e > e/e")
status, out, err = p.back("-q")
ok(status == 0 and look(p) == before, "directories that are deeper than is looked take nothing from the rest: it is seen and comes back", status, out[:300], err[:300], *(d[:100] for d in differences(before, look(p))))
done()
