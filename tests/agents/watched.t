#!/usr/bin/python3
"""Real agents that no hook can enter, under --supervise and --sealed: recorded by their model's real name, and the same again with the model gone."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import claudekit
import codexkit
import nodekit
from agentkit import BUILD, ok, skip

RECORDED = "the agent does its work, and the session holds each model call byte for byte, and the files that its tools wrote"
REPLAYED = "replayed with its model gone, it says the same and leaves the same files"
WAYS = ("--supervise", "--sealed")


def run(place, env, *argv):
    return subprocess.run(argv, cwd=place.work, env={**place.record, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)


def refused(way):
    """Why there is none here; None if there is."""
    place = agentkit.Place()
    r = run(place, {}, os.path.join(BUILD, "vcr-record"), "-q", way, "--", "/bin/true")
    return r.stderr.decode().strip() if r.returncode == 125 else None


class Codex:
    want = {"poem.txt": codexkit.POEM.encode(), "shell.txt": b"from the shell\n"}
    api = "openai.responses"
    why = codexkit.no_codex()

    def __init__(self):
        self.agent = codexkit.Agent()
        self.begin()
        self.command, self.env = [*self.agent.command, "Write a poem."], self.agent.env
        self.to = [w for host in codexkit.HOSTS for w in ("--connect-to", "%s:443:127.0.0.1:%d" % (host, self.agent.port))]

    def begin(self):
        self.agent.begin()

    def files(self):
        return self.agent.left()


class Claude:
    want = claudekit.WANT
    api = "anthropic.messages"
    why = nodekit.no_claude("bun")

    def __init__(self):
        self.agent = claudekit.Claude("bun")
        self.command, self.env = self.agent.command, self.agent.env
        self.to = ["--connect-to", "%s:443:127.0.0.1:%d" % (claudekit.HOST, self.agent.server.tls_port)]

    def begin(self):
        pass

    def files(self):
        return self.agent.files()


def check(name, kind, way):
    it = kind()
    place, server = it.agent.place, it.agent.server
    r = run(place, it.env, os.path.join(BUILD, "vcr-record"), "-q", way, *it.to, "--cacert", server.ca, "--", *it.command)
    session = place.session()
    server.settle()
    asked = sorted((c["request"], c["answer"]) for c in server.calls() if c["api"] == it.api)
    kept = sorted((session.body(f, "request"), session.body(f, "response")) for f in session.calls() if session.vcr(f)["api"] == it.api)
    written = claudekit.written(session)
    ok(r.returncode == 0 and len(asked) >= 3 and kept == asked and it.files() == it.want == {k: written.get(k) for k in it.want} and not session.complaints, "%s, %s: %s" % (name, way, RECORDED),
       r.returncode, r.stderr.decode()[-2000:], len(asked), len(kept), it.files(), written, session.complaints, session.end["unseen"])
    server.close()
    for path in it.files():
        os.unlink(os.path.join(place.work, path))
    it.begin()
    again = run(place, it.env, os.path.join(BUILD, "vcr-replay"), way, session.path, "--", *it.command)
    ok((again.returncode, again.stdout) == (r.returncode, r.stdout) and it.files() == it.want, "%s, %s: %s" % (name, way, REPLAYED), again.returncode, again.stdout, r.stdout,
       again.stderr.decode()[-3000:], it.files())


for way in WAYS:
    no = refused(way)
    for name, kind in (("codex", Codex), ("claude-code, native", Claude)):
        if kind.why or no:
            for title in (RECORDED, REPLAYED):
                skip("%s, %s: %s" % (name, way, title), kind.why or no)
        else:
            check(name, kind, way)
agentkit.done()
