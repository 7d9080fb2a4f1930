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
LONG = "VCR_LONG" in os.environ  # scripts/test --long
TIMES = 10 if LONG else 2
MOST = 10  # the agents' own threads race: one run in a few dozens draws in another order, so where two replays do not suffice it takes more


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
for node in nodekit.NODES if LONG else ("node", "node18", "node26"):
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

# ---- Agents, as a user starts them: for the first time in that home, with no variable that makes them quiet ----

SHARE, WORKS = "at least nine model calls in ten are exact", "it works as always while it is recorded"


def calls_of(place, session, command, env):
    """The rungs of its model calls in one replay; a miss is one of them."""
    r = subprocess.run([REPLAY, "--json", "--deterministic", session.path, "--", *command], cwd=place.work, env={**place.record, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=300)
    events = [json.loads(l) for l in r.stderr.decode().splitlines() if l.startswith('{"event"')]
    return [e["words"] if e["event"] == "served" else "missed" for e in events if e["event"] == "missed" or (e["event"] == "served" and "frame" in e)], r


def share(name, place, command, env, start):
    rungs, session = [], place.session()
    for n in range(MOST):
        if n >= TIMES and rungs.count("exact") * 10 >= len(rungs) * 9:
            break
        start.again()
        of, r = calls_of(place, session, command, env)
        rungs += of
    exact = rungs.count("exact")
    ok(rungs and exact * 10 >= len(rungs) * 9, "%s: %s (%d of %d)" % (name, SHARE, exact, len(rungs)), rungs, r.returncode, r.stderr.decode()[-3000:])


def try_claude(name, kind):
    claude = claudekit.Claude(kind)
    for name_ in "DISABLE_AUTOUPDATER", "CLAUDE_CODE_MAX_RETRIES":
        del claude.env[name_]
    claude.configure()
    start = Start(claude.place)
    r = record(claude.place, claude.command, claude.env)
    claude.server.close()
    ok(r.returncode == 0 and claude.files() == claudekit.WANT, "%s: %s" % (name, WORKS), r.returncode, r.stderr.decode()[-3000:], r.stdout[-500:])
    share(name, claude.place, claude.command, claude.env, start)


def try_gemini(name):
    server = agentkit.server()
    place = agentkit.Place(server)
    turns = [("I write a poem.", [("call_0", "write_file", {"file_path": os.path.join(place.work, "poem.txt"), "content": claudekit.POEM})]),
             ("One word is wrong.", [("call_1", "replace", {"file_path": os.path.join(place.work, "poem.txt"), "old_string": "zwei", "new_string": "drei", "instruction": "mend"})]),
             ("And back.", [("call_2", "replace", {"file_path": os.path.join(place.work, "poem.txt"), "old_string": "drei", "new_string": "zwei", "instruction": "mend"})]),
             ("The shell writes too.", [("call_3", "run_shell_command", {"command": "printf 'from the shell\\n' > shell.txt"})]), ("Done.", [])]

    def turn(api, request):
        n = sum(c.get("role") == "model" for c in request.get("contents", []))
        return replies.Reply(turns[n][0], "gemini-2.5-flash", turns[n][1], 100, 20, "g%d" % n) if api == "gemini.generate" and n < len(turns) else None
    server.script = turn
    os.makedirs(os.path.join(place.home, ".gemini"))
    with open(os.path.join(place.home, ".gemini", "settings.json"), "w") as f:
        json.dump({"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}}, f)
    command = [nodekit.program("node24"), os.path.join(nodekit.AGENTS_NPM, "node_modules", "@google", "gemini-cli", "bundle", "gemini.js"), "-y", "-m", "gemini-2.5-flash", "-p", "Write a poem."]
    env = {"NODE_EXTRA_CA_CERTS": server.ca, "GOOGLE_GEMINI_BASE_URL": server.https, "GEMINI_API_KEY": "AIzaSyTest0123456789abcdefghijklmnopqrs", "GEMINI_CLI_TRUST_WORKSPACE": "true", "TERM": "dumb",
           "VCR_MODEL_HOSTS": server.https.split("//")[1]}
    start = Start(place)
    r = record(place, command, env)
    server.settle()
    server.close()
    ok(r.returncode == 0 and all(os.path.exists(os.path.join(place.work, f)) for f in claudekit.WANT), "%s: %s" % (name, WORKS), r.returncode, r.stderr.decode()[-3000:])
    share(name, place, command, env, start)


AGENTS = {"claude-code, native": (lambda: nodekit.no_claude("bun"), lambda name: try_claude(name, "bun")),
          "claude-code for node 20": (lambda: nodekit.no_claude("node"), lambda name: try_claude(name, "node")),
          "gemini-cli": (lambda: nodekit.missing("node24", True), try_gemini)}
for name, (lacks, attempt) in AGENTS.items():
    why = lacks()
    if why:
        skip("%s: %s" % (name, WORKS), why)
        skip("%s: %s" % (name, SHARE), why)
    else:
        attempt(name)
agentkit.done()
