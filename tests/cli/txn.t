#!/usr/bin/python3
"""vcr txn: the workspace's files as a transaction, whoever changes them; the user's own uncommitted work and his git are never the price."""
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, ok, skip, done  # noqa: E402
from project import Project, Standing, differences  # noqa: E402
from steps import run_to  # noqa: E402

MOMENTS = int(os.environ.get("VCR_TEST_MOMENTS", "30"))


def txn(p, *argv, **options):
    return p.vcr("txn", *argv, **options)


def awaited(condition):
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


# ---- begin, savepoint, rollback, abort ----
p = Standing()
p.sh("mkdir src; printf 1 > src/a; printf k > ignored; printf ignored > .gitignore; git add .; git commit -qm x; printf dirty > src/a; printf u > untracked; git add untracked")
git_before = p.look(os.path.join(p.work, ".git"), git=True)
start = p.look()
status, out, err = txn(p, "begin", "-m", "a try", "-s", "t1")
ok(status == 0 and "t1 has begun" in out and p.look() == start, "begin takes a workspace with uncommitted work as it is and changes nothing in it", status, out, err)
status, out, err = txn(p, "begin")
ok(status == 1 and "transaction t1 is open" in err, "a second one in the workspace is refused and the first is named", status, out, err)
p.sh("printf 2 > src/a; rm untracked; printf new > src/new; printf kk > ignored; mkdir empty; chmod 700 src")
one = p.look()
status, out, err = txn(p, "savepoint", "-m", "one")
n = int(out.split()[1]) if status == 0 else -1
ok(status == 0 and n > 1, "savepoint takes stock of what programs did that nobody recorded", status, out, err)
p.sh("rm -rf src; printf 3 > src; git clean -fdxq -e .vcr; rm -f ignored")
two = p.look()
status, out, err = txn(p, "status", "--json")
ok(status == 0 and json.loads(out)["session"] == "t1" and json.loads(out)["op"] == "status", "status says which is open", status, out, err)
status, out, err = txn(p, "rollback")
ok(status == 0 and p.look() == one, "rollback goes back to the last savepoint that was asked for, ignored files and empty directories included", status, out, err, *differences(one, p.look()))
status, out, err = txn(p, "rollback", "--to", "begin")
ok(status == 0 and p.look() == start, "rollback --to=begin to the beginning, and the transaction goes on", status, out, err, *differences(start, p.look()))
status, out, err = txn(p, "rollback", "--to", str(n))
ok(status == 0 and p.look() == one, "and forth again to a savepoint by its number", status, out, err, *differences(one, p.look()))
p.back("--undo")
ok(p.look() == start, "vcr-rollback --undo takes it back", *differences(start, p.look()))
p.back("--redo")
status, out, err = txn(p, "abort")
ok(status == 0 and p.look() == start and "as before it began" in out, "abort puts everything back, uncommitted work too", status, out, err, *differences(start, p.look()))
after = p.look(os.path.join(p.work, ".git"), git=True)
ok(git_before == after, "git's index, HEAD, refs, configuration and hooks are what they were", *differences(git_before, after))
ok(awaited(lambda: not p.collectors()) and txn(p, "status")[0] == 1 and txn(p, "abort")[0] == 1, "then no collector is left and no transaction is open", p.collectors())
frames = [f["node"] for f in p.json("vcr", "log", "--json", "t1", cwd=p.work) if f["type"] == "checkpoint"]
ok(frames[0] == "txn:begin" and frames.count("savepoint") == 1 and "txn:rollback" in frames and p.vcr("verify", "t1")[0] == 0, "the session tells of it: txn:begin, savepoint, txn:rollback", frames)

