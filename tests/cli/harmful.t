#!/usr/bin/python3
"""Recordings made to harm - huge lengths, circles, wrong hashes, deep JSON, bombs - and every tool that takes them apart: refused by name, in bounded memory."""
import base64
import hashlib
import os
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, json, ok, sanitized, skip

place = Place()
SHIM = os.environ.get("VCR_SHIM", os.path.join(BUILD, ".libs", "libvcrshim.so"))
SANITIZED = sanitized()
ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]})
ANSWER = json.dumps({"id": "x", "object": "chat.completion", "model": "gpt-4o", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]})
CLIENT = "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 9); c.request('POST', '/v1/chat/completions', sys.argv[1], {'Content-Type': 'application/json'}); " \
         "r = c.getresponse(); print(r.status, len(r.read().strip()))"
with open(os.path.join(place.dir, "good.json"), "w") as f:
    json.dump({"interactions": [{"request": {"method": "POST", "uri": "http://127.0.0.1:9/v1/chat/completions", "body": ASKED, "headers": {"Content-Type": ["application/json"]}},
                                 "response": {"status": {"code": 200, "message": "OK"}, "headers": {"Content-Type": ["application/json"]}, "body": {"string": ANSWER}}}]}, f)
status, out, err = place.run("vcr-import", "-s", "good", "good.json")
good = [json.loads(line) for line in open(place.path("good"))] if status == 0 else []
REF = next((l["data"]["metadata"]["custom"]["vcr"]["response"] for l in good if l["type"] == "frame"), "")


def body(ref, **data):
    return {"type": "vcr.body", "data": dict(ref=ref, **data)}


def text(ref, s):
    return body(ref, size=len(s), sha256=hashlib.sha256(s.encode()).hexdigest(), enc="text", text=s)


def replaced(*lines):
    """The good session with these lines for its answer's body, and without an end."""
    out = []
    for l in good:
        if l["type"] == "vcr.body" and l["data"]["ref"] == REF:
            out += lines
        elif l["type"] != "vcr.end":
            out.append(l)
    return b"".join(l if isinstance(l, bytes) else json.dumps(l).encode() + b"\n" for l in out)


NO = "0" * 64
zeros = b"\x1f\x00\x01\x00" + b"\xff" * (1 << 20) + b"\x00\x50" + b"\0" * 5  # LZ4: 267 MB of zeros in one MB
copies = [text("d0", "ab" * (1 << 15))] + [body("d%d" % n, size=65536 << 7 * n, sha256=NO, enc="raw", raw="", packed=0, base="d%d" % (n - 1), ops=[0, 65536 << 7 * (n - 1), 0] * 128) for n in range(1, 4)]
CASES = {  # what, its lines, words of which one names it
    "huge lengths": ([body(REF, size=1 << 60, sha256=NO, enc="lz4", lz4="AAAA")], ("size",)),
    "lengths below nothing": ([body(REF, size=-1, sha256=NO, enc="text", text="x")], ("size",)),
    "copies beyond what is there": ([text("b", "abc"), body(REF, size=9, sha256=NO, enc="text", text="x", packed=1, base="b", ops=[1 << 62, 8, 1])], ("",)),
    "a circle of bodies": ([body(REF, size=3, sha256=NO, enc="text", text="x", packed=1, base="b", ops=[0, 2, 1]), body("b", size=3, sha256=NO, enc="text", text="x", packed=1, base=REF, ops=[0, 2, 1])],
                           ("earlier", "itself", "circle", "cycle", "chain", "later")),
    "a body that needs itself": ([body(REF, size=3, sha256=NO, enc="text", text="x", packed=1, base=REF, ops=[0, 2, 1])], ("earlier", "itself", "circle", "cycle", "chain", "later")),
    "a wrong hash": ([body(REF, size=len(ANSWER), sha256=hashlib.sha256(b"other").hexdigest(), enc="text", text=ANSWER)], ("hash", "SHA-256")),
    "a body that is not there": ([], ("not in the file", "no body", "is not in")),
    "JSON too deep in a line": ([b'{"type":"vcr.body","data":{"ref":"%s","x":' % REF.encode() + b"[" * 200000 + b"]" * 200000 + b"}}\n"], ("deep", "not in the file", "no body", "is not in", "damaged")),
    "a bomb of LZ4": ([body(REF, size=255 << 20, sha256=NO, enc="lz4", lz4=base64.b64encode(zeros).decode())], ("size", "SHA-256", "LZ4")),
    "a bomb of copies": (copies + [body(REF, size=65536 << 28, sha256=NO, enc="raw", raw="", packed=0, base="d3", ops=[0, 65536 << 21, 0] * 128)], ("size", "SHA-256")),
}


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


