#!/usr/bin/python3
"""The clones that vcr-sentinel finds in packages of PyPI beside those that jscpd from npm finds, at like settings: 100 tokens, 10 lines, no comments.

A pair of jscpd's is found, or of a class that the manual lists, which the tokens of the two places decide."""
import collections
import difflib
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
from tapkit import BUILD, done, ok, skip  # noqa: E402

SOURCE = os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PYTHON, NPM = os.environ.get("AGENTS_PYTHON"), os.environ.get("JSCPD_NPM")
PACKAGES = ("rich", "prompt_toolkit", "urllib3", "httpcore", "aiohttp", "jinja2", "websockets", "fsspec", "anyio")
TOKENS, LINES = 100, 10
CLASSES = ("table", "prose", "short")
KEYWORDS = set("and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while "
               "with yield".split())
LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER)
Pair = collections.namedtuple("Pair", "a b tokens")  # a, b: (file, first line, last line)


def jscpd(program, directory, *options):
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([program, "-k", str(TOKENS), "-l", str(LINES), "-m", "weak", "-f", "python", "--max-size", "1mb", "--max-lines", "100000", "--workers", "1", "-r", "json",
                        "-o", out, "--silent", "--no-gitignore", *options, "."], cwd=directory, stdout=subprocess.DEVNULL)
        with open(os.path.join(out, "jscpd-report.json")) as f:
            found = json.load(f)["duplicates"]
    return [Pair(*[(os.path.basename(o[k]["name"]), o[k]["start"], o[k]["end"]) for k in ("firstFile", "secondFile")], o["tokens"]) for o in found]


def ours(directory):
    out = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "scan", "-m", "--all", "--no-cache", "--json", "."], cwd=directory, stdout=subprocess.PIPE).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    ends = {(os.path.basename(o["path"]), o["line"]): o["end_line"] for o in rows if o["type"] == "function"}
    found = []
    for o in (o for o in rows if o["type"] == "finding"):
        here = (os.path.basename(o["path"]), o["line"], o["end_line"])
        if o["rule"] == "clone":
            n, first, last, path = re.search(r"\((\d+) tokens\) are a copy of lines (\d+) to (\d+) of (\S+)$", o["message"]).groups()
            found.append(Pair((os.path.basename(path), int(first), int(last)), here, int(n)))
        elif o["rule"] == "duplicate-function":
            path, line = re.search(r" in (\S+):(\d+): use", o["message"]).groups()
            name = os.path.basename(path)
            found.append(Pair((name, int(line), ends[name, int(line)]), here, 0))
    return found


class Passages:
    """The passages of some pairs, those that overlap by half in one family: copies of copies."""

    def __init__(self, pairs):
        self.side = [s for p in pairs for s in p[:2]]
        self.parent = [i - i % 2 for i in range(len(self.side))]
        self.of_file = collections.defaultdict(list)
        for i, s in enumerate(self.side):
            for j in self.of_file[s[0]]:
                t = self.side[j]
                if 2 * (min(s[2], t[2]) - max(s[1], t[1]) + 1) >= min(s[2] - s[1], t[2] - t[1]) + 1:
                    self.parent[self.family(i)] = self.family(j)
            self.of_file[s[0]].append(i)

    def family(self, i):
        while self.parent[i] != i:
            i = self.parent[i]
        return i

    def lines(self, place):
        found = collections.defaultdict(set)
        for i in self.of_file[place[0]]:
            lines = range(max(place[1], self.side[i][1]), min(place[2], self.side[i][2]) + 1)
            if lines:
                found[self.family(i)].update(lines)
        return found

    def has(self, pair):
        """Half of the lines of both sides are in passages of the same families."""
        a, b = self.lines(pair.a), self.lines(pair.b)
        common = a.keys() & b.keys()
        return all(2 * len(set().union(*(found[k] for k in common))) >= place[2] - place[1] + 1 for found, place in ((a, pair.a), (b, pair.b)))


