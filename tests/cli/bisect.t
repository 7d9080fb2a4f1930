#!/usr/bin/python3
"""vcr bisect: the step after which a check fails is found over savepoints, in directories of their own, with what changed and the call behind it."""
import glob
import hashlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, ok
import serverkit
from tapkit import SHIM

TURNS, BROKEN = 9, 6
AGENT = """
import http.client, json, os, sys
c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
for turn in range(%d):
    c.request('POST', '/v1/chat/completions', json.dumps({'model': 'gpt-4o', 'messages': [{'role': 'user', 'content': 'q%%d' %% turn}]}), {'Content-Type': 'application/json'})
    c.getresponse().read()
    open('log', 'a').write('turn %%d\\n' %% turn)
    if turn == %d:
        open('src/sum.sh', 'w').write('echo $(($1 - $2))\\n')
        os.unlink('old')
""" % (TURNS, BROKEN)
place = Place()
work = os.path.join(place.dir, "work")
place.vcr_dir = os.path.join(work, ".vcr")
place.env.update(VCR_COLLECTOR=os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector")), VCR_SHIM=SHIM, TMPDIR=os.path.join(place.dir, "tmp"))
os.makedirs(os.path.join(work, "src"))
os.makedirs(os.path.join(work, "node_modules", "dep"))
os.mkdir(place.env["TMPDIR"])
subprocess.run(["git", "init", "-q", work], env=place.env, check=True)
for name, text, mode in (("src/sum.sh", "echo $(($1 + $2))\n", 0o755), (".env", "API_KEY=sk-canary-0123456789abcdef\n", 0o600), ("old", "x", 0o644), ("node_modules/dep/index.js", "1", 0o644)):
    with open(os.path.join(work, name), "w") as f:
        f.write(text)
    os.chmod(os.path.join(work, name), mode)
os.symlink("src/sum.sh", os.path.join(work, "link"))
state = os.path.join(place.home, ".local", "state", "vcr", hashlib.sha256(work.encode()).hexdigest()[:16])


def answer(request, path):
    while not glob.glob(os.path.join(state, "shadow.git", "refs", "vcr", "*", str(len(server.asked) - 1))):
        time.sleep(0.002)  # a model thinks for longer than a savepoint takes; the first call's is the base
    return serverkit.completion("x")


def look():
    return {os.path.join(d, n): open(os.path.join(d, n), "rb").read() for d, _, names in os.walk(work) if "/.vcr" not in d for n in names}


def bisect(*words, **options):
    return place.run("vcr-bisect", *words, cwd=work, **options)


server = serverkit.Model(answer)
status, out, err = place.run("vcr-record", "-q", "--session", "s", "--", sys.executable, "-c", AGENT, str(server.port), cwd=work)
before = look()
frames = [json.loads(line) for line in place.run("vcr-log", "--json", "s", cwd=work)[1].splitlines()]
calls = [f["index"] for f in frames if f["type"] == "llm"]
points = [json.loads(line) for line in place.run("vcr-rollback", "--list", "--json", "s", cwd=work)[1].splitlines()]
check = ("sh", "-c", 'test "$(sh src/sum.sh 2 3)" = 5')
code, out, err = bisect("--json", "--", *check)
said = [json.loads(line) for line in out.splitlines()]
found = said[-1] if said else {}
ok(status == 0 and len(calls) == TURNS and code == 0 and sorted(found.get("paths", [])) == ["log", "old", "src/sum.sh"] and found["frame"] == calls[BROKEN],
   "the first bad step is found, with the paths that changed there and the call upon whose answer they did", status, code, out, err, calls, points)
by_n = {p["savepoint"]: p for p in points}
ok(found and found["first_bad"] > found["last_good"] >= 1 and len(said) - 1 <= 2 + 4 and all(t["result"] == ("good" if t["savepoint"] <= found["last_good"] else "bad") for t in said[:-1]),
   "no more trials are made than halving takes", said)
code, out, err = bisect("s", "--", *check)
ok(code == 0 and "first bad: savepoint %d" % found["first_bad"] in out and "changed  src/sum.sh" in out and "removed  old" in out and "vcr-show s %d" % calls[BROKEN] in out, "people are told the same", out, err)
ok(look() == before and not os.listdir(place.env["TMPDIR"]), "the workspace is not touched, and nothing is left lying about", os.listdir(place.env["TMPDIR"]))

code, out, err = bisect("--", "sh", "-c", 'test $(stat -c %a src/sum.sh) = 755 && test "$(readlink link)" = src/sum.sh && grep -q canary .env && test $(stat -c %a .env) = 600 && '
                        'test -r node_modules/dep/index.js && test ! -e .git && test ! -e .vcr && test -n "$VCR_BISECT_SAVEPOINT" && cd "$VCR_BISECT_WORKSPACE"')
ok(code == 1 and "does not fail at the end" in err, "a check sees the files with modes and links, secrets as they are, and what is not kept as it is now", code, out, err)
code, out, err = bisect("--", "sh", "-c", "chmod 555 src; mkdir -p a/b; chmod 0 a/b; rm -rf node_modules/dep/index.js.none; false")
ok(code == 1 and "fails at the start" in err and not os.listdir(place.env["TMPDIR"]), "one that fails from the start is told so, and what it locked is removed", code, out, err)
code, out, err = bisect("--json", "--", "sh", "-c", 'n=$(wc -l < log 2>/dev/null || echo 0); test $n -lt 3 || test $n -gt 8 || exit 125; test $n -lt 9')
found = json.loads(out.splitlines()[-1]) if code == 0 else {}
ok(code == 0 and found["first_bad"] - found["last_good"] > 1 and '"skipped"' in out, "status 125 skips, and the span that is left is told", code, out, err)
code, out, err = bisect("--", "/nonexistent/check")
ok(code == 3 and "cannot be run" in err and not os.listdir(place.env["TMPDIR"]), "a check that cannot be run ends it", code, out, err)
ok([bisect(*w)[0] for w in ((), ("--",), ("a", "b", "--", "true"), ("nothere", "--", "true"))] == [2] * 4, "a wrong call is told so")
server.close()
done()
