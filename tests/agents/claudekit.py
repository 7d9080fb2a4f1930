"""claudekit.py — claude-code at work, by its model's real name: what it is asked, what the model says, and what it leaves.

The model makes it write one file with its Write tool and one with its Bash tool. No variable names another model than api.anthropic.com."""
import glob
import os
import subprocess

import agentkit
import nodekit
import replies

HOST, MODEL = "api.anthropic.com", "claude-sonnet-4-5"
POEM = "Zeile eins\nZeile zwei: où? 日本語 ☃\n"
WANT = {"poem.txt": POEM.encode(), "shell.txt": b"from the shell\n"}
ASKED = "Write a poem, and let the shell write too."


class Claude:
    """One place in which the agent works, and its command. tls_port: the server's; do: modelserver.py's directives for the answer to its question."""

    host = HOST

    def __init__(self, kind, tls_port=0, **do):
        self.do = do
        self.server = agentkit.server(tls_port=tls_port)
        self.server.script = self.turn
        self.place = agentkit.Place()
        self.command = nodekit.claude(kind) + ["-p", ASKED, "--dangerously-skip-permissions", "--model", MODEL]
        self.env = {"ANTHROPIC_API_KEY": "sk-ant-api03-0123456789abcdefghijklmnop", "IS_SANDBOX": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_MAX_RETRIES": "1", "TERM": "dumb"}
        self.turns = [("I write a poem.", "Write", {"file_path": os.path.join(self.place.work, "poem.txt"), "content": POEM}),
                      ("The shell writes too.", "Bash", {"command": "printf 'from the shell\\n' > shell.txt", "description": "Write a file"}), ("Done.", None, None)]

    def turn(self, api, request):
        if api != "anthropic.messages":
            return None
        n = min(sum(m["role"] == "assistant" for m in request["messages"]), len(self.turns) - 1)
        text, tool, arguments = self.turns[n] if request.get("tools") else ("A poem", None, None)  # it lets a small model find a title
        return replies.Reply(text, request["model"], [("toolu_%d" % n, tool, arguments)] if tool else [], 100, 20, "m%d" % n, self.do if n == 0 and request.get("tools") else {})

    def configure(self, *lines):
        """For the gate, that the model's host is the server, and what else is given."""
        os.makedirs(os.path.join(self.place.work, ".vcr"), exist_ok=True)
        with open(os.path.join(self.place.work, ".vcr", "config"), "w") as f:
            f.write("".join(line + "\n" for line in ("connect-to %s:443:127.0.0.1:%d" % (self.host, self.server.tls_port), "cacert " + self.server.ca) + lines))

    def run(self, how):
        self.r = self.place.run(*self.command, how=how, env=self.env)
        return self.r

    def replay(self, session, *options, offline=agentkit.OFFLINE):
        """The same command in the same place as it was, its model being the recording."""
        for name in set(WANT) & set(self.files()):
            os.unlink(os.path.join(self.place.work, name))
        self.r = subprocess.run([*offline, os.path.join(agentkit.BUILD, "vcr-replay"), *options, session.path, "--", *self.command], cwd=self.place.work,
                                env={**self.place.record, **self.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        return self.r

    def files(self):
        """Path to content, of all but .git and .vcr."""
        out = {}
        for d, names, files in os.walk(self.place.work):
            names[:] = [n for n in names if n not in (".git", ".vcr")]
            out.update({os.path.relpath(os.path.join(d, f), self.place.work): open(os.path.join(d, f), "rb").read() for f in files})
        return out

    def asked(self):
        """(request, answer) of each model call, as the server has them."""
        self.server.settle()
        return sorted((c["request"], c["answer"]) for c in self.server.calls() if c["api"] == "anthropic.messages")

    def gates(self):
        """The pids of the gates of its sessions."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                words = open(path, "rb").read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"/vcr-gate") and any(w.startswith(self.place.run_dir.encode()) for w in words):
                found.append(int(path.split("/")[2]))
        return found


def recorded(session):
    """(request, answer) of each model call, as the session has them."""
    return sorted((session.body(f, "request"), session.body(f, "response")) for f in session.calls() if session.vcr(f)["api"] == "anthropic.messages")


def written(session):
    """Path to last content, as the session has it."""
    out = {}
    for f in session.frames:
        if f["node_name"].startswith("file:") and "content" in f["output_state"]:
            out[f["input_state"]["path"]] = open(os.path.join(session.dir, f["output_state"]["content"]), "rb").read()
    return out
