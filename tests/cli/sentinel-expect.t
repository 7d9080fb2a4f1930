#!/usr/bin/python3
"""vcr sentinel: what a project says of its own code: comments that allow a finding, .vcr/sentinel.conf, a baseline."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import Place, ok, skip, done  # noqa: E402

place = Place()


def put(name, text):
    path = os.path.join(place.dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return name


def scan(*argv, **more):
    """(status, [(rule, path, line)], stderr)"""
    status, out, err = place.run("vcr-sentinel", "scan", "--json", *argv, **more)
    found = [o for o in map(json.loads, out.splitlines()) if o["type"] == "finding"]
    return status, [(f["rule"], f["path"], f["line"]) for f in found], err


put("clean/a.py", "def f(a):\n    return a\n")
if "not installed" in scan("clean")[2]:
    skip("what a project says of its own code", "no grammars here; scripts/grammars fetches them")
    done()
    sys.exit()

# comments that allow
languages = {
    "py": ("#", "def f(a, b):\n    return a\n"), "js": ("//", "function f(a, b) { return a; }\n"), "ts": ("/*", "function f(a: number, b: number) { return a; }\n"),
    "tsx": ("//", "function f(a: number, b: number) { return a; }\n"), "go": ("//", "func f(a int, b int) int { return a }\n"), "rs": ("//", "fn f(a: u32, b: u32) -> u32 { a }\n"),
    "c": ("/*", "int f(int a, int b) { return a; }\n"), "cc": ("//", "int f(int a, int b) { return a; }\n"), "java": ("//", "class A { int f(int a, int b) { return a; } }\n"),
    "rb": ("#", "def f(a, b)\n  a\nend\n"), "cs": ("//", "class A { int f(int a, int b) { return a; } }\n"), "php": ("//", "function f($a, $b) { return $a; }\n"),
    "sh": ("#", "f() {\n  if a; then b; fi\n}\n")}
want = []
for ext, (mark, code) in languages.items():
    rule = "cyclomatic" if ext == "sh" else "parameters"
    head = {"php": "<?php\n", "go": "package a\n"}.get(ext, "\n")
    put("each/plain." + ext, head + "\n" + code)
    put("each/meant." + ext, head + "%s vcr-sentinel: allow %s, nesting -- it is meant%s\n" % (mark, rule, " */" if mark == "/*" else "") + code)
    want += [(rule, "each/plain." + ext, 3), ("unused-suppression", "each/meant." + ext, 2)]
strict = ["-r", "parameters=1", "-r", "cyclomatic=1", "-r", "duplicate-function=off"]
status, found, err = scan(*strict, "each")
ok(sorted(found) == sorted(want) and len(found) == 26, "a comment on the line before allows a finding in each of the 13 languages, and what it allows in vain is said",
   set(found) ^ set(want))
put("forms/a.py", """def f(a, b):  # vcr-sentinel: allow parameters -- on its line
    return a
# vcr-sentinel: allow parameters
@decorated
@twice(1)
def g(a, b):
    return a
x = 1  # vcr-sentinel: allow parameters -- behind code it is for its own line only
def h(a, b):
    return "# vcr-sentinel: allow parameters"
# say vcr-sentinel: allow parameters
def i(a, b):
    return a
# vcr-sentinel: allow paramters -- no such rule
def j(a, b):
    return a
def k(a):
    # vcr-sentinel: allow file-size
    return a
