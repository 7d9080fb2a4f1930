#!/usr/bin/python3
"""HTTP/2 as curl and httpx speak it: over TLS, with prior knowledge, by upgrade; the session holds what the server heard and said."""
import atexit
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import modelserver
from agentkit import ok, skip

PROMISE = "each stream is one call, its bodies byte for byte, HTTP/2 is named"
HTTPX = """
import asyncio, httpx, sys
base, together = sys.argv[1], int(sys.argv[2])
async def ask(client, q):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Question %d. together=%d" % (q, together)}], "stream": q % 2 == 0}
    async with client.stream("POST", base + "/v1/chat/completions", json=body) as r:
        assert r.http_version == "HTTP/2"
        return b"".join([p async for p in r.aiter_raw()])
async def main():
    async with httpx.AsyncClient(http2=True, http1=base.startswith("https"), timeout=60) as client:
        for first in range(0, 4 * together, together):
            for text in await asyncio.gather(*[ask(client, q) for q in range(first, first + together)]):
                assert b"Answer" in text
asyncio.run(main())
"""
REPLAYED = "what was recorded is served again with the server stopped"
CASES = [("httpx, one stream at a time", "https", ["httpx", "1"]), ("httpx, seven streams at once", "https", ["httpx", "7"]),
         ("httpx, prior knowledge without TLS", "http", ["httpx", "3"]), ("curl over TLS", "https", ["--http2"]),
         ("curl with prior knowledge", "http", ["--http2-prior-knowledge", "once"]), ("curl by upgrade from HTTP/1.1", "http", ["--http2"]),
         ("curl with a request of 300 kB", "https", ["--http2", "long"])]
HOW = {"preload": "LD_PRELOAD", "record": "vcr-record"}
agentkit.need_agents(*["%s under %s: %s" % (c[0], HOW[how], PROMISE) for c in CASES for how in HOW],
                      *["%s: %s" % (c[0], REPLAYED) for c in CASES if c[2][0] != "httpx"])
CURL = shutil.which("curl")
CURL_HTTP2 = CURL and "HTTP2" in subprocess.run([CURL, "-V"], stdout=subprocess.PIPE, text=True).stdout


class Server:
    def __init__(self, place):
        self.dir = os.path.join(place.dir, "server")
        os.makedirs(self.dir)
        self.ca, leaf = modelserver.make_ca(self.dir)
        self.process = subprocess.Popen([agentkit.AGENTS_PYTHON, os.path.join(agentkit.HERE, "h2server.py"), self.dir, leaf], stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        plain, tls = self.process.stdout.readline().split()
        self.base = {"http": "http://127.0.0.1:" + plain, "https": "https://localhost:" + tls}

    def calls(self):
        return [json.loads(line) for line in open(os.path.join(self.dir, "calls.jsonl"))]

    def close(self):
        self.process.kill()
        self.process.wait()


def curl_line(base, words, place, ca):
    """Two questions on one connection, the second one's answer as a stream; or one (curl 7.88 says its preface again before a second one)."""
    line = [CURL]
    for q in range(2 - ("once" in words)):
        name = os.path.join(place.dir, "body%d.json" % q)
        with open(name, "w") as f:
            content = "Question %d." % q + (" and again" * 30000 if "long" in words else "")
            json.dump({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], "stream": bool(q)}, f)
        line += ["-sS", "--cacert", ca, "-H", "Content-Type: application/json", "-H", "Expect:", words[0], "-d", "@" + name, base + "/v1/chat/completions"]
        line += [] if q or "once" in words else ["--next"]
    return line


def check(title, scheme, words, how):
    if words[0] != "httpx" and not CURL_HTTP2:
        return skip("%s under %s: %s" % (title, HOW[how], PROMISE), "no curl with HTTP/2")
    place = agentkit.Place()
    server = Server(place)
    for env in (place.plain, place.preload, place.record):
        env["SSL_CERT_FILE"] = server.ca
    line = [agentkit.AGENTS_PYTHON, "-c", HTTPX, server.base[scheme], words[1]] if words[0] == "httpx" else curl_line(server.base[scheme], words, place, server.ca)
    r = place.run(*line, how=how)
    session = place.session()
    said = sorted((c["request"], c["answer"]) for c in server.calls())
    kept = sorted((session.body(f, "request").decode(), session.body(f, "response").decode()) for f in session.calls())
    about = [session.vcr(f) for f in session.calls()]
    named = all(v["http"] == "2" and v["status"] == 200 and v["complete"] and v["scheme"] == scheme and v["seq"] and v.get("savepoint") and
                v["response_headers"].get("x-request-id", "").startswith("req-") for v in about)
    whole = all(f["frame_type"] == "llm" and f["output_state"]["response"]["choices"][0]["message"]["content"].endswith("\u2713") for f in session.calls())
    ok(r.returncode == 0 and said and said == kept and named and whole and not session.complaints, "%s under %s: %s" % (title, HOW[how], PROMISE),
       r.returncode, r.stderr.decode()[-1500:], "%d said, %d kept" % (len(said), len(kept)), [v for v in about if not v.get("savepoint")] or about[:1], session.end, session.complaints)
    server.close()
    if how == "record" and words[0] != "httpx":
        replay(title, place, session, line, r.stdout)


def replay(title, place, session, line, heard):
    """The gate speaks HTTP/1.1 to whom that will do, whatever was spoken when the answer was recorded."""
    r = subprocess.run([os.path.join(agentkit.BUILD, "vcr-replay"), session.path, "--"] + line, cwd=place.work, env=place.plain, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    ok(r.returncode == 0 and r.stdout == heard, "%s: %s" % (title, REPLAYED), r.returncode, r.stderr.decode()[-1500:], r.stdout[:300], heard[:300])


for how in HOW:
    for title, scheme, words in CASES:
        check(title, scheme, words, how)
agentkit.done()
