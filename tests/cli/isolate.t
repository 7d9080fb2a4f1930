#!/usr/bin/python3
"""vcr txn --isolate: a work tree and a branch for each agent, the user's uncommitted work in it and untouched, clean merges or conflicts by name, no trace."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, ok, skip, done  # noqa: E402
from project import SHIM, Standing, differences  # noqa: E402


def txn(p, *argv, **options):
    return p.vcr("txn", *argv, **options)


def git(p, *argv, cwd=None):
    r = subprocess.run(["git", *argv], cwd=cwd or p.work, env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return r.stdout.rstrip("\n")


def begin(p, name, *argv):
    status, out, err = txn(p, "begin", "--isolate", "-q", "-s", name, *argv)
    return out.rstrip("\n") if status == 0 else (print("# " + err), None)[1]


def repository():
    p = Standing()
    p.sh("git checkout -qb main; mkdir src; for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done > src/a; cp src/a src/b; echo c > c; echo ignored > .gitignore; git add .; git commit -qm one")
    return p


def files(p, tree):
    """What is in a tree but its link to the repository."""
    return {k: v for k, v in p.look(tree).items() if k != ".git"}


def whole(p):
    """.git with everything in it, and the workspace."""
    return p.look(os.path.join(p.work, ".git"), git=True), p.look()


def left(p):
    """What transactions have left in the state directories."""
    found = []
    for at, dirs, files in os.walk(os.path.join(p.home, ".local", "state", "vcr")):
        found += [os.path.join(at, n) for n in dirs + files if at.endswith(("/trees", "/txn")) or n == "trees" or (n == "shadow.git" and "/trees/" in open(os.path.join(at, n, "config")).read())]
    return found


# ---- begin, and what the user has not committed ----
p = repository()
p.sh("echo dirty >> c; echo his >> src/b; echo staged > staged; git add staged; echo u > untracked; echo i > ignored; mkdir empty; ln -s c link; chmod 755 src/b; git gc -q")
git_before, start = whole(p)
status, out, err = txn(p, "begin", "--isolate", "-s", "t1")
tree = out.rstrip("\n")
ok(status == 0 and os.path.isdir(tree) and "t1 has begun" in err and files(p, tree) == start, "begin --isolate prints the directory of a tree that has every file of the workspace: changed, staged, untracked, ignored",
   status, out, err, *differences(start, files(p, tree)))
ok(git(p, "status", "--porcelain", cwd=tree) == git(p, "status", "--porcelain") and git(p, "branch", "--show-current", cwd=tree) == "vcr/t1", "git sees there what it sees in the workspace, on the branch vcr/t1",
   git(p, "status", "--porcelain", cwd=tree))
status, out, err = txn(p, "abort")
git_after, end = whole(p)
ok(status == 0 and git_after == git_before and end == start and git(p, "fsck", "--full") == "" and not left(p),
   "abort leaves no trace: .git is what it was, byte for byte, git fsck has nothing to say, no tree, branch, reference or administrative file is left", status, err, left(p),
   *differences(git_before, git_after))
tree = begin(p, "t2")
p.sh("sed -i s/line.5/agent/ src/a; echo new > new; echo longer >> src/b; echo I > ignored", cwd=tree)
status, out, err = txn(p, "status", "--json")
ok(json.loads(out)["changed"] == 3 and json.loads(out)["directory"] == tree, "status says where it is and how many paths differ there", out, err)
ok(p.look() == start, "what is done in the tree is not seen in the workspace")
status, out, err = txn(p, "savepoint", "-m", "half")
p.sh("rm -rf src; echo junk > junk", cwd=tree)
status, out, err = txn(p, "rollback", cwd=tree)
ok(status == 0 and not os.path.exists(tree + "/junk") and open(tree + "/src/a").read().count("agent") == 1 and p.look() == start, "savepoint and rollback are about the tree, called there or in the workspace", status, out, err)
p.sh("echo later >> src/a")
before = whole(p)
status, out, err = txn(p, "commit", "-m", "the agent's work")
ok(status == 1 and err.startswith("vcr-txn: src/b: has changes of yours that are not committed, and the transaction's build on them") and p.look() == before[1] and os.path.isdir(tree),
   "work that builds on the user's uncommitted changes is not merged before they are committed: they are named", status, out, err, *differences(before[1], p.look()))
p.sh("cp -p %s/src/b src/b" % p.work, cwd=tree)
status, out, err = txn(p, "commit", "-m", "the agent's work")
ok(status == 1 and err.startswith("vcr-txn: src/a: has changes of yours that are not committed") and p.look() == before[1] and git(p, "status", "--porcelain", cwd=tree) and not [n for n in os.listdir(p.work + "/.git") if "t2" in n or "lock" in n],
   "a merge that touches a file with uncommitted changes is refused by name, and nothing is changed", status, out, err, *differences(before[1], p.look()))
p.sh("sed -i /later/d src/a")
status, out, err = txn(p, "commit", "-m", "the agent's work")
want = dict(start, **{"src/a": ("0o100644", b"line 1\nline 2\nline 3\nline 4\nagent\nline 6\nline 7\nline 8\nline 9\n"), "new": ("0o100644", b"new\n")})
ok(status == 0 and p.look() == want and "main goes forward" in out, "commit brings what was done in the tree, and only that, into the workspace and its branch", status, out, err, *differences(want, p.look()))
ok(git(p, "show", "--format=%s", "--name-status", "HEAD") == "the agent's work\n\nA\tnew\nM\tsrc/a" and git(p, "status", "--porcelain") == " M c\n M src/b\nA  staged\n?? link\n?? untracked",
   "what the user had not committed is as uncommitted and as staged as before", git(p, "show", "--format=%s", "--name-status", "HEAD"), git(p, "status", "--porcelain"))
status, out, err = p.back("t2", "--dry-run")
ok(status == 0 and "restore" in out and "src/a" in out, "the transaction's savepoints are the workspace's then: vcr-rollback can take it back even now", status, out, err)
status, out, err = p.vcr("blame", "new:1")
ok(status == 0 and "t2" in out, "and vcr-blame knows where a line comes from", status, out, err)
ok(git(p, "worktree", "list").count("\n") == 0 and git(p, "branch", "--list", "vcr/*") == "" and not left(p) and not p.collectors(), "then tree and branch are gone, and no collector is left", left(p))
nodes = [f["node"] for f in p.json("vcr", "log", "--json", "t2", cwd=p.work) if f["type"] == "checkpoint"]
ok(nodes[0] == "txn:begin" and "savepoint" in nodes and "txn:rollback" in nodes and nodes[-1] == "txn:commit" and p.vcr("verify", "t2")[0] == 0, "the session tells of it: txn:begin, savepoint, txn:rollback, txn:commit", nodes)

# ---- four agents at once ----
EDITS = ["sed -i 's/line 1/one/' src/a; echo 1 > n1", "sed -i 's/line 9/nine/' src/a; git add -A; git commit -qm own; echo 2 > n2", "sed -i 's/line 5/five/' src/a; mkdir m; echo 3 > m/n3", "rm c; echo 4 > n4"]


def at_once(p, scripts):
    """Status and words of each; all run at the same time."""
    env = dict(p.env, PATH=BUILD + ":" + os.environ["PATH"])
    running = [subprocess.Popen(["bash", "-c", s], cwd=p.work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for s in scripts]
    return [(r.communicate()[0], r.wait())[::-1] for r in running]


def four(edits, p):
    """All begin, then all work and commit."""
    begun = at_once(p, ["exec vcr-txn begin --isolate -q -s f%d" % i for i in range(4)])
    trees = [out.rstrip("\n") for status, out in begun]
    return begun if any(status for status, out in begun) else at_once(p, ["(cd '%s' && %s) && exec vcr-txn commit -s f%d" % (trees[i], edits[i], i) for i in range(4)])


p = repository()
p.sh("echo mine > ignored; cp ignored mine")
results = four(EDITS, p)
a = open(p.work + "/src/a").read()
ok([r[0] for r in results] == [0] * 4 and all(w in a for w in ("one", "nine", "five")) and all(os.path.exists(p.work + "/" + n) for n in ("n1", "n2", "m/n3", "n4", "mine")) and
   not os.path.exists(p.work + "/c") and git(p, "status", "--porcelain") == "?? mine", "four agents in one repository at once, isolated: four clean merges, and the user's uncommitted work is there",
   results, a, git(p, "status", "--porcelain"))
ok("error" not in git(p, "fsck", "--full") and "own" in git(p, "log", "--format=%s") and git(p, "log", "--merges", "--format=%s").count("Merge vcr session") >= 1 and not left(p),
   "their commits are in the branch's history, and nothing is left", git(p, "log", "--graph", "--oneline"), git(p, "fsck", "--full"), left(p))
p = repository()
results = four(["echo %d > c" % i for i in range(4)], p)
winners = [i for i in range(4) if results[i][0] == 0]
losers = [i for i in range(4) if results[i][0] == 1]
kept = {i: open(os.path.join(p.state("trees", "f%d" % i), "c")).read() for i in losers}
ok(len(winners) == 1 and open(p.work + "/c").read() == "%d\n" % winners[0] and kept == {i: "%d\n" % i for i in losers} and git(p, "status", "--porcelain") == "" and
   all("c: changed on both sides" in results[i][1] and "vcr-txn abort" in results[i][1] for i in losers), "of four that change one line the first is merged, the others are conflicts by name, and nothing of any is lost",
   results, kept)
way = [w for w in results[losers[0]][1].splitlines() if w.startswith("  ")]
p.sh("\n".join(way[:2]) + "\n! git merge -q main\necho both > c; git add c; git commit -qm resolved", cwd=p.state("trees", "f%d" % losers[0]))
status, out, err = txn(p, "commit", "-s", "f%d" % losers[0])
ok(status == 0 and open(p.work + "/c").read() == "both\n" and git(p, "status", "--porcelain") == "", "the commands that a conflict names lead on: resolved in the tree, it is merged", way, status, out, err)
status, out, err = txn(p, "status")
ok(status == 0 and len(out.splitlines()) == 2 and txn(p, "abort")[0] == 1 and "several" in txn(p, "abort")[2], "of several that are open one must be named, and status shows all", status, out, err)
ok([txn(p, "abort", "-s", "f%d" % i)[0] for i in losers[1:]] == [0, 0] and not left(p), "the others can be given up")

# ---- shapes of history ----
p = repository()
tree = begin(p, "h1")
p.sh("echo 1 > n; git add n; git commit -qm first; echo 2 > n; git commit -qam second; echo 3 > n", cwd=tree)
p.sh("echo x > other; git add other; git commit -qm mine")
status, out, err = txn(p, "commit", "-s", "h1", "--squash", "-m", "all in one")
ok(status == 0 and git(p, "log", "--format=%s") == "all in one\nmine\none" and git(p, "show", "HEAD:n") == "3", "--squash makes one commit of it", status, out, err, git(p, "log", "--graph", "--oneline"))
tree = begin(p, "h2")
p.sh("echo 1 > k; git add k; git commit -qm first; echo 2 > k", cwd=tree)
p.sh("echo y >> other; git commit -qam theirs")
status, out, err = txn(p, "commit", "-s", "h2", "-m", "note")
ok(status == 0 and git(p, "log", "--format=%s", "--topo-order") in ("note\nnote\nfirst\ntheirs\nall in one\nmine\none", "note\ntheirs\nnote\nfirst\nall in one\nmine\none"), "without it the agent's own commits are merged when the branch has moved",
   status, out, err, git(p, "log", "--graph", "--oneline"))
p.sh("echo uncommitted >> c")
tree = begin(p, "h3")
p.sh("git add -A; git commit -qm everything; echo r > real; git add -A; git commit -qm 'real work'; echo z > z", cwd=tree)
status, out, err = txn(p, "commit", "-s", "h3")
ok(status == 0 and git(p, "show", "HEAD:c") == "c" and git(p, "status", "--porcelain") == " M c" and git(p, "show", "HEAD:z") == "z" and git(p, "log", "-2", "--format=%s") == "Changes of vcr session h3\nreal work" and git(p, "show", "--format=", "--name-only", "HEAD^") == "real",
   "the user's uncommitted work stays uncommitted also when the agent commits all there is",
   status, out, err, git(p, "log", "--stat", "-2"))
tree = begin(p, "h4")
status, out, err = txn(p, "commit", "-s", "h4")
ok(status == 0 and "no changes" in out and not left(p), "where nothing was done nothing is committed", status, out, err)
tree = begin(p, "h5")
p.sh("echo w > w", cwd=tree)
p.sh("git stash -q; git checkout -qb elsewhere; git stash pop -q")
before = p.look()
status, out, err = txn(p, "commit", "-s", "h5")
ok(status == 0 and p.look() == before and git(p, "show", "main:w") == "w" and "not checked out" in out, "when another branch is checked out meanwhile only the one that it came from moves", status, out, err)

p.sh("git checkout -q main; git checkout -q c; mkdir -p .git/hooks; printf '#!/bin/sh\ntouch %s/hooked; exit 1\n' > .git/hooks/reference-transaction; chmod 755 .git/hooks/*" % p.dir)
tree = begin(p, "h7")
p.sh("rm .git/hooks/reference-transaction; git checkout -q -b theirs main~1; echo t > t; git add t; git commit -qm t; git checkout -q main; git merge -q --no-commit theirs; echo v > %s/v" % tree)
before = whole(p)
status, out, err = txn(p, "commit", "-s", "h7")
ok(status == 1 and "a merge is under way" in err and whole(p)[1] == before[1], "while a merge of the user's is under way nothing is merged, and that is said", status, out, err)
p.sh("git commit -qm merged")
status, out, err = txn(p, "commit", "-s", "h7")
ok(status == 0 and git(p, "show", "main:v") == "v" and not os.path.exists(p.dir + "/hooked"), "when it is done it goes on; no hook runs", status, out, err)
p.sh("git branch vcr/h6")
status, out, err = txn(p, "begin", "--isolate", "-s", "h6")
ok(status != 0 and "vcr/h6 is there already" in err and git(p, "branch", "--list", "vcr/h6") and not left(p), "a branch that is not its own is neither taken nor removed", status, err)

# ---- shapes of repositories ----
for words, make, why in (("no repository", None, "git init"), ("no commit yet", "true", "no commit yet"),
                         ("a merge that is not finished", "echo 1 > f; git add f; git commit -qm 1; git branch o; echo 2 > f; git commit -qam 2; git checkout -q o; echo 3 > f; git commit -qam 3; ! git merge -q -", "f is unmerged")):
    p = Standing(git=make is not None)
    p.sh(make or "true")
    before = whole(p) if make else p.look()
    status, out, err = txn(p, "begin", "--isolate")
    ok(status != 0 and why in err and not out and (whole(p) if make else p.look()) == before and not left(p), "refused by name, with nothing left: " + words, status, err, left(p))
for words, make in (("a detached head", "git checkout -q --detach"), ("a linked work tree", "git branch side; git worktree add -q ../linked side"), ("a sha256 repository", "rm -rf .git; git init -q --object-format=sha256; git add .; git commit -qm one")):
    p = repository()
    p.sh(make)
    where = os.path.join(p.dir, "linked") if "linked" in words else p.work
    status, out, err = txn(p, "begin", "--isolate", "-q", cwd=where)
    tree = out.rstrip("\n")
    p.sh("echo n > n; echo more >> c", cwd=tree)
    was = git(p, "rev-parse", "HEAD", cwd=where)
    status, out, err = txn(p, "commit", cwd=where)
    ok(status == 0 and git(p, "rev-parse", "HEAD^", cwd=where) == was and git(p, "status", "--porcelain", cwd=where) == "" and open(where + "/n").read() == "n\n" and not left(p), "it works in " + words, status, out, err,
       git(p, "status", "--porcelain", cwd=where))
p = repository()
p.sh("git init -q own; echo o > own/o")
status, out, err = txn(p, "begin", "--isolate", "-s", "n1")
tree = out.rstrip("\n")
ok(status == 0 and "own: a git repository of its own without a commit" in err and not os.path.exists(tree + "/own"), "a repository in the workspace that has no commit is not in the tree, and that is said", status, err)
p.sh("git init -q made; echo m > made/m; git -C made add m; git -C made commit -qm m", cwd=tree)
status, out, err = txn(p, "commit")
ok(status != 0 and "made is a repository of its own" in err and os.path.exists(tree + "/made/m"), "one that is made in the tree would be lost: commit refuses by name", status, err)
p.sh("rm -rf made/.git", cwd=tree)
ok(txn(p, "commit")[0] == 0 and open(p.work + "/made/m").read() == "m\n" and os.path.exists(p.work + "/own/o"), "and goes on when it is none any more")

# ---- vcr-record ----
p = repository()
p.sh("echo 'TOKEN=canary-not-to-be-found-1' > .env; echo .env >> .gitignore")
tree = begin(p, "e1")
p.sh("echo 'TOKEN=canary-not-to-be-found-2' > .env; echo n > n", cwd=tree)
p.sh("echo by-itself > alone; /bin/true", cwd=tree, env={"LD_PRELOAD": SHIM})
p.vcr("log", cwd=tree)
status, out, err = txn(p, "commit", "-s", "e1")
sessions = [n for n in os.listdir(p.vcr_dir) if n.endswith(".vcr")]
ok(status == 0 and len(sessions) == 2 and "canary" not in p.sh("grep -rl canary %s .vcr || true" % p.state()).stdout, "what a program recorded in the tree by itself is kept, and no secret is in clear", status, err, sessions)
p.sh("echo 'TOKEN=canary-not-to-be-found-2' > .env")
shown = p.back("e1", "--path", ".env")
ok(shown[0] == 0 and open(p.work + "/.env").read() == "TOKEN=canary-not-to-be-found-1\n", "sealed files of its savepoints open in the workspace", shown)
p = repository()
p.sh("mkdir -p sub/dir; echo s > sub/dir/s; echo dirty >> c")
start = p.look()
status, out, err = p.vcr("record", "--isolate", "--commit-on-success", "--rollback-on-failure", "-s", "r1", "--", "bash", "-c", "pwd; cat s; echo by-agent > made; /bin/true", cwd=p.work + "/sub/dir")
ok(status == 0 and out == p.state("trees", "r1", "sub", "dir") + "\ns\n" and open(p.work + "/sub/dir/made").read() == "by-agent\n" and "is merged" in err and git(p, "status", "--porcelain") == " M c\n?? sub/dir/s" and not left(p),
   "vcr-record --isolate runs the command in the tree, as deep as it was called; --commit-on-success merges it", status, out, err, git(p, "status", "--porcelain"))
frames = [f["node"] for f in p.json("vcr", "log", "--json", "r1", cwd=p.work)]
ok("txn:begin" in frames and "exec:true" in frames and "file:write" in frames and frames[-1] == "txn:commit" or "txn:commit" in frames, "all of it is in the recording, in the workspace's .vcr", frames)
git_before, start = whole(p)
status, out, err = p.record("rm -rf ./*; exit 7", "--isolate", "--rollback-on-failure", "-s", "r2")
ok(status == 7 and whole(p) == (git_before, start) and not left(p), "--rollback-on-failure leaves no trace of one that fails, and its status stays", status, err)
status, out, err = p.record("echo open > open", "--isolate", "-s", "r3")
ok(status == 0 and "transaction r3 is open, in " + p.state("trees", "r3") in err and p.look() == start and txn(p, "commit")[0] == 0 and open(p.work + "/open").read() == "open\n", "alone it leaves the tree for vcr-txn, and says where", status, err)
status, out, err = p.record("echo mine > c; sed -i s/line/LINE/ src/a", "--isolate", "--commit-on-success", "-s", "r4")
ok(status == 0 and "c: has changes of yours" not in out and "transaction r4 is open" in err and p.look()["c"] == start["c"] and txn(p, "abort")[0] == 0, "a merge that cannot be leaves it open", status, err)
status, out, err = p.vcr("record", "--isolate", "-s", "r5", "--", "bash", "-c", "echo x > x", env={"VCR_COLLECTOR": "/nonexistent"})
ok(status == 125 and "NOT RECORDED" in err and not left(p) and git(p, "branch", "--list", "vcr/*") == "", "where nothing can be recorded the command is not run, and no tree is left", status, err, left(p))
for argv, word in ((["status", "--isolate"], "--isolate"), (["begin", "--squash"], "--squash")):
    status, out, err = txn(p, *argv)
    ok(status == 2 and word in err, "a wrong call is refused in words: " + " ".join(argv), status, err)
done()
