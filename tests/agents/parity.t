#!/usr/bin/python3
"""What vcr-sentinel measures of ten languages beside lizard from PyPI, and of bash beside bash, function by function, on packages of npm and of Debian.

A difference is of a class that the manual lists (tests/agents/beside.py finds which), or it counts as one. A megabyte of each language; all with VCR_LONG."""
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shellpaths  # noqa: E402
from tapkit import BUILD, done, ok, skip  # noqa: E402

SOURCE = os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BESIDE = os.path.join(SOURCE, "tests", "agents", "beside.py")
JUDGES = os.environ.get("JUDGES_PYTHON")
CORPORA = os.environ.get("SENTINEL_CORPORA")
BYTES = 1 << 40 if os.environ.get("VCR_LONG") else 1000000

# language: name, suffixes, how many functions at least, packages and where in them
LANGUAGES = {
    "javascript": ("JavaScript", (".js",), 400, ("three", "src"), ("three", "examples/jsm/loaders"), ("three", "examples/jsm/controls")),
    "typescript": ("TypeScript", (".ts",), 400, ("rxjs", "src"), ("viem", ""), ("mobx", "src")),
    "go": ("Go", (".go",), 1000, ("golang-golang-x-tools-dev", "")),
    "rust": ("Rust", (".rs",), 1000, ("librust-tokio-dev", ""), ("librust-syn-dev", "")),
    "c": ("C", (".c",), 400, ("libxmljs", "vendor")),
    "cpp": ("C++", (".cpp", ".cc", ".hpp"), 1000, ("leveldown", ""), ("node-sass", ""), ("react-native", "ReactCommon")),
    "java": ("Java", (".java",), 1000, ("react-native", "")),
    "ruby": ("Ruby", (".rb",), 1000, ("ruby-sequel", ""), ("rubocop", "")),
    "c_sharp": ("C#", (".cs",), 1000, ("com.neuecc.unirx", ""), ("com.cysharp.unitask", "")),
    "php": ("PHP", (".php",), 500, ("php-codesniffer", ""), ("php-doctrine-dbal", "")),
}

# class: suffix, text, ours, lizard's. The manual has them, too.
EXAMPLES = {
    "bounds": (".go", "package a\nfunc f(a int) struct{} {\n\tif a > 0 {\n\t}\n\treturn struct{}{}\n}\n", 2, 1),
    "closure": (".rs", "fn f(a: A) {\n    a.g(|| 1);\n}\n", 1, 2),
    "bound": (".rs", "fn f<T>(a: &T) where T: ?Sized {\n}\n", 2, 3),
    "macro": (".rs", "fn f() {\n    m!(a, T![||], match b { 1 => 2, _ => 3 });\n}\n", 1, 3),
    "literal": (".rs", "fn f(a: char) {\n    if a == 'x' {}\n    if b {}\n    if a == 'y' {}\n}\n", 4, 2),
    "reference": (".rs", "fn f(a: &&A) {\n}\n", 1, 2),
    "subject": (".rs", "fn f() {\n    match unsafe { a } {\n        B => 1,\n        C => 2,\n    }\n}\n", 2, 1),
    "name": (".js", "function f(a) {\n    a.catch(b);\n}\n", 1, 2),
    "template": (".js", "function f(a) {\n    return `${`${a ? b : c}`}`;\n}\n", 2, 1),
    "type": (".ts", "function f(a: A): A extends B ? C : D {\n    return a;\n}\n", 1, 2),
    "unless": (".rb", "def f(a)\n  return unless a\nend\n", 2, 1),
    "ensure": (".rb", "def f\n  a\nensure\n  b\nend\n", 1, 2),
    "regex": (".rb", "def f(a)\n  a =~ /(b)?/\nend\n", 1, 2),
    "heredoc": (".php", "<?php\nfunction f() {\n    return <<<'SQL'\n    a = ?\n    SQL;\n}\n", 1, 2),
    "foreach": (".cs", "class A {\n    void F(B b) {\n        foreach (var c in b) { }\n    }\n}\n", 2, 1),
    "nullable": (".cs", "class A {\n    void F() {\n        int? a = 1;\n    }\n}\n", 1, 2),
    "nullable-type": (".php", "<?php\nfunction f(?A $a) {\n}\n", 1, 2),
    "tag": (".php", "<?php\nfunction f($a) {\n    if ($a == '?>') { }\n    if ($a) { }\n    $b = '<?php ';\n}\n", 3, 2),
    "rvalue": (".cpp", "void f(A a) {\n    for (auto &&b : a) { }\n}\n", 2, 3),
    "words": (".cpp", "bool f(bool a, bool b) {\n    return a and b;\n}\n", 2, 1),
    "broken": (".c", "int f(int a)\n{\n    CHECK(a)\n    if (a)\n        return 1;\n    return 2;\n}\n", 1, 2),
}


