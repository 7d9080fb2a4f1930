#!/usr/bin/python3
"""vcr-doctor: what is missing on a machine, and which lane a command would get - the same that the recording says afterwards."""
import json
import os
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import BUILD, ok, skip
import tapkit

place = agentkit.Place()


def doctor(*argv, env=None, before=None):
    r = subprocess.run([os.path.join(BUILD, "vcr-doctor"), *argv], cwd=place.work, env=dict(place.record, **(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, preexec_fn=before)
    return r


def findings(*argv, **more):
    r = doctor("--json", *argv, **more)
    return r.returncode, {f["check"]: f for f in map(json.loads, r.stdout.splitlines())}


status, found = findings()
NAMES = {"library", "collector", "gate", "versions", "tmpfs", "addresses", "inotify", "processes", "namespaces", "seccomp", "sessions", "savepoints", "roots"}
ok(status == 0 and NAMES <= set(found) and not [f for f in found.values() if f["level"] == "bad"] and all(f["todo"] for f in found.values() if f["level"] != "fine"),
   "a machine on which recording works has no bad finding, and each lesser one says what to do", status, found)
lines = doctor().stdout.splitlines()
ok(len(lines) == len(found) + 1 and lines[-1].startswith("recording works") and all(l.split()[0] in ("ok", "less") for l in lines[:-1]), "for people it is one line each, and one that sums it up", *lines)
quiet = doctor("-q").stdout.splitlines()
ok(len(quiet) == len([f for f in found.values() if f["level"] != "fine"]), "-q prints only what is not well", *quiet)

for what, env, words in (("library", {"VCR_SHIM": "/nonexistent.so"}, "VCR_SHIM"), ("collector", {"VCR_COLLECTOR": "/nonexistent"}, "VCR_COLLECTOR"),
                         ("sessions", {"VCR_DIR": "/proc/none/.vcr"}, "VCR_DIR")):
    status, found = findings(env=env)
    ok(status == 1 and found[what]["level"] == "bad" and words in found[what]["text"] + (found[what]["todo"] or ""), "a missing %s is bad, and it says what to set" % what, status, found[what])
for title, more, check in (
        ("a limit of address space is less than all", {"before": lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))},
         lambda status, found: status == 0 and found["addresses"]["level"] == "less" and found["addresses"]["todo"] == "ulimit -v unlimited"),
        ("somebody else's preload is named", {"env": {"LD_PRELOAD": os.path.join(BUILD, "tests", "shim", ".libs", "libearly.so")}},
         lambda status, found: status == 0 and found.get("preload", {}).get("level") == "less")):
    if os.environ.get("ASAN_OPTIONS") is not None:
        skip(title, "the sanitizer's runtime wants address space, and to be first")
        continue
    result = findings(**more)
    ok(check(*result), title, result)

# Commands.
source = os.path.join(place.dir, "t.c")
with open(source, "w") as f:
    f.write("int main(void) { return 0; }\n")


def built(name, *command):
    out = os.path.join(place.dir, name)
    return out if shutil.which(command[0]) and not subprocess.run([*command, source, "-o", out], stderr=subprocess.DEVNULL).returncode else None


def script(name, line):
    path = os.path.join(place.dir, name)
    with open(path, "w") as f:
        f.write(line + "\n")
    os.chmod(path, 0o755)
    return path


setid = built("setid", "cc")
if setid and os.getuid() == 0:
    os.chown(setid, 1, 1)
    os.chmod(setid, 0o4755)
with open(os.path.join(place.dir, "like-bun.c"), "w") as f:
    f.write("void napi_module_register(void *m) { }\nint main(void) { return 0; }\n")
BUN = os.path.join(place.dir, "like-bun")
if subprocess.run(["cc", "-rdynamic", f.name, "-o", BUN], stderr=subprocess.DEVNULL).returncode:
    BUN = None
