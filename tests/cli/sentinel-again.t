#!/usr/bin/python3
"""The judge of a recording, asked about one file again and again: what is said after an edit is what is said of the file as a whole, and little of it is parsed."""
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from clikit import BUILD, Place, ok, skip, done  # noqa: E402

TITLES = ("files of several languages are judged in turns as each is alone", "what blocks is said first where there is more than an answer holds, whatever stood there before", "after one function of 5,000 lines was edited, a twentieth of the file is parsed and a tenth of its nodes are measured, or less", "what is said after each of 30 edits is what is said of the file as a whole")
place = Place()
COMPARED = ("violations", "metrics", "passed")


class Judge:
    def __init__(self, **more):
        self.asked = 0
        self.program = subprocess.Popen([os.path.join(BUILD, "vcr-sentinel"), "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=place.dir,
                                        env=place.env)
        self.say(json.dumps({"judge": 1, "workspace": place.dir, "config": os.path.join(place.dir, "none"), **more}) + "\n")

    def say(self, words):
        self.program.stdin.write(words.encode())
        self.program.stdin.flush()

    def ask(self, before, after, path="a.py"):
        self.asked += 1
        self.say(json.dumps({"id": self.asked, "path": path, "before": len(before), "after": len(after)}) + "\n" + before + after)
        return json.loads(self.program.stdout.readline())

    def end(self):
        self.program.stdin.close()
        self.program.wait()
        self.program.stdout.close()


def function(i, lines=()):
    return "".join(["def f%d(a, b):\n" % i, *("    %s\n" % line for line in lines or ("if a and b > %d:" % i, "    return a * %d" % i, "return f%d(b, a)" % (i + 1)))]) + "\n"


def edit(random, parts):
    """One function becomes longer, worse, better, or goes; one comes; or it does not parse any more."""
    i, what = random.randrange(len(parts)), random.randrange(6)
    if what == 0:
        parts[i] = function(i, ["if a == %d:" % k if k % 2 else "    b += %d" % k for k in range(1, random.randrange(4, 90), 1)] + ["    return b"])
    elif what == 1:
        parts[i] = function(i)
    elif what == 2 and len(parts) > 10:
        del parts[i]
    elif what == 3:
        parts.insert(i, function(1000 + random.randrange(1000), ["'''", "text # def f(", "'''", "return a"]))
    elif what == 4:
        parts[i] = parts[i].replace("(a, b)", "(a, b, c, d, e, g, h, i, j)", 1)
    else:
        parts[i] = parts[i].replace("):", ") :=" if random.randrange(2) else "):", 1)
    return "".join(parts)


FILES = {"a.py": "def f(a):\n    if a:\n        return %d\n    return 2\n", "b.go": "package b\nfunc f(a int) int {\n\tif a > %d {\n\t\treturn 1\n\t}\n\treturn 2\n}\n",
         "c.ts": "export function f(a: number): number {\n  if (a > %d) return 1;\n  return 2;\n}\n", "d.js": "function f(a) {\n  if (a > %d) return 1;\n  return 2;\n}\n",
         "e.rs": "fn f(a: i32) -> i32 {\n    if a > %d { return 1; }\n    2\n}\n", "f.java": "class F {\n  int f(int a) {\n    if (a > %d) return 1;\n    return 2;\n  }\n}\n",
         "g.c": "int f(int a)\n{\n\tif (a > %d)\n\t\treturn 1;\n\treturn 2;\n}\n", "h.sh": "f() {\n  if [ \"$1\" = %d ]; then return 1; fi\n}\n"}


def in_turns():
    """After each of the other files each of the files: what is said, and what a judge says that knows this one only."""
    judge, differ = Judge(), []
    for i, (one, other) in enumerate((a, b) for a in FILES for b in FILES if a != b):
        for path in (one, other):
            fresh, text = Judge(), FILES[path] % (3 + i)
            said = [{k: v for k, v in j.ask(FILES[path] % 1, text, path).items() if k in COMPARED} for j in (judge, fresh)]
            fresh.end()
            for answer, work in ((a, w) for a in said for w in ("parsed", "walked")):
                answer.get("metrics", {}).pop(work, None)
            if said[0] != said[1]:
                differ.append((one, other, path, said))
    judge.end()
    return differ


differ = in_turns()
ok(not differ, TITLES[0], len(differ), differ[:2])
judge = Judge(blocks=True)
legacy = "".join("def f%d(a, b, c, d, e, f, g, h):\n    return a\n" % i for i in range(300))
said = judge.ask(legacy, legacy + "KEY = 'ghp_%s'\n" % "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5")
judge.end()
if "metrics" not in said:
    skip(TITLES[1], said.get("skipped"))
else:
    ok(said["passed"] is False and said["violations"][0]["severity"] == "blocker" and said["violations"][0]["state"] == "new" and len(said["violations"]) == 256, TITLES[1], said["violations"][:1])
judge = Judge()
base = "".join(function(i) for i in range(1000))
first, again = judge.ask(base, base.replace("b > 700:", "b > 701:")), judge.ask(base, base.replace("b > 700:", "b > 702 or a == b:"))
last = judge.ask(base, base.replace("b > 700:", "b > 702 or a == b:").replace("return f701(b, a)", "return f702(a, b)"))  # (before a block ends, Python's grammar looks at all that follows)
if "metrics" not in first:
    for title in TITLES[2:]:
        skip(title, first.get("skipped"))
    done()
    sys.exit()
ok(first["metrics"]["lines"] == 5000 and first["metrics"]["parsed"] == len(base) and again["metrics"]["functions"] == 1000 and again["metrics"]["parsed"] < len(base) / 20
   and last["metrics"]["parsed"] < len(base) / 20 and max(again["metrics"]["walked"], last["metrics"]["walked"]) < first["metrics"]["walked"] / 10 > 2000, TITLES[2], first, again, last)
judge.end()

random.seed(11)
parts = [function(i) for i in range(60)]
base, judge, differ = "".join(parts), Judge(), []
for _ in range(30):
    text, fresh = edit(random, parts), Judge()
    said = [{k: v for k, v in j.ask(base, text).items() if k in COMPARED} for j in (judge, fresh)]
    fresh.end()
    for answer in said:
        answer["metrics"].pop("parsed")
        answer["metrics"].pop("walked")
    if said[0] != said[1]:
        differ.append((text, said))
judge.end()
ok(not differ, TITLES[3], len(differ), differ[:1])
done()
