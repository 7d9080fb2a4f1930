#!/usr/bin/python3
"""The judge of a recording, asked about one file again and again: what is said after an edit is what is said of the file as a whole, and little of it is parsed."""
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from clikit import BUILD, Place, ok, skip, done  # noqa: E402

TITLES = ("after one function of 5,000 lines was edited, a twentieth of the file is parsed, or less", "what is said after each of 30 edits is what is said of the file as a whole")
place = Place()
COMPARED = ("violations", "metrics", "passed")


class Judge:
    def __init__(self):
        self.asked = 0
        self.program = subprocess.Popen([os.path.join(BUILD, "vcr-sentinel"), "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=place.dir,
                                        env=place.env)
        self.say(json.dumps({"judge": 1, "workspace": place.dir, "config": os.path.join(place.dir, "none")}) + "\n")

    def say(self, words):
        self.program.stdin.write(words.encode())
        self.program.stdin.flush()

    def ask(self, before, after):
        self.asked += 1
        self.say(json.dumps({"id": self.asked, "path": "a.py", "before": len(before), "after": len(after)}) + "\n" + before + after)
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


judge = Judge()
base = "".join(function(i) for i in range(1000))
first, again = judge.ask(base, base.replace("b > 700:", "b > 701:")), judge.ask(base, base.replace("b > 700:", "b > 702 or a == b:"))
last = judge.ask(base, base.replace("b > 700:", "b > 702 or a == b:").replace("return f701(b, a)", "return f702(a, b)"))  # (before a block ends, Python's grammar looks at all that follows)
if "metrics" not in first:
    for title in TITLES:
        skip(title, first.get("skipped"))
    done()
    sys.exit()
ok(first["metrics"]["lines"] == 5000 and first["metrics"]["parsed"] == len(base) and again["metrics"]["functions"] == 1000 and again["metrics"]["parsed"] < len(base) / 20
   and last["metrics"]["parsed"] < len(base) / 20, TITLES[0], first, again, last)
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
    if said[0] != said[1]:
        differ.append((text, said))
judge.end()
ok(not differ, TITLES[1], len(differ), differ[:1])
done()
