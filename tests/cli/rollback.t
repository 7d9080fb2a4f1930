#!/usr/bin/python3
"""vcr rollback after real recordings: byte-, mode- and name-exact, refusing foreign edits, undoable, and safe to kill at any moment."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, done, ok, skip  # noqa: E402
from project import SHIM, Project  # noqa: E402
from steps import run_to  # noqa: E402

MOMENTS = int(os.environ.get("VCR_TEST_MOMENTS", "100"))

def kill_collector(project):
    """The one whose spool is in this project's runtime directory."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % pid, "rb").read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"vcr-collector") and any(project.run_dir.encode() in w for w in words):
            os.kill(int(pid), signal.SIGKILL)


def differences(a, b):
    return ["%s: %s -> %s" % (p, a.get(p), b.get(p)) for p in sorted(set(a) | set(b)) if a.get(p) != b.get(p)]


def same(a, b, title):
    return ok(a == b, title, *differences(a, b)[:12])


FILL = r"""
mkdir -p src/deep/er empty build sub/lib data
printf 'one\n' > src/one.py; printf 'two\n' > src/deep/two.py; printf 'no newline' > src/deep/er/three
chmod 755 src/one.py; chmod 600 src/deep/two.py; chmod 444 src/deep/er/three; chmod 700 src/deep
ln -s src/one.py link; ln -s ../src src/self; ln -s nowhere dangling
printf 'KEY=canary-not-to-be-found-1\n' > .env; chmod 600 .env
printf '.env\nbuild/\n*.db*\n' > .gitignore
head -c 200000 /dev/urandom > build/out.o; head -c 3000 /dev/zero > build/zeros
printf x > $'odd\nname'; printf y > ' lead'; printf z > 'ümlaut \\ "q"'
git init -q sub; printf s > sub/lib/s; git -C sub add .; git -C sub commit -qm s
"""
WRECK = r"""
bash -c 'rm -rf src'                         # by a child
mkdir src; printf 'other' > src/one.py
printf 'K=2' > .env; chmod 644 .env
rm build/out.o; printf more >> build/zeros
mv sub/lib sub/moved; printf t > sub/moved/t
rm link; mkdir link; printf l > link/inside
rm dangling; printf 'a file now' > dangling
rm $'odd\nname'; mv ' lead' trail; chmod 751 'ümlaut \\ "q"'
rmdir empty; printf 'was a directory' > empty
mkdir -p new/dir/with/much; printf n > new/dir/with/much/n; ln -s /etc new/etc
chmod 500 data
"""

# ---- everything an agent may do to files ----
p = Project()
p.sh(FILL + "git add .; git commit -qm first; printf untracked > untracked; git config user.name x; printf '#!/bin/sh\n' > .git/hooks/pre-commit")
before, git_before = p.look(), p.look(os.path.join(p.work, ".git"), git=True)
status, out, err = p.record(WRECK)
after = p.look()
ok(status == 0 and after != before, "an agent wrecks the workspace", err)
git_after = p.look(os.path.join(p.work, ".git"), git=True)
status, out, err = p.back("--dry-run")
ok(status == 0 and "would be put back" in out and p.look() == after, "--dry-run says what would be done and does nothing", out, err)
status, out, err = p.back()
same(before, p.look(), "after rm -rf by a child, overwrites, renames, chmods, swapped links, new directories and ignored files everything is back: bytes, modes, names")
ok(status == 0 and "--undo" in out, "that is status 0, and says how to take it back", status, out, err)
same(git_before, p.look(os.path.join(p.work, ".git"), git=True), "the user's index, HEAD, refs, config and hooks are hash-identical")
status, out, err = p.back()
ok(status == 0 and "already" in out, "a second call has nothing to do", out, err)
status, out, err = p.back("--undo")
same(after, p.look(), "--undo brings back what was there before the rollback")
status, out, err = p.back("--undo")
ok(status == 1 and "no rollback" in err and p.look() == after, "--undo given again has nothing more to take back", status, out, err)
status, out, err = p.back("--redo")
same(before, p.look(), "--redo takes the undo back")
status, out, err = p.back("--redo")
ok(status == 1 and "no undo" in err and p.look() == before, "--redo given again has nothing to take back", status, out, err)
p.back("--to", "end")
same(after, p.look(), "--to end goes on to the end of the session")
p.back()
found = p.sh("set +e; grep -rl canary-not-to-be-found %s .vcr; for o in $(git --git-dir=%s cat-file --batch-all-objects --batch-check='%%(objectname)'); do git --git-dir=%s "
             "cat-file -p $o | grep -c canary-not-to-be-found; done | grep -v '^0' | head -3; true" % (p.state(), p.state("shadow.git"), p.state("shadow.git"))).stdout
