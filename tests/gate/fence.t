#!/usr/bin/python3
"""A command in vcr-replay with the library in it: led whatever it thinks of proxies, kept from the network, and told nothing of it."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import BUILD, Recording, ask, clikit, done, dump, json, ok, skip

PYTHON = "/usr/bin/python3"
REPLAY = os.path.join(BUILD, "vcr-replay")
ANSWER = dump({"choices": [{"message": {"role": "assistant", "content": "h\u00e9"}}]})
place = clikit.Place()
rec = Recording(place)
for i in range(4):
    rec.call(ask("hello %d" % i), ANSWER)
rec.call(ask("local"), ANSWER, host="localhost:11434", scheme="http")
rec.write()


def run(*argv, options=(), **env):
    return subprocess.run([REPLAY, *options, "rec", "--", *argv], cwd=place.dir, env=dict(place.env, **env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


DIRECT = """
import json, sys, urllib.request as u
def ask(text, url="https://api.openai.com/v1/chat/completions"):
    q = u.Request(url, json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode(), {"Content-Type": "application/json"})
    return u.build_opener(u.ProxyHandler({})).open(q, timeout=20).read().decode()
"""
r = run(PYTHON, "-c", DIRECT + "print(ask('hello 0'))")
ok((r.returncode, r.stdout.strip()) == (0, ANSWER) and b"1 of 5 recorded" in r.stderr, "a program that heeds no proxy variable is led, and trusts the gate", r)
r = run("env", "-i", PYTHON, "-c", DIRECT + "print(ask('hello 1'))")
ok((r.returncode, r.stdout.strip()) == (0, ANSWER), "also one that is started with an empty environment", r)
r = run(PYTHON, "-c", DIRECT + "print(ask('local', 'http://localhost:11434/v1/chat/completions'))")
ok((r.returncode, r.stdout.strip()) == (0, ANSWER), "a recorded base URL on this machine is served, though nothing listens there", r)
ASYNC = """
import asyncio, json
async def ask(i):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello %d" % i}]}).encode()
    r, w = await asyncio.open_connection("api.openai.com", 443, ssl=True)
    w.write(b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: api.openai.com\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    return (await r.read()).startswith(b"HTTP/1.1 200")
async def main(): print(all(await asyncio.gather(*(ask(i) for i in range(4)))))
asyncio.run(main())
"""
r = run(PYTHON, "-c", ASYNC)
ok((r.returncode, r.stdout.strip()) == (0, b"True") and b"4 of 5 recorded" in r.stderr, "asyncio is led", r)
OUT = """
import socket
for what in (lambda: socket.create_connection(("203.0.113.7", 443), 5), lambda: socket.create_connection(("www.example.com", 80), 5),
             lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("198.51.100.9", 53))):
    try: what(); print("got out")
    except OSError as e: print(type(e).__name__)
"""
r = run(PYTHON, "-c", OUT)
ok(r.stdout.split() == [b"OSError", b"gaierror", b"OSError"], "nothing else gets out: connections, names and datagrams are refused", r)
LISTED = b"refused 3 times, since nothing goes to the network: 203.0.113.7:443 (connect), www.example.com (look-up), 198.51.100.9:53 (datagram)"
ok(LISTED in r.stderr, "what was refused is counted and listed at the end: connections, names, datagrams", r)
AGAIN = """
import socket
for where in [("203.0.113.7", 4430)] * 30 + [("203.0.113.7", 443)] + [("203.0.113.%d" % i, 1) for i in range(30)]:
    try: socket.create_connection(where, 5); print("got out")
    except OSError as e: pass
"""
r = run(PYTHON, "-c", AGAIN)
ok(b"refused 61 times" in r.stderr and b"203.0.113.7:4430 (connect), 203.0.113.7:443 (connect), 203.0.113.0:1 (connect)" in r.stderr and r.stderr.count(b"(connect)") == 20 and
   b", and 12 more" in r.stderr, "… each place once however often it is tried, and no more of them than are read", r)
r = run(PYTHON, "-c", OUT, options=["--json"])
events = [json.loads(line) for line in r.stderr.splitlines() if line.startswith(b"{")]
ok([(e["method"], e["path"]) for e in events if e["event"] == "refused"] == [("connect", "203.0.113.7:443"), ("look-up", "www.example.com"), ("datagram", "198.51.100.9:53")], "… and by --json", events)
title = "in a namespace without a network a program that heeds no proxy variable replays"
if subprocess.run(["unshare", "-rn", "true"], stderr=subprocess.DEVNULL).returncode:
    skip(title, "no user namespaces")
else:
    r = subprocess.run(["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", REPLAY, "rec", "--", PYTHON, "-c", DIRECT + "print(ask('hello 2'))"],
                       cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    ok((r.returncode, r.stdout.strip()) == (0, ANSWER), title, r)
r = run(PYTHON, "-c", "open('made', 'w').write('x'); import os; print(os.environ.get('VCR_SPOOL'), 'LD_PRELOAD' in os.environ)")
ok((r.returncode, r.stdout.split(), open(os.path.join(place.dir, "made")).read()) == (0, [b"None", b"False"], "x"), "the command's files are its own, and it sees no variable of the library's", r)
r = run("true", VCR_SHIM="/nonexistent/libvcrshim.so")
ok(r.returncode == 0 and b"by variables alone" in r.stderr, "without the library that is said", r)
left = [f for _, _, files in os.walk(place.run_dir) for f in files]
ok(not left and sorted(os.listdir(place.vcr_dir)) == ["rec.vcr"], "nothing is left of it, in the runtime directory or beside the recording", left, os.listdir(place.vcr_dir))
done()