""")
status, found, err = scan(*strict, "-r", "file-size=3,4,5", "forms")
ok(found == [("unused-suppression", "forms/a.py", 8), ("parameters", "forms/a.py", 9), ("parameters", "forms/a.py", 12), ("unused-suppression", "forms/a.py", 14), ("parameters", "forms/a.py", 15)],
   "behind code it is for that line; above decorators for what they decorate; a finding of the whole file from anywhere; no string and no prose is one", found)
ok(status == 0, "what is allowed does not count for the status", status)
status, out, err = place.run("vcr-sentinel", "scan", "-r", "unused-suppression=off", *strict, "--json", "forms")
ok("unused-suppression" not in out and out.count('"finding"') == 3, "the rule unused-suppression can be off", out)
long = "    t = 0\n    for n in x:\n        if n.startswith('a') and len(n) > l:\n            t += len(n)\n    print(t, x, l)\n    return t\n"
put("twice/a.py", "def one(x, l):\n" + long)
put("twice/b.py", "# vcr-sentinel: allow duplicate-function -- until a.py is gone\ndef two(x, l):\n" + long)
os.utime(os.path.join(place.dir, "twice/a.py"), (1e9, 1e9))
both = [scan("twice")[1] for _ in range(2)]
os.remove(os.path.join(place.dir, "twice/a.py"))
ok(both == [[], []] and scan("twice")[1] == [("unused-suppression", "twice/b.py", 1)], "a duplicate is allowed at its place, and once it is none the comment is said to be unused", both)

import subprocess  # noqa: E402

repo = os.path.join(place.dir, "repo")


def commit(**files):
    for name, text in files.items():
        put("repo/%s.py" % name, text)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=repo, check=True, env=dict(place.env, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1"))


wide = "def s(a, b, c, d, e, f, g, h):\n    return a\n"
commit(meant="x = 1\n", vain="x = 1\n", wide="x = 1\n")
commit(meant="# vcr-sentinel: allow parameters -- as in C\n" + wide, vain="# vcr-sentinel: allow parameters\nx = 1\n", wide=wide)
status, out, err = place.run("vcr-sentinel", "diff", "--json", "HEAD~1", cwd=repo)
got = sorted((o["path"], v["rule"], v["state"]) for o in map(json.loads, out.splitlines()) for v in o.get("violations", []))
ok(got == [("vain.py", "unused-suppression", "new"), ("wide.py", "parameters", "new")], "diff allows it too, and says what a change allows in vain", got, err)

# .vcr/sentinel.conf
for name in ("own/a.py", "own/vendor/b.py", "own/deep/x_pb2.py"):
    put("repo/" + name, wide)


def expect(text):
    put("repo/.vcr/sentinel.conf", text)


expect("# of this project\npreset agent-vcr\nrule parameters=3,5\nexclude vendor/\nexclude own/deep/*_pb2.py\n")
there = [scan("own", cwd=repo), scan(repo + "/own"), scan(".", cwd=repo + "/own")]
ok([s for s, _, _ in there] == [1, 1, 1] and there[0][1] == [("parameters", "own/a.py", 1)] and there[2][1] == [("parameters", "./a.py", 1)],
   "scan judges by the sentinel.conf of the workspace it looks at, from wherever it is called, and does not look at what that excludes", there)
status, out, err = place.run("vcr-sentinel", "scan", "own/vendor/b.py", cwd=repo)
ok(status == 3 and "own/vendor/b.py: skipped: excluded by sentinel.conf" in out, "a file that is named and excluded is said to be", status, out)
ok(scan("-r", "parameters=8", "own", cwd=repo)[0] == 0 and scan("-p", "default", "own", cwd=repo)[0] == 0, "options go before it")
out = place.run("vcr-sentinel", "rules", cwd=repo)[1]
ok("(warning above 3 parameters, critical above 5 parameters)" in out and "(warning above 50 lines" in out, "rules lists what it sets", out)
commit(**{"own/vendor/b": wide.replace("s(", "t("), "own/new": wide.replace("s(", "u(")})
status, out, err = place.run("vcr-sentinel", "diff", "--json", "HEAD~1", cwd=repo)
got = {o["path"] for o in map(json.loads, out.splitlines()) if o.get("violations")}
ok(status == 1 and got == {"own/a.py", "own/new.py"}, "diff judges by it too", status, out)
bad = []
for text in ("rule parameters=3\nthreshold parameters 5\n", "exclude /usr\n", "preset none\n", "rule parameters\n"):
    expect(text)
    bad += [place.run("vcr-sentinel", *argv, cwd=repo) for argv in (("scan",), ("diff", "HEAD~1"), ("rules",))]
ok(all(s == 3 and not out and e.count("\n") == 1 and "sentinel.conf:" in e for s, out, e in bad) and ".vcr/sentinel.conf:2: 'threshold' is no setting" in bad[0][2],
   "what it does not know is an error with file and line, for each command", bad)

# a baseline
import shutil  # noqa: E402

shutil.rmtree(repo)
catch = "    try:\n        a()\n    except E:\n        pass\n"
put("repo/a.py", wide + "def c(a):\n" + catch + "class K:\n    def m(self, a, b, c, d, e, f, g, h):\n        return a\n")
put("repo/sub/b.js", "function w(a, b, c, d, e, f, g, h) {}\n")
commit(other="x = 1\n")
status, out, err = place.run("vcr-sentinel", "baseline", cwd=repo)
kept = os.path.join(repo, ".vcr", "sentinel-baseline.json")
first = open(kept).read()
ok(status == 0 and len(json.loads(first)["findings"]) == 4 and "4 findings of 3 files" in out and scan(cwd=repo)[:2] == (0, []), "what is in the baseline is not said again", out, err, first)
ok([scan(cwd=repo + "/sub")[1], scan(repo)[1], scan("b.js", cwd=repo + "/sub")[1], len(scan("--no-baseline", cwd=repo)[1])] == [[], [], [], 4], "from wherever a scan is called; --no-baseline says all of it")
ok("; 4 no worse than the baseline" in place.run("vcr-sentinel", "scan", cwd=repo)[1], "how much that is is said")
put("repo/a.py", "# new\n\nx = 1\n\n\nclass K:\n    def m(self, a, b, c, d, e, f, g):\n        return a\n\n\n" + "def c(a):\n" + catch + wide)
ok(scan(cwd=repo)[1] == [], "what has moved within its file is known by its function, and what is better is no finding", scan(cwd=repo))
put("repo/a.py", wide.replace("h)", "h, i)") + "def c(a):\n" + catch + catch + "def new(a, b, c, d, e, f, g, h):\n    return a\n")
found = scan(cwd=repo)[1]
ok([f for f in found if f[0] != "stub"] == [("parameters", "./a.py", 1), ("parameters", "./a.py", 12)] and [f[0] for f in found].count("stub") == 1,
   "what is worse than it was, new, or there once more is said", found)
commit(a=open(os.path.join(repo, "a.py")).read())


def changes(*argv):
    out = place.run("vcr-sentinel", "diff", "--json", *argv, "HEAD~1", cwd=repo)[1]
    return sorted((v["rule"], v["name"]) for o in map(json.loads, out.splitlines()) for v in o.get("violations", []) if v["state"] != "old")


more = [("parameters", "new"), ("parameters", "s"), ("stub", "c")]
ok(changes() == more and changes("--no-baseline") == more + more[2:], "diff says what a change made worse than the baseline", changes(), changes("--no-baseline"))
place.run("vcr-sentinel", "baseline", cwd=repo)
ok(changes() == [] and changes("--no-baseline"), "and nothing that is in it", changes())
for text in ("{", "[]", '{"sentinel_baseline":2,"findings":[]}', '{"sentinel_baseline":1,"findings":[{"rule":"stub"}]}', first[:-9]):
    put("repo/.vcr/sentinel-baseline.json", text)
    status, out, err = place.run("vcr-sentinel", "scan", cwd=repo)
    if status != 3 or out or ".vcr/sentinel-baseline.json is no baseline" not in err:
        break
else:
    text = None
ok(text is None, "a damaged baseline is an error, not an empty one", text, status, err)
status, out, err = place.run("vcr-sentinel", "baseline", cwd=os.path.join(repo, ".git"))
ok(status == 3 and "nothing was measured" in err and open(kept).read() == first[:-9], "a scan that saw nothing makes no baseline", status, err)

# what a change made worse, for other programs
import xml.etree.ElementTree as xml  # noqa: E402

put("repo/broken.min.js", "x = 1\n")
put("repo/notes.txt", "no code\n")
commit(a=wide.replace("h)", "h, i, j, k)"), fine="x = 1\n")
said = {how: place.run("vcr-sentinel", "diff", "--no-baseline", how, "HEAD~1", cwd=repo) for how in ("--json", "--sarif", "--github", "--junit")}
stands = [v for o in map(json.loads, said["--json"][1].splitlines()) for v in o.get("violations", []) if v["state"] != "old"]
results = json.loads(said["--sarif"][1])["runs"][0]["results"]
ok([(r["ruleId"], r["message"]["text"], r["locations"][0]["physicalLocation"]["region"]["startLine"]) for r in results] == [(v["rule"], v["message"], v["line"]) for v in stands] and
   len(stands) == 1, "diff --sarif says what a change made worse", said["--sarif"], stands)
ok(said["--github"][1] == "::error file=a.py,line=1,endLine=2,title=vcr-sentinel parameters::%s\n" % stands[0]["message"], "and so does --github", said["--github"])
suite = xml.fromstring(said["--junit"][1]).find("testsuite")
ok({c.get("name"): [x.tag for x in c] for c in suite} == {"a.py": ["failure"], "fine.py": [], "broken.min.js": ["skipped"]} and (suite.get("tests"), suite.get("failures"), suite.get("skipped")) ==
   ("3", "1", "1"), "and --junit has a case for each file that changed", said["--junit"])
ok({s for s, _, _ in said.values()} == {1}, "with the same status", said)
done()
