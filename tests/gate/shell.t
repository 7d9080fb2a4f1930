#!/usr/bin/python3
"""A shell that asks the model by /dev/tcp: what its builtins print leaves through libc's own stdio, which calls no hook; the gate hears it."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import done, ok, skip

ASK = """exec 3<>/dev/tcp/127.0.0.1/$1; body='{"model":"m","messages":[{"role":"user","content":"A question. [[q=1]]"}]}'
printf 'POST /v1/chat/completions HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s' ${#body} "$body" >&3
while read -r line; do case $line in '{'*) echo "$line";; esac; done <&3; echo "$line"
"""
RECORDED, REPLAYED = "a call that bash makes by /dev/tcp is recorded whole by --lane=gate", "and answered by the recording"
bash = shutil.which("bash")
if not bash or "Connection refused" not in subprocess.run([bash, "-c", "exec 3<>/dev/tcp/127.0.0.1/1"], stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C")).stderr:
    skip(RECORDED, "no bash with /dev/tcp")
    skip(REPLAYED, "no bash with /dev/tcp")
    done()
server = agentkit.server()
place = agentkit.Place(server)
command, hosts = (bash, "-c", ASK, "bash", str(server.port)), {"VCR_MODEL_HOSTS": "127.0.0.1:%d" % server.port}
r = place.run(*command, how="gate", env=hosts)
server.settle()
session = place.session()
ok(r.returncode == 0 and b"chatcmpl" in r.stdout and len(session.calls()) == 1 and not agentkit.differences(session, server), RECORDED, r.stdout, r.stderr, agentkit.differences(session, server))
server.close()
again = subprocess.run([os.path.join(agentkit.BUILD, "vcr-replay"), session.path, "--", *command], cwd=place.work, env=dict(place.record, **hosts), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=60)
ok(again.returncode == 0 and b"chatcmpl" in again.stdout, REPLAYED, again.returncode, again.stdout, again.stderr)
done()
