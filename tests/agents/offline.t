#!/usr/bin/python3
"""A complete coding agent, recorded and then run again with its model gone and no network: it says, does and leaves the same, and asks nobody."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import scenario
from agentkit import BUILD, ok, skip

TITLES = ("the agent is recorded at work", "its files are rolled back to what they were",
          "in a namespace without routes the agent says what it said, and its exit status is its own", "… and leaves the files that it left, byte for byte, mode for mode",
          "… and each of its model calls is answered from the recording: nothing is asked, nothing is paid, nothing is refused",
          "the recording copied alone, with an empty HOME and nothing else of the recorder's left, replays the same",
          "… with the same files", "an agent that is asked for something else than when it was recorded is told so, and 0 becomes 1",
          "… and the divergence is a frame of a session of the replay's own, which names the nearest recorded call",
          "the newest session is then still the recording: vcr-replay, told nothing, replays it",
          "kept as a golden run, it is replayed by the words of its task, with a ledger of what that saved")
agentkit.need_agents(*TITLES)
if not agentkit.OFFLINE:
    for title in TITLES:
        skip(title, "no user namespaces")
    agentkit.done()


class Agent:
    """The scenario and the places that it needs; it can be run again after its model is gone."""

    def __init__(self):
        self.place = agentkit.Place()
        self.scenario = scenario.Scenario(os.path.join(self.place.dir, "scenario"), agentkit.AGENTS_PYTHON)
        self.place.work = self.project = self.scenario.project
        self.trust = {"SSL_CERT_FILE": self.scenario.server.ca}
        self.env = {**self.place.plain, **{k: v for k, v in self.scenario.env.items() if k != "SSL_CERT_FILE"}, "HOME": self.place.home,
                    "VCR_SHIM": agentkit.SHIM, "VCR_COLLECTOR": agentkit.COLLECTOR}

    def run(self, *argv, **env):
        return subprocess.run(argv, cwd=self.project, env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)

    def replay(self, session, command=None, **env):
        return self.run(*agentkit.OFFLINE, os.path.join(BUILD, "vcr-replay"), "--json", *session, "--", *(command or self.scenario.command), **env)

    def files(self):
        """Path to type, mode and content, of all but .git and .vcr; and what git has of it."""
        out = {"git": self.run("git", "log", "-p", "--format=%s", "HEAD").stdout}
        for d, names, files in os.walk(self.project):
            names[:] = [n for n in names if n not in (".git", ".vcr")]
            for name in names + files:
                path = os.path.join(d, name)
                mode = os.lstat(path).st_mode
                out[os.path.relpath(path, self.project)] = mode, None if name in names else open(path, "rb").read()
        return out


def said(r):
    """What it printed but for how long the tests took, which is the machine's affair."""
    return re.sub(r"\b\d+\.\d+s\b", "N s", r.stdout)


def events(r):
    return [json.loads(l) for l in r.stderr.splitlines() if l.startswith("{")]


def differing(a, b):
    return ["%s: %.300r, not %.300r" % (p, b.get(p), a.get(p)) for p in sorted({*a, *b}) if a.get(p) != b.get(p)]


agent = Agent()
start = agent.files()
recorded = agent.run(os.path.join(BUILD, "vcr-record"), "-q", "--", *agent.scenario.command, **agent.trust)
session = agent.place.session()
left, turns = agent.files(), len(scenario.TURNS)
ok(recorded.returncode == 0 and len(session.calls()) == turns and left != start, TITLES[0], recorded.returncode, recorded.stderr[-2000:], len(session.calls()))
agent.scenario.server.settle()
asked = len(agent.scenario.server.calls())
agent.scenario.server.close()

# git's own state is the user's affair.
r = agent.run(os.path.join(BUILD, "vcr-rollback"))
agent.run("git", "reset", "-q", "HEAD~1")
ok(r.returncode == 0 and agent.files() == start, TITLES[1], r.returncode, r.stderr, *differing(start, agent.files()))
again = agent.replay([])
ok(again.returncode == 0 and said(again) == said(recorded), TITLES[2], again.returncode, again.stderr[-3000:], "recorded:", said(recorded)[-3000:], "again:", said(again)[-3000:])
ok(agent.files() == left, TITLES[3], *differing(left, agent.files()))
kinds = [e["event"] for e in events(again) if e["event"] not in ("missed_side", "ledger")]
ok(kinds == ["served"] * turns and "%d of %d recorded model calls were asked for, 0 missed; nothing went to the network" % (turns, turns) in again.stderr and
   len(agent.scenario.server.calls()) == asked == turns and agent.place.session().path == session.path, TITLES[4], kinds, again.stderr[-3000:], asked)

