#!/usr/bin/python3
"""What was seen of each program: in the session's end, at the end of vcr-record, and by vcr-log --coverage. Silence has a reason."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import BUILD, ok, skip

PYTHON = "/usr/bin/python3"
CALL = r'''
import http.client, json, os
c = http.client.HTTPConnection(os.environ["MODEL_HTTP"].split("//")[1])
c.request("POST", "/v1/chat/completions", json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}), {"Content-Type": "application/json"})
c.getresponse().read()
'''
server = agentkit.server()
tools = agentkit.Place()
source = os.path.join(tools.dir, "t.c")
with open(source, "w") as f:
    f.write("int main(void) { return 5; }\n")


def built(name, *command):
    out = os.path.join(tools.dir, name)
    return out if shutil.which(command[0]) and not subprocess.run([*command, source, "-o", out], stderr=subprocess.DEVNULL).returncode else None


def another_users(name):
    """A program that runs as its owner; None where there is none: nosuid, no privileges."""
    probe, out = shutil.copy(shutil.which("id"), os.path.join(tools.dir, "id")), built(name, "cc")
    try:
        os.chmod(tools.dir, 0o755)
        for path in filter(None, (probe, out)):
            os.chown(path, 65534, -1)
            os.chmod(path, 0o4755)
    except OSError:
        return None
    return out if subprocess.run([probe, "-u"], stdout=subprocess.PIPE).stdout == b"65534\n" and os.getuid() == 0 else None


def record(place, *argv):
    r = subprocess.run([os.path.join(BUILD, "vcr-record"), "--", *argv], cwd=place.work, env=place.record, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = subprocess.run([os.path.join(BUILD, "vcr-log"), "--coverage", "--json"], cwd=place.work, env=place.record, stdout=subprocess.PIPE, text=True)
    return r, {c["program"]: c for c in map(json.loads, log.stdout.splitlines())}


place = agentkit.Place(server)
place.record["CODE"] = CALL
r, seen = record(place, "/bin/sh", "-c", '%s -c "$CODE"; %s -c "$CODE"; /bin/true' % (PYTHON, PYTHON))
python = os.path.basename(os.path.realpath(PYTHON))
ok(seen[python]["model_calls"] == 2 and seen[python]["processes"] == 2 and seen[python]["lane"] == "tap" and seen[python]["how"] == "hooked" and seen[python]["bytes_out"] > 100 and
   seen[python]["why"] is None and {k: seen["true"][k] for k in ("lane", "processes", "model_calls")} == {"lane": "none", "processes": 1, "model_calls": 0},
   "each program that ran has its processes, its lane, its calls and its bytes", seen)
ok("model calls by %s 2 (tap); " % python in r.stderr and "NO MODEL CALLS" not in r.stderr and "not entered" not in r.stderr, "vcr-record says at its end which programs called models", r.stderr)
text = subprocess.run([os.path.join(BUILD, "vcr-log"), "--coverage"], cwd=place.work, env=place.record, stdout=subprocess.PIPE, text=True).stdout
ok(text.splitlines()[0].split() == "program library lane runs conns calls sent received why".split() and text.splitlines()[1].split()[:6] == [python, "hooked", "tap", "2", "2", "2"],
   "vcr-log --coverage shows it as a table, programs that called models first", text)

binaries = {"static": built("static", "cc", "-static"), "asan": built("asan", "cc", "-fsanitize=address"), "foreign": built("foreign", "cc", "-m32"), "musl": built("musl", "musl-gcc"),
            "setid": another_users("setid")}
for how, binary in binaries.items():
    title = "%s is named as not entered, and as the likely reason where no model call was seen" % {"static": "a static program", "asan": "a program with ASan's runtime",
                                                                                           "foreign": "a 32-bit program", "musl": "a musl program", "setid": "a set-user-ID program"}[how]
    if not binary:
        skip(title, "the compiler cannot build one here" if how != "setid" else "that takes root, a compiler and a file system with such programs")
        continue
    place = agentkit.Place()
    script = os.path.join(place.dir, "script")
    with open(script, "w") as f:
        f.write("#!%s\n" % binary)
    os.chmod(script, 0o755)
    r, seen = record(place, "/bin/sh", "-c", "%s; %s; exit 3" % (binary, script))
    entry = seen.get(how, {})
    ok(r.returncode == 3 and entry.get("how") == how and entry["processes"] == 2 and entry["lane"] == "none" and entry["why"] and "not entered: %s (%s)" % (how, how) in r.stderr and
       "NO MODEL CALLS were seen: %s is " % how in r.stderr and ("called no model through HTTPS_PROXY" in r.stderr) == (how in ("static", "musl")), title + ", also behind #!", r.stderr, seen)
    place = agentkit.Place()
    r, seen = record(place, binary)
    frames = [f for f in place.session().frames if f["node_name"] == "exec:" + how]
    ok(r.returncode == 5 and seen.get(how, {}).get("how") == how and len(frames) == 1 and frames[0]["output_state"] == {"exit_code": 5} and frames[0]["input_state"]["argv"] == [binary],
       "the same as the command itself: it is a frame with arguments and exit code", r.stderr, seen, frames)

with open(os.path.join(tools.dir, "lib.c"), "w") as f:
    f.write("int main(void) { return 0; }\n")
title = "a program that never came to report is told from those that did"
broken = os.path.join(tools.dir, "broken")
if subprocess.run("cc -shared -x c /dev/null -o libgone.so && cc lib.c -Wl,--no-as-needed -L. -lgone -o broken && rm libgone.so", shell=True, cwd=tools.dir, stderr=subprocess.DEVNULL).returncode:
    skip(title, "there is no compiler")
else:
    r, seen = record(agentkit.Place(), "/bin/sh", "-c", broken + "; exit 0")
    ok(seen.get("broken", {}).get("how") == "stripped" and seen["broken"]["processes"] == 1 and "did not report" in seen["broken"]["why"] and "not entered: broken (stripped)" in r.stderr, title, seen, r.stderr)
place = agentkit.Place()
r, seen = record(place, "/bin/sh", "-c", "/bin/true")
ok("NO MODEL CALLS were seen: no program of the session used TLS" in r.stderr, "where nothing was seen at all that is said", r.stderr)
r, seen = record(agentkit.Place(), PYTHON, "-c", "import socket\ntry: socket.create_connection(('localhost', 1))\nexcept OSError: pass")
ok(sum(c["plain_connections"] for c in seen.values()) and "NO MODEL CALLS were seen: no program" in r.stderr, "connections that were refused are no reason to look for a model among them", r.stderr, seen)
r = subprocess.run([os.path.join(BUILD, "vcr-log"), "--coverage"], cwd=place.work, env=dict(place.record, VCR_DIR=os.path.join(place.dir, "empty")), stderr=subprocess.PIPE, text=True)
foreign = os.path.join(place.dir, "foreign.vcr")
with open(foreign, "w") as f:
    f.write('{"type":"session","data":{"session_id":"s"}}\n')
r2 = subprocess.run([os.path.join(BUILD, "vcr-log"), "--coverage", foreign], cwd=place.work, env=place.record, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
ok(r.returncode and r2.returncode == 1 and not r2.stdout and "says nothing about the programs" in r2.stderr, "a session that does not say is told from one in which nothing ran", r, r2)
agentkit.done()
