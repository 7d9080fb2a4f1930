#!/usr/bin/python3
"""--deterministic with node and with agents: the same start gives the same requests, byte for byte, and how many of them are so is said."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import claudekit
import nodekit
import replies
from agentkit import ok, skip

RECORD, REPLAY = os.path.join(agentkit.BUILD, "vcr-record"), os.path.join(agentkit.BUILD, "vcr-replay")
TIMES = int(os.environ.get("VCR_DETERMINISTIC_TIMES", "3"))


class Start:
    """A place as it is now, home and workspace, to begin from again."""

    def __init__(self, place):
        self.place, self.copy = place, os.path.join(place.dir, "start")
        for d in (place.home, place.work):
            shutil.copytree(d, os.path.join(self.copy, os.path.basename(d)), symlinks=True)

    def again(self):
        for d in (self.place.home, self.place.work):
            for e in os.scandir(d):
                if e.name not in (".git", ".vcr"):
                    shutil.rmtree(e.path) if e.is_dir(follow_symlinks=False) else os.unlink(e.path)
            shutil.copytree(os.path.join(self.copy, os.path.basename(d)), d, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", ".vcr"))


def record(place, command, env):
    return subprocess.run([RECORD, "-q", "--deterministic", "--", *command], cwd=place.work, env={**place.record, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=300)


def replay(place, session, command, env):
    """How many requests of it were exact, how many not, the text that came."""
    r = subprocess.run([REPLAY, "-q", "--json", "--deterministic", session.path, "--", *command], cwd=place.work, env={**place.record, **env}, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    events = [json.loads(l) for l in r.stderr.decode().splitlines() if l.startswith('{"event"')]
    rungs = next((e["rungs"] for e in events if e["event"] == "ledger"), {"exact": 0, "missed": 1})
    return rungs["exact"], sum(rungs[k] for k in ("canonical", "normalised", "structural", "missed")), r


# ---- node ----

AGENT = """
const crypto = require('crypto'), fs = require('fs'), http = require('http'), os = require('os'), path = require('path');
const ask = facts => new Promise((done, failed) => {
	const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: JSON.stringify(facts) }] });
	const q = http.request(process.env.MODEL_HTTP + '/v1/chat/completions', { method: 'POST', headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) } }, a => {
		a.resume();
		a.on('end', done);
	});
	q.on('error', failed);
	q.end(body);
});
(async () => {
	for (let n = 0; n < 3; n++) {
		const d = fs.mkdtempSync(path.join(os.tmpdir(), 'x-'));
		fs.rmdirSync(d);
		await ask({ n, d, now: Date.now(), iso: new Date().toISOString(), uuid: crypto.randomUUID(), bytes: crypto.randomBytes(8).toString('hex'), math: Math.random(), int: crypto.randomInt(1e9), host: os.hostname() });
		await new Promise(go => setTimeout(go, 20));
	}
	console.log(crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'der', type: 'pkcs8' }).toString('hex').slice(72, 136));
})();
"""
TEN, FEW, KEYS = "with crypto.randomUUID and Date.now in its prompt every call is exact, ten times in a row", "and in each of a few replays", "a key pair is another one each time"
for node in os.environ.get("NODES", " ".join(nodekit.NODES)).split():
    why = nodekit.missing(node)
    times, title = (10, TEN) if node == "node" else (2, FEW)
    if why:
        skip("%s: %s" % (node, title), why)
        continue
    server = agentkit.server()
    place = agentkit.Place(server)
    command, env = [nodekit.program(node), "-e", AGENT], {"VCR_MODEL_HOSTS": server.http.split("//")[1]}
    r = record(place, command, env)
    session, keys = place.session(), {r.stdout}
    server.close()
    got = [replay(place, session, command, env) for _ in range(times)]
    keys.update(g[2].stdout for g in got)
    ok(r.returncode == 0 and [g[:2] for g in got] == [(3, 0)] * times, "%s: %s" % (node, title), r.stderr[-1500:], [g[:2] for g in got], got[-1][2].stderr[-1500:])
    if node == "node":
        ok(len(keys) == times + 1 and b"" not in keys, "%s: %s" % (node, KEYS), keys)

# ---- Agents ----


def share(name, place, command, env, start):
    session = place.session()
    exact = other = 0
    last = None
    for _ in range(TIMES):
        start.again()
        e, o, last = replay(place, session, command, env)
        exact, other = exact + e, other + o
    ok(exact and exact >= 9 * other, "%s: at least nine requests in ten are exact (%d of %d)" % (name, exact, exact + other), last.returncode, last.stderr.decode()[-4000:])


for name, kind in ("claude-code, native", "bun"), ("claude-code for node 20", "node"):
    why = nodekit.no_claude(kind)
    if why:
        skip("%s: at least nine requests in ten are exact" % name, why)
        continue
    claude = claudekit.Claude(kind)
    claude.configure()
    start = Start(claude.place)
    r = record(claude.place, claude.command, claude.env)
    claude.server.close()
    ok(r.returncode == 0 and claude.files() == claudekit.WANT, "%s: it works as always while it is recorded" % name, r.returncode, r.stderr.decode()[-3000:], r.stdout[-500:])
    share(name, claude.place, claude.command, claude.env, start)
agentkit.done()
