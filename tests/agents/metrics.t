#!/usr/bin/python3
"""What vcr-sentinel measures beside radon and lizard from PyPI, on packages of PyPI, on this project's own sources, and on Go's library.

Where lizard counts otherwise, the class is named in LIZARD, and lizard is asked without it."""
import collections
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
from tapkit import BUILD, done, ok, skip  # noqa: E402

SOURCE = os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

JUDGES = os.environ.get("JUDGES_PYTHON")
CLIENTS = os.environ.get("AGENTS_PYTHON")
WANTED = int(os.environ.get("VCR_TEST_FUNCTIONS", "20000"))

# Prints [path, line, name, complexity] of every function, closures and methods too, until there are enough.
RADON = """
import json, sys, warnings
warnings.simplefilter("ignore")
from radon.visitors import Class, ComplexityVisitor
def walk(path, block):
    if isinstance(block, Class):
        for b in block.methods + block.inner_classes: yield from walk(path, b)
        return
    yield [path, block.lineno, block.name, block.complexity]
    for b in block.closures: yield from walk(path, b)
n = 0
for path in sys.stdin.read().split("\\0"):
    try:
        with open(path, encoding="utf-8") as f: visitor = ComplexityVisitor.from_code(f.read())
    except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError):
        continue
    for block in visitor.functions + visitor.classes:
        for row in walk(path, block):
            n += 1
            print(json.dumps(row))
    if n >= int(sys.argv[1]): break
"""
# The same of lizard: [path, line, name, complexity, parameters, length].
LIZARD = """
import json, sys, lizard, lizard_languages.clike as clike
# for (; a && b; c = d): lizard takes the && before an = for a reference to an rvalue, and does not count it
clike.CppRValueRefStates._state_global = lambda self, token: None
for path in sys.stdin.read().split("\\0"):
    for f in lizard.analyze_file(path).function_list:
        print(json.dumps([path, f.start_line, f.name, f.cyclomatic_complexity, len(f.full_parameters), f.end_line - f.start_line + 1]))
"""


def files_below(root, suffix, most):
    found = sorted(os.path.join(d, f) for d, _, names in os.walk(root) for f in names if f.endswith(suffix) and os.path.getsize(os.path.join(d, f)) < 300000)
    return found[::max(1, len(found) // most)][:most]


def theirs(program, files, *argv):
    out = subprocess.run([JUDGES, "-c", program, *argv], input="\0".join(files), stdout=subprocess.PIPE, text=True, errors="replace").stdout
    return [json.loads(line) for line in out.splitlines()]


def ours(files):
    """{(path, line): [functions]}, of the files that were measured as a whole"""
    out, found, bad = "", collections.defaultdict(list), set()
    for i in range(0, len(files), 500):
        out += subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "scan", "-m", "--all", "--no-cache", "--json", *files[i:i + 500]], stdout=subprocess.PIPE, text=True).stdout
    for o in map(json.loads, out.splitlines()):
        if o["type"] == "function":
            found[o["path"], o["line"]].append(o)
        elif o["type"] == "skipped" or o.get("rule") == "syntax-error":
            bad.add(o["path"])
    return found, bad


def pairs(rows, found, bad):
    """Each of theirs with ours at the same line and of the same name; None: there is none."""
    for row in rows:
        if row[0] in bad:
            continue
        last = row[2].split("::")[-1].split(".")[-1]
        here = found.get((row[0], row[1]), [])
        named = [o for o in here if o["name"].split(".")[-1].split("::")[-1] == last]
        if len(named or here) != 1 and named:
            continue  # two of one name in one line
        yield row, (named or here or [None])[0]


def compare(title, files, least):
    rows = theirs(LIZARD, files)
    found, bad = ours(files)
    both = list(pairs(rows, found, bad))
    differ = [(r, o) for r, o in both if not o or o["complexity"] != r[3]]
    ok(len(both) >= least and len(differ) <= len(both) * 0.005, "%s: complexity is lizard's, of 99.5 %% or more of %d functions or more" % (title, least), len(both), differ[:5])
    print("# %d of %d the same" % (len(both) - len(differ), len(both)))
    return both


TITLE = "the complexity of %d functions of Python packages is radon's, of each"
if not JUDGES or not CLIENTS:
    skip(TITLE % WANTED, "no JUDGES_PYTHON (scripts/agents-env tests/agents/judges.txt), or no AGENTS_PYTHON")
    done()
packages = subprocess.run([CLIENTS, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], stdout=subprocess.PIPE, text=True).stdout.strip()
python = files_below(packages, ".py", 3000)
found, bad = ours(python[:1])
if not found and bad:
    skip(TITLE % WANTED, "no grammars here; scripts/grammars fetches them")
    done()
rows = theirs(RADON, python, str(WANTED * 102 // 100))  # some stand in one line with another of their name
seen = sorted({r[0] for r in rows})
found, bad = ours(seen)
both = list(pairs(rows, found, set()))
wrong = [(r, o) for r, o in both if not o or o["complexity"] != r[3]]
ok(len(both) >= WANTED and not wrong, TITLE % WANTED, len(both), len(wrong), wrong[:5])
print("# %d functions of %d files" % (len(both), len(seen)))

some = [p for p in seen[::6] if p not in bad]
asked = json.dumps({"language": "python", "files": some, "ours": [dict(o, type="function") for p in sorted(found) if p[0] in some for o in found[p]]})
o = json.loads(subprocess.run([JUDGES, os.path.join(SOURCE, "tests", "agents", "beside.py")], input=asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout)
n, left = o["compared"], {what: [x for x in o["left"] if x[0] in what] for what in ("parameters", "line", "ours lizard")}
ok(n > 500 and all(len(x) <= 0.005 * n for x in left.values()), "Python: parameters, last lines and functions are lizard's, of 99.5 % or more, or differ by a class of the manual", n, o["figures"], o["left"][:5])
print("# %d functions: %d parameters and %d last lines are the same; %s" % (n, o["parameters"], o["length"], o["figures"]))
own = [p for d in ("lib", "shim", "tools") for p in files_below(os.path.join(SOURCE, d), ".c", 25)]
both = compare("this project's C", own, 500)
same = sum(o is not None and o["parameters"] == r[4] for r, o in both)
ok(same >= len(both) * 0.995, "this project's C: parameters are lizard's, of 99.5 % or more", same, len(both))
GO = "/usr/local/go/src/net"
if os.path.isdir(GO):
    compare("Go's package net", files_below(GO, ".go", 60), 500)
else:
    skip("Go's package net: complexity is lizard's", "no %s" % GO)
done()