ok(not found.strip(), "no secret of .env lies in the state directory or the recording, inflated or not", found)
ok(not [n for n in os.listdir(p.vcr_dir) if "rollback" in n] and not os.path.exists(p.state("rollback.journal")), "nothing is left lying about", os.listdir(p.vcr_dir))

# ---- foreign edits ----
p = Project()
p.sh("mkdir d; printf a > d/a; printf b > d/b; printf c > c; git add .; git commit -qm x")
before = p.look()
p.record("printf A > d/a; rm d/b; mkdir made; printf m > made/m")
p.sh("printf mine > d/a; printf mine > made/mine; printf other > c")
mine = p.look()
status, out, err = p.back()
ok(status == 1 and "d/a" in out and "made/mine" in out and "nothing was done" in err, "foreign edits and files are refused and named", status, out, err)
same(mine, p.look(), "then nothing at all was done")
status, out, err = p.back("--json")
ok(status == 1 and {j["path"] for j in map(json.loads, out.splitlines()) if j.get("state") == "foreign"} == {"d/a", "made/mine"}, "--json names them too", out)
status, out, err = p.back("--force")
want = dict(before, c=mine["c"])
want.update({k: mine[k] for k in ("made", "made/mine")})
same(want, p.look(), "--force overwrites an edit; files that nobody recorded stay, and what the session did not touch")
ok(status == 1 and "made" in out, "what stays is named, with status 1", status, out, err)
p.back("--undo")
same(mine, p.look(), "--undo brings the foreign edit back")
p.sh("rm -rf d; ln -s %s d; mkdir %s/out; printf precious > %s/out/b; rm d; ln -s %s/out d" % (p.dir, p.dir, p.dir, p.dir))
status, out, err = p.back("--force")
ok(open(p.dir + "/out/b").read() == "precious" and os.listdir(p.dir + "/out") == ["b"], "a directory that somebody made a link out of the workspace is not followed", out, err)

# ---- who did it, who has it open, and some paths only ----
p = Project()
p.sh("mkdir d; printf a > d/a; printf b > d/b; printf c > c; printf e > e")
before = p.look()
p.record("printf AA > d/a; rm d/b; printf C > c; chmod 755 c; mkdir -p made/x; printf m > made/x/m; printf E > e")
after = p.look()
status, out, err = p.back("--dry-run")
rows = {line.split()[1]: line for line in out.splitlines() if line.split()[0] in ("restore", "create", "remove", "replace", "mode")}
ok(status == 0 and re.search(r"restore +d/a +\(2 -> 1 bytes; by bash \(pid \d+\), frame \d+\)", rows["d/a"]) and "mode 755 -> 644" in rows["c"] and "by rm" in rows["d/b"],
   "--dry-run says of each path its size and mode now and then, and which program changed it in which frame", out, err)
