#!/usr/bin/python3
"""vcr-sentinel judge: what it answers of one write after the other: new, worse, old, corrected; duplicates in the workspace, and code that only moves."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from careless import BAD, GOOD, OTHER, RULES, WORDS
from gatekit import BUILD, clikit, done, ok, skip

place = clikit.Place()
def judge(*changes, config="", env=None, files={"other.py": OTHER}, blocks=False, baseline=None, found=None, state=None):
    """The answers to (path, before, after); None: no such file; a change may have a fourth word: what to do with the workspace first. found: the texts of sentinel.conf and the
    baseline as the session found them. state: what the judges of a session leave to each other."""
    work = tempfile.mkdtemp(dir=place.dir)
    for name, text in files.items():
        open(os.path.join(work, name), "w").write(text)
    with open(os.path.join(work, "sentinel.conf"), "w") as f:
        f.write(config)
    if baseline:
        with open(os.path.join(work, "sentinel-baseline.json"), "w") as f:
            f.write(baseline)
    texts = dict(zip(("conf", "baseline"), found or ()))
    p = subprocess.Popen([os.path.join(BUILD, "vcr-sentinel"), "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(place.env, **env or {}))
    p.stdin.write((json.dumps({"judge": 1, "workspace": work, "config": os.path.join(work, "sentinel.conf"), "blocks": blocks, "state": state, **{k: t and len(t) for k, t in texts.items()}}) + "\n" + "".join(t or "" for t in texts.values())).encode())
    out = []
    for n, (path, before, after) in enumerate(changes):
        full = os.path.join(work, path)
        open(full, "w").write(after) if after is not None else os.path.exists(full) and os.unlink(full)
        data = [t.encode() for t in (before, after) if isinstance(t, str)]
        q = {"id": n, "path": path, "after": None if after is None else len(after.encode())}
        if before is not False:
            q["before"] = None if before is None else len(before.encode())
        p.stdin.write((json.dumps(q) + "\n").encode() + b"".join(data))
        p.stdin.flush()
        line = p.stdout.readline()
        if not line:
            break
        out.append(json.loads(line))
    p.stdin.close()
    judge.err = p.stderr.read().decode()
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = judge.status = os.waitstatus_to_exitcode(status)
    judge.seconds = used.ru_utime + used.ru_stime
    return out


def found(a):
    return sorted((v["rule"], v["state"]) for v in a["violations"])


probe = judge(("a.py", None, "x = 1\n"))
if "grammar" in probe[0].get("skipped", ""):
    skip("what vcr-sentinel judge says of writes", "no grammars here; scripts/grammars fetches them")
    done()
    sys.exit()
a = judge(("report.py", None, BAD), ("report.py", BAD, GOOD), ("notes.txt", None, "def f(\n"), ("report.py", GOOD, None))
words = " ".join(v["message"] for v in a[0]["violations"])
ok(found(a[0]) == [(r, "new") for r in RULES] and not a[0]["passed"] and all(w in words for w in WORDS),
   "a function of 109 lines, complexity 32 and 9 parameters, and a copy of another file's, are found and named", a[0])
ok(a[1]["passed"] and not a[1]["violations"] and sorted(v["rule"] for v in a[1]["corrected"]) == RULES, "mended, each of them is corrected", a[1])
ok(a[2]["skipped"] == "of no language that is known" and a[3]["passed"] and not a[3]["violations"] and judge.status == 0, "what is no code is passed over; a file that goes has nothing wrong", a[2:], judge.err)

a = judge(("old.py", BAD, BAD + "\n\nX = 1\n"), ("old.py", BAD + "\n\nX = 1\n", BAD.replace("e, f, g, h, i", "e, f, g, h, i, j")), files={"old.py": BAD})
ok({s for _, s in found(a[0])} == {"old"} and a[0]["passed"], "what stood there before is old, and no reason not to pass", found(a[0]))
ok(("parameters", "worse") in found(a[1]) and ("function-length", "old") in found(a[1]) and not a[1]["passed"], "what a write made worse is worse; the rest stays old", found(a[1]))
a = judge(("late.py", False, BAD), ("late.py", BAD, BAD + "x = 1\n"), files={})
ok({s for _, s in found(a[0]) + found(a[1])} == {"old"}, "where nobody knows what stood there, nothing is new", found(a[0]))
a = judge(("new.py", None, OTHER), files={"other.py": "x = 1\n"})
ok(a[0]["passed"], "a function that has moved to another file is no duplicate", a[0])
work = tempfile.mkdtemp(dir=place.dir)
a = judge(("a.py", None, OTHER), ("new.py", None, OTHER.replace("normalise", "again")), ("a.py", OTHER, "x = 1\n"), ("new.py", OTHER.replace("normalise", "again"), OTHER), files={})
ok([x["passed"] for x in a] == [True, False, True, True] and len(a[3]["corrected"]) == 1, "of two files of one session too; and not any more when the other one has changed", [found(x) for x in a])

a = judge(("report.py", None, BAD), config="# ours\npreset agent-vcr\nrule parameters=off\nrule function-length=200\n")
ok("parameters" not in str(found(a[0])) and "function-length" not in str(found(a[0])) and ("cyclomatic", "new") in found(a[0]), "sentinel.conf sets preset and rules", found(a[0]))
a = judge(("report.py", None, BAD), config="rule parameters=off\npreset default\n")
ok(not a and judge.status == 3 and "sentinel.conf:2: preset must stand before any rule" in judge.err, "one that is wrong is said with its line", a, judge.err)
a = judge(("report.py", None, BAD), ("new.py", None, OTHER), config="exclude report.py\nexclude other.py\n")
ok(a[0].get("skipped") == "excluded by sentinel.conf" and a[1]["passed"], "what it excludes is not judged, nor compared with", a)

KNOWN = '{"sentinel_baseline":1,"findings":[\n{"rule":"parameters","path":"report.py","function":"report","value":9}\n]}\n'
worse = BAD.replace("h, i)", "h, i, j)")
for session in ("one session", "the next one"):
    a = judge(("report.py", None, BAD), ("report.py", BAD, worse), baseline=KNOWN)
    ok(("parameters", "old") in found(a[0]) and ("function-length", "new") in found(a[0]) and ("parameters", "new") in found(a[1]),
       "in %s what the baseline has is old, and what is worse than that is not" % session, [found(x) for x in a], judge.err)
a = judge(("report.py", None, BAD), baseline="{")
ok(not a and judge.status == 3 and "is no baseline" in judge.err, "a damaged baseline is said", a, judge.err)
a = judge(("report.py", None, BAD), config="rule parameters=off\n", baseline=KNOWN, found=("# was\nrule function-length=off\n", None))
b = judge(("report.py", None, BAD), config="rule parameters=off\n", found=(None, KNOWN))
c = judge(("report.py", None, BAD), found=("rule parameters=3\nthreshold 4\n", None))
ok(found(a[0])[-1] == ("parameters", "new") and "function-length" not in str(found(a[0])) and ("parameters", "old") in found(b[0]) and not c and judge.status == 3 and "sentinel.conf:2: 'threshold'" in judge.err,
   "sentinel.conf and the baseline count as the session found them, whatever has become of the files", found(a[0]), found(b[0]), judge.err)

# ---- One judge after the other ----

state = os.path.join(place.dir, "state")
longer = BAD + "\n\nY = 1\n"
judge(("report.py", "x = 1\n", BAD), ("old.py", BAD.replace("report", "old"), BAD.replace("report", "old") + "x = 1\n"), ("gone.py", None, BAD), ("gone.py", BAD, None), state=state)
kept = open(state, "rb").read()
a = judge(("report.py", BAD, longer), ("report.py", longer, GOOD), ("old.py", BAD.replace("report", "old"), BAD.replace("report", "old") + "y = 2\n"), state=state)
ok(found(a[0]) == [(r, "new") for r in RULES] and not a[0]["corrected"] and sorted(v["rule"] for v in a[1]["corrected"]) == RULES and {s for _, s in found(a[2])} == {"old"} and
   os.stat(state).st_mode & 0o7777 == 0o600, "a judge that is started again in a session knows what stood in a file before the session: what the session has made stays new, what was there is old", a, kept)
open(state, "wb").write(kept)
a = judge(("report.py", BAD, GOOD), state=state)
ok(a[0]["passed"] and sorted(v["rule"] for v in a[0]["corrected"]) == RULES, "and what the one before it has said: mended, it is corrected", a)
open(state, "wb").write(kept)
a = judge(("report.py", BAD + "#\n", GOOD), state=state)
ok(a[0]["passed"] and not a[0]["corrected"], "but for what that one has not judged to its end, of which it may have died", a)
wrong = []
for n in range(0, len(kept), 61):
    open(state, "wb").write(kept[:n])
    a = judge(("report.py", BAD, longer), ("more.py", None, OTHER.replace("normalise", "more")), state=state)
    states = {s for _, s in found(a[0])}
    if len(a) != 2 or states != ({"new"} if n >= kept.index(b"x = 1\n") + 6 else {"old"}) or judge.status or b'"more.py"' not in open(state, "rb").read():
        wrong.append((n, states, judge.err))
ok(not wrong, "of a state that is cut off it knows what is whole, and goes on behind that", wrong)

# ---- Growth ----

lines = ["x%d = 1\n" % n for n in range(601)]
for preset, steps in (("default", {300: None, 301: "warning", 600: "warning", 601: "critical"}), ("agent-vcr", {300: None, 301: "critical", 601: "critical"})):
    got = {n: [v["severity"] for v in judge(("big.py", "".join(lines[:100]), "".join(lines[:n])), config="preset %s\n" % preset)[0]["violations"] if v["rule"] == "file-growth"] for n in steps}
    ok(got == {n: [s] if s else [] for n, s in steps.items()}, "file-growth of %s: a file of 100 lines may have grown to 300, by 200 %%, and not by a line more" % preset, got)
a = judge(("big.py", "".join(lines[:100]), "".join(lines[:250])), ("big.py", "".join(lines[:250]), "".join(lines[:301])), ("big.py", "".join(lines[:301]), "".join(lines[:300])))
ok([[v["rule"] for v in x["violations"]] for x in a] == [[], ["file-growth"], []] and [v["rule"] for v in a[2]["corrected"]] == ["file-growth"] and "from 100 to 301 lines" in a[1]["violations"][0]["message"],
   "file-growth is measured from what stood there when the session began, over all its writes", a)
a = judge(("small.py", "".join(lines[:49]), "".join(lines[:400])), ("new.py", None, "".join(lines[:400])))
ok([found(x) for x in a] == [[], []], "file-growth says nothing of a file of less than 50 lines, nor of a new one", [found(x) for x in a])

# ---- Where blockers block ----

KEY = "KEY = 'ghp_" + "0123456789abcdefghijABCDEFGHIJ012345'"
ALLOW = "  # vcr-sentinel: allow secret -- of a test\n"
OWN, OLD = KEY + ALLOW, "x = 1\n" + KEY.replace("KEY", "TEST") + ALLOW
a = judge(("key.py", None, OWN))
ok(a[0]["passed"] and not a[0]["violations"], "a comment allows a secret that is meant", a[0])
a = judge(("key.py", None, OWN), ("key.py", OWN, "# gone\n"), blocks=True)
v = a[0]["violations"]
ok([(x["rule"], x["severity"], x["state"]) for x in v] == [("secret", "blocker", "new")] and "was not there when the session began" in v[0]["message"] and len(a[1]["corrected"]) == 1,
   "where blockers block, one that the agent writes itself does not, which is said; without the secret it is corrected", a)
a = judge(("old.py", OLD, "import os\n" + OLD + "y = 2\n"), ("old.py", OLD, OLD + KEY.replace("ghp_0", "ghp_9") + ALLOW), blocks=True)
ok(a[0]["passed"] and not a[0]["violations"] and not a[1]["passed"] and a[1]["violations"][0]["line"] == 3, "one that stood there before does, wherever it has moved; not for more than its own lines", a)
a = judge(("old.py", OLD, OLD.replace("ghp_0", "ghp_9")), blocks=True)
ok(not a[0]["passed"] and found(a[0])[0][1] in ("new", "worse"), "nor for a line that has changed", a)
a = judge(("wide.py", None, "# vcr-sentinel: allow parameters -- as in C\ndef f(a, b, c, d, e, f, g, h):\n    return a\n"), blocks=True)
ok(a[0]["passed"] and not a[0]["violations"], "what is no blocker is allowed as ever", a)
a = judge(("key.py", None, OWN), config="exclude key.py\n", blocks=True) + judge(("key.py", None, KEY + "\n"), config="rule secret=warning\n", blocks=True)
ok("skipped" in a[0] and a[1]["violations"][0]["severity"] == "warning", "and so is what sentinel.conf allows", a)

MADE = "# DO NOT EDIT\n"
a = judge(("key.py", "x = 1\n", KEY + "\n"), ("key.py", KEY + "\n", MADE + KEY + "\n"), ("new.py", None, MADE + KEY + "\n"), ("a.min.py", None, KEY + "\n"), blocks=True)
ok([[v["rule"] for v in x.get("violations", [])] for x in a] == [["secret"]] * 4 and a[1]["corrected"] == [],
   "where blockers block, a file that was not generated before the session is judged although the agent writes that it is, and nothing of it counts as corrected", a)
a = judge(("made.py", MADE + "x = 1\n", MADE + KEY + "\n"), ("late.py", False, MADE + KEY + "\n"), blocks=True) + judge(("new.py", None, MADE + KEY + "\n"))
ok([x.get("skipped") for x in a] == ["generated"] * 3, "one that was, or may have been, is passed over, as are all of them where none block", a)

# ---- Much of it ----

many = "".join("def f%d(a, b, c, d, e, f, g, h): pass\n" % i for i in range(6000))
a = judge(("many.py", None, many), files={})
ok(len(a) == 1 and not a[0]["passed"] and len(a[0]["violations"]) == 256 and judge.seconds < 5, "a file with thousands of findings is judged in time that grows with it", judge.seconds, len(str(a)))
for data, name in ((b"", "nothing"), (b"hello\n", "what is no protocol"), (b'{"judge":1,"workspace":"/w"}\n{"id":1,"path":"a.py","after":99}\nshort', "a text that ends early")):
    r = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "judge"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.env)
    ok(r.returncode == 3 and not r.stdout and r.stderr.count(b"\n") == 1, "%s on its input is a failure, said in one line" % name, r)
done()
