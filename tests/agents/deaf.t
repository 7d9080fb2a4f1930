#!/usr/bin/python3
"""A real client with a TLS of its own in a Python module: curl_cffi, whose BoringSSL is exported to nobody. It reads its certificates for each connection."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import AGENTS_PYTHON, done, need_agents, ok, skip

HOST, PATH = "api.openai.com", "/v1/chat/completions"
TITLES = ["its calls go to the gate once it has read its certificates again; %s" % how for how in ("vcr-record", "bare preload")] + \
    ["one connection that is kept is left as it is, and the session says what is missing",
     "where Python's own OpenSSL speaks to the same host, that is heard and nothing is led",
     "also where that speaks last: what was led until then has harmed nobody"]
CALLS = """
import sys, curl_cffi
from curl_cffi import requests
host, port, path, ca, kept = sys.argv[1:6]
options = {curl_cffi.CurlOpt.RESOLVE: ["%s:%s:127.0.0.1" % (host, port)]}
session = requests.Session(curl_options=options, verify=ca)
for i in range(4):
    session = session if kept else requests.Session(curl_options=options, verify=ca)
    body = {"model": "m", "messages": [{"role": "user", "content": "[[q=%d]]" % i}]}
    r = session.post("https://%s:%s%s" % (host, port, path), json=body, timeout=60)
    print(r.status_code, "Answer to question %d" % i in r.text)
"""
BOTH = """
import http.client, json, ssl, sys, socket, curl_cffi
from curl_cffi import requests
host, port, path, ca = sys.argv[1:5]
context = ssl.create_default_context(cafile=ca)
body = {"model": "m", "messages": [{"role": "user", "content": "[[q=1]]"}]}
class Here(http.client.HTTPSConnection):
    def connect(self):
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port)), server_hostname=self.host)
def curl():
    s = requests.Session(curl_options={curl_cffi.CurlOpt.RESOLVE: ["%s:%s:127.0.0.1" % (host, port)]}, verify=ca)
    print(s.post("https://%s:%s%s" % (host, port, path), json=body, timeout=60).status_code)
def python():
    c = Here(host, int(port))
    c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    print(c.getresponse().status)
for ask in sys.argv[5].split():
    {"curl": curl, "python": python}[ask]()
"""
need_agents(*TITLES)
server = agentkit.server()
PORT = str(server.tls_port)


def run(how, kept, calls=CALLS):
    place = agentkit.Place()
    os.makedirs(os.path.join(place.work, ".vcr"))
    with open(os.path.join(place.work, ".vcr", "config"), "w") as f:
        f.write("connect-to %s:%s:127.0.0.1:%s\ncacert %s\n" % (HOST, PORT, PORT, server.ca))
    bundle = os.path.join(place.dir, "cacert.pem")
    shutil.copy(server.ca, bundle)
    r = place.run(AGENTS_PYTHON, "-c", calls, HOST, PORT, PATH, bundle, kept, how=how)
    return r, place


if agentkit.Place().run(AGENTS_PYTHON, "-c", "import curl_cffi", how="plain").returncode:
    for title in TITLES:
        skip(title, "curl_cffi is not installed")
    done()
for how, title in zip(("record", "preload"), TITLES):
    r, place = run(how, "")
    s = place.session()
    said = [(s.vcr(f)["source"], s.vcr(f)["status"]) for f in s.calls()]
    words = s.end["unseen"]
    ok(r.returncode == 0 and r.stdout.split(b"\n")[:4] == [b"200 True"] * 4 and said == [("gate", 200)] * 2 and len(words) == 1 and "until it reads its certificates anew" in words[0],
       title, r, said, words)
r, place = run("record", "kept")
s = place.session()
ok(r.returncode == 0 and r.stdout.split(b"\n")[:4] == [b"200 True"] * 4 and not s.calls() and len(s.end["unseen"]) == 1, TITLES[2], r, s.end["unseen"])
for order, want, title in (("curl python curl curl python python curl", ["tap"] * 3, TITLES[3]), ("curl curl curl python curl python", ["gate", "tap", "tap"], TITLES[4])):
    r, place = run("record", order, BOTH)
    s = place.session()
    said = [s.vcr(f)["source"] for f in s.calls() if s.vcr(f)["status"] == 200]
    ok(r.returncode == 0 and r.stdout == b"200\n" * len(order.split()) and said == want, title, r, said, s.end["unseen"])
done()
