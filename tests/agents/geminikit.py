"""geminikit.py — gemini-cli at work: what it is asked, what the model says and has done, and what it leaves.

named: by its model's real name, on the port that it really has, in a namespace where that name is this machine's (troublekit.enter); else by a variable."""
import json
import os
import re
import shutil
import subprocess

import agentkit
import nodekit
import replies
from claudekit import Claude

HOST, MODEL = "generativelanguage.googleapis.com", "gemini-2.5-flash"
POEM = "Zeile eins\nZeile zwei: où? 日本語 ☃\n"
WANT = {"poem.txt": POEM.replace("zwei", "drei").encode(), "shell.txt": b"from the shell\n", "copy.txt": b"from the shell\n"}
SETTINGS = {"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}, "privacy": {"usageStatisticsEnabled": False},
            "general": {"disableAutoUpdate": True, "disableUpdateNag": True, "maxAttempts": 2}}


class Gemini:
    """One place in which the agent works, and its command. do: modelserver.py's directives for the answer to its question."""

    def __init__(self, node, named, **do):
        self.do = do
        self.server = agentkit.server(tls_port=443 if named else 0)
        self.server.script = self.turn
        self.place = agentkit.Place(self.server)
        work = self.place.work
        self.turns = [("I write a poem.", "write_file", {"file_path": os.path.join(work, "poem.txt"), "content": POEM}, "poem.txt"),
                      ("The shell writes too.", "run_shell_command", {"command": "printf 'from the shell\\n' > shell.txt && cp shell.txt copy.txt"}, "shell.txt"),
                      ("One word is wrong.", "replace", {"file_path": os.path.join(work, "poem.txt"), "old_string": "zwei", "new_string": "drei", "instruction": "mend", "allow_multiple": False}, "poem.txt"),
                      ("Done.", None, None, None)]
        os.makedirs(os.path.join(self.place.home, ".gemini"))
        with open(os.path.join(self.place.home, ".gemini", "settings.json"), "w") as f:
            json.dump(SETTINGS, f)
        gemini = os.path.join(nodekit.AGENTS_NPM, "node_modules", "@google", "gemini-cli", "bundle", "gemini.js")
        self.env = {"NODE_EXTRA_CA_CERTS": self.server.ca, "GEMINI_API_KEY": "AIzaSyTest0123456789abcdefghijklmnopqrs", "GEMINI_CLI_TRUST_WORKSPACE": "true", "TERM": "dumb"}
        if not named:
            self.env["GOOGLE_GEMINI_BASE_URL"] = self.server.https
        self.command = [nodekit.program(node), gemini, "-y", "-m", MODEL, "-p", "Write a poem, and mend it."]

    host, configure, gates = HOST, Claude.configure, Claude.gates

    def turn(self, api, request):
        n = sum(c.get("role") == "model" for c in request.get("contents", []))
        if api != "gemini.generate" or n >= len(self.turns):
            return None
        text, tool, arguments, _ = self.turns[n]
        used = len(json.dumps(request)) // 4
        return replies.Reply(text, MODEL, [("call_%d" % n, tool, arguments)] if tool else [], used, 20, "g%d" % n, self.do if n == 0 and request.get("tools") else {})

    def run(self, how):
        self.r = self.place.run(*self.command, how=how, env=self.env)
        self.server.settle()
        self.server.close()

    def again(self, session):
        """The same command in the same place as it was, its model being the recording."""
        for name in self.files():
            os.unlink(os.path.join(self.place.work, name))
        shutil.rmtree(os.path.join(self.place.home, ".gemini", "tmp"), True)
        replay = [os.path.join(agentkit.BUILD, "vcr-replay"), "-q", session.path, "--"]
        self.r = subprocess.run(replay + self.command, cwd=self.place.work, env={**self.place.record, **self.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=300)

    def said(self):
        return self.r.returncode, plain(self.r.stdout)

    def files(self):
        """Path to content, of all but .git and .vcr."""
        return Claude.files(self)


def plain(out):
    """What it says, without paths that are made anew each time."""
    return re.sub(r"/tmp/\S*|/var/tmp/\S*", "X", out.decode())
