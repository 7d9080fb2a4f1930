#!/usr/bin/python3
"""Programs that verify certificates accept the gate's without being told of it; the user's own proxy is used on the way out."""
import base64
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

for part in ("gate", "agents"):
    sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", part))
import gatekit
import modelserver
import serverkit
from gatekit import BUILD, clikit, done, ok, skip

URL, BODY = "https://api.openai.com/v1/chat/completions", '{"model":"m","messages":[{"role":"user","content":"verified [[q=7]]"}]}'
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
for name in [k for k in place.env if k.lower().endswith("_proxy") or k in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")]:
    del place.env[name]
work = os.path.join(place.dir, "work")
os.makedirs(os.path.join(work, ".git"))
server = modelserver.ModelServer(tempfile.mkdtemp(dir=place.dir))
WAY = ["--connect-to", "api.openai.com:443:127.0.0.1:%d" % server.tls_port, "--cacert", server.ca]
PYTHON = """
import ssl, sys, urllib.request as u
q = u.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
print(u.urlopen(q, timeout=60, context=ssl.create_default_context()).read().decode())
"""
NODE = """
fetch(process.argv[1], { method: "POST", headers: { "Content-Type": "application/json" }, body: process.argv[2] })
  .then((r) => r.text()).then((t) => console.log(t), (e) => { console.error(e, e.cause); process.exit(1) })
"""
session = 0


def pythons():
    """By version, those of a user of pyenv too."""
    found = {}
    for path in ["/usr/bin/python3"] + [shutil.which("python3.%d" % n) for n in range(8, 15)] + sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))):
        r = subprocess.run([path, "-c", "import ssl, sys; print('%d.%d' % sys.version_info[:2])"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) if path else None
        if r and not r.returncode:
            found.setdefault(r.stdout.strip(), path)
    return found


def record(*argv, options=WAY, **env):
    """(exit status, output, the session's calls)"""
    global session
    session += 1
    r = subprocess.run([os.path.join(BUILD, "vcr-record"), "-q", "--session", "s%d" % session, "--lane=gate", *options, "--", *argv], cwd=work, env=dict(place.env, **env),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    lines = [json.loads(l) for l in open(os.path.join(work, ".vcr", "s%d.vcr" % session))]
    calls = [l["data"]["metadata"]["custom"]["vcr"] for l in lines if l["type"] == "frame" and l["data"]["node_name"].startswith("llm:")]
    return r, calls


def accepts(name, *argv):
    r, calls = record(*argv)
    right = [(c["source"], c["host"], c["status"], c["complete"]) for c in calls] == [("gate", "api.openai.com", 200, True)]
    ok(r.returncode == 0 and "Answer to question 7" in r.stdout and right, "%s verifies the gate's certificate and accepts it" % name, r.returncode, r.stdout[-300:], r.stderr[-900:], calls)


have = pythons()
for version in ["3.%d" % n for n in range(8, 14)]:
    if version in have:
        accepts("Python " + version, have[version], "-c", PYTHON, URL, BODY)
    else:
        skip("Python %s verifies the gate's certificate and accepts it" % version, "not installed")
accepts("curl", "curl", "-sS", "-d", BODY, "-H", "Content-Type: application/json", URL)
node = shutil.which("node")
if node and int(re.match(r"v(\d+)", subprocess.check_output([node, "--version"], text=True)).group(1)) >= 18:
    accepts("node", node, "-e", NODE, URL, BODY)
else:
    skip("node verifies the gate's certificate and accepts it", "no node of version 18 or later")
before = len(server.calls())
r, calls = record("curl", "-sS", "-d", BODY, URL, options=WAY[:2])
ok(r.returncode != 0 and [c["status"] for c in calls if c.get("status")] == [] and len(server.calls()) == before, "a model's server whose certificate is not trusted gets no request through the gate either", r.returncode, r.stdout, calls)


# ---- The user's proxy ----

proxy = serverkit.Proxy(lambda target: server.tls_port)
for name, argv in (("Python", ("/usr/bin/python3", "-c", PYTHON, URL, BODY)), ("curl", ("curl", "-sS", "-d", BODY, "-H", "Content-Type: application/json", URL))):
    proxy.heads.clear()
    r, calls = record(*argv, options=WAY[2:], HTTPS_PROXY=proxy.url)
    lines = proxy.heads[0].split("\r\n") if proxy.heads else []
    ok(r.returncode == 0 and "Answer to question 7" in r.stdout and [c["source"] for c in calls] == ["gate"] and len(proxy.heads) == 1 and lines[0] == "CONNECT api.openai.com:443 HTTP/1.1" and
       "Proxy-Authorization: Basic " + base64.b64encode(b"me:word-0123456789").decode() in lines, "with a proxy of the user's, %s is recorded and the call goes out by it" % name, r.returncode, r.stderr[-500:], calls, proxy.heads)
server.close()
done()
