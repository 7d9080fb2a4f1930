#!/usr/bin/python3
"""scenario.py — a whole coding agent at work: mini-swe-agent mends a bug in a small git repository, its model being tests/agents/modelserver.py.

    with Scenario(directory, python) as s:      # starts the model server, makes directory/project
        subprocess.run(s.command, cwd=s.project, env=dict(s.env, LD_PRELOAD=...))

By hand: scenario.py DIRECTORY PYTHON prints, as shell words, how to run the agent, and serves until stdin ends."""
import json
import os
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import modelserver
import replies

MODEL = "gpt-4o-mini"
TASK = "count_words() counts empty words: 'a  b' has two words, not three. Mend it, with a test, and write it down in CHANGES."
FILES = {
    "words.py": '"""Counting words."""\n\n\ndef count_words(text):\n    """How many words are in text."""\n    return len(text.split(" "))\n\n\n'
                'def longest(text):\n    """The longest word of text."""\n    return max(text.split(" "), key=len)\n',
    "test_words.py": "import unittest\n\nimport words\n\n\nclass Words(unittest.TestCase):\n    def test_count(self):\n        self.assertEqual(words.count_words(\"a b\"), 2)\n\n\n"
                     'if __name__ == "__main__":\n    unittest.main()\n',
    "README": "words: counts the words of a text.\n",
    "notes.txt": "things to do: nothing\n",
    ".gitignore": "__pycache__/\n",
}
# What the model says and has done, a turn each. The last one ends the agent.
TURNS = [
    ("I look at what there is.", "ls && cat words.py test_words.py"),
    ("A script to see the bug.", "cat > reproduce.py <<'EOF'\nimport words\nprint(words.count_words('a  b'))\nEOF\npython3 reproduce.py"),
    ("split() without an argument does not yield empty words.", "sed -i 's/split(\" \")/split()/' words.py && python3 reproduce.py && rm reproduce.py"),
    ("A test for it.", "python3 - <<'EOF'\np = 'test_words.py'\ns = open(p).read()\nadd = '''\n    def test_two_spaces(self):\n        self.assertEqual(words.count_words(\"a  b\"), 2)\n'''\n"
                       "s = s.replace('\\n\\nif __name__', add + '\\n\\nif __name__')\nopen(p + '.new', 'w').write(s)\nimport os\nos.replace(p + '.new', p)\nEOF\npython3 -m unittest -q 2>&1"),
    ("The changes file, and the notes go to a folder.", "mkdir -p doc && mv notes.txt doc/notes.txt && printf '%s\\n' 'count_words: no empty words (où ça, 日本)' >> CHANGES && cp README doc/README && git status --short"),
    ("Does it count lines right?", "printf 'a\\nb c\\n' > scratch.txt && python3 -c 'import words; print(words.count_words(open(\"scratch.txt\").read()))' && rm scratch.txt"),
    ("I commit it.", "git add -A && git -c user.name=agent -c user.email=agent@example.com commit -q -m 'count_words: no empty words' && git log --oneline | wc -l"),
    ("Done.", "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"),
]


class Scenario:
    def __init__(self, directory, python):
        self.dir, self.project = directory, os.path.join(directory, "project")
        self.server = modelserver.ModelServer(os.path.join(directory, "model"))
        self.server.script = self.turn
        self.make_project()
        settings = os.path.join(directory, "settings")
        os.makedirs(settings, exist_ok=True)
        self.env = {k: os.environ[k] for k in ("LANG", "TERM", "HOME") if k in os.environ}
        self.env.update(PATH="/usr/local/bin:/usr/bin:/bin",  # no wrappers of a developer's machine around python3 and git
                        OPENAI_API_KEY="sk-scenario-0123456789abcdefghijklmnopqrst", SSL_CERT_FILE=self.server.ca, MSWEA_CONFIGURED="true",
                        MSWEA_SILENT_STARTUP="1", MSWEA_GLOBAL_CONFIG_DIR=settings, LITELLM_LOCAL_MODEL_COST_MAP="True", PYTHONDONTWRITEBYTECODE="1",
                        GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", PYTHONUTF8="1")
        self.trajectory = os.path.join(settings, "trajectory.json")
        self.command = [python, "-m", "minisweagent.run.mini", "-y", "--exit-immediately", "-m", "openai/" + MODEL, "-c", "mini.yaml",
                        "-c", "model.model_kwargs.api_base=" + self.server.https + "/v1", "-o", self.trajectory, "-t", TASK]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    def make_project(self):
        os.makedirs(self.project)
        for name, text in FILES.items():
            with open(os.path.join(self.project, name), "w") as f:
                f.write(text)
        for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=author", "-c", "user.email=author@example.com", "commit", "-q", "-m", "words"]):
            subprocess.run(["git"] + words, cwd=self.project, check=True, env=dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1"))

    def turn(self, api, request):
        """The answer to a request: the turn is the number of answers that the conversation holds."""
        n = sum(m.get("role") == "assistant" for m in request.get("messages", []))
        if api != "openai.chat" or n >= len(TURNS):
            return None
        text, command = TURNS[n]
        used = len(json.dumps(request)) // 4
        return replies.Reply(text, MODEL, [("call_%d" % n, "bash", {"command": command})], used, len(command) // 4 + 1, str(n + 1))


def main():
    with Scenario(sys.argv[1], sys.argv[2]) as s:
        words = ["env", "-C", s.project] + ["%s=%s" % kv for kv in s.env.items()] + s.command
        print(" ".join(map(shlex.quote, words)), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