ok(re.search(r"7 paths would be put back to the start of session \S+: 1 to create, 3 to restore, 3 to remove\n$", out), "and sums it up", out)
status, out, err = p.back("--path", "d", "--path", p.work + "/made/x/m", "--path", "nothing/there")
want = dict(after, **{"d/a": before["d/a"], "d/b": before["d/b"]})
del want["made/x/m"]
same(want, p.look(), "--path puts back some files only, and what is in a directory")
ok(status == 0 and "nothing/there: nothing there differs" in err, "a path where nothing differs is named", status, out, err)
status, out, err = p.back("--path", "../elsewhere")
ok(status == 2 and "not in the workspace" in err, "a path outside the workspace is a wrong call", status, err)
p.back("--undo")
same(after, p.look(), "--undo takes just that back")
status, out, err = p.back("--path", "made/x", cwd=p.work + "/d")
ok(status == 0 and "nothing there" in err and p.look() == after, "paths are relative to where the call is made", status, out, err)
p.record("printf theirs > d/a; printf mine > unrelated", "-s", "the-other")
p.sh("printf byhand > e")
ours = [s["session_id"] for s in p.json("vcr", "log", "--json", cwd=p.work) if s["session_id"] != "the-other"][0]
mixed = p.look()
status, out, err = p.back(ours)
ok(status == 1 and re.search(r"foreign +d/a +\(changed since by bash \(pid \d+\) in session the-other, frame \d+, ", out) and
   re.search(r"foreign +e +\(changed by somebody else since; no session recorded it: 2\d\d\d-.*, owner \S+\)", out) and p.look() == mixed,
   "a refusal says who changed each path: the other session's program and frame, or when and whose the file is", status, out, err)
