#!/usr/bin/python3
"""The clones that vcr-sentinel finds in packages of PyPI and in one of npm beside those that jscpd from npm finds, at like settings: 100 tokens, 10 lines, no comments.

A pair of jscpd's is found, or of a class that the manual lists, which the tokens of the two places decide: none is left."""
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
CLASSES = ("table", "prose", "short", "nesting")
KEYWORDS = set("and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while "
               "with yield".split())
LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING, tokenize.ENDMARKER)
BLOCK = ("<", ">")  # where one begins and ends, of Python
JS_WORDS = set("async await break case catch class const continue debugger default delete do else export extends finally for function if import in instanceof let new of return static super switch "
               "this throw try typeof var void while with yield".split())
JS = re.compile(r"(?P<space>\s+|//[^\n]*|/\*(?:.|\n)*?\*/)|(?P<literal>\x22(?:\\.|[^\x22\\])*\x22|\x27(?:\\.|[^\x27\\])*\x27|`(?:\\.|[^`\\])*`|\.?\d[\w.]*)|(?P<name>[A-Za-z_$#][\w$]*)|"
                r"(?P<word>=>|\.\.\.|>>>=?|[=!]==?|&&=?|\|\|=?|\?\?=?|\?\.|\+\+|--|<<=?|>>=?|\*\*=?|[-+*/%&|^<>]=|.)")
REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n\[])+/[a-z]*")
Pair = collections.namedtuple("Pair", "a b tokens")  # a, b: (file, first line, last line)


def tokens_of_python(path):
    """(line, kind, text); the kind of where a block begins or ends is block."""
    found = []
    with open(path, "rb") as f:
        for t in tokenize.tokenize(f.readline):
            if t.type in (tokenize.INDENT, tokenize.DEDENT):
                found.append((t.start[0], "block", BLOCK[t.type == tokenize.DEDENT]))
            elif t.type not in LAYOUT:
                literal = t.type in (tokenize.STRING, tokenize.NUMBER) or t.string in ("True", "False", "None")
                found.append((t.start[0], "literal" if literal else "name" if t.type == tokenize.NAME and t.string not in KEYWORDS else "word", t.string))
    return found


def tokens_of_javascript(path):
    """A string, a template and a regular expression are one each."""
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()
    found, at, line = [], 0, 1
    while at < len(text):
        m = JS.match(text, at)
        kind, begins = m.lastgroup, not found or found[-1][1] == "word" and found[-1][2] not in (")", "]", "}")
        if kind == "word" and m[0][0] == "/" and begins and REGEX.match(text, at):
            m, kind = REGEX.match(text, at), "literal"
        if kind == "name" and (m[0] in JS_WORDS or m[0] in ("true", "false", "null", "undefined")):
            kind = "word" if m[0] in JS_WORDS else "literal"
        if kind != "space":
            found.append((line, kind, m[0]))
        line += m[0].count("\n")
        at = m.end()
    return found