alone = os.path.join(agent.place.dir, "elsewhere", "it.vcr")
os.makedirs(os.path.dirname(alone))
shutil.copy(session.path, alone)
bare = {"HOME": os.path.join(agent.place.dir, "empty"), "XDG_STATE_HOME": os.path.join(agent.place.dir, "empty", "state")}
shutil.rmtree(agent.project)
shutil.rmtree(agent.place.state)
os.makedirs(bare["HOME"])
agent.scenario.make_project()
again = agent.replay([alone], **bare)
ok(again.returncode == 0 and said(again) == said(recorded) and "0 missed" in again.stderr, TITLES[5], again.returncode, again.stderr[-3000:], said(again)[-3000:])
ok(agent.files() == left, TITLES[6], *differing(left, agent.files()))

kept = os.path.join(agent.place.dir, "elsewhere", ".vcr")
saved = agent.run(os.path.join(BUILD, "vcr-golden"), "save", "--vcr-dir", kept, "--identity=model=m", " Mend the CALCULATOR", alone)
shutil.rmtree(agent.project)
agent.scenario.make_project()
gold = agent.run(*agentkit.OFFLINE, os.path.join(BUILD, "vcr-golden"), "replay", "--json", "--vcr-dir", kept, "--identity=model=m", "--match=normalised", "mend the calculator", "--",
                  *agent.scenario.command, **bare)
ledger = [e["ledger"] for e in events(gold) if e["event"] == "ledger"]
spent = {"tokens": sum(f["metadata"]["tokens_used"] for f in session.calls()), "cost_usd": round(sum(f["metadata"]["cost_usd"] or 0 for f in session.calls()), 4)}
golden = (saved.returncode, gold.returncode, said(gold) == said(recorded), agent.files() == left, len(ledger), spent["tokens"] > 0) == (0, 0, True, True, 1, True) and \
    {k: ledger[0]["original"][k] for k in spent} == spent and ledger[0]["steps_replayed"] == turns and ledger[0]["replay"]["tokens"] == ledger[0]["steps_rerun"] == 0 and \
    ledger[0]["saved"]["percent"] == 100 and 0 < ledger[0]["replay"]["latency_ms"]
shutil.rmtree(agent.project)
agent.scenario.make_project()
vcr = os.path.join(agent.project, ".vcr")
os.makedirs(vcr, exist_ok=True)
shutil.copy(alone, os.path.join(vcr, os.path.basename(session.path)))
command = [w if w != scenario.TASK else "Paint the shed." for w in agent.scenario.command]
diverged = agent.replay([], command=["sh", "-c", '"$@" || :', "sh", *command], MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT="1")
ok(diverged.returncode == 1 and "/messages/1/content" in diverged.stderr, TITLES[7], diverged.returncode, diverged.stderr[-3000:])
own = [s for s in agent.place.sessions() if s.head["session_id"] != session.head["session_id"]]
frames = [f for s in own for f in s.frames]
where = frames[0]["output_state"]["divergence"] if frames else {}
ok(len(own) == 1 and own[0].head["parent_session_id"] == session.head["session_id"] and frames[0]["node_name"] == "replay:divergence" and
   where.get("pointer") == "/messages/1/content" and where.get("nearest_frame") == session.frames.index(session.calls()[0]) and
   frames[0]["input_state"]["request"]["messages"][0]["role"] == "system", TITLES[8], own and own[0].head, frames[:1])
r = agent.run(os.path.join(BUILD, "vcr-replay"), "--", "true")
ok(r.returncode == 0 and "0 of %d recorded model calls were asked for" % turns in r.stderr, TITLES[9], r.returncode, r.stderr)
ok(golden, TITLES[10], saved.stdout + saved.stderr, gold.returncode, gold.stderr[-3000:], ledger, spent)
agentkit.done()
