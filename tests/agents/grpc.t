#!/usr/bin/python3
"""The package grpcio as itself, a client that speaks HTTP/2 alone with TLS, roots and a resolver of its own: what it says goes through the gate from its first call on, it
hears what it would hear without us, and again in a replay."""
import glob
import os
import signal
import subprocess
import sys

TOP = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
sys.path.insert(0, os.path.join(TOP, "tests", "gate"))
import agentkit
import h2kit
import troublekit
from agentkit import AGENTS_PYTHON, BUILD, done, need_agents, ok, skip

HOST = "generativelanguage.googleapis.com"
CALLS = os.path.join(agentkit.HERE, "grpccalls.py")
WAYS = {"preload": "bare preload", "record": "vcr-record", "gate": "vcr-record --lane=gate"}
TARGETS = {"by address": "ipv4:127.0.0.1:%s", "by name, found by c-ares": "dns:///%s:%%s" % HOST}
SAYS = "%s, %s: its calls, its stream and an error of the model are answered as without us"
KEPT = "%s, %s: each is a frame by the gate with all that was asked and answered, the error by its name, and nothing was unseen"
AGAIN = "%s: in a replay it hears the same, status and trailers too, and no server is asked"
OTHER = "%s: in a replay a call that was not recorded is refused by name"
NAMELESS = "in a replay its resolver finds the host though no name server and no /etc/hosts knows it"
BROUGHT = "the roots that the package brings are lent to it too"
OTHERS = "calls to a host that serves no models are answered as without us, and make no session"
KILLED = "killed in the midst of a stream, it leaves the call as far as it came"
GATE = "where the gate is killed in the midst of a stream, that call fails as if the server were gone, and the next is answered"
REFUSED = "a call that a server's GOAWAY refuses is asked again by the package itself, in a replay too"
SECRET = "a secret in what it says is not kept, and it hears whole messages in a replay"
PACKED = "what it says compressed is kept as it was said, without its secret, and found in a replay"
MANY = "a model that is found at more addresses than are remembered is heard at each, and in a replay too"
HERMETIC = "a program that has called by gRPC a host that serves no models has not spoken to one: with --hermetic what it starts then, the agent, runs again, and the agent's tool does not"
COUNTED = "the server had the calls of the recordings, and no other"
TITLES = [s % (t, w) for t in TARGETS for w in WAYS.values() for s in (SAYS, KEPT)] + [s % t for t in TARGETS for s in (AGAIN, OTHER)] + [NAMELESS, BROUGHT, OTHERS, KILLED, GATE, REFUSED, SECRET, HERMETIC, MANY, PACKED, COUNTED]
need_agents(*TITLES)
troublekit.enter(HOST, __file__)
if agentkit.Place().run(AGENTS_PYTHON, "-c", "import grpc", how="plain").returncode:
    for title in TITLES:
        skip(title, "grpcio is not installed")
    done()
