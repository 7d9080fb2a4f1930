#!/usr/bin/python3
"""A program whose TLS no hook hears, and that no gate can be put before, asks a model: that is said, whoever resolved the name."""
import os
import sys

TOP = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
import agentkit
import tapkit
from agentkit import BUILD, done, ok

DEAF, RECORD = tapkit.program("deaf"), os.path.join(BUILD, "vcr-record")
HOST, PATH = "api.openai.com", "/v1/chat/completions"
server = agentkit.server()
WORDS = "TLS bytes seen, no TLS hook fired: deaf brings a TLS of its own, its calls to %s are not recorded"
LATER = WORDS + " until it reads its certificates anew; then they go through the gate"


def ask(*options, host=HOST):
    """It knows the address by itself, as with a resolver of its own."""
    return [DEAF, *options, "--addr", "127.0.0.1", host, str(server.tls_port), PATH, server.ca, PATH]


def run(how, *argv, config=None, **env):
    place = agentkit.Place()
    if config:
        os.makedirs(os.path.join(place.work, ".vcr"))
        with open(os.path.join(place.work, ".vcr", "config"), "w") as f:
            f.write(config)
    r = place.run(*argv, how=how, env=env)
    found = place.sessions()
    return r, found[0] if found else None


r, s = run("tool", RECORD, "--", *ask())
err = r.stderr.decode()
ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 2 and s.end["unseen"] == [LATER % HOST], "what is not heard is said once a host and process, in the session", r, s and s.end)
ok("NO MODEL CALLS were seen: " + LATER % HOST in err, "and by vcr-record", err)
PLAIN = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], b'{}', {'Content-Type': 'application/json'})).read()"
r, s = run("tool", RECORD, "--", "sh", "-c", '"$@"; exec /usr/bin/python3 -c "$0" %s%s' % (server.http, PATH), PLAIN, *ask())
err = r.stderr.decode()
ok("not seen: " + LATER % HOST in err and len(s.calls()) == 1, "also where another program's calls were", r, s and s.end["unseen"])
r, s = run("preload", *ask())
ok(r.returncode == 0 and s and s.end["unseen"] == [LATER % HOST], "under a bare preload it is worth a session", r, s and s.end)
r, s = run("record", *ask("--h2"))
ok(s.end["unseen"] == [LATER % HOST], "of a program that speaks HTTP/2 alone the same is said", s.end)
r, s = run("preload", *ask(host="localhost"))
ok(r.returncode == 0 and r.stdout.count(b"Answer") == 2 and not s, "hosts that serve no models are nobody's business", r, s)
r, s = run("preload", *ask(host="localhost"), config="model-host local*:%d\n" % server.tls_port)
ok(s and s.end["unseen"] == [LATER % "localhost"], "but those that .vcr/config names are", r, s and s.end)

# ---- What is heard ----

MEMORY = """
import asyncio, ssl, sys
async def ask(i):
    c = ssl.create_default_context(cafile=sys.argv[2])
    r, w = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]), ssl=c, server_hostname="api.openai.com")
    body = b'{"model":"m","messages":[{"role":"user","content":"[[q=%d]]"}]}' % i
    w.write(b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: api.openai.com\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    print((await r.read()).count(b"Answer to question"))
    w.close()
async def main():
    await asyncio.gather(*(ask(i) for i in range(20)))
    await ask(20)
asyncio.run(main())
"""
r, s = run("record", "/usr/bin/python3", "-c", MEMORY, str(server.tls_port), server.ca)
ok(r.returncode == 0 and r.stdout == b"1\n" * 21 and len(s.calls()) == 21 and not s.end["unseen"], "TLS over memory, on many connections at once, is heard and not spoken of", r, len(s.calls()), s.end["unseen"])
done()
