#!/usr/bin/python3
"""A Python that loads its modules with RTLD_DEEPBIND, as those do that bring libraries of the same names: its OpenSSL goes past every hook by itself. It is recorded in each
lane, byte for byte, and replayed."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import BUILD, done, ok

ASK = """
import os, sys
sys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)
import json, ssl, urllib.request as u
for i in range(2):
    q = u.Request(os.environ["MODEL_HTTPS"] + "/v1/chat/completions", json.dumps({"model": "m", "messages": [{"role": "user", "content": "A question. [[q=%d]]" % i}]}).encode(),
                  {"Content-Type": "application/json"})
    print(u.urlopen(q, timeout=30).read().decode())
"""
server = agentkit.server()
hosts = {"VCR_MODEL_HOSTS": "localhost:%d" % server.tls_port}
for how, source in (("record", "tap"), ("preload", "tap"), ("gate", "gate")):
    place, before = agentkit.Place(server), len(server.calls())
    r = place.run("/usr/bin/python3", "-c", ASK, how=how, env=hosts)
    server.settle()
    session, asked = place.session(), server.calls()[before:]
    got = [(session.body(f, "request"), session.body(f, "response"), session.vcr(f)["source"]) for f in session.calls()]
    ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 2 and len(asked) == 2 and got == [(c["request"], c["answer"], source) for c in asked] and not session.end["unseen"],
       "TLS of a module with RTLD_DEEPBIND is recorded %s" % {"record": "by the tap", "preload": "under a bare preload", "gate": "by --lane=gate, whose certificate it trusts"}[how],
       r, got, session.end["unseen"], session.end["coverage"])
server.close()
again = subprocess.run([os.path.join(BUILD, "vcr-replay"), "-q", session.path, "--", "/usr/bin/python3", "-c", ASK], cwd=place.work, env={**place.record, **hosts}, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
ok((again.returncode, again.stdout) == (0, r.stdout), "and answered by the recording", again)
done()
