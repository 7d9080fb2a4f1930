#!/usr/bin/python3
"""Storms of file changes: a build or an installation is one frame for each place, edits keep frames of their own, and everything can be rolled back."""
import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, ok, skip  # noqa: E402

QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
         "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com", "PYTHONDONTWRITEBYTECODE": "1"}


class Project(Place):
    def __init__(self):
        super().__init__()
        self.env.update(QUIET, VCR_COLLECTOR=os.path.join(BUILD, "vcr-collector"), VCR_SHIM=os.environ.get("VCR_SHIM", os.path.join(BUILD, ".libs", "libvcrshim.so")))
        self.work = os.path.join(self.dir, "work")
        os.makedirs(self.work)
        self.sh("git init -q")

    def sh(self, script):
        subprocess.run(["bash", "-ec", script], cwd=self.work, env=self.env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def vcr(self, *argv):
        return self.run("vcr", *argv, cwd=self.work)

    def record(self, script, *options):
        """The frames about files of a run: (node, path, output)."""
        status, out, err = self.vcr("record", "-q", *options, "--", "bash", "-ec", script)
        if status:
            print("# " + (out + err).replace("\n", "\n# "))
        return self.frames()

    def frames(self):
        full = [json.loads(line) for line in self.vcr("export", "--full", "last")[1].splitlines()]
        return [(f["data"]["node_name"], f["data"]["input_state"].get("path"), f["data"]["output_state"], f["data"]["metadata"]["custom"]["vcr"])
                for f in full if f["type"] == "frame" and f["data"]["node_name"].startswith("file:")]

    def told(self, frames):
        """Every path that has a frame or stands in a storm's list."""
        paths = {path for node, path, _, _ in frames if node != "file:burst"}
        for f in self.json("vcr", "log", "--json", "last", cwd=self.work):
            if f["node"] == "file:burst":
                paths |= {line.split()[1] for line in self.vcr("show", "last", str(f["index"]))[1].splitlines() if line.endswith(" bytes)") and " " in line[:11]}
        return paths

    def look(self):
        found = {}
        for at, dirs, files in os.walk(self.work):
            dirs[:] = [d for d in dirs if d not in (".git", ".vcr")]
            for name in dirs + files:
                path = os.path.join(at, name)
                found[os.path.relpath(path, self.work)] = (os.lstat(path).st_mode, open(path, "rb").read() if os.path.isfile(path) else None)
        return found


def bursts(frames):
    return [(path, out) for node, path, out, _ in frames if node == "file:burst"]


def others(frames):
    return sorted((node, path) for node, path, _, _ in frames if node != "file:burst")


UNPACK = "mkdir -p a/b; for i in $(seq 300); do printf $i > a/b/f$i; done; mkdir -p in; tar cf ../in.tar a; rm -r a in"

# ---- what is unpacked ----
p = Project()
p.sh(UNPACK + "; printf 'one\n' > edited.py; printf x > other; git add .; git commit -qm x")
before = p.look()
found = p.record("tar xf ../in.tar; printf 'two\n' >> edited.py; printf 'mine' > a/b/note; sed -i s/x/y/ other")
after = p.look()
(place, out), = bursts(found) or [(None, {})]
ok(place == "a" and out["made"] == 300 and out["directories"] == 1 and out["bytes"] == sum(len(str(i)) for i in range(1, 301)) and len(out["names"]) == 5,
   "300 unpacked files in a new directory are one frame, with counts and their size", found[:5])
ok(("file:write", "edited.py") in others(found) and any("two" in o.get("diff", "") for n, path, o, _ in found if path == "edited.py"), "an edit meanwhile has a frame of its own, with its diff",
   others(found))
ok(("file:write", "a/b/note") in others(found), "so has one new file that another program puts into the midst of it", others(found))
ok(len(found) < 8, "and nothing else", others(found))
status, text, err = p.vcr("log", "last")
ok("a: 300 made, 1 directories" in text and "storms: 301 file changes are told by 1 frame" in text, "vcr-log tells of it in its line and below", text)
shown = p.vcr("show", "last", str(next(i for i, f in enumerate(p.json("vcr", "log", "--json", "last", cwd=p.work)) if f["node"] == "file:burst")))[1]
ok("a/b/f300 (3 bytes)" in shown and shown.count("\nmade ") == 300, "vcr-show lists every file", shown[:600])
status, text, err = p.vcr("diff", "last", "last")
ok(status == 0, "vcr-diff of the session with itself finds no difference", status, text[:300])
p.vcr("rollback", "-q")
ok(p.look() == before, "vcr-rollback takes all of it away", sorted(set(p.look()) ^ set(before))[:9])
p.vcr("rollback", "-q", "--undo")
ok(p.look() == after, "and --undo brings every byte back", sorted(set(p.look()) ^ set(after))[:9])
found = p.record("rm -r a")
(place, out), = bursts(found) or [(None, {})]
ok(place == "a" and out["removed"] == 301 and out["directories"] == 1, "a tree that is removed is one frame too", found[:3])
p.vcr("rollback", "-q")
ok(p.look() == after, "and comes back as a whole")

# ---- a build of many processes ----
p = Project()
p.sh("mkdir out src; for i in $(seq 200); do printf $i > src/f$i.c; done; printf 'out/\n' > .gitignore\n"
     "printf 'all: $(patsubst src/%%.c,out/%%.o,$(wildcard src/*.c))\nout/%%.o: src/%%.c\n\tcp $< $@\n' > Makefile; git add .; git commit -qm x")
if not shutil.which("make"):
    skip("make -j", "make is not installed")
else:
    found = p.record("make -s -j4; printf '1.5\n' >> src/f1.c")
    want = {"out/f%d.o" % i for i in range(1, 201)}
    ok({place for place, _ in bursts(found)} == {"out"} and p.told(found) >= want and len(found) <= 150,
       "make -j4: of 200 files at most 100 have frames of their own, the others share one or two, and none is missing", len(found), sorted(want - p.told(found))[:9], bursts(found))
    ok(("file:write", "src/f1.c") in others(found), "a source that is edited has its own", others(found)[-3:])
    found = p.record("touch src/*; make -s -j4 -B", "--burst=10")
    ok(sum(out["changed"] for place, out in bursts(found) if place == "out") >= 150 and p.told(found) >= want and len(found) <= 40,
       "what is built again, and is ignored by git, is a storm of changes", len(found), bursts(found))

# ---- many programs, each with a file ----
p = Project()
p.vcr("record", "-q", "--burst=off", "--", "bash", "-c", "for i in $(seq 200); do sh -c 'echo > s$0; exit $(($0 % 3))' $i; done; true")
full = [d["data"] for d in map(json.loads, p.vcr("export", "--full", "last")[1].splitlines()) if d["type"] == "frame"]
runs = {f["input_state"]["argv"][-1]: (i, f["output_state"]["exit_code"]) for i, f in enumerate(full) if f["node_name"] == "exec:sh"}
files = {f["input_state"]["path"]: (i, f["metadata"]["custom"]["vcr"].get("program")) for i, f in enumerate(full) if f["node_name"] == "file:write"}
ok(len(runs) == 200 and all(code == int(n) % 3 for n, (i, code) in runs.items()), "of 200 programs in a row each has a frame, with how it ended", len(runs), runs)
ok(len(files) == 200 and len({program for i, program in files.values()}) == 1, "and each of their files, as its program's", len(files), files)
ok(all(files["s" + n][0] < i for n, (i, code) in runs.items()), "ahead of the frame of that program")

# ---- in the midst of a storm ----
p = Project()
STORM = "import os\nfor i in range(2000):\n    open('g%d' % i, 'w').close()\nprint('ready', flush=True)\nfor i in range(2000, 4000):\n    open('g%d' % i, 'w').close()\ninput()"
running = subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", "--", "python3", "-c", STORM], cwd=p.work, env=p.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
running.stdout.readline()
p.vcr("log", "last")
known = p.json("vcr", "status", "--json", cwd=p.work)[0]["files"]["known"]
running.communicate("x\n")
frames = p.frames()
made = sum(out["made"] for _, out in bursts(frames)) + len(others(frames))
ok(known >= 2000, "who asks in the midst of a storm is told what has been done up to now", known)
ok(made == 4000, "and nothing of it is missing in the end", made)

# ---- limits ----
p = Project()
found = p.record("for i in $(seq 30); do echo > f$i; done")
ok(not bursts(found) and len(found) == 30, "30 files are no storm", len(found))
found = p.record("for i in $(seq 30); do echo > g$i; done", "--burst=10")
ok(len(bursts(found)) == 1 and bursts(found)[0][0] == "." and bursts(found)[0][1]["made"] + len(others(found)) == 30, "with --burst=10 they are", found[:3])
found = p.record("for i in $(seq 150); do echo > h$i; done", "--burst=off")
ok(not bursts(found) and len(found) == 150, "with --burst=off every file has a frame", len(found))
with open(os.path.join(p.work, ".vcr", "config"), "w") as f:
    f.write("burst 10\n")
found = p.record("for i in $(seq 30); do echo > i$i; done")
ok(len(bursts(found)) == 1, "burst 10 in .vcr/config is the same", found[:3])
status, out, err = p.vcr("record", "--burst=some", "--", "true")
ok(status == 2 and "some" in err, "a wrong number is refused in words", status, err)
running = subprocess.Popen([os.path.join(BUILD, "vcr"), "record", "-q", "--", "bash", "-c", "for i in $(seq 30); do echo > k$i; done; echo ready; read x"], cwd=p.work, env=p.env,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
running.stdout.readline()
p.vcr("log", "last")  # then everything up to now has been looked at
status, out, err = p.vcr("status")
answer = p.json("vcr", "status", "--json", cwd=p.work)[0]["files"]
running.communicate("x\n")
ok("storms:" in out and answer["burst_limit"] == 10 and answer["bursts"] == 1 and answer["known_at_most"] > answer["known"] > 0 and answer["watched_at_most"] > 0,
   "vcr-status tells of storms, and --json where the limits are", out, answer)
last = [json.loads(line) for line in p.vcr("export", "last")[1].splitlines()][-1]
ok(last["type"] == "vcr.end" and last["data"]["files"]["bursts"] == 1, "so does the session's last line", last)
p = Project()
p.sh("mkdir -p .vcr d/{1..9}; echo > d/5/f; printf 'known-files 25\nwatched-directories 4\n' > .vcr/config")
found = p.record("echo > d/9/new; for i in $(seq 30); do echo > d/f$i; done")
end = [json.loads(line) for line in p.vcr("export", "last")[1].splitlines()][-1]["data"]["files"]
log = p.vcr("log", "last")[1]
ok((end["known_at_most"], end["known"], end["watched_at_most"]) == (25, 25, 4) and end["watched"] <= 4 and end["unwatched"] >= 6 and ("file:write", "d/9/new") in others(found) and
   "limit: 25 files are known" in log and "watched-directories in .vcr/config" in log, "known-files and watched-directories in .vcr/config set the other limits, and vcr-log says where they were reached", end, log, others(found))
with open(os.path.join(p.work, ".vcr", "config"), "w") as f:
    f.write("known-files many\n")
err = p.vcr("record", "--", "true")[2]
ok("known-files" in err and ":1:" in err, "one that is no number is named with file and line", err)


# ---- installations ----
def wheel(path, n):
    with zipfile.ZipFile(path, "w") as z:
        record = []

        def add(name, data):
            z.writestr(name, data)
            record.append("%s,sha256=%s,%d" % (name, base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(), len(data)))
        for i in range(n):
            add("storm/p%d/m%d.py" % (i % 10, i), b"x = %d\n" % i)
        add("storm-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: storm\nVersion: 1.0\n")
        add("storm-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("storm-1.0.dist-info/RECORD", "\n".join(record + ["storm-1.0.dist-info/RECORD,,"]) + "\n")


p = Project()
wheel(p.dir + "/storm-1.0-py3-none-any.whl", 300)
if subprocess.run(["python3", "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=p.env, cwd=p.work).returncode:
    skip("pip install", "pip is not installed")
else:
    found = p.record("python3 -m pip -q --disable-pip-version-check install --no-index --no-deps --no-compile --target site ../storm-1.0-py3-none-any.whl; printf x > own")
    made, alone = sum(out["made"] for _, out in bursts(found)), sum(name == "file:write" and path.startswith("site/") for name, path in others(found))
    ok(made + alone >= 303 and alone <= 20 and len(found) <= 40 and ("file:write", "own") in others(found), "pip install of 300 files is told by a few frames, and none is missing",
       made, alone, len(found), others(found)[:20])
if not shutil.which("npm"):
    skip("npm install", "npm is not installed")
else:
    p = Project()
    with tarfile.open(p.dir + "/storm-1.0.0.tgz", "w:gz") as t:
        for name, data in [("package/package.json", b'{"name":"storm","version":"1.0.0"}')] + [("package/lib/d%d/f%d.js" % (i % 10, i), b"%d;\n" % i) for i in range(300)]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    p.sh("printf '{\"name\":\"top\",\"version\":\"1.0.0\"}' > package.json; printf 'node_modules/\n' > .gitignore; git add .; git commit -qm x")
    found = p.record("npm install --offline --no-audit --no-fund --silent ../storm-1.0.0.tgz")
    made, alone = sum(out["made"] for _, out in bursts(found)), sum(name == "file:write" and path.startswith("node_modules/") for name, path in others(found))
    ok(made + alone >= 301 and alone <= 20 and len(found) <= 40 and ("file:write", "package.json") in others(found) + [(n.replace("rename", "write"), q) for n, q in others(found)],
       "npm install of 300 files is told by a few frames, what it does to package.json by its own", made, alone, len(found), others(found)[:20])
done()
