#!/usr/bin/python3
"""Files that git ignores, in savepoints and rollbacks: kept as any other, or, where .vcr/config says so, left alone."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import ok, done  # noqa: E402
from project import Project, differences  # noqa: E402

BEGIN = """printf 'build/\\n*.log\\n.env\\n' > .gitignore; mkdir build; echo out > build/out; echo kept > build/tracked; echo K=1 > .env; echo a > a; echo l > old.log; echo n > notes
git add .gitignore a notes; git add -f build/tracked; git commit -qm x"""
WORK = "echo A > a; echo more > build/out; echo made > build/made; echo other > build/tracked; rm .env; mkdir new; echo s > new/s; echo l > new/x.log; echo L > old.log"


def project(config=None):
    p = Project()
    p.sh(BEGIN)
    if config:
        os.mkdir(p.vcr_dir)
        with open(p.vcr_dir + "/config", "w") as f:
            f.write(config)
    return p


def names(p, savepoint):
    r = subprocess.run("git --git-dir '%s' ls-tree -r --name-only $(git --git-dir '%s' for-each-ref --format='%%(refname)' refs/vcr | grep '/%d$')" % (p.state("shadow.git"), p.state("shadow.git"), savepoint),
                       shell=True, env=p.env, stdout=subprocess.PIPE, text=True)
    return set(r.stdout.split())


def some(state, *paths):
    return {p: state.get(p) for p in paths}


# ---- as any other ----
p = project()
before = p.look()
p.record(WORK)
after = p.look()
status, out, err = p.back("-q")
ok(status == 0 and p.look() == before, "what git ignores comes back as it was, deleted, changed or made: the agent may have needed it, or filled it", status, out, err, *differences(before, p.look()))
p.back("-q", "--undo")
ok(p.look() == after, "and --undo brings it again", *differences(after, p.look()))

# ---- left alone ----
p = project("ignored leave\n")
before = p.look()
p.record(WORK)
after = p.look()
kept = names(p, 0)
ok(kept == {".gitignore", "a", "notes", "build/tracked"}, "with 'ignored leave' a savepoint has nothing that git ignores, but what it tracks all the same", sorted(kept))
status, out, err = p.back()
want = dict(some(before, "a", "build/tracked", ".gitignore", "notes", "build"), **some(after, "build/out", "build/made", "new", "new/x.log", "old.log"))
ok(p.look() == want, "a rollback then leaves them as they are, and takes back everything else, in ignored directories too", status, out, err, *differences(want, p.look()))
ok(status == 1 and "new" in out and "somebody" not in out + err, "a directory that would go stays with those that are in it, and is named, as nobody's edit", status, out, err)
p.back("-q", "--undo")
ok(p.look() == after, "--undo takes that back", *differences(after, p.look()))

p = project("ignored leave\n")
before = p.look()
p.record("echo notes >> .gitignore; echo N > notes; echo m > made.log; echo f > fresh; echo fresh >> .gitignore")
status, out, err = p.back("-q")
ok(status == 0 and p.look() == dict(before, **some(p.look(), "made.log", "fresh")) and p.look().get("notes") == before["notes"],
   "a file that savepoints have is not lost by a line that the agent adds to .gitignore", status, out, err, *differences(before, p.look()))

p = project("ignored leave\n")
p.sh("mkdir -p sub/deep; echo '*.own' > sub/.gitignore; echo o > sub/deep/x.own; git add sub/.gitignore; git commit -qm s")
before = p.look()
p.record("grep -v -e env -e build .gitignore > g; mv g .gitignore; echo '!*' > sub/.gitignore; echo K=2 >> .env; echo more >> build/out; echo o >> sub/deep/x.own; echo other > build/tracked; echo new > new")
after = p.look()
ok({".env", "build/out", "sub/deep/x.own"} <= names(p, 1) and not {".env", "build/out", "sub/deep/x.own"} & names(p, 0), "what is not ignored any more is in the next savepoint", sorted(names(p, 1)))
status, out, err = p.back()
want = dict(before, **some(after, ".env", "build/out", "sub/deep/x.own"))
ok(p.look() == want, "and a rollback to one that was taken when it was ignored leaves it", status, out, err, *differences(want, p.look()))
ok(status == 1 and "git ignored it" in out and all(x in out for x in (".env", "build/out", "sub/deep/x.own")) and not [n for n in os.listdir(p.state("")) if n.startswith("ignored.")],
   "it is named, and what was needed to find that out is gone", status, out, err)
p.back("-q", "--undo")
ok(p.look() == after, "--undo takes that back too", *differences(after, p.look()))
with open(os.path.join(p.work, "sub/deep/x.own"), "a") as f:
    f.write("somebody's\n")
mine = p.look()
status, out, err = p.back("-q", "--force")
want = dict(before, **some(mine, ".env", "build/out", "sub/deep/x.own"))
ok(p.look() == want, "with --force too, if somebody has changed it since", status, out, err, *differences(want, p.look()))

p = project("ignored leave\n")
before = p.look()
p.vcr("txn", "begin", "-q", "-s", "t")
p.sh(WORK)
status, out, err = p.vcr("txn", "abort", "-q")
want = dict(before, **some(p.look(), "build/out", "build/made", "new", "new/x.log", "old.log"))
want.pop(".env")
ok("new/s" not in p.look() and p.look() == want and p.look()["build/out"] != before["build/out"], "a transaction does so too", status, out, err, *differences(want, p.look()))

p = project("ignored leave\n")
before = p.look()
p.vcr("txn", "begin", "-q", "-s", "t")
p.sh("echo build > .gitignore; echo K=2 > .env")
status, out, err = p.vcr("txn", "abort")
want = dict(before, **some(p.look(), ".env"))
ok(status == 1 and p.look() == want and want[".env"] not in (None, before[".env"]) and ".env" in out, "and leaves what was ignored when it began", status, out, err, *differences(want, p.look()))

# ---- by a pattern of one's own ----
p = project("ignore *.log\nignore data\n")
before = p.look()
p.record(WORK + "; mkdir data; echo d > data/d")
status, out, err = p.back()
want = dict(before, **some(p.look(), "old.log", "new", "new/x.log", "data", "data/d"))
ok(status == 1 and p.look() == want and "new/s" not in p.look() and "data/d" in p.look() and "new" in out, "with 'ignore PATTERN' what it names is left alone, and all else comes back",
   status, out, err, *differences(want, p.look()))

# ---- a word that is none ----
p = project("ignored sometimes\n")
status, out, err = p.record("true")
ok("config:1" in err and "ignored" in err, "another word is refused, with file and line", status, err)
done()
