#!/usr/bin/python3
"""vcr txn --isolate killed with -9 at moments spread over its system calls: the next call completes or undoes, and nothing of the user's or the agent's is lost."""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, ok, skip, done  # noqa: E402
from project import Standing, differences  # noqa: E402
from steps import run_to  # noqa: E402

MOMENTS = int(os.environ.get("VCR_TEST_MOMENTS", "18"))
TITLE = "killed at %d moments of an isolated begin, commit and abort, the next call completes or undoes, nothing is lost and nothing is left" % MOMENTS
WORK = "printf '1\\nTWO\\n3\\n' > src/a; rm src/b; printf new > new; mkdir dir; printf d > dir/d; chmod 755 c; printf changed > ignored; printf '1\\nTWO\\n3\\n' > own/a; rm -r own/d; mkdir own/n; printf n > own/n/n; printf m > own/m; ln -s m own/l"

p = Standing()
p.sh("git checkout -qb main; mkdir src; printf '1\\n2\\n3\\n' > src/a; printf b > src/b; printf c > c; printf ignored > .gitignore; git add .; git commit -qm one; printf dirty > dirty; printf i > ignored;"
     "printf staged > staged; git add staged; git init -q own; mkdir own/d; printf '1\\n2\\n3\\n' > own/a; printf d > own/d/d; printf e > own/d/e; git -C own add .; git -C own commit -qm own; printf his > own/his")
env = dict(p.env, ASAN_OPTIONS=":".join(filter(None, [p.env.get("ASAN_OPTIONS"), "detect_leaks=0"])))


def txn(*argv):
    return p.vcr("txn", *argv)


def step(upto, *argv):
    return run_to([os.path.join(BUILD, "vcr"), "txn", *argv], upto, cwd=p.work, env=env)


def git(*argv):
    return subprocess.run(["git", *argv], cwd=p.work, env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def repository():
    """.git but for the times that it keeps of files, logs and objects."""
    found = p.look(os.path.join(p.work, ".git"), git=True)
    return {k: v for k, v in found.items() if not k.startswith(("objects", "logs", "ORIG_HEAD")) and k != "index"}, git("status", "--porcelain"), git("ls-files", "-s")


def trace():
    """What transactions leave: work trees, branches, locks, state."""
    found = git("branch", "--list", "vcr/*").split() + [n for n in os.listdir(p.work + "/.git") if n.startswith("vcr-") or n.endswith(".lock") or n == "worktrees"]
    for at, dirs, files in os.walk(os.path.join(p.home, ".local", "state", "vcr")):
        found += [os.path.join(at, n) for n in dirs + files if at.endswith(("/trees", "/txn")) or n == "trees"]
    return found


def back():
    """The branch and the files as before the merge; what is not committed stays."""
    p.sh("git reset -q --soft %s; git read-tree -m -u HEAD@{1} HEAD 2>/dev/null || true; git restore -q --staged --worktree --source=%s src c; rm -rf new dir; git rm -rq --cached --ignore-unmatch new dir; git -C own checkout -q .; rm -rf own/n own/m own/l" % (base, base))


base = git("rev-parse", "HEAD").strip()
start, git_start = p.look(), repository()
txn("begin", "--isolate", "-q", "-s", "whole")
tree = p.state("trees", "whole")
p.sh(WORK, cwd=tree)
total = {"commit": step(None, "commit", "-q", "-s", "whole")[0]}
merged = p.look()
if not total["commit"]:
    skip(TITLE, "tracing a child is not allowed here")
else:
    back()
    ok(merged["new"][1] == b"new" and "src/b" not in merged and merged["own/n/n"][1] == b"n" and "own/d" not in merged and p.look() == start and repository() == git_start, "uninterrupted it is merged, and the test can go back", *differences(start, p.look()),
       *differences(git_start[0], repository()[0]))
    total["begin"] = step(None, "begin", "--isolate", "-q", "-s", "b")[0]
    total["abort"] = step(None, "abort", "-q", "-s", "b")[0]
    rng, wrong, midst = random.Random(5), [], 0
    for turn in range(MOMENTS):
        name = ("commit", "commit", "abort", "begin")[turn % 4]
        s, moment = "s%d" % turn, rng.randint(total[name] // 8, total[name])
        at = "%s, call %d of %d" % (name, moment, total[name])
        tree = p.state("trees", s)
        if name != "begin":
            txn("begin", "--isolate", "-q", "-s", s)
            p.sh(WORK, cwd=tree)
        step(moment, name, *(["--isolate"] if name == "begin" else []), "-q", "-s", s)
        midst += os.path.exists(p.state("txn", s))
        said = txn("status", "-q")
        if name == "commit":
            if p.look() == start and os.path.isdir(tree): # it had not come so far: the agent's work is whole
                if p.look(tree).get("new") != merged["new"] or p.look(tree).get("own/n/n") != merged["own/n/n"] or "src/b" in p.look(tree):
                    wrong.append(at + ": the agent's work is not whole")
                again = txn("commit", "-s", s)
                if again[0]:
                    wrong.append("%s, then commit: %s" % (at, again))
            if p.look() != merged or git("rev-parse", "HEAD~1").strip() != base or git("show", "HEAD:new") != "new":
                wrong.append("%s: %s %s %s" % (at, said, differences(merged, p.look()), git("log", "--oneline")))
            if git("status", "--porcelain") != "A  staged\n?? dirty\n?? own/\n":
                wrong.append("%s: git says %s" % (at, git("status", "--porcelain")))
        elif os.path.exists(p.state("txn", s)):
            again = txn("abort", "-s", s)
            if again[0]:
                wrong.append("%s, then abort: %s" % (at, again))
        if trace():
            wrong.append("%s: left: %s" % (at, trace()))
        if name == "commit":
            back()
        if p.look() != start or repository() != git_start:
            wrong.append("%s: %s %s %s" % (at, differences(start, p.look()), differences(git_start[0], repository()[0]), repository()[1:]))
        if wrong:
            break
    ok(not wrong, TITLE, *wrong[:6])
    ok(midst, "some of these moments were in the midst of it", midst)
    ok("error" not in git("fsck", "--full") and not p.collectors(), "git fsck finds nothing wrong, and no collector is left", git("fsck", "--full"), p.collectors())
done()
