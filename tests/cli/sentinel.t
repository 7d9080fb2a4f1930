#!/usr/bin/python3
"""vcr sentinel: what scan finds, what it does not, what it skips and says, its exit statuses, and the rules it explains."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, SOURCE, Place, ok, skip, done  # noqa: E402

place = Place()


def put(name, text):
    path = os.path.join(place.dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return name


def scan(*argv):
    """(status, findings, functions, skipped {path: reason}, summary, stderr)"""
    status, out, err = place.run("vcr-sentinel", "scan", "--json", *argv)
    lines = [json.loads(line) for line in out.splitlines()]
    by = {kind: [o for o in lines if o["type"] == kind] for kind in ("finding", "function", "skipped", "summary")}
    return status, by["finding"], by["function"], {o["path"]: o["reason"] for o in by["skipped"]}, by["summary"][0] if by["summary"] else {}, err


status, out, err = place.run("vcr-sentinel", "rules")
ok(status == 0 and len(out.splitlines()) == 17 and "cyclomatic" in out, "rules lists the rules with their thresholds", out, err)
names = [line.split()[0] for line in out.splitlines()]
explained = [place.run("vcr-sentinel", "explain", name) for name in names]
ok(all(s == 0 and len(o) > 120 and not e for s, o, e in explained), "explain says of every rule what it measures and where that is from")
status, out, err = place.run("vcr-sentinel", "rules", "--preset=agent-vcr", "-r", "parameters=3,4")
ok("(warning above 50 lines, critical above 100 lines, blocker above 200 lines)" in out and "(warning above 3 parameters, critical above 4 parameters)" in out,
   "a preset has its thresholds, and --rule changes one", out)
wrong = [(), ("look",), ("explain",), ("explain", "nothing"), ("rules", "x"), ("scan", "--preset=x"), ("scan", "--rule=x=1"), ("scan", "--rule=nesting=x"), ("scan", "--nonsense")]
got = [place.run("vcr-sentinel", *w) for w in wrong]
ok(all(s == 64 and not o and e.count("\n") == 2 for s, o, e in got), "a wrong call is said in one line, with status 64", got)
status, out, err = place.run("vcr-sentinel", "scan", "nowhere")
ok(status == 3 and "nowhere" in err and not out, "a directory that is not there is a failure, not a clean scan", status, err)
os.mkdir(os.path.join(place.dir, "empty"))
status, out, err = place.run("vcr-sentinel", "scan", "empty")
ok(status == 3 and "nothing was measured" in err, "a scan that saw nothing says so, and has not passed", status, out, err)

put("clean/a.py", "def f(a):\n    return a\n")
status, findings, functions, skipped, summary, err = scan("-m", "clean")
if "not installed" in err:
    ok(status == 3 and "the grammar of Python" in err and skipped["clean/a.py"], "without its grammar a language is absent, and that is said by name", err)
    skip("what vcr-sentinel finds, skips and says", "no grammars here; scripts/grammars fetches them")
    done()
    sys.exit()
ok(status == 0 and not findings and summary["files"] == 1 and functions == [
    dict(type="function", path="clean/a.py", line=1, end_line=2, byte=0, end_byte=22, name="f", language="python", complexity=1, cognitive=0, nesting=0, length=2, parameters=1, tokens=4)],
   "what is clean has status 0, and --metrics says the figures of each function", status, findings, functions)
put("grammars/python.so", "no module")
status, out, err = place.run("vcr-sentinel", "scan", "clean", env={"VCR_GRAMMARS": os.path.join(place.dir, "grammars")})
ok(status == 3 and "the grammar of Python cannot be loaded" in err and "nothing was measured" in err, "a grammar that cannot be loaded is said by name", status, err)

# a function as a careless agent writes it: 109 lines, complexity 32, 9 parameters, and the body of another one copied
body = "".join("    if a == %d:\n        b += %d\n        c.append(b)\n" % (i, i) for i in range(31)) + "".join("    d = %d\n" % i for i in range(14)) + "    return d\n"
helper = "    total = 0\n    for name in names:\n        if name.startswith('a') and len(name) > limit:\n            total += len(name)\n    print(total, names, limit)\n    return total\n"
put("agent/utils.py", "def measure(names, limit):\n" + helper)
put("agent/handlers.py", "def handle(a, b, c, d, e, f, g, h, i):\n" + body + "\n\ndef measure_again(names, limit):\n    # a copy\n" + helper)
status, findings, functions, skipped, summary, err = scan("-m", "--preset=agent-vcr", "agent")
about = {f["rule"]: f for f in findings}
handle = [f for f in functions if f["name"] == "handle"][0]
ok((handle["length"], handle["complexity"], handle["parameters"]) == (109, 32, 9), "a function of 109 lines, complexity 32 and 9 parameters is measured as that", handle)
ok({r: (f["severity"], f["value"], f["threshold"]) for r, f in about.items()} == {
    "function-length": ("critical", 109, 100), "cyclomatic": ("critical", 32, 19), "parameters": ("warning", 9, 7), "duplicate-function": ("critical", None, None)} and status == 1,
   "the preset agent-vcr finds it too long, too complex, and the copy of another file's function; status 1", findings, status)
ok(about["duplicate-function"]["path"] == "agent/utils.py" and "measure_again() in agent/handlers.py:112" in about["duplicate-function"]["message"],
   "a duplicate names the place of the other one", about["duplicate-function"])
os.remove(os.path.join(place.dir, "agent/utils.py"))
ok("duplicate-function" not in {f["rule"] for f in scan("agent")[1]}, "a function that moved to another file is no duplicate")
status, out, err = place.run("vcr-sentinel", "scan", "--preset=agent-vcr", "agent")
ok("agent/handlers.py:1: critical: handle() is 109 lines long" in out and "      1 | def handle(a, b" in out and "1 file, 2 functions" in out, "people see the place, the reason and the line", out)
put("key/a.py", "KEY = 'ghp_" + "0123456789abcdefghijABCDEFGHIJ012345'\n")
status, out, err = place.run("vcr-sentinel", "scan", "-v", "key")
ok(status == 2 and "blocker: a secret stands here" in out and "0123456789" not in out, "a secret in a file is a blocker, has status 2, and is not shown", status, out)

def of_class(methods):
    return "class K:\n" + "".join("    def m%d(self):\n        return %d\n" % (n, n) for n in range(methods))


for preset, steps in (("default", {20: None, 21: "warning", 40: "warning", 41: "critical"}), ("agent-vcr", {15: None, 16: "warning", 41: "warning"})):
    for n in steps:
        put("class-%s/k%d.py" % (preset, n), of_class(n))
    got = {f["path"].split("/k")[1]: (f["severity"], f["value"], f["function"]) for f in scan("-p", preset, "-r", "duplicate-function=off", "class-" + preset)[1] if f["rule"] == "class-size"}
    ok(got == {"%d.py" % n: (s, n, "K") for n, s in steps.items() if s}, "class-size of %s: a class may have %d methods, and not one more" % (preset, min(steps)), got)

# what cannot be measured
put("odd/.hidden/deep/a.py", "def f(): return 1\n")
put("odd/binary.py", b"\x7fELF\0\0\0")
put("odd/wide.py", b"\xff\xfed\0e\0f\0")
put("odd/made.go", "// Code generated by a program. DO NOT EDIT.\npackage a\n")
put("odd/lib.min.js", "var a=1\n")
put("odd/latin.py", b"\xef\xbb\xbfdef latin(a):\r\n    return '\xe9\xff'\r\n")
put("odd/broken.py", "def before(a):\n    return a\n\ndef (:\n    x = = 3\n\ndef behind(a):\n    if a:\n        return 1\n")
put("odd/nested.js", "([{\n" * 30000)
put("odd/node_modules/x/a.js", "function no() {}\n")
put("odd/run", "#!/usr/bin/env python3\ndef main(): return 1\n")
with open(os.path.join(place.dir, "odd/large.c"), "wb") as f:
    f.truncate(50 << 20)
os.symlink(".", os.path.join(place.dir, "odd/loop"))
os.symlink("latin.py", os.path.join(place.dir, "odd/link.py"))
os.mkfifo(os.path.join(place.dir, "odd/pipe.py"))
status, findings, functions, skipped, summary, err = scan("-m", "odd")
reasons = {os.path.basename(p): why for p, why in skipped.items()}
want = {"binary.py": "binary", "wide.py": "UTF-16", "made.go": "generated", "lib.min.js": "minified", "large.c": "too large", "link.py": "a symbolic link",
        "nested.js": "its structure is more than the parser takes"}
ok(reasons == want, "binary, wide, generated, minified, large and bottomless files and symbolic links are skipped, each by name with the reason", reasons)
ok([f["name"] for f in functions] == ["f", "before", "behind", "latin", "main"], "hidden directories are gone into, dependencies are not; around errors, in Latin-1, with BOM and CRLF it measures",
   functions)
ok([(f["rule"], f["severity"]) for f in findings] == [("syntax-error", "critical")] and status == 1, "what does not parse is said once", findings)
put("dense/many.py", "def f(): return 1\n" * 50000)
put("dense/deep.js", "([{\n" * 60000)
put("dense/list.py", "x = [\n" + "[1, [2, a], 3],\n" * 40000 + "]\n")
os.symlink("../odd/large.c", os.path.join(place.dir, "dense/large.c"))
p = subprocess.Popen([os.path.join(BUILD, "vcr-sentinel"), "scan", "-q", "--no-cache", "-J", "1", "dense", "odd/large.c"], cwd=place.dir, env=place.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, used = os.wait4(p.pid, 0)
p.returncode = os.waitstatus_to_exitcode(status)
ok(p.returncode in (0, 1) and used.ru_maxrss < 512 << 10, "50 MB are not read, and what is dense, deep or long takes less than 512 MB of memory", p.returncode, used.ru_maxrss, used.ru_utime)
print("# %d MB" % (used.ru_maxrss >> 10))
shutil.rmtree(os.path.join(place.dir, "dense"))
# what nobody may read, not even root, which is started without the right to read everything
put("closed/a.py", "def f(a):\n    return a\n")
for name, mode in (("secret.py", 0), ("dir", 0), ("list", 0o600)):
    put("closed/" + (name if "." in name else name + "/b.py"), "def g(a):\n    return a\n")
    os.chmod(os.path.join(place.dir, "closed", name), mode)
weak = [] if os.getuid() else ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def as_owner(*argv):
    r = subprocess.run([*weak, os.path.join(BUILD, "vcr-sentinel"), "scan", *argv], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return r.returncode, r.stdout, r.stderr


titles = ("a file and a directory that cannot be read are named with the reason, and counted; the rest is measured", "a scan to which nothing was readable says so, and has not passed")
if weak and (not shutil.which("setpriv") or subprocess.run([*weak, "cat", os.path.join(place.dir, "closed", "secret.py")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 1):
    for title in titles:
        skip(title, "root that may read everything, and no setpriv(1) that changes it")
else:
    said = [as_owner("--json", *more, "closed") for more in (["--no-cache"], [], [])]
    lines = list(map(json.loads, said[0][1].splitlines()))
    reasons = {o["path"]: o["reason"] for o in lines if o["type"] == "skipped"}
    people = as_owner("closed")
    ok(reasons == {"closed/secret.py": "it cannot be read", "closed/dir": "a directory that cannot be read", "closed/list/b.py": "it cannot be read"} and said[0] == said[1] == said[2] and
       (lines[-1]["files"], lines[-1]["skipped"], lines[-1]["unread_directories"]) == (1, 3, 1) and "closed/dir: skipped: a directory that cannot be read" in people[1] and
       "3 skipped; 1 directory could not be read" in people[1], titles[0], said, people)
    status, out, err = as_owner("closed/secret.py", "closed/dir")
    ok(status == 3 and "closed/secret.py: skipped" in out and "nothing was measured: each of 2 files was skipped" in err, titles[1], status, out, err)
os.chmod(os.path.join(place.dir, "closed/dir"), 0o755)
os.chmod(os.path.join(place.dir, "closed/list"), 0o755)
place_of = os.path.join(place.dir, "odd/.hidden")
ok(place.run("vcr-sentinel", "scan", "deep", cwd=place_of)[0] == 0, "a project within a hidden directory is scanned like any other")
ok(place.run("vcr-sentinel", "scan", "-q", "odd", "odd/latin.py", "odd/latin.py")[1].count("broken.py") == 1, "a file that is named twice is measured once")
one = place.run("vcr-sentinel", "scan", "--json", "-m", "-J", "1", ".")[1]
ok(one == place.run("vcr-sentinel", "scan", "--json", "-m", "-J", "7", ".")[1], "the answer does not depend on the number of threads")

# for other programs
import xml.etree.ElementTree as xml  # noqa: E402

body9 = "".join("    if a == %d:\n        b += %d\n        c.append(b)\n" % (i, i) for i in range(31))
put("odd names/a, 100%:<b>&.py", "def handle(a, b, c, d, e, f, g, h, i):\n" + body9 + "    return a\n")
put("odd names/broken.js", "function (\n")
status, findings, functions, skipped, summary, err = scan("odd names")
s2, out, err = place.run("vcr-sentinel", "scan", "--sarif", "odd names")
log = json.loads(out)
run = log["runs"][0]
results = run["results"]
about = [(r["ruleId"], r["properties"]["severity"], r["message"]["text"], r["locations"][0]["physicalLocation"].get("region", {}).get("startLine")) for r in results]
ok(s2 == status and log["version"] == "2.1.0" and about == [(f["rule"], f["severity"], f["message"], f["line"]) for f in findings] and len(about) > 3 and
   all(run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] == r["ruleId"] for r in results), "--sarif says the same findings, each by its rule", about, findings)
ok({r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results} == {"odd%20names/a%2C%20100%25%3A%3Cb%3E%26.py", "odd%20names/broken.js"}, "and paths as URIs", out[-900:])
s2, out, err = place.run("vcr-sentinel", "scan", "--github", "odd names")
lines = out.splitlines()
ok(s2 == status and len(lines) == len(findings) and lines[0].startswith("::") and any(l.startswith("::error file=odd names/a%2C 100%25%3A<b>&.py,line=1,endLine=") and ",title=vcr-sentinel cyclomatic::handle() has" in l
                                                                                       for l in lines), "--github says each in a line that a workflow shows at its place", out)
s2, out, err = place.run("vcr-sentinel", "scan", "--junit", "odd names", "odd/lib.min.js")
suite = xml.fromstring(out).find("testsuite")
cases = {c.get("name"): ([f.get("type") for f in c.findall("failure")], c.find("skipped") is not None) for c in suite}
ok(suite.get("tests") == "3" and suite.get("failures") == "2" and suite.get("skipped") == "1" and "cyclomatic" in cases["odd names/a, 100%:<b>&.py"][0] and cases["odd/lib.min.js"] == ([], True),
   "--junit has a case for each file: failed, passed or skipped", out)
ok(place.run("vcr-sentinel", "scan", "--junit", "--sarif", "odd names")[0] == 64, "one of them at a time")

# changes

repo = os.path.join(place.dir, "repo")
long = "def f(a, b, c, d, e, f, g, h, i):\n" + "    a += b\n" * 70 + "    return a\n"


def commit(**files):
    for name, text in files.items():
        put("repo/%s.py" % name, text)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=repo, check=True, env=dict(place.env, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1"))


commit(old=long, small="def s(a):\n    return a\n")
commit(old=long + "X = 1\n", small="def s(a, b, c, d, e, f, g, h):\n    return a\n", new=long.replace("def f", "def n").replace("+=", "*="))
commit(new="def n(a):\n    return a\n")
status, out, err = place.run("vcr-sentinel", "diff", "--json", "HEAD~2..HEAD~1", cwd=repo)
got = {o["path"]: sorted((v["rule"], v["state"]) for v in o["violations"]) for o in map(json.loads, out.splitlines()) if "violations" in o}
ok(got == {"old.py": [("function-length", "old"), ("parameters", "old")], "small.py": [("parameters", "new")], "new.py": [("function-length", "new"), ("parameters", "new")]} and status == 0,
   "diff says what the changes between two revisions made worse, and what was there before", got, err)
status, out, err = place.run("vcr-sentinel", "diff", "HEAD~2", cwd=repo)
ok("small.py:1: warning: s() takes 8 parameters" in out and "old.py" not in out and "new.py" not in out and "1 findings made" in out, "one revision is compared with HEAD; people see what is new", out, err)
status, out, err = place.run("vcr-sentinel", "diff", "--preset=agent-vcr", "-r", "parameters=3,4,5", "HEAD~2", cwd=repo)
ok(status == 2, "the status is that of the worst that is new", status, out)
status, out, err = place.run("vcr-sentinel", "diff", "no..where", cwd=repo)
ok(status == 3 and "no..where" in err and err.count("\n") == 1, "a revision that is not there is a failure, said in one line", status, err)

# passages
passage = """    opened = open(path, "rb")
    try:
        header = opened.read(16)
        if len(header) < 16 or header[:4] != MAGIC:
            raise ValueError("not one of ours: %s" % path)
        count, size = struct.unpack("<II", header[4:12])
        for index in range(count):
            record = opened.read(size)
            if len(record) != size:
                log.warning("record %d of %s is short", index, path)
                break
            records.append(parse(record, index, size))
    finally:
        opened.close()
    if not records and count:
        raise ValueError("nothing in %s" % path)