def jscpd(program, directory, language, *options):
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([program, "-k", str(TOKENS), "-l", str(LINES), "-m", "weak", "-f", language, "--max-size", "1mb", "--max-lines", "100000", "--workers", "1", "-r", "json",
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
    """The passages of some pairs, those that overlap by half in one family: copies of copies. weight: of lines of a place, for those that are code and those that are not."""

    def __init__(self, pairs, weight):
        self.weight = weight
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
        """Half of both sides, by tokens, is in passages of the same families."""
        a, b = self.lines(pair.a), self.lines(pair.b)
        common = a.keys() & b.keys()
        return all(2 * self.weight(place, set().union(*(found[k] for k in common))) >= self.weight(place) for found, place in ((a, pair.a), (b, pair.b)))


class Judge:
    def __init__(self, directory, tokens_of):
        self.directory, self.tokens_of, self.known = directory, tokens_of, {}

    def tokens(self, place):
        """(line, kind, text) of those that begin in these lines."""
        if place[0] not in self.known:
            self.known[place[0]] = self.tokens_of(os.path.join(self.directory, place[0]))
        return [t for t in self.known[place[0]] if place[1] <= t[0] <= place[2]]

    def weight(self, place, lines=None):
        return sum(lines is None or t[0] in lines for t in self.tokens(place) if t[1] != "block")

    def common(self, pair, blocks):
        """The tokens of the two places that are the same, without the rest of the first and last line."""
        a, b = ([t for t in self.tokens(p) if blocks or t[1] != "block"] for p in pair[:2])
        if len(a) > 900 or len(b) > 900:
            return a, b
        m = difflib.SequenceMatcher(None, [t[2] for t in a], [t[2] for t in b], autojunk=False).find_longest_match(0, len(a), 0, len(b))
        return a[m.a:m.a + m.size], b[m.b:m.b + m.size]

    def core(self, pair):
        """Where those stand: what is around them is the words of strings, which jscpd counts."""
        a, b = self.common(pair, False)
        return Pair(*((p[0], t[0][0], t[-1][0]) for p, t in zip(pair[:2], (a, b))), len(b)) if b and a else pair

    def class_of(self, pair):
        b = self.common(pair, False)[1]
        n, kinds = len(b), collections.Counter(t[1] for t in b)
        if 4 * n < 3 * pair.tokens and n < TOKENS:
            return "prose"
        if n < TOKENS or b[-1][0] - b[0][0] + 1 < LINES:
            return "short"
        if 4 * kinds["literal"] >= n or 8 * kinds["name"] < n or len({t[2] for t in b if t[1] == "word"}) < 10:
            return "table"
        forms = collections.defaultdict(list)
        for t in b:
            forms[t[0]].append(t[2] if t[1] == "word" else t[1])
        if 3 * len(set(map(tuple, forms.values()))) <= len(forms):
            return "table"
        return "nesting" if len(self.common(pair, True)[1]) < TOKENS else None


def compare(program, directory, language, tokens_of, least, least_ours):
    name = {"python": "Python", "javascript": "JavaScript"}[language]
    theirs, mine = jscpd(program, directory, language), ours(directory)
    judge = Judge(directory, tokens_of)
    has = Passages(mine, judge.weight)
    missing = [p for p in theirs if not has.has(p) and not has.has(judge.core(p))]
    said = {p: judge.class_of(p) for p in missing}
    classes = collections.Counter(said.values())
    left = [p for p in missing if said[p] is None]
    print("# of jscpd's %d pairs %d are found, %s" % (len(theirs), len(theirs) - len(missing), ", ".join("%s %d" % kv for kv in classes.most_common() if kv[0])))
    print("# the first of each class: %s" % {c: tuple(next(p for p in missing if said[p] == c)) for c in classes if c})
    ok(len(theirs) >= least and not left, "%s: of %d pairs of jscpd's or more, each is found here or of a class of the manual" % (name, least), len(theirs), [tuple(p) for p in left[:12]])
    blind = Passages(jscpd(program, directory, language, "--ignore-identifiers", "--ignore-literals"), judge.weight)
    exact = Passages(theirs, judge.weight)
    shared, known = sum(map(exact.has, mine)), sum(map(blind.has, mine))
    functions = [p for p in mine if not p.tokens and not blind.has(p)]
    print("# of our %d pairs jscpd finds %d, %d when names and literals are blind to it, too; of the rest %d are functions" % (len(mine), shared, known, len(functions)))
    left = [p for p in mine if p.tokens and not blind.has(p)]
    ok(len(mine) >= least_ours and len(left) <= 0.05 * len(mine), "%s: of %d pairs found here or more, jscpd finds 95 %% with names blind, or they are functions, which may be shorter" % (name, least_ours),
       len(mine), [tuple(p) for p in left[:12]])


def manual():
    with open(os.path.join(SOURCE, "tools", "vcr-sentinel.1")) as f:
        text = f.read().partition("CLONES BESIDE JSCPD")[2].partition(".Sh ")[0]
    ok(all(".It Sy %s\n" % c in text for c in CLASSES), "each class of difference stands in the manual")


def gather(directory, roots, suffix):
    n = 0
    for root in roots:
        for d, _, names in sorted(os.walk(root)):
            for name in sorted(f for f in names if f.endswith(suffix) and not f.endswith(".min.js") and 0 < os.path.getsize(os.path.join(d, f)) < 300000):
                shutil.copy(os.path.join(d, name), os.path.join(directory, "%04d-%s" % (n, name)))
                n += 1


program = next(iter(sorted(glob.glob(os.path.join(NPM, "node_modules", "jscpd-linux-*", "bin", "jscpd")))), None) if NPM else None
packages = glob.glob(os.path.join(os.path.dirname(os.path.dirname(PYTHON)), "lib", "python3*", "site-packages")) if PYTHON else None
three = os.path.join(os.environ.get("SENTINEL_CORPORA") or "/nonexistent", "three-0.160.0")
if not program or not packages:
    skip("clones beside jscpd's", "no JSCPD_NPM (scripts/agents-npm tests/agents/jscpd/package.json), or no AGENTS_PYTHON (scripts/agents-env)")
    done()
for language, roots, suffix, tokens_of, least, least_ours in (
        ("python", [os.path.join(packages[0], p) for p in PACKAGES], ".py", tokens_of_python, 200, 150),
        ("javascript", [os.path.join(three, d) for d in ("src", "examples/jsm")], ".js", tokens_of_javascript, 100, 150)):
    with tempfile.TemporaryDirectory() as directory:
        gather(directory, roots, suffix)
        probe = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "scan", "-m", "--no-cache", "--json", directory], stdout=subprocess.PIPE, text=True).stdout
        if '"type":"function"' in probe:
            compare(program, directory, language, tokens_of, least, least_ours)
        else:
            skip("%s: clones beside jscpd's" % language, "no grammar of it here (scripts/grammars), or no package (scripts/corpora)")
manual()
done()