status, out, err = p.back("--json", ours)
rows = {j.get("path"): j for j in map(json.loads, out.splitlines())}
ok(status == 1 and rows["d/a"]["changed_by"]["session"] == "the-other" and rows["d/a"]["written_by"]["program"] == "bash" and "changed_by" not in rows["e"], "--json too", out)
status, out, err = p.back("--path", "c", ours)
ok(status == 0 and p.look() == dict(mixed, c=before["c"]), "foreign edits elsewhere are no reason to refuse the paths that were named", status, out, err)
p = Project()
p.sh("printf 1 > f; mkdir -p d; printf 2 > g")
p.record("printf 11 > f; mkdir gone; printf 22 > g")
holder = subprocess.Popen([sys.executable, "-c", "import os; f = open('f', 'a'); os.chdir('gone'); print('ready', flush=True); input()"], cwd=p.work, env=p.env,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
holder.stdout.readline()
status, out, err = p.back("--dry-run")
ok(status == 0 and "(pid %d) writes f: it would go on with the old file" % holder.pid in err and "(pid %d) stands in gone" % holder.pid in err and " g:" not in err,
   "a program that has a file open, or stands in a directory that goes, is named before, with what it does", status, out, err)
status, out, err = p.back("--dry-run", "--json")
rows = {j.get("path"): j for j in map(json.loads, out.splitlines())}
ok(not err and [h["pid"] for h in rows["f"]["held_by"]] == [holder.pid] and rows["g"]["held_by"] == [], "--json says it with the path", out, err)
status, out, err = p.back()
ok(status == 0 and "(pid %d) writes f: it goes on with the old file until it opens it again" % holder.pid in err and open(p.work + "/f").read() == "1", "and when it is done", status, out, err)
holder.communicate("x\n")

# ---- two agents in one tree ----
p = Project(git=False)
p.sh("printf 0 > a; printf 0 > b; printf 0 > both; mkdir shared")
before = p.look()
TURNS = {"one": "printf 1 > a; printf 1 > both; printf 1 > shared/one; mkdir -p made; printf 1 > made/one; echo; read x; printf 2 > a",
         "two": "printf 2 > b; printf 22 > both; printf 2 > shared/two; printf 2 > made/two; echo; read x"}
agents = {}
for name in ("one", "two"):
    agents[name] = subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", "-s", name, "--", "bash", "-c", TURNS[name]], cwd=p.work, env=p.env, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True)
    agents[name].stdout.readline()
for name in ("two", "one"):
    agents[name].communicate("x\n")
after = p.look()
status, out, err = p.back("one")
ok(status == 1 and re.search(r"foreign +both +\(changed since by bash \(pid \d+\) in session two", out) and p.look() == after,
   "of two agents that work in one tree at the same time, what both changed is refused by name", status, out, err)
status, out, err = p.back("one", "--path", "a", "--path", "b", "--path", "shared", "--path", "made")
want = dict(after, a=before["a"])
del want["shared/one"], want["made/one"]
ok(p.look() == want and "b stays: it was changed by session two" in err and "shared/two stays" in err, "each rollback takes back what its own session did, and names what stays as the other's",
   status, out, err, *differences(want, p.look()))
status, out, err = p.back("two", "--path", "b", "--path", "shared", "--path", "made/two")
want.update(b=before["b"])
del want["shared/two"], want["made/two"]
ok(status == 0 and p.look() == want, "and the other's does the same", status, out, err, *differences(want, p.look()))

# ---- steps ----
p = Project()
p.sh("printf 0 > f")
SERVER = """
import glob, http.server, json, sys, time
n = 0
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        global n
        self.rfile.read(int(self.headers['Content-Length']))
        n += 1  # a model thinks for longer than a savepoint takes
        while not glob.glob(sys.argv[1] + '/*/%d' % n): time.sleep(0.002)
        body = json.dumps({'id': 'c', 'object': 'chat.completion', 'model': 'gpt-4o', 'choices': [{'index': 0, 'finish_reason': 'stop', 'message': {'role': 'assistant', 'content': 'x'}}]}).encode()
        self.send_response(200); self.send_header('Content-Type', 'application/json'); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.HTTPServer(('127.0.0.1', 0), H)
print(s.server_address[1], flush=True)
s.serve_forever()
"""
AGENT = """
import http.client, json, sys
c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
for i in range(1, 4):
    open('f', 'w').write(str(i)); open('g%d' % i, 'w').write('g')
    c.request('POST', '/v1/chat/completions', json.dumps({'model': 'gpt-4o', 'messages': [{'role': 'user', 'content': 'q%d' % i}]}), {'Content-Type': 'application/json'})
    c.getresponse().read()
open('f', 'w').write('end')
"""
server = subprocess.Popen([sys.executable, "-c", SERVER, p.state("shadow.git", "refs", "vcr")], stdout=subprocess.PIPE, text=True)
port = server.stdout.readline().strip()
status, out, err = p.vcr("record", "-q", "--", sys.executable, "-c", AGENT, port)
server.kill()
server.wait()
frames = p.json("vcr", "log", "--json", "last", cwd=p.work)
calls = [f for f in frames if f["type"] == "llm"]
full = p.json("vcr", "show", "--json", "call:1", cwd=p.work)
ok(len(calls) == 3 and len(full[0]["metadata"]["custom"]["vcr"].get("savepoint", "")) == 40, "each model call carries the savepoint that was taken at its request", frames)
savepoints = p.json("vcr", "rollback", "--list", "--json", cwd=p.work)
ok([s["kind"] for s in savepoints] == ["base", "call", "call", "call", "end"], "--list shows the base, one for each call, and the end", savepoints)


def contents():
    return open(p.work + "/f").read(), sorted(n for n in os.listdir(p.work) if n.startswith("g"))


for step, text, made in (("call:1", "2", 2), ("call:0", "1", 1), ("end", "end", 3), ("call:2", "3", 3), ("start", "0", 0), (str(calls[1]["index"]), "2", 2),
                         (str(calls[1]["index"] - 1), "1", 1), ("@" + calls[2]["time"], "3", 3), ("0", "0", 0)):
    status, out, err = p.back("--to", step)
    ok(status == 0 and contents() == (text, ["g%d" % (i + 1) for i in range(made)]), "--to %s: the files as they were then" % re.sub("@.*", "@TIME", step), contents(), out, err)
for args, words in ((["--to", "call:9"], "call:9"), (["--to", "99999"], "99999"), (["nosuch"], "nosuch"), (["--undo", "last"], "--undo"), (["--redo", "--to", "0"], "--redo"), (["--redo", "--undo"], "--redo"), (["--undo", "--path", "f"], "--path"), (["--list", "--force"], "--list"), (["a", "b"], "one session")):
    status, out, err = p.back(*args)
    ok(status == 2 and words in err and not out, "a wrong call is refused in words: %s" % " ".join(args), status, err)

# ---- every kind of place ----
def place_is_restored(title, project, bare=False):
    project.sh("mkdir -p d; printf 1 > d/f; printf 2 > t; chmod 640 t")
    first = project.look()
    wreck = "rm -r d; printf 3 > t; chmod 755 t; mkdir e; printf 4 > e/g; for f in sub/s in/i; do test ! -e $f || printf more >> $f; done"
    if bare:
        project.sh(wreck, env={"LD_PRELOAD": SHIM})
    else:
        project.record(wreck)
    changed = project.look() != first
    code, words, errors = project.back()
    return ok(changed and code == 0 and project.look() == first, title, code, words, errors, *differences(first, project.look()))


p = Project()
p.sh("printf 'vcr-sealed-1\\nas it happens' > odd; git add odd; git commit -qm odd")
before = p.look()
p.vcr("record", "-q", "--", "sh", "-c", "chmod 755 odd; printf x >> odd; printf 'vcr-sealed-1\\nas it happens' > odd")
back = p.back("-q", "--to", "start")
ok(back[0] == 0 and p.look() == before, "a file that git has and that begins as sealed ones do is the user's, whichever name its content is known by", back)

place_is_restored("it works without a git repository", Project(git=False))
place_is_restored("it works with an unborn HEAD", Project())
place_is_restored("it works after a run under the bare preload", Project(), bare=True)
for words, make in (("a sparse checkout", "mkdir in out; echo i > in/i; echo o > out/o; git add .; git commit -qm x; git sparse-checkout set --cone --sparse-index in"),
                    ("a sha256 repository", "rm -rf .git; git init -q --object-format=sha256; printf 0 > t; git add t; git commit -qm x"),
                    ("a partial clone", "printf 0 > t; git add t; git commit -qm x; git config core.repositoryformatversion 1; git config extensions.partialClone origin"),
                    ("a repository with a submodule", "git init -q sub; echo s > sub/s; git -C sub add s; git -C sub commit -qm s; git add sub 2>/dev/null; git commit -qm x")):
    p = Project()
    p.sh(make)
    git_before = p.look(p.work, git=True)
    git_before = {k: v for k, v in git_before.items() if ".git/" in k}
    place_is_restored("it works in " + words, p)
    git_after = {k: v for k, v in p.look(p.work, git=True).items() if ".git/" in k}
    same(git_before, git_after, "and leaves its .git alone")
p = Project()
p.sh("git commit -q --allow-empty -m x; git worktree add -q ../linked")
p.work = os.path.join(p.dir, "linked")
p.vcr_dir = os.path.join(p.work, ".vcr")
git_before = p.look(os.path.join(p.dir, "work", ".git"), git=True)
place_is_restored("it works in a linked worktree", p)
same(git_before, p.look(os.path.join(p.dir, "work", ".git"), git=True), "and leaves the repository behind it alone")
p = Project(git=False)
p.work = p.home
status, out, err = p.record("printf 1 > f")
ok(status == 0, "a session in the home directory is recorded", err)
status, out, err = p.back()
ok(status == 2 and "home directory" in err, "but no rollback is made there", status, out, err)
status, out, err = p.back("--undo", cwd="/")
ok(status == 2 and "root" in err, "nor in /", status, out, err)
p = Project(git=False)
p.sh("printf 1 > f")
running = subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", "--", "bash", "-c", "printf 2 > f; echo ready; read x"], cwd=p.work, env=p.env, stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)
running.stdout.readline()
status, out, err = p.back()
ok(status == 1 and "still runs" in err and open(p.work + "/f").read() == "2", "a session that still runs is not rolled back", status, out, err)
running.communicate("x\n")
status, out, err = p.back()
ok(status == 0 and open(p.work + "/f").read() == "1", "when it has ended, it is", status, out, err)

# ---- a database in use ----
p = Project()
p.sh("printf '*.db*\n' > .gitignore")
DATABASE = "import sqlite3, sys; c = sqlite3.connect('app.db'); c.execute('pragma journal_mode=wal'); c.execute('create table if not exists t(x)'); " \
           "c.execute('insert into t values(?)', (sys.argv[1],)); c.commit(); print('ready', flush=True); sys.stdin.read()"
user = subprocess.Popen([sys.executable, "-c", DATABASE, "before"], cwd=p.work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
user.stdout.readline()
before = p.look()
p.record("%s -c \"%s\" agent < /dev/null > /dev/null" % (sys.executable, DATABASE))
changed = p.look() != before
status, out, err = p.back()
same(before, p.look(), "an ignored database that somebody has open, with its -wal and -shm, is byte for byte what it was")
rows = subprocess.run([sys.executable, "-c", "import sqlite3; print(sqlite3.connect('app.db').execute('select x from t').fetchall())"], cwd=p.work, stdout=subprocess.PIPE, text=True).stdout
ok(changed and rows == "[('before',)]\n" and "app.db-wal" in before, "who opens it now sees the old rows", rows, before.keys())
user.communicate("")

# ---- without being root ----
LOCKED = r"""chmod -R u+w locked; rm locked/in/f; printf x > locked/in/new; chmod 500 locked/in locked; printf changed > shut; chmod 000 shut; printf 4 > d/g; chmod 500 d"""
p = Project(git=False)
p.sh("mkdir -p locked/in d; printf 1 > locked/in/f; printf 2 > shut; printf 3 > d/g; chmod 500 locked/in; chmod 555 locked")
if os.getuid():
    def as_user(*argv):
        return p.run(*argv, cwd=p.work)
else:
    shutil.copytree(os.path.dirname(SHIM), p.dir + "/bin", ignore=lambda d, names: [n for n in names if not n.startswith("libvcrshim")])
    for name in ("vcr", "vcr-verbs", "vcr-collector"):
        shutil.copy(os.path.join(BUILD, name), p.dir + "/bin")
    p.env.update(VCR_COLLECTOR=p.dir + "/bin/vcr-collector", VCR_SHIM=p.dir + "/bin/libvcrshim.so")
    p.sh("chown -R 65534:65534 %s %s" % (p.dir, p.run_dir))

    def as_user(name, *argv):
        r = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", p.dir + "/bin/" + name, *argv], cwd=p.work, env=p.env,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return r.returncode, r.stdout, r.stderr
if os.getuid() == 0 and os.stat(p.work).st_uid != 65534:
    skip("what an agent locked comes back for a user without privileges", "there is no other user here: root of a user namespace")
else:
    before = p.look()
    as_user("vcr", "record", "-q", "--", "bash", "-c", LOCKED)
    after = p.look()
    status, out, err = as_user("vcr", "rollback")
    ok(after != before and p.look() == before, "what an agent locked, directories and files that nobody may read or write, comes back too", status, out, err, *differences(before, p.look()))
    status, out, err = as_user("vcr", "rollback", "--undo")
    same(after, p.look(), "and is locked again by --undo")
p.sh("chmod -R u+rwX .")

# ---- the collector dies ----
p = Project()
p.sh("printf 1 > f; mkdir d; printf 1 > d/g")
before = p.look()
dying = subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", "--", "bash", "-c", "printf 2 > f; echo ready; read x; rm -r d; printf 3 > h"], cwd=p.work, env=p.env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
dying.stdout.readline()
kill_collector(p)
dying.communicate("x\n")
status, out, err = p.back()
same(before, p.look(), "after the collector was killed the workspace still comes back")

# ---- the recording itself ----
for how in ("git clean -qfdx", "rm -rf .vcr"):
    p = Project()
    p.sh("printf 1 > f; git add .; git commit -qm x; printf 2 > untracked; printf 3 > ignored; printf ignored > .gitignore")
    before = p.look()
    status, out, err = p.record("printf 2 > f; %s; printf 4 > made; /bin/true" % how)
    frames = p.json("vcr", "log", "--json", "last", cwd=p.work)
    ok(status == 0 and [f["node"] for f in frames].count("exec:true") == 1 and any(f["what"].startswith("f ") for f in frames),
       "the recording survives an agent's %s: what was before and what came after" % how, status, err, [(f["node"], f["what"]) for f in frames])
    ok(not os.listdir(p.state("live")), "and no second name of it is left", os.listdir(p.state("live")))
    p.back()
    same(before, p.look(), "and so does what %s took away" % how)
p = Project()
p.sh("printf 1 > f")
dying = subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", "--", "bash", "-c", "/bin/true; echo ready; read x; rm -rf .vcr; echo gone; read x"], cwd=p.work, env=p.env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
dying.stdout.readline()
p.vcr("status")
kill_collector(p)
dying.stdin.write("x\n")
dying.stdin.flush()
dying.stdout.readline()
dying.communicate("x\n")
frames = p.json("vcr", "log", "--json", "last", cwd=p.work)
ok("exec:true" in [f["node"] for f in frames], "even when the collector has died before", frames)

# ---- kill -9 at any moment ----
p = Project(git=False)
p.sh("mkdir -p a/b keep; for i in $(seq 40); do printf $i > a/f$i; printf $i > a/b/f$i; done; ln -s a link; chmod 600 a/f1")
before = p.look()
p.record("for i in $(seq 1 2 40); do printf changed > a/f$i; done; rm -r a/b; printf file > a/b; rm link; mkdir link; for i in $(seq 30); do printf n > link/n$i; done; rmdir keep")
after = p.look()
states, target, wrong, begun_at, finished, untouched = {"start": before, "end": after}, "start", [], {}, 0, 0


# LeakSanitizer cannot work in a program that is traced.
TRACED = dict(p.env, ASAN_OPTIONS=":".join(filter(None, [p.env.get("ASAN_OPTIONS"), "detect_leaks=0"])))


def rollback_to(where, upto=None, each=None):
    return run_to([os.path.join(BUILD, "vcr"), "rollback", "-q", "--to", where], upto, each, cwd=p.work, env=TRACED)


def moments(where):
    """A whole run to there, watched: 10 system calls before its journal is there, 38 while it is, 2 after. Each way is of some length of its own."""
    there = []
    total, status = rollback_to(where, each=lambda n: there.append(n) if os.path.exists(p.state("rollback.journal")) else None)
    if not total or status or not there:
        return None
    early, amid = MOMENTS // 10, MOMENTS // 2 - MOMENTS // 10 - 2
    return [1 + i * (there[0] - 1) // early for i in range(early)] + [there[0] + i * len(there) // amid for i in range(amid)] + [there[-1] + 1, total]


ways = {where: moments(where) for where in ("start", "end")}
if not all(ways.values()):
    skip("killed at %d moments of a rollback" % MOMENTS, "tracing a child is not allowed here")
else:
    for turn in range(MOMENTS // 2 * 2):
        source = "end" if target == "start" else "start"
        moment = ways[target][turn // 2]
        n, status = rollback_to(target, moment)
        begun = os.path.exists(p.state("rollback.journal"))
        here = p.look()
        finished += begun
        untouched += here == states[source]
        if not begun and here not in (before, after):
            wrong.append("call %d to the %s: half done without a journal" % (moment, target))
        if begun and turn // 2 % 2:
            status, out, err = p.back("--undo")
            if status or p.look() != states[source]:
                wrong.append("call %d to the %s: --undo: %s %s %s" % (moment, target, status, err, differences(states[source], p.look())[:4]))
        status, out, err = p.back("--to", target)
        if status or p.look() != states[target]:
            wrong.append("call %d to the %s: %s %s %s" % (moment, target, status, err, differences(states[target], p.look())[:4]))
        target = source
    ok(not wrong, "killed at %d moments, spread over its system calls, the next command finishes or undoes, and nothing is lost" % MOMENTS, *wrong[:5])
    enough = (0.7 * MOMENTS, 0.15 * MOMENTS) if MOMENTS >= 40 else (1, 1)
    ok(finished >= enough[0] and untouched >= enough[1], "most of these moments were in the midst of it, some before", finished, untouched)
ok(not [n for n in os.listdir(p.vcr_dir) if "rollback" in n], "nothing is left lying about in the end", os.listdir(p.vcr_dir))

# ---- what a rollback asks of the machine ----
if not shutil.which("strace"):
    skip("the system calls of a rollback", "strace is not installed")
else:
    trace = os.path.join(p.dir, "trace")
    p.run("vcr", "rollback", "-q", "--to", "start", cwd=p.work)
    subprocess.run(["strace", "-f", "-qq", "-o", trace, "-e", "trace=open,openat,rename,fsync,fdatasync,sync,syncfs,sync_file_range", os.path.join(BUILD, "vcr"), "rollback", "-q", "--to", "end"],
                   cwd=p.work, env=TRACED, check=True)
    calls = open(trace).read().splitlines()
    syncs = [c for c in calls if re.search(r"\b(fsync|fdatasync|sync|syncfs)\(", c)]
    kind = subprocess.run(["stat", "-f", "-c", "%T", p.state()], stdout=subprocess.PIPE, text=True).stdout.strip()
    device = os.stat(p.state()).st_dev
    try:
        name = os.path.basename(os.readlink("/sys/dev/block/%d:%d" % (os.major(device), os.minor(device))))
        journal = open("/sys/fs/ext4/%s/journal_task" % name).read().strip() != "<none>"
    except OSError:
        journal = False
    if kind == "xfs" or (kind == "ext2/ext3" and journal):
        begun = next((i for i, c in enumerate(calls) if "rename(" in c and "rollback.journal" in c), 0)
        waited = [c for c in calls[:begun] if "WAIT_AFTER" in c and c.endswith("= 0")]
        ok(not syncs and begun and len(waited) > 50, "a rollback waits for its own bytes alone, before anything is destroyed, and not for what other programs left to be written", syncs, begun, len(waited))
    else:
        ok(syncs and p.look() == after, "a rollback is made durable before it is done", kind, syncs)
    other = Project()
    other.sh("mkdir disk; echo one > disk/f; git add disk; git commit -qm x")
    there = ("mount -t tmpfs none disk && git checkout -q disk && vcr record -q -- bash -c 'echo two > disk/f; echo new > disk/new' && exec strace -y -f -qq -o %s "
             "-e trace=openat,rename,renameat,renameat2,unlink,unlinkat,fsync vcr rollback -q" % trace)
    alone = subprocess.run(["unshare", "-rm", "bash", "-c", "mount -t tmpfs none /mnt"], stderr=subprocess.DEVNULL)
    if alone.returncode:
        skip("a rollback on two file systems", "no mounts in a namespace of one's own here")
    else:
        open(trace, "w").close()
        r = subprocess.run(["unshare", "-rm", "bash", "-c", there], cwd=other.work, env=dict(other.env, PATH=BUILD + ":" + os.environ["PATH"]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        calls = open(trace).read().splitlines()
        at = {what: next((i for i, c in enumerate(calls) if re.search(pattern, c)), None) for what, pattern in (
            ("begun", r"rename\(.*rollback\.journal\.new"), ("committed", r"fsync\(\d+<%s>" % re.escape(other.state())), ("gone", r'unlinkat\(.*"new"'),
            ("flushed", r"fsync\(\d+<.*disk/\.vcr-rollback/\d+>"), ("placed", r'renameat\(.*disk/\.vcr-rollback>.*"f"\) = 0'))}
        ok(None not in at.values() and at["begun"] < at["committed"] < at["gone"] and at["flushed"] < at["placed"],
           "on another file system nothing goes before what brings it back is on the disk, nor its new content", at, r.stdout, *calls[-40:])
    ok(not [c for c in calls if "/ssl/cert" in c or "ca-certificates" in c], "and no certificates are read for it", [c for c in calls if "cert" in c])
done()
