#!/usr/bin/python3
"""--sealed: a command in namespaces of its own, where there is no network but the gate, and names of model hosts lead to it."""
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, clikit, done, ok, skip
import leadkit

HOST = "api.model.example"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TITLES = ("a static program that resolves names by /etc/hosts and heeds no variable is recorded", "replayed, it is answered the same, with the server not asked",
          "no port of this machine, and no other machine, can be reached from inside", "outside, nothing has changed", "a program of Go's accepts the certificate that stands in the system's bundle",
          "under --supervise as well, its files are its own", "where the kernel refuses, a line says who and what helps, and the command is not run")
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
for name in [n for n in place.env if n.lower().endswith("_proxy")]:
    del place.env[name]


def run(verb, name, *words, **more):
    where = os.path.join(place.dir, name)
    os.makedirs(where, exist_ok=True)
    p = subprocess.run([*more.pop("before", []), os.path.join(BUILD, verb), *words], cwd=where, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


os.makedirs(place.vcr_dir)
with open(os.path.join(place.vcr_dir, "config"), "w") as f:
    f.write("model-host %s\n" % HOST)
probe = run("vcr-record", "probe", "--sealed", "-q", "--vcr-dir", place.vcr_dir, "--", "/bin/true")
if probe[0] == 125:
    ok("--sealed cannot be had: " in probe[2] and "the command is not run" in probe[2], TITLES[-1], probe)
    for title in TITLES[:-1]:
        skip(title, probe[2].strip())
    done()
DOER, SOURCE = os.path.join(place.dir, "doer"), os.path.join(gatekit.SOURCE, "tests", "gate", "doer.c")
compilers = [c for c in ("musl-gcc", "gcc") if shutil.which(c) and not subprocess.run([c, "-O", "-static", SOURCE, "-o", DOER], stderr=subprocess.DEVNULL).returncode]
if not compilers:
    for title in TITLES:
        skip(title, "no compiler builds static programs here")
    done()


upstream = leadkit.Upstream()
WAY = ["--vcr-dir", place.vcr_dir, "--connect-to", "%s:80:127.0.0.1:%d" % (HOST, upstream.port)]
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "one"}]})


def about(f):
    return f["metadata"]["custom"]["vcr"]


def frames(session, node):
    return [l["data"] for l in gatekit.frames(place.path(session)) if l["type"] == "frame" and l["data"]["node_name"].startswith(node)]


before = open("/etc/hosts").read(), os.stat(BUNDLE).st_size if os.path.exists(BUNDLE) else None
for name, command in (("top", [DOER, "NAMED", HOST, BODY]), ("below", ["/bin/sh", "-c", '"$@"; exit $?', "sh", DOER, "NAMED", HOST, BODY])):
    n = len(upstream.asked)
    status, out, err = run("vcr-record", name, "--sealed", "--session", name, *WAY, "--", *command)
    found = frames(name, "llm:")
    ok(status == 0 and "answer %d" % (n + 1) in out and [(about(f)["host"], about(f)["source"]) for f in found] == [(HOST, "gate")], "%s: %s" % (name, TITLES[0]), status, out, err, found)
    again = run("vcr-replay", name + "-again", "--sealed", "--vcr-dir", place.vcr_dir, name, "--", *command)
    ok(again[:2] == (status, out) and len(upstream.asked) == n + 1, "%s: %s" % (name, TITLES[1]), again)
for verb, words in (("vcr-record", ["--sealed", *WAY, "--"]), ("vcr-replay", ["--sealed", "--vcr-dir", place.vcr_dir, "top", "--"])):
    here = run(verb, "out", *words, DOER, "SEND", str(upstream.port))
    there = run(verb, "out", *words, DOER, "ASK", HOST, BODY)
    ok(here[0] == 1 and there[0] == 1 and "no connection: Network is unreachable" in there[1], "%s: %s" % (verb, TITLES[2]), here, there)
left = [f for f in os.listdir(os.path.join(place.run_dir, "vcr")) if f.endswith((".hosts", ".pem", ".spool"))]
ok(before == (open("/etc/hosts").read(), os.stat(BUNDLE).st_size if os.path.exists(BUNDLE) else None) and not left, TITLES[3], left)

# ---- The gate dies ----