model = agentkit.server()  # for its certificates
server = subprocess.Popen([AGENTS_PYTHON, CALLS, "serve", os.path.join(model.dir, "leaf.pem")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
PORT = server.stdout.readline().strip()
ENV = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": model.ca}
ASKED = [b"question 0 about a story", b"question 1 about a story", b"a story", b"too much about a story"]
ANSWERED = [[b"answer to " + ASKED[0]], [b"answer to " + ASKED[1]], [b"piece %d of a story" % i for i in range(3)], []]
asked = 0  # calls that the server must have had


class Place(agentkit.Place):
    def __init__(self):
        super().__init__()
        os.makedirs(os.path.join(self.work, ".vcr"))
        with open(os.path.join(self.work, ".vcr", "config"), "w") as f:
            f.write("model-host %s:%s\nconnect-to %s:%s:127.0.0.1:%s\ncacert %s\n" % (HOST, PORT, HOST, PORT, PORT, model.ca))

    def ask(self, how, target, *about):
        global asked
        asked += 0 if how == "replay" else 2 if about else 4
        words = [AGENTS_PYTHON, CALLS, "ask", target % PORT, HOST, *about]
        if how == "replay":
            r = self.run(os.path.join(BUILD, "vcr-replay"), "-q", self.session().path, "--", *words, how="tool", env=ENV)
        else:
            r = self.run(*words, how=how, env=ENV)
        return r.returncode, r.stdout.decode(), "" if how == "replay" else r.stderr.decode()

    def start(self, about):
        return subprocess.Popen([AGENTS_PYTHON, CALLS, "ask", TARGETS["by address"] % PORT, HOST, about], cwd=self.work, env={**self.preload, **ENV}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)

    def gates(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                words = open(path, "rb").read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"/vcr-gate") and any(w.startswith(self.run_dir.encode()) for w in words):
                found.append(int(path.split("/")[2]))
        return found


def framed(data):
    return b"\0" + len(data).to_bytes(4, "big") + data


def is_kept(session):
    frames = session.calls()
    noted = [session.vcr(f) for f in frames]
    return ([session.body(f, "request") for f in frames] == [framed(a) for a in ASKED] and [session.body(f, "response") for f in frames] == [b"".join(map(framed, a)) for a in ANSWERED] and
            [f["frame_type"] for f in frames] == ["llm"] * 3 + ["error"] and frames[3]["metadata"]["error_type"] == "RESOURCE_EXHAUSTED" and frames[3]["metadata"]["error_message"] == "so many of you \u2713" and
            all((v["source"], v["http"], v["host"].split(":")[0]) == ("gate", "2", HOST) for v in noted) and not session.end["unseen"] and
            ["gate" in c["lane"] for c in session.end["coverage"] if c["model_calls"]] == [True])


for name, target in TARGETS.items():
    if "name" in name and not troublekit.inside():
        for title in [s % (name, w) for w in WAYS.values() for s in (SAYS, KEPT)] + [AGAIN % name, OTHER % name]:
            skip(title, "no namespaces in which names can be made up")
        continue
    bare = Place().ask("plain", target)
    for how, words in WAYS.items():
        place = Place()
        mine = place.ask(how, target)
        ok(mine == bare and bare[0] == 0 and bare[1].count("\n") == 6 and "RESOURCE_EXHAUSTED so many of you" in bare[1], SAYS % (name, words), mine, bare)
        found = place.sessions()
        ok(len(found) == 1 and is_kept(found[0]), KEPT % (name, words), *[(s.end["unseen"], s.end["coverage"], [s.vcr(f) for f in s.calls()]) for s in found])
    again, recorded = place.ask("replay", target), place.session().path
    ok(again[:2] == bare[:2], AGAIN % name, again, bare)
    other = place.run(os.path.join(BUILD, "vcr-replay"), "-q", recorded, "--", AGENTS_PYTHON, CALLS, "ask", target % PORT, HOST, "dream", how="tool", env=ENV).stdout.decode()
    ok(other.count("INVALID_ARGUMENT vcr replay: no recording answers POST ") == 4, OTHER % name, other)

if troublekit.inside():
    alone = os.path.join(place.dir, "hosts")
    with open(alone, "w") as f:
        f.write("127.0.0.1 localhost\n")
    again = place.run("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', alone, os.path.join(BUILD, "vcr-replay"), "-q", recorded, "--", AGENTS_PYTHON, CALLS, "ask",
                      TARGETS["by name, found by c-ares"] % PORT, HOST, how="tool", env=ENV)
    ok(again.stdout.decode() == bare[1], NAMELESS, again, bare)
else:
    skip(NAMELESS, "no namespaces in which names can be made up")

place = Place()
mine = place.run(AGENTS_PYTHON, CALLS, "ask", TARGETS["by address"] % PORT, HOST).stdout.decode()
asked += 4
ok(mine == bare[1] and is_kept(place.session()), BROUGHT, mine, bare)
place = Place()
mine = place.run(AGENTS_PYTHON, CALLS, "ask", TARGETS["by address"] % PORT, "localhost", env=ENV).stdout.decode()
asked += 4
ok(mine == bare[1] and not place.sessions(), OTHERS, mine, bare, [s.frames for s in place.sessions()])

place = Place()
p = place.start("wait")
first = p.stdout.readline()
p.kill()
p.communicate()
asked += 1
session = place.session()
frames = session.calls()
ok(first == "piece 0 of wait\n" and len(frames) == 1 and frames[0]["frame_type"] == "error" and session.body(frames[0], "response") == framed(b"piece 0 of wait"), KILLED, first, frames)

place = Place()
p = place.start("wait")
first = p.stdout.readline()
for pid in place.gates():
    os.kill(pid, signal.SIGKILL)
rest = p.communicate(timeout=120)[0]
asked += 2
ok(first == "piece 0 of wait\n" and rest.startswith("UNAVAILABLE ") and rest.endswith("answer to and then\n"), GATE, first, rest)



class Leaving(h2kit.Server):
    """Its first connection's first call it has not looked at."""

    def answer(self, end, stream, method, words):
        super().answer(end, stream, "Away" if len(self.asked) == 1 else method, words)


leaving = Leaving(os.path.join(model.dir, "leaf.pem"))
HOME, PORT = PORT, leaving.port
place = Place()
ask = (AGENTS_PYTHON, CALLS, "ask", TARGETS["by address"] % PORT, HOST, "leaving")
said = [place.run(*ask, env=ENV).stdout.decode()]
session = place.session()
said.append(place.run(os.path.join(BUILD, "vcr-replay"), "-q", session.path, "--", *ask, how="tool", env=ENV).stdout.decode())
leaving.close()
ok(said[0] == said[1] and said[0].startswith("answer to question 0 about a leaving\nanswer to question 1") and len(leaving.asked) == 5 and
   [session.vcr(f).get("reset_code") for f in session.calls()] == [7, None, None, None, None], REFUSED, said, leaving.asked, session.frames)

KEY = "sk-ant-api03-Wm4vQp8xT2nJ7rKd5LzH"
PORT = HOME
place = Place()
ENV["ANTHROPIC_API_KEY"] = KEY
bare = place.ask("preload", TARGETS["by address"], KEY)
again = place.ask("replay", TARGETS["by address"], KEY)
asked += 2  # Place.ask takes it for a "wait"
kept = open(place.session().path, "rb").read()
ok(bare[1].count(KEY) == 5 and again[1] == bare[1].replace(KEY, "{{vcr:secret:" + "-" * (len(KEY) - 15) + "}}") and KEY.encode() not in kept, SECRET, bare, again)

del ENV["ANTHROPIC_API_KEY"]
AGENT = """
import os, runpy, subprocess, sys
me, calls, target, host, *then = sys.argv
sys.argv = [calls, "ask", target, host]
runpy.run_path(calls)
with open(os.environ["RAN"], "a") as f:
    f.write(host + "\\n")
subprocess.run([sys.executable, me, calls, target, *then] if then else ["sh", "-c", "echo tool >> $RAN"])
"""
place = Place()
script, ENV["RAN"] = os.path.join(place.dir, "agent.py"), os.path.join(place.dir, "ran")
with open(script, "w") as f:
    f.write(AGENT)
words = [AGENTS_PYTHON, script, CALLS, TARGETS["by address"] % PORT, "localhost", HOST]
first = place.run(os.path.join(BUILD, "vcr-record"), "-q", "--capture=all", "--", *words, how="tool", env=ENV)
session = place.session()
again = place.run(os.path.join(BUILD, "vcr-replay"), "--hermetic", "-v", session.path, "--", *words, how="tool", env=ENV)
asked += 12  # a replay tunnels to this machine
ran = open(ENV["RAN"]).read().split()
ok(first.stdout == again.stdout and first.stdout.count(b"\n") == 12 and ran == ["localhost", HOST, "tool", "localhost", HOST], HERMETIC, ran, first, again, session.frames)
del ENV["RAN"]

ADDRESSES = 40
EACH = """
import sys, grpc
host, port, n = sys.argv[1:]
for i in range(1, int(n) + 1):
    with grpc.secure_channel("ipv4:127.0.0.%d:%s" % (i, port), grpc.ssl_channel_credentials(), [("grpc.ssl_target_name_override", host), ("grpc.enable_http_proxy", 0)]) as c:
        print(i, c.unary_unary("/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent")(b"at %d" % i, timeout=30), flush=True)
"""
place = Place()
words = [AGENTS_PYTHON, "-c", EACH, HOST, PORT, str(ADDRESSES)]
first = place.run(*words, env=ENV)
session = place.session()
again = place.run(os.path.join(BUILD, "vcr-replay"), "-q", session.path, "--", *words, how="tool", env=ENV)
asked += ADDRESSES
ok(first.stdout == again.stdout == b"".join(b"%d b'answer to at %d'\n" % (i, i) for i in range(1, ADDRESSES + 1)) and len(session.calls()) == ADDRESSES, MANY, first, again)

GZIP = """
import os, sys, grpc
host, port = sys.argv[1:]
with grpc.secure_channel("ipv4:127.0.0.1:" + port, grpc.ssl_channel_credentials(), [("grpc.ssl_target_name_override", host), ("grpc.enable_http_proxy", 0)], compression=grpc.Compression.Gzip) as c:
    print(c.unary_unary("/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent")(b"key %s, " % os.environ["ANTHROPIC_API_KEY"].encode() + b"long " * 100, timeout=30).decode())
"""
place, ENV["ANTHROPIC_API_KEY"] = Place(), KEY
words = [AGENTS_PYTHON, "-c", GZIP, HOST, PORT]
first = place.run(*words, env=ENV).stdout
session = place.session()
again = place.run(os.path.join(BUILD, "vcr-replay"), "-q", session.path, "--", *words, how="tool", env=ENV).stdout
asked += 1
STANDS = b"{{vcr:secret:" + b"-" * (len(KEY) - 15) + b"}}"
bodies = [session.body(session.calls()[0], which) for which in ("request", "response")]
ok(first.startswith(b"answer to key " + KEY.encode()) and again == first.replace(KEY.encode(), STANDS) and bodies[0] == framed(b"key %s, " % STANDS + b"long " * 100) and
   bodies[1] == framed(again.rstrip(b"\n")), PACKED, first, again, bodies, session.frames)

served = int(server.communicate()[0])
ok(served == asked, COUNTED, served, asked)
done()