"""
put("copies/a.py", "def load(path, records):\n    print('load')\n" + passage + "    return records\n")
put("copies/b.py", "def other(x):\n    return x\n\n\ndef fetch(path, kept):\n    check(path)\n" + passage.replace("records", "kept").replace("opened", "f").replace("16", "32")
    + "    # another end\n    kept.sort()\n    print(len(kept))\n")
put("copies/table.py", "".join("    ('%s', %d, %s, 'x'),\n" % (chr(97 + i % 26), i, bool(i % 2)) for i in range(200)).join(["TABLE = [\n", "]\n"]))
put("copies/table2.py", "".join("    ('%s', %d, %s, 'y'),\n" % (chr(97 + i % 25), i * 3, bool(i % 2)) for i in range(200)).join(["OTHER = [\n", "]\n"]))
found = [f for f in scan("copies")[1] if f["rule"] == "clone"]
ok([(f["path"], f["severity"], f["line"], f["end_line"]) for f in found] == [("copies/b.py", "info", 6, 22)] and "a copy of lines 2 to 18 of copies/a.py" in found[0]["message"],
   "a passage that was copied and renamed is found; tables are no clones", found)
ok("clone" not in {f["rule"] for f in scan("-r", "clone=off", "copies")[1]}, "a rule that is off says nothing")
more = "".join("    %s = opened%s(path, count)\n    while path in %s: count += opened.size - 1\n" % (c, "".join(".read[%s]" % d for d in "xyz"[:1 + i % 3]), c)
               for i, c in enumerate("pqrstuvw"))
put("parts/a.py", "def load(path, records):\n" + passage + more + "    return records\n")
put("parts/b.py", "def fetch(path, kept):\n" + passage.replace("records", "kept") + more.replace("opened", "other") + "    return 1\n")
found = [f for f in scan("parts")[1] if f["rule"] == "clone" and f["path"] == "parts/b.py"]
ok([(f["line"], f["end_line"]) for f in found] == [(1, 18), (15, 34)] and "a copy of lines 15 to 34 of parts/a.py" in found[1]["message"],
   "of a passage whose names are replaced in two ways both parts are found", found)
words = "".join("    if x.startswith('%d'):\n        x = x.replace('a', 'b') + '%d'\n    elif not x.endswith('c'):\n        del y['d'], x[1:2]\n" % (i, i) for i in range(6))
put("words/a.py", "def f(x, y):\n" + words + "    return y\n")
put("words/b.py", "def g(x, y):\n    print(y)\n" + words)
ok("clone" in {f["rule"] for f in scan("words")[1]}, "a string is one token, and what has many of them is code all the same", scan("words")[1])

# the second scan
own = os.path.join(SOURCE, "tests", "agents")
caches = os.path.join(place.home, ".cache", "vcr", "sentinel")
full = place.run("vcr-sentinel", "scan", "--json", "-m", "--no-cache", own)
before = set(os.listdir(caches)) if os.path.isdir(caches) else set()
first, second = (place.run("vcr-sentinel", "scan", "--json", "-m", own) for _ in range(2))
made = [os.path.join(caches, n) for n in set(os.listdir(caches)) - before]
ok(full[1] == first[1] == second[1] and full[0] == first[0] == second[0] and len(made) == 1, "a scan of what has not changed says the same again, from its cache", full[2], made)
empty = os.path.join(os.path.dirname(json.__file__), "..", "pydoc_data", "__init__.py")
title = "a cache that has all of it is not written again, empty files and skipped ones or not"
if os.path.isfile(empty) and not os.path.getsize(empty):
    parts = [os.path.dirname(json.__file__), os.path.dirname(empty)]
    before, inode = set(os.listdir(caches)), []
    for _ in range(2):
        said = place.run("vcr-sentinel", "scan", "--json", *parts)
        inode += [os.stat(os.path.join(caches, n)).st_ino for n in set(os.listdir(caches)) - before]
    ok(len(inode) == 2 and inode[0] == inode[1], title, inode, said[2])
else:
    skip(title, "no empty file of Python's library")
kept = open(made[0], "rb").read()
damaged = [kept[:n] for n in (0, 7, 40, len(kept) // 3, len(kept) - 1)] + [kept[:i] + bytes([kept[i] ^ 0x41]) + kept[i + 1:] for i in range(0, 4000, 97)]
good = 0
for text in damaged:
    with open(made[0], "wb") as f:
        f.write(text)
    status, out, err = place.run("vcr-sentinel", "scan", "--json", own)
    good += status in (0, 1, 2) and out.count("\n") > 0 and '"summary"' in out
ok(good == len(damaged), "a damaged cache brings no scan down", good, len(damaged))
put("edit/a.py", "def f(a, b, c, d, e, f, g, h): return a\n")
first = scan("edit")[1]
put("edit/a.py", "def f(a, b, c, d, e, f, g): return a\n")
ok(len(first) == 1 and not scan("edit")[1], "an edit is seen at once")

# CPython's own packages: a reader agrees with every duplicate that is found
agreed = {
    "asyncio": {
        "BaseEventLoop.connect_write_pipe", "Event.__repr__", "BaseSelectorEventLoop._write_to_self", "BaseSelectorEventLoop.sock_recv_into",
        "BaseSelectorEventLoop._sock_recv_into", "BaseSelectorEventLoop.sock_recvfrom", "BaseSelectorEventLoop._sock_recvfrom", "_SelectorTransport.__del__",
        "_UnixWritePipeTransport.__del__", "_UnixWritePipeTransport._fatal_error", "_UnixWritePipeTransport._call_connection_lost", "IocpProactor.recv_into.finish_recv",
        "IocpProactor.recvfrom.finish_recv", "IocpProactor.recvfrom_into.finish_recv", "IocpProactor.sendto.finish_send", "IocpProactor.send.finish_send",
        "IocpProactor.sendfile.finish_sendfile"},
    "email": {"get_ttext", "get_attrtext", "get_attribute", "get_extended_attrtext", "get_extended_attribute", "MessageIDHeader.parse"}}
for package, names in agreed.items():
    where = "/usr/lib/python3.11/" + package
    title = "in CPython's %s the only duplicates are those that a reader agrees with" % package
    if not os.path.isdir(where):
        skip(title, "there is no %s" % where)
        continue
    found = {f["function"] for f in scan(where)[1] if f["rule"] == "duplicate-function"}
    ok(found == names, title, found ^ names)
done()