AGAIN = "a gate that is killed is started again, and what is asked then is recorded too"
where = os.path.join(place.dir, "dies")
os.makedirs(where)
n = len(upstream.asked)
p = subprocess.Popen([os.path.join(BUILD, "vcr-record"), "--sealed", "--session", "dies", *WAY, "--", "/bin/sh", "-c", '"$@"; read go; "$@"', "sh", DOER, "NAMED", HOST, BODY], cwd=where, env=place.env,
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
first = p.stdout.readline()
gates = [int(k) for k in open("/proc/%d/task/%d/children" % (p.pid, p.pid)).read().split() if open("/proc/%s/comm" % k).read() == "vcr-gate\n"]
for gate in gates:
    os.kill(gate, signal.SIGKILL)
out, err = p.communicate("go\n", timeout=60)
found = frames("dies", "llm:")
unseen = gatekit.frames(place.path("dies"))[-1]["data"].get("unseen", [])
ok(p.returncode == 0 and len(gates) == 1 and "answer %d" % (n + 1) in first and "answer %d" % (n + 2) in out and [about(f)["source"] for f in found] == ["gate"] * 2 and any("another has taken its place" in u for u in unseen),
   AGAIN, p.returncode, gates, first, out, err, found, unseen)

GO = shutil.which("go") or "/usr/local/go/bin/go"
GOER = os.path.join(place.dir, "goer")
env = dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GO111MODULE="off", GOFLAGS="", GOPROXY="off")
built = os.access(GO, os.X_OK) and subprocess.run([GO, "build", "-o", GOER, os.path.join(gatekit.SOURCE, "tests", "gate", "doer.go")], env=env, stderr=subprocess.PIPE, text=True)
if not built or built.returncode or not os.path.exists(BUNDLE):
    skip(TITLES[4], "no go here; apt install golang-go" if not built else "go builds no static program here" if built.returncode else "there is no " + BUNDLE)
else:
    ca, key = leadkit.make_ca(place.dir, "server-ca")
    secure = leadkit.Upstream(leadkit.make_leaf(place.dir, ca, key))
    command = [GOER, "https://api.openai.com/v1/chat/completions", BODY, "NAMED"]
    status, out, err = run("vcr-record", "go", "--sealed", "--session", "go", *WAY, "--cacert", ca, "--connect-to", "api.openai.com:443:127.0.0.1:%d" % secure.port, "--", *command)
    again = run("vcr-replay", "go-again", "--sealed", "--vcr-dir", place.vcr_dir, "go", "--", *command)
    ok(status == 0 and "answer 1" in out and len(frames("go", "llm:")) == 1 and again[:2] == (status, out) and len(secure.asked) == 1, TITLES[4], status, out, err, again)

probe = run("vcr-record", "probe", "--supervise", "-q", "--vcr-dir", place.vcr_dir, "--", "/bin/true")
if probe[0] == 125:
    skip(TITLES[5], probe[2].strip())
else:
    status, out, err = run("vcr-record", "both", "--sealed", "--supervise", "--session", "both", *WAY, "--", DOER, "NAMED", HOST, BODY)
    said = [(f["input_state"]["path"], about(f).get("program")) for f in frames("both", "file:")]
    ok(status == 0 and said == [("said.txt", "doer")] and len(frames("both", "llm:")) == 1, TITLES[5], status, err, said)

# ---- Refused ----

NONE = "echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_net_namespaces && exec \"$@\""
refuse = ["unshare", "-Ur", "sh", "-c", NONE, "sh"]
if subprocess.run([*refuse, "true"], stderr=subprocess.DEVNULL).returncode:
    skip(TITLES[6], "no user namespace in which it could be refused")
else:
    for verb, words in (("vcr-record", ["--sealed", *WAY]), ("vcr-replay", ["--sealed", "--vcr-dir", place.vcr_dir, "top"])):
        status, out, err = run(verb, "refused", *words, "--", "/bin/echo", "it ran", before=refuse)
        ok(status == 125 and not out and "--sealed cannot be had: a setting of the kernel" in err and "sysctl user.max_user_namespaces" in err, "%s: %s" % (verb, TITLES[6]), status, out, err)
status, out, err = run("vcr-record", "tap", "--sealed", "--lane", "tap", *WAY[:2], "--", "/bin/true")
ok(status == 2 and "--sealed leaves no way out but the gate" in err, "in the lane tap it is a wrong call", status, err)
done()
