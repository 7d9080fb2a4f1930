#!/usr/bin/python3
"""A Python in a prefix of its own, laid out as conda's are: bin/python3 with RPATH $ORIGIN/../lib, libssl.so.3 and libcrypto.so.3 in PREFIX/lib beside the system's, found
from the modules by $ORIGIN/../... Told nothing, it is recorded by the tap, and replayed offline.

It is the system's Python, copied and given those paths by patchelf; no registry that the tests reach carries conda's own. Without patchelf it is skipped by name."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import AGENTS_PYTHON, BUILD, done, ok, skip

PATH = "/v1/chat/completions"
ITS_OWN = "a Python in a prefix as conda lays it out has its OpenSSL from there, with and without us"
RECORDED = "%s, %s: each of its calls is recorded by the tap, byte for byte, and what it writes is its own"
REPLAYED = "%s: replayed offline it hears the same and writes the same"
DOCTOR = "vcr-doctor says beforehand that it gets the tap"
ASK = {"urllib": """
import json, urllib.request as u
def ask(text):
    q = u.Request(URL, json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode(), {"Content-Type": "application/json"})
    return u.urlopen(q, timeout=30).read().decode()
""", "httpx": """
import httpx
def ask(text):
    return httpx.post(URL, json={"model": "m", "messages": [{"role": "user", "content": text}]}, timeout=30).text
"""}
PROGRAM = """
import os, sys
URL = os.environ["MODEL_HTTPS"] + "%s"
%%s
said = [ask("A question. [[q=%%%%d]]" %%%% i) for i in range(2)]
print("\\n".join(said))
open("said.txt", "w").write("".join(said))
""" % PATH
WHOSE = "import ssl, sys\nprint(sys.prefix, *sorted({l.split()[-1] for l in open('/proc/self/maps') if 'libssl' in l or 'libcrypto' in l}))"
HOW = {"record": "vcr-record", "preload": "bare preload"}
TITLES = [ITS_OWN] + [RECORDED % (c, h) for c in ASK for h in HOW.values()] + [REPLAYED % c for c in ASK] + [DOCTOR]


def give_up(why):
    for title in TITLES:
        skip(title, why)
    done()


def libraries(of):
    """Where the loader finds libssl and libcrypto for that file."""
    out = subprocess.run(["ldd", of], stdout=subprocess.PIPE, text=True).stdout
    return [line.split()[2] for line in out.splitlines() if line.strip().startswith(("libssl.so.3", "libcrypto.so.3"))]


def make(prefix):
    """The interpreter, or None: this system's Python does not come in such pieces."""
    interpreter, version = os.path.realpath("/usr/bin/python3"), "python%d.%d" % sys.version_info[:2]
    std = os.path.join("/usr/lib", version)
    modules = [m for name in ("_ssl", "_hashlib") for m in glob.glob(os.path.join(std, "lib-dynload", name + ".*.so"))]
    found = libraries(modules[0]) if modules else []
    if len(found) != 2:
        return None
    own, dynload = os.path.join(prefix, "lib", version), os.path.join(prefix, "lib", version, "lib-dynload")
    os.makedirs(os.path.join(prefix, "bin"))
    os.makedirs(dynload)
    for here, there in ((std, own), (os.path.join(std, "lib-dynload"), dynload)):
        for name in os.listdir(here):
            if name != "lib-dynload" and os.path.join(here, name) not in modules:
                os.symlink(os.path.join(here, name), os.path.join(there, name))
    rpaths = [(interpreter, os.path.join(prefix, "bin", "python3"), "$ORIGIN/../lib")] + [(m, os.path.join(dynload, os.path.basename(m)), "$ORIGIN/../..") for m in modules] + \
             [(f, os.path.join(prefix, "lib", os.path.basename(f)), "$ORIGIN/.") for f in found]
    for here, there, rpath in rpaths:
        shutil.copy(here, there)
        subprocess.run(["patchelf", "--force-rpath", "--set-rpath", rpath, there], check=True)
    return rpaths[0][1]


if not shutil.which("patchelf"):
    give_up("no patchelf")
prefix = os.path.realpath(tempfile.mkdtemp(prefix="vcr-prefix."))
agentkit.atexit.register(shutil.rmtree, prefix, True)
PYTHON = make(prefix)
if not PYTHON:
    give_up("this Python has no _ssl module with libssl.so.3 and libcrypto.so.3")
server = agentkit.server()
there = subprocess.run([AGENTS_PYTHON, "-c", "import httpx, os; print(os.path.dirname(os.path.dirname(httpx.__file__)))"], stdout=subprocess.PIPE, text=True).stdout.strip() if AGENTS_PYTHON else None
place = agentkit.Place(server)
whose = {how: place.run(PYTHON, "-c", WHOSE, how=how).stdout.decode().split() for how in ("plain", *HOW)}
lib = os.path.join(prefix, "lib")
ok(all(w == [prefix, os.path.join(lib, "libcrypto.so.3"), os.path.join(lib, "libssl.so.3")] for w in whose.values()), ITS_OWN, whose)


def left(p):
    try:
        return open(os.path.join(p.work, "said.txt")).read()
    except FileNotFoundError:
        return None


for client, code in ASK.items():
    if client == "httpx" and not there:
        for title in [RECORDED % (client, h) for h in HOW.values()] + [REPLAYED % client]:
            skip(title, "no clients: AGENTS_PYTHON=$(scripts/agents-env) is not set")
        continue
    env = {"PYTHONPATH": there} if client == "httpx" else {}
    command = [PYTHON, "-c", PROGRAM % code]
    for how, words in HOW.items():
        place, before = agentkit.Place(server), len(server.calls())
        r = place.run(*command, how=how, env=env)
        server.settle()
        session, asked = place.session(), server.calls()[before:]
        got = [(session.body(f, "request"), session.body(f, "response"), session.vcr(f)["source"]) for f in session.calls()]
        own = [session.vcr(f)["source"] for f in session.frames if f["node_name"] == "file:write" and f["input_state"]["path"] == "said.txt"]
        ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 2 and len(asked) == 2 and sorted(got) == sorted((c["request"], c["answer"], "tap") for c in asked) and own == ["shim"] and
           not session.end["unseen"], RECORDED % (client, words), r, got, own, session.end["unseen"], session.end["coverage"])
    said = left(place)
    os.unlink(os.path.join(place.work, "said.txt"))
    again = subprocess.run([*agentkit.OFFLINE, os.path.join(BUILD, "vcr-replay"), "-q", session.path, "--", *command], cwd=place.work, env={**place.record, **env}, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    ok((again.returncode, again.stdout) == (0, r.stdout) and left(place) == said and said and len(server.calls()) == before + 2, REPLAYED % client, again, said)
r = agentkit.Place(server).run(os.path.join(BUILD, "vcr-doctor"), "--", PYTHON, "-c", "", how="tool")
ok(b"tap: " in r.stdout, DOCTOR, r)
server.close()
done()