# ---- commit ----
start = p.look()
status, out, err = txn(p, "begin", "-s", "t2", "--json")
ok(status == 0 and json.loads(out) == {"op": "begin", "session": "t2", "savepoint": 0, "changed": None}, "--json says it as an object", out, err)
p.record("printf agent > src/by-agent", "-s", "agent")
p.sh("printf c > src/a")
kept = p.look()
status, out, err = txn(p, "commit", "-m", "good", "--json")
ok(status == 0 and p.look() == kept and json.loads(out)["changed"] == 2 and json.loads(out)["op"] == "commit", "commit keeps the files, those of recorded programs too", status, out, err)
ok("txn:commit" in [f["node"] for f in p.json("vcr", "log", "--json", "t2", cwd=p.work)] and awaited(lambda: not p.collectors()), "and is in the session")
status, out, err = p.back("t2")
ok(status == 0 and p.look() == start, "even then vcr-rollback can take it back", status, out, err, *differences(start, p.look()))

# ---- what may go wrong ----
for argv, word in (([], "which step"), (["nonsense"], "nonsense"), (["begin", "--to", "1"], "--to"), (["rollback", "--to", "x"], "--to"), (["status", "-m", "x"], "--message"),
                   (["begin", "-s", "t2"], "t2"), (["begin", "-s", "../x"], "../x"), (["commit", "abort"], "one step")):
    status, out, err = txn(p, *argv)
    ok(status == 2 and word in err and not out, "a wrong call is refused in words: %s" % (" ".join(argv) or "nothing"), status, err)
ok([txn(p, step)[0] for step in ("savepoint", "rollback", "commit", "abort", "status", "list")] == [1] * 6, "without a transaction every other step says so, with status 1")
home = Standing(git=False)
home.work = home.home
status, out, err = txn(home, "begin")
ok(status != 0 and "home directory" in err and txn(home, "status")[0] == 1 and awaited(lambda: not home.collectors()), "none begins in a home directory, and nothing is left of it", status, out, err)
start = p.look()
txn(p, "begin", "-s", "t3")
p.sh("printf 9 > src/a")
txn(p, "savepoint")
nine = p.look()
p.sh("printf 10 > src/a; rm .gitignore")
for pid in p.collectors():
    os.kill(pid, signal.SIGKILL)
awaited(lambda: not p.collectors())
status, out, err = txn(p, "savepoint")
ok(status == 1 and "collector of transaction t3 has ended" in err, "when the collector was killed no more savepoints are taken, and that is said", status, out, err)
status, out, err = txn(p, "rollback")
ok(status == 0 and p.look() == nine, "but the transaction can go back", status, out, err, *differences(nine, p.look()))
store = p.state("shadow.git")
os.rename(store, store + ".away")
open(store, "w").close()
status, out, err = txn(p, "abort")
ok(status == 3 and "shadow.git" in err and not out and p.look() == nine and txn(p, "status")[0] == 0, "where its savepoints cannot be read abort says that, and the transaction stays open", status, out, err)
os.unlink(store)
os.rename(store + ".away", store)
status, out, err = txn(p, "abort")
ok(status == 0 and p.look() == start and txn(p, "status")[0] == 1, "and be aborted", status, out, err, *differences(start, p.look()))
p.sh("mkdir -p %s; printf 'vcr-dir %s\\nbegan 1\\n' > %s/t4" % (p.state("txn"), p.vcr_dir, p.state("txn")))
status, out, err = txn(p, "abort")
ok(status == 0 and p.look() == start, "one that was killed while it began is aborted without a change", status, out, err)