class Judge:
    def __init__(self, directory):
        self.directory, self.known = directory, {}

    def tokens(self, place):
        """(line, kind, text) of those that begin in these lines."""
        if place[0] not in self.known:
            with open(os.path.join(self.directory, place[0]), "rb") as f:
                self.known[place[0]] = [(t.start[0], self.kind(t), t.string) for t in tokenize.tokenize(f.readline) if t.type not in LAYOUT]
        return [t for t in self.known[place[0]] if place[1] <= t[0] <= place[2]]

    @staticmethod
    def kind(t):
        if t.type in (tokenize.STRING, tokenize.NUMBER) or t.string in ("True", "False", "None"):
            return "literal"
        return "name" if t.type == tokenize.NAME and t.string not in KEYWORDS else "word"

    def class_of(self, pair):
        a, b = self.tokens(pair.a), self.tokens(pair.b)
        if len(b) <= 600 and len(a) <= 600:  # what the two have in common, without the rest of the first and last line
            m = difflib.SequenceMatcher(None, [t[2] for t in a], [t[2] for t in b], autojunk=False).find_longest_match(0, len(a), 0, len(b))
            b = b[m.b:m.b + m.size]
        n, kinds = len(b), collections.Counter(t[1] for t in b)
        if 4 * n < 3 * pair.tokens and n < TOKENS:
            return "prose"
        if n < TOKENS or b[-1][0] - b[0][0] + 1 < LINES:
            return "short"
        if 4 * kinds["literal"] >= n or 8 * kinds["name"] < n or len({t[2] for t in b if t[1] == "word"}) < 10:
            return "table"
        return None


def compare(program, directory):
    theirs, mine = jscpd(program, directory), ours(directory)
    has, judge = Passages(mine), Judge(directory)
    missing = [p for p in theirs if not has.has(p)]
    classes = collections.Counter(judge.class_of(p) for p in missing)
    left = [p for p in missing if judge.class_of(p) is None]
    print("# of jscpd's %d pairs %d are found, %s" % (len(theirs), len(theirs) - len(missing), ", ".join("%s %d" % kv for kv in classes.most_common() if kv[0])))
    print("# the first of each class: %s" % {c: tuple(next(p for p in missing if judge.class_of(p) == c)) for c in classes if c})
    print("# not explained: %d %s" % (len(left), [tuple(p) for p in left[:12]]))
    ok(len(theirs) >= 200 and len(left) <= 0.02 * len(theirs), "of 200 pairs of jscpd's or more, 98 % are found here or of a class of the manual", len(theirs), left)
    blind = Passages(jscpd(program, directory, "--ignore-identifiers", "--ignore-literals"))
    exact = Passages(theirs)
    shared, known = sum(map(exact.has, mine)), sum(map(blind.has, mine))
    functions = [p for p in mine if not p.tokens and not blind.has(p)]
    print("# of our %d pairs jscpd finds %d, %d when names and literals are blind to it, too; of the rest %d are functions" % (len(mine), shared, known, len(functions)))
    left = [p for p in mine if p.tokens and not blind.has(p)]
    ok(len(mine) >= 150 and len(left) <= 0.05 * len(mine), "of 150 pairs found here or more, jscpd finds 95 % with names blind, or they are functions, which may be shorter", left)
    with open(os.path.join(SOURCE, "tools", "vcr-sentinel.1")) as f:
        manual = f.read().partition("CLONES BESIDE JSCPD")[2].partition(".Sh ")[0]
    ok(all(".It Sy %s\n" % c in manual for c in CLASSES), "each class of difference stands in the manual")


program = next(iter(sorted(glob.glob(os.path.join(NPM, "node_modules", "jscpd-linux-*", "bin", "jscpd")))), None) if NPM else None
packages = glob.glob(os.path.join(os.path.dirname(os.path.dirname(PYTHON)), "lib", "python3*", "site-packages")) if PYTHON else None
if not program or not packages:
    skip("clones beside jscpd's", "no JSCPD_NPM (scripts/agents-npm tests/agents/jscpd/package.json), or no AGENTS_PYTHON (scripts/agents-env)")
    done()
with tempfile.TemporaryDirectory() as directory:
    n = 0
    for package in PACKAGES:
        for d, _, names in sorted(os.walk(os.path.join(packages[0], package))):
            for name in sorted(f for f in names if f.endswith(".py") and 0 < os.path.getsize(os.path.join(d, f)) < 300000):
                shutil.copy(os.path.join(d, name), os.path.join(directory, "%04d-%s" % (n, name)))
                n += 1
    probe = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "scan", "-m", "--no-cache", "--json", directory], stdout=subprocess.PIPE, text=True).stdout
    if '"type":"function"' in probe:
        compare(program, directory)
    else:
        skip("clones beside jscpd's", "no grammar of Python here; scripts/grammars fetches it")
done()