LIMIT = {} if SANITIZED else {"preexec_fn": limited}


def files():
    return sorted(os.path.join(d, n) for top in (place.dir, place.run_dir) for d, _, names in os.walk(top) for n in names)


TITLE = "%s: %s says so by name, in bounded memory, and changes nothing"
for name, (lines, words) in CASES.items():
    data = replaced(*lines)
    path = place.write("bad", data)
    there = files()
    for argv in (("vcr-export", "--cassette", "bad"), ("vcr-scrub", "-p", "hello", "--in-place", "bad"), ("vcr-scrub", "-p", "hello", "-o", "out.vcr", "bad"), ("vcr-verify", "bad")):
        status, out, err = place.run(*argv, **LIMIT)
        says = err.replace(place.dir, "")
        ok(status in (1, 3) and any(w in says for w in words) and len(err) < 4000 and open(path, "rb").read() == data and files() == there, TITLE % (name, " ".join(argv[:2])), status, err[-1500:], files() != there)
    if SANITIZED or not os.path.exists(SHIM):
        skip(TITLE % (name, "vcr-replay"), "the library is for plain programs" if SANITIZED else "no library")
        continue
    status, out, err = place.run("vcr-replay", "bad", "--", sys.executable, "-c", CLIENT, ASKED, env={"VCR_SHIM": SHIM}, **LIMIT)
    made = [f for f in files() if f not in there and not f.startswith(place.vcr_dir)]
    ok(status in (0, 125) and (out.startswith("400 ") or (status == 125 and any(w in err for w in words))) and open(path, "rb").read() == data and not made, TITLE % (name, "vcr-replay"), status, out, err[-1500:], made)

# What it names is a name in the file, and nothing else.
decoy = os.path.join(place.dir, "decoy.vcr")
with open(decoy, "wb") as f:
    f.write(b"".join(json.dumps(l).encode() + b"\n" for l in good))
lure = [dict(l) for l in good if l["type"] != "vcr.end"]
for l in lure:
    if l["type"] == "frame":
        l["data"]["metadata"]["custom"]["vcr"].update(response="../decoy.vcr", request=decoy, savepoint="../decoy", node=decoy)
        l["data"]["input_state"]["_vcr"] = {"after": decoy}
    if l["type"] == "session":
        l["data"].update(session_id="../decoy", parent_session_id=decoy)
lure.insert(1, {"type": "vcr.context", "data": {"cwd": decoy, "workspace": decoy, "home": decoy, "tmp": decoy}})
lure.insert(2, {"type": "vcr.scrub", "data": {"patterns": ["(a+)+$", "x{1,60000}y"], "fields": [decoy], "hosts": [decoy]}})
path = place.write("lure", *lure)
for argv in (("vcr-export", "--cassette", "lure"), ("vcr-export", "--full", "lure"), ("vcr-scrub", "-p", "hello", "-o", "lured.vcr", "lure"), ("vcr-replay", "lure", "--", "true"), ("vcr-import", "-s", "lured", "good.json")):
    title = "%s opens nothing that a recording names" % " ".join(argv[:2])
    if not shutil.which("strace") or (argv[0] == "vcr-replay" and (SANITIZED or not os.path.exists(SHIM))):
        skip(title, "no strace" if not shutil.which("strace") else "the library is for plain programs")
        continue
    trace = os.path.join(place.run_dir, "trace")
    r = subprocess.run(["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,rename,renameat,renameat2,unlink,unlinkat,link,linkat", "-o", trace, os.path.join(BUILD, argv[0]), *argv[1:]], cwd=place.dir,
                       env=dict(place.env, VCR_SHIM=SHIM, ASAN_OPTIONS="detect_leaks=0"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    seen = open(trace).read()
    ok("decoy" not in seen and "openat" in seen and r.returncode in (0, 1, 2, 3), title, r.stderr[-500:], [l for l in seen.splitlines() if "decoy" in l][:5])
scrubs = [{"type": "vcr.scrub", "data": {"patterns": ["("], "fields": [], "hosts": []}}]
place.write("rules", *(good[:1] + scrubs + good[1:-1]))
place.write("many", *(good[:1] + [{"type": "vcr.scrub", "data": {"patterns": ["a"]}}] * 20 + good[1:-1]))
for name, words in (("rules", "the rules by which it was scrubbed: the pattern '('"), ("many", "scrubbed more than")):
    if SANITIZED or not os.path.exists(SHIM):
        skip("rules that are none (%s) are refused by vcr-replay" % name, "the library is for plain programs")
        continue
    status, out, err = place.run("vcr-replay", name, "--", "true", env={"VCR_SHIM": SHIM})
    ok(status in (3, 125) and words in err, "rules that are none (%s) are refused by vcr-replay" % name, status, err)
done()
