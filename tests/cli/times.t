#!/usr/bin/python3
"""--mtimes of vcr rollback and vcr txn rollback: the modification times that files had then, to the nanosecond; new ones unless asked, and never a wrong one."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, done, ok  # noqa: E402
from project import Project, Standing, differences  # noqa: E402

OLD = 1500000000123456789


def times(p):
    """Of each file and link."""
    found = {}
    for at, dirs, files in os.walk(p.work):
        dirs[:] = [d for d in dirs if d not in (".vcr", ".git")]
        for name in files + [d for d in dirs if os.path.islink(os.path.join(at, d))]:
            path = os.path.join(at, name)
            found[os.path.relpath(path, p.work)] = os.lstat(path).st_mtime_ns
    return found


def age(p):
    """Each another time of long ago, with its nanoseconds as far as the file system has them."""
    for i, path in enumerate(sorted(times(p))):
        ns = OLD + i * 1000000000007
        os.utime(os.path.join(p.work, path), ns=(ns, ns), follow_symlinks=False)
    return times(p)


def same(a, b, title):
    return ok(a == b, title, *differences(a, b))


AGENT = r"""
import os, shutil, subprocess
open("over", "w").write("other")
os.unlink("gone"); os.rename("moved", "moved2"); os.rename("dir", "dir2"); open("dir2/in", "a").write("more")
open("saved~", "w").write("saved"); os.rename("saved~", "saved")
os.unlink("link"); os.symlink("elsewhere", "link")
os.chmod("mode", 0o700)
shutil.rmtree("tree"); open("tree", "w").write("a file now")
open(".env", "w").write("K=other"); open("new\nline", "w").write("x"); open("made", "w").write("x")
os.rename("a", "t"); os.rename("b", "a"); os.rename("t", "b")
open("before1970", "w").write("x"); os.unlink("node_modules/m/index.js")
"""

p = Project()
p.sh("""printf 1 > over; printf 2 > gone; printf 3 > moved; mkdir -p dir/sub tree/sub node_modules/m; printf 4 > dir/in; printf 5 > dir/sub/x; printf 6 > saved; ln -s over link; printf 7 > mode
printf 8 > tree/sub/y; printf 9 > tree/z; printf K=1 > .env; printf 10 > $'new\\nline'; printf 11 > a; printf 12 > b; printf 13 > stays; printf 14 > before1970; printf m > node_modules/m/index.js
git add over dir; git commit -qm x""")
age(p)
os.utime(p.work + "/before1970", ns=(-1500000001, -1500000001))
p.sh("git status >/dev/null")
first = times(p)
content = p.look()
began = time.time_ns() - 1000000000
r = p.vcr("record", "-q", "-s", "s1", "--", sys.executable, "-c", AGENT)
ok(r[0] == 0 and times(p) != first, "a recorded program writes, deletes, renames and replaces", r)
status, out, err = p.back("-q")
now = times(p)
ok(status == 0 and p.look() == content and all(now[n] > began for n in ("over", "gone", "moved", "dir/in", "saved", "link", "tree/z", ".env")) and now["stays"] == first["stays"],
   "without --mtimes what is put back is new, so that make sees it", status, out, err, now)
p.back("-q", "--undo")
status, out, err = p.back("--mtimes", "--dry-run", "--json")
told = {i["path"]: i.get("mtime") for i in map(json.loads, out.splitlines()) if "path" in i}
ok(told.get("over") == first["over"] and told.get("dir/sub/x") == first["dir/sub/x"] and "mtime" not in json.loads(out.splitlines()[-1]), "a dry run with --json tells the times", told, err)
second, agents = times(p), p.look()
status, out, err = p.back("--mtimes")
ok(status == 0 and "not known" not in err, "--mtimes succeeds", status, out, err)
same(first, times(p), "with --mtimes each file and link that was written, deleted, renamed, alone or with its directory, replaced or given a mode has its time again, to the nanosecond")
same(content, p.look(), "and its content and mode")
said = open(p.state("times", "s1")).read()
ok(said and not any(n in said for n in ("over", "env", "tree")) and os.stat(p.state("times", "s1")).st_mode & 0o777 == 0o600 and os.stat(p.state("times")).st_mode & 0o777 == 0o700,
   "names are not in the file of the times, and nobody else may read it", said[:300])
status, out, err = p.back("--undo", "--mtimes")
same(second, times(p), "--undo --mtimes gives the agent's files the times that they had before the rollback")
ok(status == 0 and "not known" not in err and p.look() == agents, "and their content", status, out, err)
p.back("-q", "--redo", "--mtimes")
same(first, times(p), "and --redo --mtimes those that they had before the undo")

# ---- What it does not know ----
p.back("-q", "--undo")
with open(p.state("times", "s1"), "r+") as f:
    f.seek(0)
    f.write("0 1 \n-1 5 x\n" + "9" * 5000 + " 1 2\n0 99999999999999999999999 " + "0" * 32 + "\n\x00\xff\n0\n\n" + said + "0 12345")
p.back("-q", "--mtimes")
same(first, times(p), "torn lines and such as were never written are passed over")
p.back("-q", "--undo")
os.unlink(p.state("times", "s1"))
status, out, err = p.back("--mtimes", "--path", "over", "--path", "gone")
ok(status == 0 and "over: its modification time then is not known, it has a new one" in err and times(p)["over"] > began, "a file whose time is not known is named and has a new one", status, out, err)
os.symlink("/etc/passwd", p.state("times", "s1"))
ok(p.back("-q", "--mtimes")[0] == 0 and p.look() == content, "no link is followed instead")
os.unlink(p.state("times", "s1"))
os.unlink(p.state("times", "%2bundo"))
status, out, err = p.back("--undo", "--mtimes")
ok(status == 0 and ".env: its modification time then is not known, it has a new one" in err, "where they are not known any more an undo says so", status, out, err)
ok(p.vcr("txn", "list", "--mtimes")[0] == 2, "--mtimes with another step of a transaction than rollback is a wrong call")

p = Project()
p.sh("printf 1 > f; printf 1 > g")
first = age(p)
r = p.vcr("record", "-q", "-s", "s2", "--", "bash", "-c", "printf 22 > f; %s/vcr savepoint -q; printf 333 > f; rm g" % BUILD)
lines = open(p.state("times", "s2")).read().splitlines()
mine = [n for n in lines if n.split()[2] == next((m.split()[2] for m in lines if int(m.split()[0]) == 0), None)]
ok([int(n.split()[0]) for n in mine] == [0, 1] and len(lines) == 3, "of a file that changes between savepoints there is one line for each", r, lines)
open(p.state("times", "s2"), "w").write("".join(n + "\n" for n in lines if n != mine[0]))
status, out, err = p.back("--mtimes")
ok(status == 0 and "f: its modification time then" in err and "g: " not in err and times(p)["g"] == first["g"] and times(p)["f"] > first["f"],
   "a time from behind a change that nobody noted is not believed, that of a file that did not change between is", status, out, err)
status, out, err = p.vcr("gc", "--delete", "s2")
ok(status == 0 and not os.path.exists(p.state("times", "s2")), "vcr gc --delete takes the times of a session with it", status, out, err)

# ---- A transaction, with nobody hooked ----
p = Standing()
p.sh("printf 1 > f; printf 1 > g")
first = age(p)
p.vcr("txn", "begin", "-s", "t")
p.sh("printf 22 > f; touch -d @1600000000.5 f")
p.vcr("txn", "savepoint")
p.sh("printf 333 > f; rm g")
status, out, err = p.vcr("txn", "rollback", "--mtimes")
ok(status == 0 and times(p) == dict(first, f=1600000000500000000), "vcr txn rollback --mtimes gives files the times of the last savepoint", status, out, err, times(p))
p.sh("rm f; printf new > g")
status, out, err = p.vcr("txn", "rollback", "--to", "begin", "--mtimes")
same(first, times(p), "and --to begin those of the beginning, through the rollback between")
ok(status == 0 and p.vcr("txn", "abort")[0] == 0, "the transaction goes on to its end", status, out, err)
done()
