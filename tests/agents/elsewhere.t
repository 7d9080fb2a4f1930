#!/usr/bin/python3
"""Recorded in one directory, with one home, on one day; replayed in others, on another day, in a namespace without routes: the agents leave the same files, there."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import claudekit
import codexkit
import geminikit
import ladderkit
import nodekit
import scenario
from agentkit import BUILD, ok, skip

WORKS, SAME = "it works where it is recorded", "elsewhere, on another day, with no network, it says the same and leaves the same files"
REWRITTEN, SERVED = "nothing is written where it was recorded: paths in answers are those of the place", "each of its model calls is answered"
LADDER = "each of its own requests is found on the rung that it must be found on, whatever is changed in it"
TITLES = (WORKS, SAME, REWRITTEN, SERVED, LADDER)
THEN, NOW = "Etc/GMT+12", "Etc/GMT-14"  # 26 hours lie between them, so it is never the same day


pairs = []  # of requests, by agent


def elsewhere():
    """A place of another depth and length, and another home."""
    top = tempfile.mkdtemp(prefix="vcr-elsewhere.")
    place = agentkit.Place(work=os.path.join(top, "of", "somebody", "the-project"))
    place.top, place.home = top, os.path.join(top, "people", "somebody-else")
    os.makedirs(place.home)
    for env in (place.plain, place.record):
        env["HOME"] = place.home
    return place


def files(work):
    """Path to content, of all but .git and .vcr, and of what is another one in each run."""
    out = {}
    for d, names, found in os.walk(work):
        names[:] = [n for n in names if n not in (".git", ".vcr")]
        out.update({os.path.relpath(os.path.join(d, f), work): open(os.path.join(d, f), "rb").read() for f in found if f != "variables.txt"})
    return out


def empty(work):
    for e in os.scandir(work):
        if e.name not in (".git", ".vcr"):
            shutil.rmtree(e.path) if e.is_dir(follow_symlinks=False) else os.unlink(e.path)


def compare(name, r, want, session, place, command, env, said, before=None):
    """r, want: how it went where it was recorded, and what it left there; before: what lies in both places before."""
    ok(r.returncode == 0 and want, "%s: %s" % (name, WORKS), r.returncode, r.stderr[-3000:], r.stdout[-500:])
    kept = os.path.join(place.work, ".vcr")
    os.makedirs(kept)
    shutil.copy(session.path, kept)
    with open(os.path.join(kept, ".gitignore"), "w") as f:  # as a new .vcr has one: gemini-cli lists what is not ignored
        f.write("*\n")
    again = subprocess.run([*agentkit.OFFLINE, os.path.join(BUILD, "vcr-replay"), "--", *command], cwd=place.work, env={**env, "TZ": NOW}, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    there, err = files(place.work), again.stderr.decode(errors="replace")
    ok(again.returncode == 0 and said(again.stdout) == said(r.stdout) and there == want, "%s: %s" % (name, SAME), again.returncode, said(again.stdout), said(r.stdout), sorted(there), err[-3000:])
    here = files(os.path.dirname(os.path.dirname(session.path)))
    ok(here == (before or {}), "%s: %s" % (name, REWRITTEN), sorted(here))
    ok(" 0 missed; nothing went to the network" in err, "%s: %s" % (name, SERVED), err[-3000:])
    pairs.append(ladderkit.climb(name, session, place))
    ok(pairs[-1], "%s: %s (%d pairs)" % (name, LADDER, pairs[-1]))
    shutil.rmtree(place.top, True)


def try_claude(name):
    claude = claudekit.Claude("bun")
    claude.configure()
    claude.env["TZ"] = THEN
    r, want, session = claude.run("record"), files(claude.place.work), claude.place.session()
    claude.server.close()
    empty(claude.place.work)
    place = elsewhere()
    compare(name, r, want, session, place, claude.command, {**place.record, **claude.env}, lambda out: out)


def try_codex(name):
    agent = codexkit.Agent()
    agent.env["TZ"] = THEN
    status, out = agent.run("record")
    r, want, session = subprocess.CompletedProcess([], status, out.encode(), agent.err.encode()), files(agent.place.work), agent.place.session()
    agent.server.close()
    empty(agent.place.work)
    place = elsewhere()
    home = os.path.join(place.home, ".codex")
    os.makedirs(home)
    compare(name, r, want, session, place, agent.command + ["Write a poem."], {**place.record, **agent.env, "CODEX_HOME": home}, lambda out: out)


def try_gemini(name):
    gemini = geminikit.Gemini("node24", False)
    gemini.env["TZ"] = THEN
    gemini.run("record")
    r, want, session = gemini.r, files(gemini.place.work), gemini.place.session()
    empty(gemini.place.work)
    place = elsewhere()
    os.makedirs(os.path.join(place.home, ".gemini"))
    shutil.copy(os.path.join(gemini.place.home, ".gemini", "settings.json"), os.path.join(place.home, ".gemini"))
    compare(name, r, want, session, place, gemini.command, {**place.record, **gemini.env}, geminikit.plain)


def try_python(name):
    first, place = agentkit.Place(), elsewhere()
    here = scenario.Scenario(os.path.join(first.dir, "scenario"), agentkit.AGENTS_PYTHON)
    # The model names places in full, and hears of them and of the day.
    turns = dict(enumerate(scenario.TURNS))
    turns[0] = ("I look at what there is.", "cd %s && pwd && date +%%F && ls && cat words.py test_words.py" % here.project)
    turns[4] = (turns[4][0], turns[4][1].replace("doc", os.path.join(here.project, "doc")))
    scenario.TURNS = list(turns.values())
    before = files(here.project)
    env = {**first.record, **here.env, "HOME": first.home}
    r = subprocess.run([os.path.join(BUILD, "vcr-record"), "-q", "--", *here.command], cwd=here.project, env={**env, "TZ": THEN}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=300)
    first.work = here.project
    want, session = files(here.project), first.session()
    here.server.close()
    vcr = os.path.join(first.dir, "kept")
    shutil.move(os.path.join(here.project, ".vcr"), vcr)
    shutil.rmtree(here.project)
    here.make_project()
    shutil.move(vcr, os.path.join(here.project, ".vcr"))
    there = scenario.Scenario(os.path.join(place.top, "of", "another"), agentkit.AGENTS_PYTHON)
    there.server.close()
    place.work = there.project
    base = [w for w in here.command if "api_base=" in w]
    command = [base[0] if "api_base=" in w else w for w in there.command]
    env = {**place.record, **{k: v for k, v in there.env.items() if k != "SSL_CERT_FILE"}, "HOME": place.home}
    compare(name, r, want, session, place, command, env, lambda out: len(out) > 0, before)


AGENTS = {"mini-swe-agent": (lambda: None if os.access(agentkit.AGENTS_PYTHON, os.X_OK) else "no clients: AGENTS_PYTHON=$(scripts/agents-env) is not set", try_python),
          "claude-code": (lambda: nodekit.no_claude("bun"), try_claude), "codex": (codexkit.no_codex, try_codex), "gemini-cli": (lambda: nodekit.missing("node24", True), try_gemini)}
for name, (lacks, attempt) in AGENTS.items():
    why = lacks() or (None if agentkit.OFFLINE else "no user namespaces")
    if why:
        for title in TITLES:
            skip("%s: %s" % (name, title), why)
    else:
        attempt(name)
if len(pairs) == len(AGENTS):
    ok(sum(pairs) >= ladderkit.LEAST, "of all agents together these are sixty pairs and more (%d)" % sum(pairs))
agentkit.done()
