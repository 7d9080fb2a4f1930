#!/usr/bin/python3
"""What a program pays for being judged: nothing. Its system calls and its instructions for each file that it writes, counted by strace and callgrind, which other
programs on the machine do not change, are the same with and without --sentinel: the judge is asked by the collector."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import BUILD, clikit, done, ok, skip

place = clikit.Place()
del place.env["VCR_COLLECTOR"]
WRITER = 'i=100; while [ $i -lt $1 ]; do echo "def f$i(a, b): return a" >f$i.py; i=$((i + 1)); done'
FEW, MANY = 150, 300  # files are 100 fewer
IN_TURN = ("futex", "fstat", "newfstatat")  # the collector is woken if it sleeps; a file is looked at again if it has moved on meanwhile; neither is for each file
TITLES = ("a program that is judged makes the same system calls for each file that it writes as one that is not, but for those by which it and the collector take turns",
          "and as many instructions, within 3 %", "each of its files was given to the judge")
counted, judged = {}, {}


def record(how, n, tool):
    """What the tool wrote of a program that writes n files, recorded; its directory is named as long as any other's."""
    work = os.path.join(place.dir, "%s-%s-%03d" % ({"off": "none", "observe": "some"}[how], tool, n))
    os.mkdir(work)
    out = os.path.join(place.dir, "counts")
    tools = {"calls": ["strace", "-f", "-c", "-o", out], "steps": ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file=" + out]}
    r = subprocess.run([os.path.join(BUILD, "vcr-record"), "-q", "--session=s", "--burst=1000", "--sentinel=" + how, "--", *tools[tool], "/bin/sh", "-c", WRITER, "sh", str(n)], cwd=work,
                       env=dict(place.env, VCR_DIR=os.path.join(work, ".vcr")), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    with open(os.path.join(work, ".vcr", "s.vcr")) as f:
        end = json.loads(f.read().splitlines()[-1])["data"].get("sentinel")
    if end:
        judged[tool, n] = end["judged"] + end["unjudged"]
    with open(out) as f:
        text = f.read()
    if tool == "steps":
        return int(re.search(r"Collected : (\d+)", text)[1]) if r.returncode == 0 else None
    rows = [line.split() for line in text.splitlines()]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] not in ("total", *IN_TURN)}


def each(how, tool):
    """Of the files that the longer run writes more."""
    few, many = record(how, FEW, tool), record(how, MANY, tool)
    if tool == "steps":
        return (many - few) / (MANY - FEW)
    return {name: n - few.get(name, 0) for name, n in many.items() if n != few.get(name, 0)}


def missing(tool, how):
    if not shutil.which(tool):
        return "%s is not installed" % tool
    works = subprocess.run([tool, *how, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=place.env).returncode == 0
    return None if works else "%s does not work here" % tool


for tool, program, how, title in (("calls", "strace", ("-f", "-c"), TITLES[0]), ("steps", "valgrind", ("--tool=none",), TITLES[1])):
    why = missing(program, how)
    if why:
        skip(title, why)
        continue
    off, observe = (counted.setdefault((tool, how), each(how, tool)) for how in ("off", "observe"))
    if tool == "calls":
        apart = {name: (off.get(name, 0), observe.get(name, 0)) for name in {*off, *observe} if abs(off.get(name, 0) - observe.get(name, 0)) > (MANY - FEW) / 10}
        ok(not apart and off.get("openat", 0) >= MANY - FEW, title, off, observe, apart)
    else:
        ok(0 < off and observe <= off * 1.03, title, off, observe)
    print("# for each of %d files: %s, judged %s" % (MANY - FEW, off, observe))
if judged:
    ok(judged == {(tool, n): n - 100 for tool, n in judged}, TITLES[2], judged)
else:
    skip(TITLES[2], "nothing was counted")
done()
