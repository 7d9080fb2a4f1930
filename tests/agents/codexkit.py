"""codexkit.py — codex at work, by its model's real name: what it is asked, what the model says, and what it leaves."""
import json
import os
import shutil
import socket
import subprocess
import threading

import agentkit
import nodekit
import replies
import serverkit
from claudekit import Claude

MODEL, KEY = "gpt-5.5", "sk-test-0123456789abcdef0123456789abcdef"
POEM = "Zeile eins\nZeile zwei: où? 日本語 ☃\n"
PATCH = "*** Begin Patch\n*** Add File: poem.txt\n%s*** End Patch\n" % "".join("+%s\n" % l for l in POEM.splitlines())
SHELL_COMMAND = "printf 'from the shell\\n' > shell.txt && env > variables.txt"
HOSTS = ("api.openai.com", "chatgpt.com")  # the latter knows of plugins and models
CODEX = os.path.join(nodekit.AGENTS_NPM, "node_modules", "@openai", "codex", "bin", "codex.js")


def no_codex():
    """Why it cannot be run; None if it can."""
    return nodekit.missing("node", True) or (None if os.path.exists(CODEX) else "no codex here")


def turn(api, request):
    if api != "openai.responses":
        return None
    n = sum(str(i.get("type")).endswith("_call_output") for i in request.get("input", []))
    tools = [[("call_a", "apply_patch", PATCH)], [("call_b", "exec_command", {"cmd": SHELL_COMMAND})], []][min(n, 2)]
    return replies.Reply(("I write a poem.", "The shell writes too.", "Done.")[min(n, 2)], MODEL, tools, len(json.dumps(request)) // 4, 20, str(n))


class Agent:
    """The agent in a place, with a model server of its own. named: its hosts' real names are this machine's, and the model is at their port."""

    def __init__(self, server=True, named=False):
        self.named = named
        self.server = agentkit.server()
        self.server.script = turn
        self.place = agentkit.Place()
        self.port = self.server.tls_port
        if not server:
            self.refusing = socket.socket()  # bound and not listening
            self.refusing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.refusing.bind(("127.0.0.1", 443 if named else 0))
            self.port = self.refusing.getsockname()[1]
        self.proxy = serverkit.Proxy(lambda target: self.port if target.rsplit(":", 1)[0] in HOSTS else None)  # the hosts' real names, and nothing else
        self.home = os.path.join(self.place.home, ".codex")
        self.env = {"CODEX_API_KEY": KEY, "CODEX_HOME": self.home, "TERM": "dumb", "CODEX_CA_CERTIFICATE": self.server.ca, "NO_COLOR": "1"}
        self.command = [nodekit.program("node"), CODEX, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", MODEL]

    gates = Claude.gates

    def let_in(self):
        """What was refused is accepted from here on."""
        self.refusing.listen(64)
        threading.Thread(target=self.lead, daemon=True).start()

    def stop(self):
        self.refusing.shutdown(socket.SHUT_RDWR)
        self.refusing.close()

    def lead(self):
        while True:
            try:
                s, _ = self.refusing.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.server.tls_port))
            for a, b in ((s, far), (far, s)):
                threading.Thread(target=serverkit.pump, args=(a, b), daemon=True).start()

    def words(self, how, *options):
        way = [w for host in HOSTS for w in ("--connect-to", "%s:443:127.0.0.1:%d" % (host, self.port))]
        record = [os.path.join(agentkit.BUILD, "vcr-record"), "-q"]
        return {"record": record + [*options] + way + ["--cacert", self.server.ca, "--"], "proxied": record + ["--lane=auto", "--"], "plain": []}[how]

    def begin(self):
        """Nothing is left of a run before."""
        shutil.rmtree(self.home, True)
        os.makedirs(self.home)

    def start(self, how, prompt="Write a poem.", options=()):
        self.begin()
        env = dict(self.place.record, **self.env, **({} if how == "record" or self.named else {"HTTPS_PROXY": self.proxy.url}))
        return subprocess.Popen(self.words(how, *options) + self.command + [prompt], cwd=self.place.work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, how, *prompt, options=()):
        p = self.start(how, *prompt, options=options)
        self.out, self.err = (b.decode(errors="replace") for b in p.communicate(timeout=300))
        self.status = p.returncode
        return self.status, self.out

    def replay(self, session, *options, offline=agentkit.OFFLINE):
        """In the place as it was before, its model being the recording: status, output, error output."""
        for name in self.files():
            os.unlink(os.path.join(self.place.work, name))
        self.begin()
        r = subprocess.run([*offline, os.path.join(agentkit.BUILD, "vcr-replay"), *options, session, "--", *self.command, "Write a poem."], cwd=self.place.work,
                           env=dict(self.place.record, **self.env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def calls(self):
        self.server.settle()
        return [c for c in self.server.calls() if c["method"] == "POST"]

    def files(self):
        return {f: open(os.path.join(self.place.work, f), "rb").read() for f in os.listdir(self.place.work) if os.path.isfile(os.path.join(self.place.work, f))}

    def left(self):
        return {f: data for f, data in self.files().items() if f != "variables.txt"}
