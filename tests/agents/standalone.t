#!/usr/bin/python3
"""A Python of python-build-standalone, as uv installs it: its OpenSSL is linked in and exported to nobody. Told nothing, it is recorded, and replayed offline.

$STANDALONE_PYTHON is the interpreter of scripts/agents-gopython; without it that is skipped by name."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import AGENTS_PYTHON, BUILD, done, ok, skip

HOST, PATH = "api.openai.com", "/v1/chat/completions"
PYTHON = os.environ.get("STANDALONE_PYTHON", "")
RECORDED = "%s, %s: each call is recorded by the gate from the first on, byte for byte, and what it writes is its own"
REPLAYED = "%s: replayed offline it hears the same and writes the same"
ALONE = "no hook would have heard it: the same Python in the tap's lane is named for what was not recorded"
DOCTOR = "vcr-doctor says beforehand that it gets the gate, and why"
ASK = {"urllib": """
import json, urllib.request as u
def ask(text):
    q = u.Request(URL, json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode(), {"Content-Type": "application/json"})
    return u.urlopen(q, timeout=30).read().decode()
""", "asyncio": """
import asyncio, json, ssl
async def talk(text):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    r, w = await asyncio.open_connection("%s", 443, ssl=ssl.create_default_context())
    w.write(b"POST %s HTTP/1.1\\r\\nHost: %s\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\nContent-Length: %%d\\r\\n\\r\\n" %% len(body) + body)
    answer = await r.read()
    w.close()
    return answer.partition(b"\\r\\n\\r\\n")[2].decode()
def ask(text):
    return asyncio.run(talk(text))
""" % (HOST, PATH, HOST), "httpx": """
import httpx
def ask(text):
    return httpx.post(URL, json={"model": "m", "messages": [{"role": "user", "content": text}]}, timeout=30).text
"""}
PROGRAM = """URL = "https://%s%s"
%%s
said = [ask("A question. [[q=%%%%d]]" %%%% i) for i in range(2)]
print("\\n".join(said))
open("said.txt", "w").write("".join(said))
""" % (HOST, PATH)
HOW = {"record": "vcr-record", "preload": "bare preload"}
TITLES = [RECORDED % (c, h) for c in ASK for h in HOW.values()] + [REPLAYED % c for c in ASK] + [ALONE, DOCTOR]
if not PYTHON:
    for title in TITLES:
        skip(title, "STANDALONE_PYTHON=$(scripts/agents-gopython) is not set")
    done()


def packages():
    """Where the clients of scripts/agents-env lie, for httpx and what it needs, which is Python alone."""
    out = subprocess.run([AGENTS_PYTHON, "-c", "import httpx, os; print(os.path.dirname(os.path.dirname(httpx.__file__)))"], stdout=subprocess.PIPE, text=True) if AGENTS_PYTHON else None
    return out.stdout.strip() if out and not out.returncode else None


server = agentkit.server()
there = packages()


def begin(*config):
    place = agentkit.Place()
    os.makedirs(os.path.join(place.work, ".vcr"))
    with open(os.path.join(place.work, ".vcr", "config"), "w") as f:
        f.write("".join(line + "\n" for line in ("connect-to %s:443:127.0.0.1:%d" % (HOST, server.tls_port), "cacert " + server.ca) + config))
    return place


def left(place):
    try:
        return open(os.path.join(place.work, "said.txt")).read()
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
        place, before = begin(), len(server.calls())
        r = place.run(*command, how=how, env=env)
        server.settle()
        session, asked = place.session(), server.calls()[before:]
        got = [(session.body(f, "request"), session.body(f, "response"), session.vcr(f)["source"], session.vcr(f)["host"]) for f in session.calls()]
        own = [session.vcr(f)["source"] for f in session.frames if f["node_name"] == "file:write" and f["input_state"]["path"] == "said.txt"]
        ok(r.returncode == 0 and r.stdout.count(b"Answer to question") == 2 and len(asked) == 2 and sorted(got) == sorted((c["request"], c["answer"], "gate", HOST) for c in asked) and own == ["shim"] and
           not session.end["unseen"], RECORDED % (client, words), r, got, own, session.end["unseen"], session.end["coverage"])
    said = left(place)
    os.unlink(os.path.join(place.work, "said.txt"))
    again = subprocess.run([*agentkit.OFFLINE, os.path.join(BUILD, "vcr-replay"), "-q", session.path, "--", *command], cwd=place.work, env={**place.record, **env}, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    ok((again.returncode, again.stdout) == (0, r.stdout) and left(place) == said and said and len(server.calls()) == before + 2, REPLAYED % client, again, said)
place = begin("lane tap")
DIRECT = """
import ssl, socket, sys
c = ssl.create_default_context(cafile=sys.argv[2]).wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="%s")
body = b'{"model":"m","messages":[{"role":"user","content":"[[q=7]]"}]}'
c.sendall(b"POST %s HTTP/1.1\\r\\nHost: %s\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\nContent-Length: %%d\\r\\n\\r\\n" %% len(body) + body)
print(c.recv(99).split()[1].decode())
""" % (HOST, PATH, HOST)
r = place.run(PYTHON, "-c", DIRECT, str(server.tls_port), server.ca)
session = place.session()
ok(r.stdout == b"200\n" and not session.calls() and any("TLS bytes seen, no TLS hook fired" in u for u in session.end["unseen"]), ALONE, r, session.calls(), session.end["unseen"])
r = begin().run(os.path.join(BUILD, "vcr-doctor"), "--", PYTHON, "-c", "", how="tool")
ok(b"gate: " in r.stdout, DOCTOR, r)
server.close()
done()
