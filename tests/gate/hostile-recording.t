#!/usr/bin/python3
"""Recordings that are made to harm whoever replays them: what cannot be is refused by name, in bounded memory, and nothing outside of .vcr is read or written."""
import base64
import hashlib
import http.client
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import ANTHROPIC, BUILD, Gate, Recording, ask, clikit, done, json, ok, sanitized, skip

http.client._MAXHEADERS = 1000
MEGA = 1 << 20
MOST = 320 * MEGA  # one body of the largest size that is taken, and the program
TOOLS = (["vcr-log"], ["vcr-verify"], ["vcr-export", "--full"], ["vcr-export", "--cassette"], ["vcr-export", "--html"])


def zeros(n):
    """An LZ4 block of n zero bytes, by its format: one literal, one match, the last twelve literals."""
    most, last = divmod(n - 13 - 4 - 15, 255)
    return base64.b64encode(b"\x1f\0\1\0" + b"\xff" * most + bytes([last]) + b"\xc0" + bytes(12)).decode()


def stored(ref, size, sha256="0" * 64, **more):
    return {"type": "vcr.body", "data": dict({"ref": ref, "size": size, "sha256": sha256}, **more)}


def text(ref, value, **more):
    return stored(ref, len(value), hashlib.sha256(value.encode()).hexdigest(), enc="text", text=value, **more)


# What an answer's body is stored as, and what whoever asks for it is told.
BODIES = {
    "a body based on itself": ([text("c0", "x", base="c0", ops=[0, 1, 0])], "is based on a later one"),
    "bodies that need each other": ([text("c1", "x", base="c2", ops=[0, 1, 0]), text("c2", "x", base="c1", ops=[0, 1, 0])], "is based on a later one"),
    "a body near to itself": ([text("c3", "yy"), text("c4", "x", base="c3", near="c4", ops=[0, 1, 0])], "is based on a later one"),
    "a body that is not there": ([], "has no body"),
    "a body whose name is a path": ([], "has no body"),
    "a size of 2^60": ([stored("c5", 1 << 60, enc="lz4", lz4=zeros(1000))], 'no usable "size"'),
    "a size below zero": ([stored("c6", -5, enc="text", text="x")], 'no usable "size"'),
    "a size that is no number": ([stored("c7", "many", enc="text", text="x")], 'no usable "size"'),
    "256 MB claimed of some bytes": ([stored("c8", 256 * MEGA, enc="lz4", lz4=zeros(1000))], "its base64 is damaged"),
    "400 MB in a block that claims 200": ([stored("c9", 200 * MEGA, enc="lz4", lz4=zeros(400 * MEGA))], "its LZ4 block is damaged"),
    "packed bytes that are more than a body": ([stored("d0", 10, enc="lz4", packed=1 << 40, lz4=zeros(1000))], '"packed" does not fit'),
    "operations that multiply": ([text("d1", "y" * 1000), stored("d2", 200 * MEGA, enc="text", text="", packed=0, base="d1", ops=[0, 1000, 0] * 100000)], "do not make"),
    "operations that make more than they say": ([text("d3", "y" * 1000), stored("d4", 1500, enc="text", text="", packed=0, base="d3", ops=[0, 1000, 0] * 2)], 'make more than "size"'),
    "an operation outside its base": ([text("d5", "y"), stored("d6", 5, enc="text", text="", packed=0, base="d5", ops=[1 << 40, 5, 0])], "outside its base"),
    "a dictionary outside its base": ([text("d7", "y"), stored("d8", 5, enc="text", text="", packed=0, base="d7", dict=1 << 40, ops=[0, 1, 0])], "outside the base"),
    "a fold that repeats without end": ([stored("d9", 200 * MEGA, enc="raw", packed=9, fold=True, raw=base64.b64encode(b"\x04\xfe\xff\xff\x7fabcd").decode())], "stored body: "),
    "another hash": ([stored("e0", 1, "1" * 64, enc="text", text="x")], "its SHA-256 does not match"),
    "no encoding": ([stored("e1", 1, enc="zip", zip="x")], "none of text, lz4, raw"),
}
REFS = {"a body whose name is a path": "../../../../etc/passwd", "a body that is not there": "ffff"}


def hostile(place):
    """A recording with one good call, one for each of BODIES, and calls whose requests are no better."""
    rec = Recording(place)
    rec.lines[0]["data"].update(parent_session_id="../secret", metadata={"replay_of": "../secret", "agent": "\x1b[2J" * 100, "deterministic": "v2 seed=" + "f" * 1000000})
    rec.lines.append({"type": "vcr.context", "data": {"cwd": "/", "workspace": "", "home": "/" * 100000, "tmp": 7}})
    rec.call(ask("hello"), b'{"n":1}')
    for name, (lines, _) in BODIES.items():
        rec.lines += lines
        rec.call(ask(name), b"", response=REFS.get(name) or lines[-1]["data"]["ref"])
    rec.call(b'{"model":"m","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"n":2}')
    rec.call(ask("pieces"), b'{"n":3}', chunks=[1 << 62, 1, 1, -1] + [1, 1] * 50000)
    rec.call(ask("fields"), b'{"n":4}', fields={"Content-Type": "text/plain\r\nX-Evil: 1", "Content-Length": "99999999999999999999", **{"X-%d" % i: "y" for i in range(5000)}})
    rec.call(ask("numbers"), b'{"n":5}', status=1 << 40, ttfb_ms=1e300, total_ms=-1e300, seq=-(1 << 62), items=1 << 62, request_bytes=-1)
    for lines, _ in (BODIES["bodies that need each other"], BODIES["a size of 2^60"]):
        rec.call(None, b'{"n":6}')
        rec.lines[-1]["data"]["metadata"]["custom"]["vcr"]["request"] = lines[-1]["data"]["ref"]
    rec.lines.append({"type": "vcr.http", "data": {"seq": 1, "method": "GET", "path": "/../../etc/passwd", "host": "../../../etc", "status": 200, "response": "../x"}})
    rec.lines.append(b'{"type":"vcr.odd","data":' + b"[" * 100000 + b"]" * 100000 + b"}\n")
    return rec.write()


