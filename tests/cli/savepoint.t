#!/usr/bin/python3
"""Savepoints as git and a kill see them: any git reads the shadow repository, and a process that dies while it takes one leaves all before it whole."""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, ok, skip, done  # noqa: E402
from project import Project  # noqa: E402
from steps import run_to  # noqa: E402

MOMENTS = int(os.environ.get("VCR_TEST_MOMENTS", "24"))
TAKER = os.path.join(BUILD, "tests", "cli", "taker")


def git(p, *argv):
    r = subprocess.run(["git", "--git-dir", p.state("shadow.git"), *argv], env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return r.returncode, r.stdout.decode(errors="replace")


def take(p, text, upto=None):
    """Under a name that system calls count from: (system calls, status)."""
    os.makedirs(p.state(), exist_ok=True)
    argv = ["/bin/sh", "-c", 'exec "$0" "$@" < %s' % p.feed, TAKER, p.work, p.state(), "s"]
    with open(p.feed, "w") as f:
        f.write(text)
    return run_to(argv, upto, cwd=p.work, env=dict(p.env, ASAN_OPTIONS="detect_leaks=0"))


def blob(p, n, path):
    return git(p, "show", "refs/vcr/s/%d:%s" % (n, path))[1]


# ---- git reads it ----
p = Project(git=False)
p.sh("mkdir d; echo one > d/f; echo k > keep; ln -s keep link")
p.record("echo two > d/f; echo n > d/new; rm link; /bin/true", "-s", "s")
status, log = git(p, "log", "--format=%s", "refs/vcr/s/1")
ok(status == 0 and log.splitlines()[-1].startswith("base"), "git log refs/vcr/SESSION/N shows a session's savepoints, the base last", log)
status, diff = git(p, "diff", "refs/vcr/s/0", "refs/vcr/s/1")
ok(status == 0 and all(line in diff for line in ("-one", "+two", "--- a/d/f", "+++ b/d/new", "deleted file mode 120000")), "git diff shows what changed between two of them", diff)
ok(blob(p, 1, "d/f") == "two\n" and blob(p, 0, "keep") == "k\n" and git(p, "fsck", "--full")[0] == 0, "git show gives a file as it was, and git fsck finds nothing wrong",
   git(p, "fsck", "--full"))
status, out = git(p, "archive", "--format=tar", "-o", os.path.join(p.dir, "a.tar"), "refs/vcr/s/1")
ok(status == 0 and subprocess.run(["tar", "xOf", os.path.join(p.dir, "a.tar"), "d/f"], stdout=subprocess.PIPE).stdout == b"two\n", "git archive makes an archive of one", out)

# ---- one name for several things ----
for then, what in (("os.unlink('d')", "went"), ("os.rename('d', 'q')", "was moved on")):
    p = Project(git=False)
    p.sh("mkdir -p d/in; echo one > d/f; echo two > d/in/g; echo k > k")
    p.record('%s -c "import os; os.rename(\'d\', \'e\'); os.rename(\'k\', \'d\'); %s; os.mkdir(\'d\')"; vcr savepoint' % (sys.executable, then), "-s", "s")
    status, out = git(p, "ls-tree", "-r", "--name-only", "refs/vcr/s/1")
    ok(status == 0 and sorted(n for n in out.splitlines() if n[:2] in ("d/", "e/")) == ["e/f", "e/in/g"],
       "a directory that is made where one was moved away, and then a file was and %s, has nothing of the first" % what, status, out)

# ---- kill -9 while one is taken ----
title = "killed at %d moments while savepoints are taken and packed, all before are whole, and the next one is taken as if nothing had been" % MOMENTS
p = Project(git=False)
p.feed = os.path.join(p.dir, "feed")
p.sh("mkdir d; for i in 1 2 3 4 5 6; do echo $i > d/f$i; done")
total, status = take(p, "d pack")
if not total or status:
    skip(title, "tracing a child is not allowed here (%s)" % status)
else:
    rng, wrong, want, midst = random.Random(3), [], {}, 0
    for turn in range(MOMENTS):
        p.sh("echo %d > d/f1; echo n > d/n%d; echo %d > top" % (turn, turn, turn))
        refs = git(p, "for-each-ref")[1].splitlines()
        n, status = take(p, "d top %s" % ("pack" if turn % 3 == 2 else ""), rng.randint(total // 4, total))
        midst += os.WIFSIGNALED(status)
        at = "turn %d, call %d of %d" % (turn, n, total)
        now = git(p, "for-each-ref")[1].splitlines()
        if not set(refs) <= set(now) or git(p, "fsck", "--full")[0]:
            wrong.append("%s: %s %s" % (at, sorted(set(refs) - set(now)), git(p, "fsck", "--full")[1][-300:]))
        again, status = take(p, "d top")
        last = max(int(r.split("/")[-1]) for r in git(p, "for-each-ref")[1].splitlines())
        if status or blob(p, last, "d/f1") != "%d\n" % turn or blob(p, last, "top") != "%d\n" % turn or blob(p, last, "d/n%d" % turn) != "n\n":
            wrong.append("%s, then: %s %s" % (at, status, blob(p, last, "d/f1")))
        want[last] = turn
    for n, turn in want.items():
        if blob(p, n, "top") != "%d\n" % turn or blob(p, n, "d/f1") != "%d\n" % turn:
            wrong.append("savepoint %d is not what it was" % n)
    ok(not wrong, title, *wrong[:5])
    ok(midst > MOMENTS // 3, "many of these moments were in the midst of it", midst)
done()
