#!/usr/bin/python3
"""Pages of others than models by HTTPS; tools of gemini-cli, and of a program that has them on terminals as gemini-cli does when somebody sits before it (node-pty): recorded, and answered from the session."""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import nodekit
from agentkit import ok, skip
from geminikit import Gemini

GEMINI = "gemini-cli: with --hermetic its shell does not run again, the agent hears what it heard, says the same and leaves the same file"
PTY = "node-pty: a tool on a terminal is what it is without us when it is recorded, and its words are in the session"
AGAIN = "node-pty: with --hermetic it does not run, and the terminal shows what it showed, with its exit status"
UNKNOWN = "node-pty: one that was not recorded does not run, and is named on the terminal and at the end"
NODE = "node24"
AGENT = """
import pty from '@lydell/node-pty';
const [model, ...commands] = process.argv.slice(2);
await (await fetch(model, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"model": "m", "messages": []}'})).text();
for (const command of commands)
  await new Promise(resolve => {
    const p = pty.spawn('bash', ['-c', command], {name: 'xterm', cols: 77, rows: 33, cwd: process.cwd(), env: process.env});
    let text = '', typed = false;
    p.onData(data => {
      text += data;
      if (!typed && text.includes('? ') && (typed = true)) p.write('me\\r');
    });
    p.onExit(({exitCode, signal}) => setTimeout(() => { console.log(JSON.stringify([text, exitCode, signal])); resolve(); }, 100));
  });
"""
HTTPS = "a page of another host than a model's is answered by HTTPS too, with the host gone; one that was not recorded is refused, by method, host and path"
BROWSER = """
import subprocess, sys, urllib.error, urllib.request
base, *paths = sys.argv[1:]
for path, data in [("/v1/chat/completions", b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}'), *((p, None) for p in paths)]:
    try:
        with urllib.request.urlopen(urllib.request.Request(base + path, data, {"Content-Type": "application/json"})) as r:
            print(r.status, r.read())
    except urllib.error.HTTPError as e:
        print(e.code, e.read())
print(subprocess.run(["echo", "a tool"], stdout=subprocess.PIPE).stdout)
"""
why = nodekit.missing(NODE, True)


def run(place, words, command, env):
    return subprocess.run([*words, "--", *command], cwd=place.work, env={**place.record, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)


def runs():
    return len(open(ran).readlines())


sessions = tempfile.mkdtemp(prefix="vcr-agents.")
atexit.register(shutil.rmtree, sessions, True)
RECORD = (os.path.join(agentkit.BUILD, "vcr-record"), "-q", "--capture=all", "--vcr-dir", sessions, "--session")
REPLAY = (os.path.join(agentkit.BUILD, "vcr-replay"), "--hermetic", "--vcr-dir", sessions)
server = agentkit.server()
place, trust = agentkit.Place(), {"SSL_CERT_FILE": server.ca}
command = ["/usr/bin/python3", "-c", BROWSER, server.https]
said = run(place, (*RECORD, "https"), [*command, "/page"], trust)
server.close()
again, other = (run(place, (*REPLAY, "https"), [*command, path], trust) for path in ("/page", "/other"))
refusal = "vcr replay: GET %s/other was not recorded, and nothing goes to the network" % server.https[8:]
ok(b"404 " in said.stdout and (again.returncode, again.stdout) == (0, said.stdout) and refusal in other.stdout.decode() and "nothing goes to the network: " + server.https[8:] in other.stderr.decode(), HTTPS,
   said, again, other)
if why:
    for title in (GEMINI, PTY, AGAIN, UNKNOWN):
        skip(title, why)
    agentkit.done()
gemini = Gemini(NODE, False)
ran = os.path.join(gemini.place.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
gemini.turns = [gemini.turns[1], gemini.turns[3]]
gemini.turns[0][2]["command"] = "echo shown; printf 'from the shell\\n' > shell.txt; echo 1 >>" + ran
r = run(gemini.place, (*RECORD, "gemini"), gemini.command, gemini.env)
gemini.server.settle()
gemini.server.close()
said, made = (r.returncode, r.stdout), gemini.files()
for name in made:
    os.unlink(os.path.join(gemini.place.work, name))
shutil.rmtree(os.path.join(gemini.place.home, ".gemini", "tmp"), True)
r = run(gemini.place, (*REPLAY, "gemini"), gemini.command, gemini.env)
err = r.stderr.decode()
ok(said[0] == 0 and (r.returncode, r.stdout) == said and gemini.files() == made and made.get("shell.txt") == b"from the shell\n" and runs() == 1 and " 0 missed; nothing went to the network" in err and
   "answered from the session, 0 recorded runs" in err and "refused" not in err, GEMINI, said, r.returncode, r.stdout, err[-3000:], made, runs())

server = agentkit.server()
place = agentkit.Place()
ran = os.path.join(place.run_dir, "ran")
open(ran, "w").close()
script = os.path.join(place.dir, "agent.mjs")
os.symlink(os.path.join(nodekit.AGENTS_NPM, "node_modules"), os.path.join(place.dir, "node_modules"))
with open(script, "w") as f:
    f.write(AGENT)
COMMANDS = ("test -t 0 -a -t 1 && stty size && echo a terminal; echo 1 >>%s; exit 3" % ran, "seq 1 3000; echo 1 >>%s" % ran, "read -p 'name? ' x; echo got $x; echo 1 >>%s" % ran)
command = [nodekit.program(NODE), script, server.http + "/v1/chat/completions"]
plain = subprocess.run([*command, *COMMANDS], cwd=place.work, env=place.plain, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=100)
r = run(place, (*RECORD, "pty"), [*command, *COMMANDS], {})
kept = [l["data"] for l in agentkit.Session(os.path.join(sessions, "pty.vcr")).lines if l["type"] == "vcr.output"]
lines = [json.loads(l) for l in r.stdout.splitlines()]
ok(r.returncode == 0 and r.stdout == plain.stdout and runs() == 6 and len(kept) == 3 and not [k for k in kept if "not_kept" in k] and lines[0] == ["33 77\r\na terminal\r\n", 3, 0] and "got me" in lines[2][0],
   PTY, r.stdout[:300], plain.stdout[:300], r.stderr[-1000:], kept, runs())
server.close()
again = run(place, (*REPLAY, "pty"), [*command, *COMMANDS], {})
ok((again.returncode, again.stdout) == (0, r.stdout) and runs() == 6, AGAIN, again.stdout[:300], again.stderr.decode()[-1500:], runs())
other = run(place, (*REPLAY, "pty"), [*command, "echo other; echo 1 >>" + ran], {})
ok(runs() == 6 and other.returncode == 1 and b"vcr replay: bash -c echo other" in other.stdout and b",127," in other.stdout and b"(it was not recorded)" in other.stderr, UNKNOWN, other.stdout, other.stderr.decode()[-1500:])
agentkit.done()