PY = os.path.join(place.dir, "like-uv")
with open(os.path.join(place.dir, "like-uv.c"), "w") as f:
    f.write("void *PyInit__ssl(void) { return 0; }\nint main(void) { return 0; }\n")
if subprocess.run(["cc", "-rdynamic", f.name, "-o", PY], stderr=subprocess.DEVNULL).returncode:
    PY = None
COMMANDS = (
    ("a program like Bun", BUN, "gate", "TLS of its own"),
    ("a dynamic program", "/bin/sh", "tap", "no TLS of its own"),
    ("a Python script behind env", script("by-env", "#!/usr/bin/env -S python3 -u"), "tap", "no TLS of its own"),
    ("curl", shutil.which("curl"), "tap", None),
    ("a program with OpenSSL inside and exported, like node", tapkit.program("tlsinside"), "tap", "can be tapped"),
    ("a node whose OpenSSL cannot be tapped", tapkit.program("tlsrefused"), "gate", "SSL_write begins with a loop"),
    ("node", shutil.which("node"), "tap", "can be tapped"),
    ("a static program", built("static", "cc", "-static"), "lent", "static"),
    ("a musl program", built("musl", "musl-gcc"), "lent", "musl"),
    ("a program with ASan's runtime", built("asan", "cc", "-fsanitize=address"), "none", "AddressSanitizer"),
    ("a 32-bit program", built("foreign", "cc", "-m32"), "none", "word size"),
    ("a set-user-ID program", setid if os.getuid() == 0 else None, "none", "set-user-ID"),
    ("a Python with OpenSSL linked in", PY, "gate", "linked in"),
    ("a script of a static program", os.path.join(place.dir, "static") and script("of-static", "#!%s/static" % place.dir), "lent", "static"),
)
for what, command, lane, words in COMMANDS:
    title = "%s gets the lane %s, with the reason" % (what, lane)
    if not command or not os.access(command, os.X_OK) or (what.startswith("a script of") and not os.path.exists(place.dir + "/static")):
        skip(title, "there is none here")
        continue
    status, found = findings("--", command)
    text = found.get("lane", {}).get("text", "")
    ok(status == (1 if lane == "none" else 0) and text.startswith(lane + ": ") and (words is None or words in text) and (lane in ("tap", "gate")) == (found["lane"]["todo"] is None), title, status, found)
os.makedirs(os.path.join(place.work, ".vcr"))
with open(os.path.join(place.work, ".vcr", "config"), "w") as f:
    f.write("lane tap\n")
status, found = findings("--", BUN or "true")
os.unlink(f.name)
ok(not BUN or status == 0 and found["lane"]["text"].startswith("gate: ") and "--lane=auto" in found["lane"]["todo"], "a configured lane that keeps a program from the gate is named", found["lane"])
status, found = findings("--", "nonexistent-command")
ok(status == 1 and found["program"]["level"] == "bad", "a command that is not there is bad", found)
status, found = findings("env", "-i", "A=b", "sh", "-c", "x")
ok(status == 0 and found["program"]["text"].endswith("/sh"), "env is looked through", found["program"])
marker = os.path.join(place.dir, "ran")
findings("--", script("says", "#!/bin/sh\ntouch " + marker))
ok(not os.path.exists(marker), "the command is not run")

# Afterwards the recording says the same.
same = []
for how, command in (("static", COMMANDS[7][1]), ("musl", COMMANDS[8][1]), ("asan", COMMANDS[9][1]), ("foreign", COMMANDS[10][1])):
    if not command:
        continue
    run = agentkit.Place()
    subprocess.run([os.path.join(BUILD, "vcr-record"), "-q", "--", command], cwd=run.work, env=run.record, stderr=subprocess.DEVNULL)
    end = run.session().end["coverage"]
    same.append([c["how"] for c in end] == [how])
ok(all(same), "what it says of a program is what the session says afterwards", same)
agentkit.done()
