#!/usr/bin/python3
"""vcr gc: sessions that are deleted, those that may not be, savepoints that stay whole whenever it is killed, and a quota that is kept and said."""
import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BEGAN, BUILD, END, header, ok, skip, done  # noqa: E402
from project import Project  # noqa: E402
from steps import run_to  # noqa: E402

MOMENTS = int(os.environ.get("VCR_TEST_MOMENTS", "40"))


def git(p, *argv):
    return subprocess.run(["git", "--git-dir", p.state("shadow.git"), *argv], env=p.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def refs(p):
    return dict(reversed(line.split()) for line in git(p, "for-each-ref", "--format=%(objectname) %(refname)").stdout.splitlines())


def of(refs, session):
    return {k: v for k, v in refs.items() if k.startswith("refs/vcr/%s/" % session)}


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def sessions(p):
    return sorted(n[:-4] for n in os.listdir(p.vcr_dir) if n.endswith(".vcr"))


# ---- sessions that go, and those that stay ----
p = Project(git=False)
p.sh("mkdir d; printf 0 > f; head -c 20000 /dev/urandom > d/big")
for i in range(1, 6):
    p.record("printf %d > f; head -c 30000 /dev/urandom > d/big; printf x > d/new%d" % (i, i), "-s", "s%d" % i)
before = refs(p)
ok(sessions(p) == ["s%d" % i for i in range(1, 6)] and all(of(before, "s%d" % i) for i in range(1, 6)), "five sessions are recorded", sessions(p), before)
status, out, err = p.vcr("log")
ok(status == 0 and out.splitlines()[-1].startswith("on disk: sessions ") and "savepoints of this workspace " in out, "vcr-log says what they take on the disk", out, err)
status, out, err = p.vcr("gc", "--keep", "3", "--dry-run")
ok(status == 0 and out.count("would delete") == 2 and "session s1" in out and "session s2" in out and refs(p) == before and len(sessions(p)) == 5, "--dry-run says what would be deleted and does nothing", out, err)
status, out, err = p.vcr("gc")
ok(status == 0 and refs(p) == before and len(sessions(p)) == 5 and git(p, "fsck", "--connectivity-only").returncode == 0, "without options savepoints are packed and nothing is deleted", out, err)
ok(git(p, "count-objects").stdout.startswith("0 objects"), "then there are no loose objects", git(p, "count-objects").stdout)
ok(git(p, "log", "--format=%s", "refs/vcr/s5/0").returncode == 0 and "d/big" in git(p, "diff", "--stat", "refs/vcr/s5/0", "refs/vcr/s5/1").stdout, "git log and git diff work between savepoints",
   git(p, "diff", "--stat", "refs/vcr/s5/0", "refs/vcr/s5/1").stdout)
manifest = json.load(open(p.vcr_dir + "/manifest.json"))
index = {"0123456789abcdef": {"task": "x", "session_id": "s1", "frame_count": 1}}
os.makedirs(p.vcr_dir + "/golden", exist_ok=True)
json.dump(index, open(p.vcr_dir + "/golden/index.json", "w"))
text = open(p.path("s4")).read().replace('"parent_session_id":null', '"parent_session_id":"s2"', 1)
open(p.path("s4"), "w").write(text)
text = open(p.path("s5")).read().replace('"metadata":{', '"metadata":{"replay_of":"s4",', 1).replace(',}', '}', 1)
open(p.path("s5"), "w").write(text)
running = subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", "-s", "live", "--", "bash", "-c", "printf live > f; echo ready; read x; printf end > g"], cwd=p.work, env=p.env,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
running.stdout.readline()
for name, why in (("live", "being recorded"), ("s1", "golden run 0123456789abcdef"), ("s2", "session s4 was made from it"), ("s4", "session s5 was made from it")):
    status, out, err = p.vcr("gc", "--delete", "s3", "--delete", name)
    ok(status == 1 and why in err and "nothing was done" in err and len(sessions(p)) == 6, "a session is not deleted when %s" % why.replace("golden run 0123456789abcdef", "it is a golden run")
       .replace("session s4 was made from it", "another was made from it").replace("session s5 was made from it", "the replay in another continues it"), status, out, err)
collector = next(int(e) for e in os.listdir("/proc") if e.isdigit() and b"vcr-collector" in read("/proc/%s/cmdline" % e) and p.run_dir.encode() in read("/proc/%s/cmdline" % e))
os.kill(collector, signal.SIGSTOP)
status, out, err = p.vcr("gc", "--delete", "live")
os.kill(collector, signal.SIGCONT)
ok(status == 1 and "being recorded" in err and "live" in sessions(p), "nor when its collector is too busy to answer", status, out, err)
status, out, err = p.vcr("gc", "--delete", "nosuch")
ok(status == 2 and "nosuch" in err, "one that is not there is a wrong call", status, err)
status, out, err = p.vcr("gc", "--keep", "0", "--json")
rows = [json.loads(line) for line in out.splitlines()]
ok(status == 0 and sessions(p) == ["live", "s1"] and [r["because"] for r in rows if r.get("action") == "keep" and r["session"] == "live"] == ["it is being recorded"],
   "all others go with --keep 0, each with what was made of it", sessions(p), out, err)
ok(set(refs(p)) == set(of(before, "s1")) | set(of(refs(p), "live")) and [s["session_id"] for s in json.load(open(p.vcr_dir + "/manifest.json"))["sessions"]] == ["s1"] and len(manifest["sessions"]) == 5,
   "with their savepoints, and off the manifest", refs(p), open(p.vcr_dir + "/manifest.json").read())
running.communicate("x\n")
after = p.look()
status, out, err = p.back("live")
ok(status == 0 and open(p.work + "/f").read() == "5" and not os.path.exists(p.work + "/g"), "the session that was recorded meanwhile can be put back", status, out, err)
p.back("--undo")
ok(p.look() == after and p.vcr("gc")[0] == 0 and p.back("--redo")[0] == 0, "what a rollback replaced survives it too")
p.write("old", header("old", began=BEGAN - datetime.timedelta(days=4000)), END)
status, out, err = p.vcr("gc", "--max-age", "3000")
ok(status == 0 and "session old" in out and sessions(p) == ["live", "s1"], "--max-age deletes sessions that began longer ago, and no others", status, out, err, sessions(p))

# ---- a quota ----
p = Project(git=False)
p.sh("printf 0 > f")
size = 300000
for i in range(3):
    p.record("head -c %d /dev/urandom > big" % size, "-s", "q%d" % i)
p.sh("mkdir -p .vcr; echo 'quota 1G' > .vcr/config")
status, out, err = p.record("printf 1 > f", "-s", "q3")
ok("quota" not in err and len(sessions(p)) == 4, "below its quota nothing is said or deleted", err)
p.sh("echo 'quota 1500K' > .vcr/config")
status, out, err = p.vcr("log")
over = "more than the quota of 1.5M" in err
status, out, err = p.record("head -c %d /dev/urandom > big" % size, "-s", "q4")
ok(over and status == 0 and "the quota of 1.5M was reached" in err and "deleted" in err and "q0" not in sessions(p) and "q4" in sessions(p),
   "beyond it the oldest sessions go after a run, and that is said even with -q; vcr-log says it too", over, err, sessions(p))
ok(p.back("q4")[0] == 0, "the newest can be put back", err)
p.sh("echo 'quota none' > .vcr/config")
status, out, err = p.vcr("gc", "--auto")
ok(status != 0 and "config:1" in err, "a quota that is no size is named with its line", status, err)
os.unlink(p.vcr_dir + "/config")
ok(p.vcr("gc", "--auto") == (0, "", ""), "without a quota --auto does nothing")
status, out, err = p.vcr("gc", "--max-bytes", "1")
ok(status == 0 or (status == 1 and "still more than 1" in err), "what cannot be made smaller is said", status, out, err)
for argv, word in ((["--max-bytes", "x"], "--max-bytes"), (["--auto", "--keep", "1"], "--auto"), (["q1"], "--delete")):
    status, out, err = p.vcr("gc", *argv)
    ok(status == 2 and word in err, "a wrong call is refused in words: %s" % " ".join(argv), status, err)

# ---- kill -9 at any moment ----
p = Project(git=False)
p.sh("mkdir d; printf 0 > f")
for i in range(1, 5):
    p.record("printf %d > f; printf %d > d/g%d; rm -f d/g%d" % (i, i, i, i - 2), "-s", "k%d" % i)
p.vcr("gc")
p.record("printf 5 > f; printf 5 > d/g5", "-s", "k5")
p.vcr("log")
ended = p.look()
whole = refs(p)
kept = {k: v for k, v in whole.items() if k.split("/")[2] in ("k4", "k5")}
saved = os.path.join(p.dir, "saved")
for name, path in (("state", p.state()), ("vcr", p.vcr_dir)):
    shutil.copytree(path, os.path.join(saved, name), symlinks=True)
env = dict(p.env, ASAN_OPTIONS=":".join(filter(None, [p.env.get("ASAN_OPTIONS"), "detect_leaks=0"])))


def again():
    for name, path in (("state", p.state()), ("vcr", p.vcr_dir)):
        shutil.rmtree(path)
        shutil.copytree(os.path.join(saved, name), path, symlinks=True)


def collect(upto=None):
    return run_to([os.path.join(BUILD, "vcr"), "gc", "-q", "--keep", "2"], upto, cwd=p.work, env=env)


total, status = collect()
title = "killed at %d random moments, every savepoint of what stays can be read, and the next call completes what was begun" % MOMENTS
if not total or status:
    skip(title, "tracing a child is not allowed here (%s)" % status)
else:
    wrong, midst = [], 0
    rng = random.Random(7)
    ok(sessions(p) == ["k4", "k5"] and refs(p) == kept, "run to its end two sessions are left", sessions(p), refs(p))
    for turn in range(MOMENTS):
        again()
        moment = rng.randint(max(1, total // 10), total)
        collect(moment)
        midst += 0 < len(refs(p)) < len(whole) or os.path.exists(p.state("gc.journal"))
        if {k: v for k, v in refs(p).items() if k in kept} != kept or git(p, "fsck", "--connectivity-only").returncode:
            wrong.append("call %d of %d: %s" % (moment, total, git(p, "fsck", "--connectivity-only").stdout[-300:]))
        status, out, err = p.vcr("gc", "--keep", "2")
        if status or sessions(p) != ["k4", "k5"] or refs(p) != kept or os.path.exists(p.state("gc.journal")) or git(p, "count-objects").stdout[0] != "0" or \
                sorted(n.rsplit(".")[-1] for n in os.listdir(p.state("shadow.git", "objects", "pack"))) != ["idx", "pack"]:
            wrong.append("call %d of %d, then: %s %s %s %s" % (moment, total, status, err, sessions(p), os.listdir(p.state("shadow.git", "objects", "pack"))))
        if p.back("-q", "k4", "--to", "start", "--dry-run")[0] not in (0, 1):
            wrong.append("call %d of %d: k4 cannot be read" % (moment, total))
    ok(not wrong, title, *wrong[:5])
    ok(midst, "some of these moments were in the midst of it", midst)
ok(p.look() == ended, "the workspace is never touched")
done()
