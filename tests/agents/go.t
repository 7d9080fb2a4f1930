#!/usr/bin/python3
"""Programs of Go's, static and dynamic: the gate's certificate is accepted with verification on, which is how net/http comes."""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok, skip

RECORDED = "accepts the gate's certificate, and its calls are in the session byte for byte, by its name"
REPLAYED = "replayed with the model server gone and no network, it is answered the same"
HERMETIC = "with --hermetic its tools do not run, and print and end as they did; one that was not recorded is named"
REFUSED = "with --hermetic a static program does not run that it starts as a tool: it hears so, and the program is named"
KINDS = {"static": "0", "dynamic": "1"}  # CGO_ENABLED
URL = "https://api.openai.com/v1/chat/completions"
BODIES = [json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "[[q=%d]]" % q}]}) for q in (1, 2)]
GO = shutil.which("go") or "/usr/local/go/bin/go"


def built(kind, place):
    """The program, or why it cannot be had. Nothing is fetched: it needs Go's own packages only."""
    if not os.access(GO, os.X_OK):
        return None, "no go here; apt install golang-go"
    out = os.path.join(place, "client-" + kind)
    env = dict(os.environ, CGO_ENABLED=KINDS[kind], GOTOOLCHAIN="local", GO111MODULE="off", GOFLAGS="", GOPROXY="off")
    r = subprocess.run([GO, "build", "-o", out, os.path.join(agentkit.HERE, "client.go")], env=env, stderr=subprocess.PIPE, text=True)
    has_interpreter = not r.returncode and b"ld-linux" in open(out, "rb").read(4096 + 4096)
    if r.returncode or has_interpreter != (kind == "dynamic"):
        return None, "go builds no %s program here: %s" % (kind, r.stderr.strip().splitlines()[-1:])
    return out, None


directory = tempfile.mkdtemp(prefix="vcr-go.")
atexit.register(shutil.rmtree, directory, True)
tool = None  # static
for kind in KINDS:
    program, why = built(kind, directory)
    if why:
        for title in (RECORDED, REPLAYED, HERMETIC, REFUSED):
            skip("%s: it %s" % (kind, title), why)
        continue
    server = agentkit.server()
    place = agentkit.Place()
    ran = os.path.join(place.run_dir, "ran")
    command = [program, URL, *BODIES, "!echo by a tool; echo 1 >>%s; exit 3" % ran]
    options = ["-q", "--connect-to", "api.openai.com:443:127.0.0.1:%d" % server.tls_port, "--cacert", server.ca, "--capture=all"]
    r = place.run("/bin/sh", "-c", '"$@"; exit $?', "sh", os.path.join(agentkit.BUILD, "vcr-record"), *options, "--", *command, how="plain", env=place.record)
    session = place.session()
    frames = session.calls()
    wrong = agentkit.differences(session, server)
    ok(r.returncode == 0 and len(frames) == 2 and not wrong and {session.vcr(f)["program"] for f in frames} == {os.path.basename(program)} and r.stdout.count(b"200 ") == 2,
       "%s: it %s" % (kind, RECORDED), r.returncode, r.stdout, r.stderr[-1500:], wrong, [session.vcr(f) for f in frames])
    server.close()
    again = subprocess.run([*agentkit.OFFLINE, os.path.join(agentkit.BUILD, "vcr-replay"), session.path, "--", *command], cwd=place.work, env=place.record, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    ok((again.returncode, again.stdout) == (r.returncode, r.stdout), "%s: %s" % (kind, REPLAYED), again.returncode, again.stdout, again.stderr[-1500:])
    hermetic = [*agentkit.OFFLINE, os.path.join(agentkit.BUILD, "vcr-replay"), "--hermetic", session.path, "--"]
    again, other = (subprocess.run([*hermetic, *words], cwd=place.work, env=place.record, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
                    for words in (command, [*command[:3], "!echo other; echo 1 >>" + ran]))
    ok((again.returncode, again.stdout) == (r.returncode, r.stdout) and b"by a tool\nexit status 3\n" in r.stdout and len(open(ran).readlines()) == 2 and
       other.returncode == 1 and b"exit status 127" in other.stdout and b"(it was not recorded)" in other.stderr, "%s: %s" % (kind, HERMETIC), again.returncode, again.stdout, again.stderr[-1500:], other)
    tool = tool if kind == "dynamic" else shutil.copy(program, os.path.join(directory, "tool"))
    if not tool:
        skip("%s: %s" % (kind, REFUSED), "go builds no static program here")
        continue
    again = subprocess.run([*hermetic, *command[:3], "=" + tool, command[4]], cwd=place.work, env=dict(place.record, RAN=ran), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    ok(again.returncode == 1 and b"by a program" not in again.stdout and b"fork/exec %s: permission denied\nby a tool\nexit status 3\n" % tool.encode() in again.stdout and len(open(ran).readlines()) == 2 and
       b"1 tool was refused: %s none" % tool.encode() in again.stderr, "%s: %s" % (kind, REFUSED), again.returncode, again.stdout, again.stderr[-1500:])
agentkit.done()