# The same of parameters, last lines and functions that one of the two has alone: class: suffix, text, of what. The manual has them, too.
FIGURES = {
    "anonymous": (".js", "a.b(c => {\n  d(c);\n});\n", "parameters"),
    "object": (".js", "function f(object) {\n  a();\n}\n", "parameters"),
    "comma": (".go", "package a\nfunc f(a func(b, c int)) {\n\ta(1, 2)\n}\n", "parameters"),
    "operator": (".rb", "def a=(b)\n  @a = b\nend\n", "parameters"),
    "star": (".py", "def f(a, *, b):\n    return a\n", "parameters"),
    "bare": (".rb", "def f\n  (a || b).c\nend\n", "parameters"),
    "bracket": (".go", "package a\nfunc f(a int) map[int]struct{} {\n\treturn b\n}\n", "line"),
    "end": (".rb", "def f(a)\n  b = if a\n    1\n  else 2\n  end\n  b\nend\n", "line"),
    "declaration": (".java", "abstract class A {\n  abstract int f(int a);\n}\n", "ours"),
    "overload": (".py", "@overload\ndef f(a: int) -> int: ...\n@overload\ndef f(a: str) -> str: ...\ndef f(a):\n    return a\n", "ours"),
    "accessor": (".js", "class A {\n  set(a) {\n    b(a);\n  }\n}\n", "ours"),
    "constraint": (".cs", "class A {\n  void F<T>(T a)\n    where T : B\n  {\n    a.C();\n  }\n}\n", "ours"),
    "word": (".cs", "class A {\n  void F<T>(T a)\n    where T : B\n  {\n    if (a == null)\n    {\n      return;\n    }\n  }\n}\n", "lizard"),
    "annotation": (".java", "class A {\n  @B\n  @C(d)\n  int f() {\n    return 1;\n  }\n}\n", "lizard"),
    "call": (".ts", "type A = (\n  a: B,\n) => C | void\n\nfunction f() {\n}\n", "lizard"),
    "signature": (".ts", "class A {\n  b: (c: D) => E\n  f() {\n    return 1\n  }\n}\n", "lizard"),
    "in-macro": (".rs", "a! {\n    fn f() {\n        b();\n    }\n}\n", "lizard"),
    "text": (".rs", "/// ```\n/// a(\"x\nconst A: &str = r#\"\n\" fn f() { }\n\"#;\n", "lizard"),
}


