#!/usr/bin/python3
"""vcrpy itself plays the cassettes that vcr-export writes, and what vcrpy recorded is imported and replayed: to the same client, which hears the same."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok

PLAYS = "%s: vcrpy plays the cassette that vcr-export made of a recording, streams and packed answers included"
SERVES = "%s: what vcrpy recorded (%s) is imported, and vcr-replay serves it with the model server stopped"
TITLES = [PLAYS % c for c in ("requests", "httpx")] + [SERVES % (c, s) for c in ("requests", "httpx") for s in ("yaml", "json")]
REACHED = "an imported session is logged with its models, tokens and assembled streams, as a recorded one is"
agentkit.need_agents(*TITLES, REACHED)

# Asks everything once and prints what it heard, a JSON object a line. PLAY=FILE: vcrpy answers from FILE; TAPE=FILE: it records there.
CLIENT = r'''
import contextlib, json, os, sys

name, kind = sys.argv[1:3]
ASKS = [("/v1/chat/completions", "gpt-4o", "[[q=1]]", False), ("/v1/chat/completions", "gpt-4o", "[[q=2]]", True), ("/v1/messages", "claude-sonnet-4-5", "[[q=3 size=3000]]", True),
        ("/v1/chat/completions", "gpt-4o", "[[q=4 status=429]]", False), ("/v1/chat/completions", "gpt-4o", "caf\u00e9 \U0001f600 [[q=5 %s]]" % ("gzip" if kind == "yaml" else "chunked"), False),
        ("/v1/chat/completions", "gpt-4o", "[[q=6 chunked]]", False)]


def ask(url, body, headers):
    if name == "requests":
        import requests
        r = requests.post(url, data=body.encode(), headers=headers, stream=True)
        return r.status_code, r.content.decode()
    import httpx
    with httpx.Client(timeout=60) as client, client.stream("POST", url, content=body.encode(), headers=headers) as r:
        return r.status_code, b"".join(r.iter_bytes()).decode()


tape = os.environ.get("PLAY") or os.environ.get("TAPE")
if tape:
    import vcr
    deck = vcr.VCR(serializer=kind, record_mode="none" if os.environ.get("PLAY") else "all", match_on=("method", "uri", "body")).use_cassette(tape)
with deck if tape else contextlib.nullcontext():
    for path, model, words, stream in ASKS:
        body = json.dumps({"model": model, "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": words}]})
        status, text = ask(os.environ["MODEL_HTTP"] + path, body, {"Content-Type": "application/json", "Authorization": "Bearer sk-test-4f8Kd92LmQx71Zp"})
        print(json.dumps({"status": status, "text": text}))
'''


def vcr(place, *words, **env):
    return subprocess.run([os.path.join(agentkit.BUILD, words[0]), *words[1:]], cwd=place.work, env=dict(place.plain, VCR_COLLECTOR=agentkit.COLLECTOR, **env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)


def heard(r):
    return [json.loads(line) for line in r.stdout.splitlines()]


def plays(name, place, server, argv):
    recorded = place.run(*argv, "yaml", how="record")
    session = place.session()
    tape = os.path.join(place.dir, "ours.yaml")
    r = vcr(place, "vcr-export", "--cassette", "-o", tape, session.path)
    server.close()
    played = place.run(*argv, "yaml", how="plain", env={"PLAY": tape})
    ok(r.returncode == recorded.returncode == played.returncode == 0 and heard(recorded) == heard(played) and len(heard(played)) == 6 and "sk-test" not in open(tape).read(), PLAYS % name,
       r.stderr, recorded.stderr[-1000:], played.stderr[-2000:])


def serves(name, kind, place, server, argv):
    tape = os.path.join(place.dir, "theirs." + kind)
    live = place.run(*argv, kind, how="plain", env={"TAPE": tape})
    server.close()
    r = vcr(place, "vcr-import", "-s", "theirs", tape)
    replayed = vcr(place, "vcr-replay", "theirs", "--", *argv, kind, VCR_SHIM=agentkit.SHIM)
    ok(r.returncode == live.returncode == replayed.returncode == 0 and heard(live) == heard(replayed) and len(heard(live)) == 6 and b", 0 missed;" in replayed.stderr and
       b"sk-test" not in open(os.path.join(place.work, ".vcr", "theirs.vcr"), "rb").read(), SERVES % (name, kind), r.stderr, live.stderr[-1000:], replayed.stderr[-2000:], heard(live), heard(replayed))
    return place


def with_server(fn, *words):
    server = agentkit.server()
    place = agentkit.Place(server)
    return fn(*words, place, server, (agentkit.AGENTS_PYTHON, "-c", CLIENT, words[0]))


for name in ("requests", "httpx"):
    with_server(plays, name)
for name in ("requests", "httpx"):
    for kind in ("yaml", "json"):
        place = with_server(serves, name, kind)
frames = [json.loads(line) for line in vcr(place, "vcr-log", "--json", "theirs").stdout.splitlines()]
shown = json.loads(vcr(place, "vcr-show", "--json", "theirs", "call:2").stdout or "{}")
streamed = shown["output_state"]["response"] if shown else {}
ok([f["model"][:6] for f in frames] == ["gpt-4o", "gpt-4o", "claude", "gpt-4o", "gpt-4o", "gpt-4o"] and frames[3]["type"] == "error" and frames[0]["tokens_input"] and
   streamed.get("type") == "message" and streamed["content"][0]["text"], REACHED, frames, shown)
agentkit.done()
