#!/usr/bin/python3
"""examples/ci does what it says: recorded once with a model, then the steps of its workflow pass with the model gone, and fail when the agent asks for something else."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, SOURCE, Place, done, ok
import serverkit
from tapkit import SHIM

CI = os.path.join(SOURCE, "examples", "ci")
KEY = "sk-example-4f8Kd92LmQx71Zp0"
ANSWERS = ({"path": "hello.py", "text": "print('hello')\n"}, {"done": True})


def answer(request, path):
    said = ANSWERS[(len(request["messages"]) - 2) // 2]
    return serverkit.completion(json.dumps(said), "gpt-4o-mini", {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50})


place = Place()
server = serverkit.Model(answer)
work = os.path.join(place.dir, "work")
shutil.copytree(CI, work)
place.env.update(VCR_COLLECTOR=os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector")), VCR_SHIM=SHIM, PATH=BUILD + ":" + place.env["PATH"],
                 OPENAI_BASE_URL="http://127.0.0.1:%d/v1" % server.port, OPENAI_API_KEY=KEY, PYTHONDONTWRITEBYTECODE="1")
subprocess.run(["git", "init", "-q", work], env=place.env, check=True)
flow = open(os.path.join(CI, "github-actions.yml")).read()


def sh(command):
    return subprocess.run(["sh", "-c", command], cwd=work, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


recorded = [sh(line) for line in re.findall(r"^#   (.*)", flow, re.M)]
asked = len(server.asked)
server.close()
ok([r.returncode for r in recorded] == [0, 0, 0] and asked == 2 and os.path.exists(os.path.join(work, "hello.py")), "a run is recorded, kept and added to git as the workflow's head says", *[r.stdout for r in recorded])
kept = b"".join(open(os.path.join(d, f), "rb").read() for d, _, names in os.walk(os.path.join(work, ".vcr")) for f in names)
del place.env["OPENAI_API_KEY"]
ok(KEY.encode() not in kept, "the key is in nothing that was kept, and from here on there is none")
os.unlink(os.path.join(work, "hello.py"))
for name in os.listdir(os.path.join(work, ".vcr")):
    if name.endswith(".vcr"):
        os.unlink(os.path.join(work, ".vcr", name))
steps = re.findall(r"^      - name: (.*)\n        run: (.*)", flow, re.M)
for name, command in steps:
    r = sh(command)
    ok(r.returncode == 0, "with the model gone and only the golden run there: " + name, r.returncode, r.stdout)
    if "replay" in command:
        ok("2 calls replayed: 100 tokens" in r.stdout and re.search(r"\$0\.\d{4} and [\d.]+ ?m?s saved \(100%\)", r.stdout) and len(server.asked) == asked, "… the ledger says what that saved: tokens, dollars and time", r.stdout)
r = sh("sed -i 's/for the next file/for the following file/' agent.py && " + steps[1][1])
ok(r.returncode != 0 and "/messages/0/content" in r.stdout, "a changed prompt fails it, and the place is named", r.returncode, r.stdout)
done()