def peak(pid):
    return int(next(l for l in open("/proc/%d/status" % pid) if l.startswith("VmHWM")).split()[1]) * 1024


def tree(top):
    """What is there, but for .vcr and the index of the file that its reader keeps in its own cache (lib/index.h)."""
    out = {}
    for d, names, files in os.walk(top):
        names[:] = [n for n in names if n not in (".vcr", ".cache")]
        out.update({os.path.join(d, n): (os.lstat(os.path.join(d, n)).st_size, os.lstat(os.path.join(d, n)).st_mtime_ns) for n in files})
    return out


place = clikit.Place()
outside = clikit.Place()
path = hostile(place)
# What it names outside of .vcr: a session that could be answered from.
Recording(outside, "secret").call(ask("secret"), b'{"n":"secret"}').write()
shutil.copy(outside.path("secret"), os.path.join(place.dir, "secret.vcr"))
before = tree(place.dir)
with Gate(place, "rec") as gate:
    ok(gate.post(ask("hello"))[2] == b'{"n":1}', "what is good in a hostile recording is served")
    for name, (_, words) in BODIES.items():
        status, _, body = gate.post(ask(name))
        ok(status == 400 and words.encode() in body.replace(b'\\"', b'"') and b"rec.vcr" in body, "%s: whoever asks is told what is wrong, and where" % name, status, body[:500])
    got = [gate.post(ask(w)) for w in ("pieces", "fields")]
    ok([g[2] for g in got] == [b'{"n":3}', b'{"n":4}'] and got[1][1]["x-evil"] is None and len(got[1][1]) < 300, "reads that cannot have been and false or many header fields do no harm", [g[:2] for g in got])
    ok(gate.post(ask("secret"))[0] == 400, "a session outside that it says it continues is not answered from")
    ok(gate.post(ask("hello"), path=ANTHROPIC)[0] == 400 and gate.post(ask("hello"))[0] in (200, 400), "misses are explained beside all of it")
    most = peak(gate.process.pid)
    ok(most < MOST or sanitized(), "memory stays bounded: %d MB at the most" % (most // MEGA), most)
ok("recorded model calls cannot be replayed, the first: " in gate.err and "rec.vcr:" in gate.err, "calls whose requests cannot be read are counted, and the first is named with its line", gate.err[:3000])
ok(tree(place.dir) == before, "nothing outside of .vcr was written", set(tree(place.dir).items()) ^ set(before.items()))

for argv in TOOLS:
    r = subprocess.run(["/bin/sh", "-c", 'ulimit -v 2000000; exec "$@"', "sh"] * (not sanitized()) + [os.path.join(BUILD, argv[0]), *argv[1:], "rec"], cwd=place.dir, env=place.env, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    ok(r.returncode in (0, 1, 3) and b"rec.vcr:" in r.stderr and b"\x1b" not in r.stdout + r.stderr and len(r.stdout) < 32 * MEGA, "%s of it names file and line, in bounded memory" % " ".join(argv), r.returncode,
       r.stderr[-2000:], len(r.stdout))
ok(tree(place.dir) == before, "and writes nothing either", set(tree(place.dir).items()) ^ set(before.items()))

title = "nothing outside of .vcr that the recording names is opened"
if not shutil.which("strace"):
    skip(title, "no strace")
else:
    log = os.path.join(place.run_dir, "opened")
    traced = [subprocess.run(["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,stat,lstat,newfstatat", "-o", log + str(i), os.path.join(BUILD, argv[0]), *argv[1:]], cwd=place.dir,
                             env=dict(place.env, ASAN_OPTIONS="detect_leaks=0"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
              for i, argv in enumerate((["vcr-replay", "rec", "--", "true"], ["vcr-replay", "-q", "--mode=new-episodes", "rec", "--", "true"], ["vcr-golden", "save", "--force", "hostile", "rec"]))]
    opened = "".join(open(log + str(i)).read() for i in range(3))
    ok([r.returncode in (0, 125) for r in traced] == [True] * 3 and "rec.vcr" in opened and "secret" not in opened and "passwd" not in opened.replace('"/etc/passwd"', ""), title,
       [(r.returncode, r.stderr[-500:]) for r in traced], [l for l in opened.splitlines() if "secret" in l or "passwd" in l])
done()