def files_of(language):
    """Of its packages, as many as BYTES allow, evenly; None: one is not there."""
    _, suffixes, _, *places = LANGUAGES[language]
    found = []
    for package, where in places:
        roots = [d for d in sorted(os.listdir(CORPORA)) if d.startswith(package + "-") and d[len(package) + 1].isdigit() and os.path.exists(os.path.join(CORPORA, d, "complete"))]
        if not roots:
            return None
        for d, _, names in os.walk(os.path.join(CORPORA, roots[0], where)):
            found += [os.path.join(d, f) for f in names if f.endswith(suffixes) and not f.endswith((".d.ts", ".min.js")) and 0 < os.path.getsize(os.path.join(d, f)) < 300000]
    found.sort()
    size = sum(map(os.path.getsize, found))
    return found[::max(1, -(-size // BYTES))]


def functions_of(files):
    ours = []
    for i in range(0, len(files), 500):
        out = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "scan", "-m", "--all", "--no-cache", "--json", *files[i:i + 500]], stdout=subprocess.PIPE).stdout
        ours += [o for o in map(json.loads, out.splitlines()) if o["type"] in ("function", "skipped") or o.get("rule") == "syntax-error"]
    return ours


def beside(language, files):
    asked = json.dumps({"language": language, "files": files, "ours": functions_of(files)})
    return json.loads(subprocess.run([JUDGES, BESIDE], input=asked.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def percent(n, of):
    return "%.2f %%" % (100 * n / of if of else 0)


def one_language(language):
    name, _, least = LANGUAGES[language][:3]
    title = "%s: of %d functions or more, 99.5 %% have lizard's complexity or differ by a class of the manual" % (name, least)
    files = files_of(language)
    if not files:
        skip(title, "its packages are not here; scripts/corpora fetches them")
        return
    o = beside(language, files)
    n, left = o["compared"], o["unexplained"]
    ok(n >= least and len(left) <= 0.005 * n, title, n, len(left), left[:5])
    print("# %d functions in %d files, %s the same, %s after classes: %s" % (n, o["files"], percent(o["equal"], n), percent(n - len(left), n),
          ", ".join("%s %d" % kv for kv in sorted(o["classes"].items(), key=lambda kv: -kv[1])) or "none"))
    for what, of in (("parameters", n), ("line", n), ("functions", o["functions"])):
        figures(name, what, of, o)


def figures(name, what, n, o):
    """Parameters, last lines, and which functions there are: the same, of a class, or a difference."""
    kinds = ("ours", "lizard") if what == "functions" else (what,)
    classes = collections.Counter()
    for kind in kinds:
        classes.update({"%s %s" % (k, kind) if what == "functions" and k else k: v for k, v in o["figures"][kind].items()})
    left = [x for x in o["left"] if x[0] in kinds]
    words = {"parameters": "as many parameters as lizard says", "line": "lizard's last line", "functions": "been found by both"}[what]
    ok(len(left) <= 0.005 * n, "%s: 99.5 %% of the functions have %s or differ by a class of the manual" % (name, words), n, len(left), left[:5])
    print("# of %d %s the same, %s after classes: %s" % (n, percent(n - sum(classes.values()), n), percent(n - len(left), n),
          ", ".join("%s %d" % kv for kv in classes.most_common() if kv[0]) or "none"))


def examples(directory):
    wrong, language_of = {}, {s: k for k, v in LANGUAGES.items() for s in v[1]}
    by_language = collections.defaultdict(list)
    for name, (suffix, text, ours, lizards) in EXAMPLES.items():
        path = os.path.join(directory, name + suffix)
        with open(path, "w") as f:
            f.write(text)
        by_language[language_of[suffix]].append((path, name, ours, lizards))
    for language, tries in by_language.items():
        for path, name, ours, lizards in tries:
            o = beside(language, [path])
            row, mine = o["examples"].get(name, [[None] * 4, None])
            if (row[3], mine) != (lizards, ours):
                wrong[name] = (o["classes"], o["examples"], o["unexplained"])
    for name, (suffix, text, what) in FIGURES.items():
        path = os.path.join(directory, "figure-" + name + suffix)
        with open(path, "w") as f:
            f.write(text)
        o = beside(dict(language_of, **{".py": "python"})[suffix], [path])
        if name not in o["figures"][what]:
            wrong[name] = (o["figures"], o["left"])
    ok(not wrong, "each class of difference has an example in which lizard counts otherwise", wrong)
    names, of_figures = map(set, json.loads(subprocess.run([JUDGES, BESIDE, "--classes"], stdout=subprocess.PIPE).stdout))
    with open(os.path.join(SOURCE, "tools", "vcr-sentinel.1")) as f:
        manual = f.read()
    missing = [n for n in sorted(names | of_figures) if n not in EXAMPLES and n not in FIGURES or ".It Sy %s\n" % n not in manual]
    ok(names == set(EXAMPLES) and of_figures == set(FIGURES) and not missing, "each class of difference stands in the manual", missing, names ^ set(EXAMPLES), of_figures ^ set(FIGURES))


def bash(directory):
    """bash-completion's functions beside what bash's own parser makes of them: lizard knows no shell."""
    title = "bash: of 600 functions or more, 99.5 % have the paths that bash itself shows, or do not parse here, which is said"
    roots = [d for d in os.listdir(CORPORA) if d.startswith("bash-completion-") and os.path.exists(os.path.join(CORPORA, d, "complete"))]
    if not roots or not shutil.which("bash"):
        skip(title, "no bash, or its package is not here; scripts/corpora fetches it")
        return
    files = []
    for d, _, names in sorted(os.walk(os.path.join(CORPORA, roots[0], "usr/share/bash-completion"))):
        for f in sorted(n for n in names if d.endswith("/completions") or n == "bash_completion"):
            files.append(os.path.join(directory, "%04d-%s.bash" % (len(files), f)))
            shutil.copy(os.path.join(d, f), files[-1])
    ours = functions_of(files)
    compared, differ, lost, unread = shellpaths.compare(files, ours)
    left = [d for d in differ if not d[-1]]
    ok(compared >= 600 and len(left) <= 0.005 * compared and unread < 5, title, compared, left[:5], unread)
    print("# %d functions in %d files, %s the same, %s after classes: broken %d; %d only bash has" % (compared, len(files), percent(compared - len(differ), compared),
          percent(compared - len(left), compared), len(differ) - len(left), lost))


if not JUDGES or not CORPORA:
    skip("figures of ten languages beside lizard's", "no JUDGES_PYTHON (scripts/agents-env tests/agents/judges.txt), or no SENTINEL_CORPORA (scripts/corpora)")
    done()
probe = subprocess.run([os.path.join(BUILD, "vcr-sentinel"), "scan", "-m", "--no-cache", "--json", os.path.join(SOURCE, "lib", "buf.c")], stdout=subprocess.PIPE, text=True).stdout
if '"type":"function"' not in probe:
    skip("figures of ten languages beside lizard's", "no grammars here; scripts/grammars fetches them")
    done()
with tempfile.TemporaryDirectory() as directory:
    examples(directory)
    bash(directory)
for language in os.environ.get("VCR_TEST_LANGUAGES", " ".join(LANGUAGES)).split():
    one_language(language)
done()