# ---- vcr-record ----
status, out, err = p.record("printf good > src/a; exit 0", "--commit-on-success", "--rollback-on-failure", "-s", "r1")
ok(status == 0 and open(p.work + "/src/a").read() == "good" and txn(p, "status")[0] == 1, "vcr-record --commit-on-success commits what a command did that succeeds", status, out, err)
before = p.look()
status, out, err = p.record("rm -rf src; printf bad > bad; exit 7", "--commit-on-success", "--rollback-on-failure", "-s", "r2")
ok(status == 7 and p.look() == before and txn(p, "status")[0] == 1, "--rollback-on-failure takes back what one did that fails, and its status stays", status, out, err, *differences(before, p.look()))
frames = {s: [f["node"] for f in p.json("vcr", "log", "--json", s, cwd=p.work)] for s in ("r1", "r2")}
ok("txn:begin" in frames["r1"] and "txn:commit" in frames["r1"] and "txn:rollback" in frames["r2"] and "exec:bash" in frames["r2"] or "exec:rm" in frames["r2"], "both are in the recordings", frames)
status, out, err = p.record("printf open > src/a; exit 3", "--txn", "-s", "r3")
ok(status == 3 and "transaction r3 is open" in err and open(p.work + "/src/a").read() == "open" and txn(p, "status")[0] == 0, "--txn alone leaves it open, and says so", status, out, err)
status, out, err = p.record("true", "--txn", "-s", "r4")
ok(status == 125 and "r3 is open" in err, "a second one is refused before the command runs", status, out, err)
status, out, err = txn(p, "abort")
ok(status == 0 and p.look() == before and awaited(lambda: not p.collectors()), "until it is aborted or committed", status, out, err, *differences(before, p.look()))

# ---- kill -9 at any moment ----
p = Standing(git=False)
p.sh("mkdir d; for i in 1 2 3 4 5 6; do printf $i > d/$i; done")
start = p.look()
CHANGE = "printf x > d/1; rm d/2; printf y > d/new; mkdir -p d/e; mv d/3 d/e/3"
env = dict(p.env, ASAN_OPTIONS=":".join(filter(None, [p.env.get("ASAN_OPTIONS"), "detect_leaks=0"])))


def step(name, upto=None):
    return run_to([os.path.join(BUILD, "vcr"), "txn", "-q", name], upto, cwd=p.work, env=env)


title = "vcr-txn killed at %d random moments of begin, rollback, commit and abort: the next call completes or undoes, nothing is lost" % MOMENTS
txn(p, "begin")
p.sh(CHANGE)
changed = p.look()
totals = {"abort": step("abort")[0]}
if not totals["abort"] or p.look() != start:
    skip(title, "tracing a child is not allowed here")
else:
    txn(p, "begin")
    totals["rollback"], totals["commit"] = step("rollback")[0], step("commit")[0]
    totals["begin"] = step("begin")[0]
    txn(p, "abort")
    rng, wrong = random.Random(11), []
    for turn in range(MOMENTS):
        name = ("abort", "rollback", "commit", "begin")[turn % 4]
        moment = rng.randint(1, totals[name])
        if name != "begin":
            txn(p, "begin")
            p.sh(CHANGE)
        step(name, moment)
        at = "%s, call %d of %d" % (name, moment, totals[name])
        if name == "begin":
            if p.look() != start:
                wrong.append(at + ": begin changed a file")
            if txn(p, "status")[0] == 0 and txn(p, "abort")[0]:
                wrong.append(at + ": what was left of it cannot be aborted")
            if txn(p, "begin")[0]:
                wrong.append(at + ": no other one can begin")
            p.sh(CHANGE)
        elif name == "commit":
            if p.look() != changed:
                wrong.append(at + ": commit changed a file")
            if txn(p, "status")[0] == 1: # it was done
                p.back("-q")
        elif txn(p, "status")[0] == 0:
            status, out, err = txn(p, "rollback", "--to", "begin")
            if status or p.look() != start:
                wrong.append("%s, then rollback: %s %s %s" % (at, status, err, differences(start, p.look())))
        if txn(p, "status")[0] == 0:
            status, out, err = txn(p, "abort")
            if status:
                wrong.append("%s, then abort: %s %s" % (at, status, err))
        if p.look() != start:
            wrong.append("%s: %s" % (at, differences(start, p.look())))
            break
    ok(not wrong, title, *wrong[:5])
    ok(awaited(lambda: not p.collectors()), "no collector is left behind", p.collectors())
done()
