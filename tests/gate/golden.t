#!/usr/bin/python3
"""Golden runs under many hands: processes that save and replay the same ones at the same time neither wait for nor harm each other."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, Recording, ask, clikit, done, dump, ok

GOLDEN = os.path.join(BUILD, "vcr-golden")
TASK, REPLAYS, SAVERS, EACH = "answer three questions", 5, 3, 4
ASKER = """
import json, sys, urllib.error, urllib.request as u
for text in sys.argv[1:]:
    try:
        print(u.urlopen(u.Request('https://api.openai.com/v1/chat/completions', json.dumps({'model': 'm', 'messages': [{'role': 'user', 'content': text}]}).encode(), {'Content-Type': 'application/json'}), timeout=60).read().decode(), flush=True)
    except urllib.error.HTTPError as e:
        print(e.code, flush=True)
"""
# Saves a task of its own and the common one, turn by turn.
SAVER = 'i=0; while [ $i -lt %d ]; do "$1" save -q "task $2 $i" rec && "$1" save -q "$3" rec || exit 1; i=$((i+1)); done' % EACH
place = clikit.Place()
recording = Recording(place)
for i in range(3):
    recording.call(ask("q%d" % i), dump({"n": i, "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}))
    recording.lines[-1]["data"]["metadata"].update(tokens_used=15, tokens_input=10, tokens_output=5)
recording.write()
whole = open(place.path("rec"), "rb").read()
place.run("vcr-golden", "save", TASK, "rec")


def start(*argv):
    return subprocess.Popen(argv, cwd=place.dir, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def at_once(*texts, savers=0):
    """Replays of the task by programs that ask these texts, all at the same time, with others that save meanwhile: (status, printed, ledger) of each replay; the savers that failed."""
    saving = [start("sh", "-c", SAVER, "sh", GOLDEN, str(n), TASK) for n in range(savers)]
    replaying = [start(GOLDEN, "replay", "--json", TASK, "--", sys.executable, "-c", ASKER, *texts) for _ in range(REPLAYS)]
    out = []
    for p in replaying:
        said, err = p.communicate(timeout=120)
        ledgers = [json.loads(l)["ledger"] for l in err.splitlines() if l.startswith('{"event":"ledger"')]
        out.append((p.returncode, said.splitlines(), ledgers[0] if ledgers else err))
    return out, [why for p in saving for why in (p.communicate(timeout=120)[1],) if p.returncode]


answers = [dump({"n": i, "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}).decode() for i in range(3)]
got, failed = at_once("q0", "q1", "q2", savers=SAVERS)
ok([g[:2] for g in got] == [(0, answers)] * REPLAYS, "%d processes replay a golden run at once, while others save it anew: each program hears its answers" % REPLAYS, got)
ok(all(isinstance(g[2], dict) and (g[2]["steps_replayed"], g[2]["steps_rerun"], g[2]["saved"]["tokens"], g[2]["saved"]["percent"]) == (3, 0, 45, 100.0) for g in got), "each has a ledger of its own, and it is right", got)
kept = place.json("vcr-golden", "list", "--json")
ok(not failed and {g["task"] for g in kept} == {TASK} | {"task %d %d" % (n, i) for n in range(SAVERS) for i in range(EACH)}, "%d processes save at once: none is lost" % SAVERS, failed, kept)
files = sorted(os.listdir(os.path.join(place.vcr_dir, "golden")))
ok([f for f in files if f.endswith(".vcr")] == sorted(g["fingerprint"] + ".vcr" for g in kept) and all(open(os.path.join(place.vcr_dir, "golden", f), "rb").read() == whole for f in files if f.endswith(".vcr")) and
   not [f for f in files if not f.endswith((".vcr", "index.json", ".lock"))], "each is whole, and nothing is left lying about", files)

own = set(gatekit.sessions(place))
got, _ = at_once("q0", "unheard of", "q2")
ok([g[:2] for g in got] == [(1, [answers[0], "400", answers[2]])] * REPLAYS, "what is missed by programs that are replayed at once is missed by each", got)
own = set(gatekit.sessions(place)) - own
lines = [gatekit.frames(os.path.join(place.vcr_dir, s)) for s in sorted(own)]
listed = {s["session_id"] for s in json.load(open(os.path.join(place.vcr_dir, "manifest.json")))["sessions"]} if own else set()
ok(len(own) == REPLAYS and all(sum(l["type"] == "frame" for l in ls) == 1 and ls[-1]["type"] == "vcr.end" for ls in lines) and {s[:-4] for s in own} <= listed, "each writes its divergence into a session of its own, and all are in the list",
   sorted(own), listed)
done()
