#!/usr/bin/python3
"""Models behind a WebSocket: the realtime client of the package openai, and responses over the package websockets; messages are compressed."""
import atexit
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import modelserver
from agentkit import ok

REALTIME = """
import sys, openai
with openai.OpenAI(api_key="sk-test-0123456789abcdefghijklmnopqrstuvwxyz", websocket_base_url=sys.argv[1]).realtime.connect(model="gpt-realtime") as c:
    c.session.update(session={"type": "realtime", "output_modalities": ["text"]})
    for q in range(3):
        c.conversation.item.create(item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Question %d " % q * 30}]})
        c.response.create()
        for event in c:
            print(event.to_json(indent=None))
            if event.type == "response.done":
                break
"""
RESPONSES = """
import json, sys
from websockets.sync.client import connect
with connect(sys.argv[1] + "/responses") as c:
    assert len(sys.argv) > 2 or "permessage-deflate" in c.response.headers["Sec-WebSocket-Extensions"]
    items = []
    for q in range(3):
        items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Question %d " % q * 30}]})
        c.send(json.dumps({"type": "response.create", "model": "gpt-5.2-codex", "input": items}))
        event = {"type": None}
        while event["type"] != "response.completed":
            event = json.loads(c.recv())
            print(json.dumps(event))
"""
CASES = [("openai's realtime client", REALTIME, "openai.realtime", "gpt-realtime"), ("responses over a socket", RESPONSES, "openai.responses", "gpt-5.2-codex")]
HOW = {"preload": "LD_PRELOAD", "record": "vcr-record", "gate": "vcr-record --lane=gate"}
PROMISE = "each response is one call with its messages, its model and its tokens"
AGAIN = "%s: a replay says the same messages to it, without the server"
agentkit.need_agents(*[AGAIN % c[0] for c in CASES], *["%s under %s: %s" % (c[0], HOW[how], PROMISE) for c in CASES for how in HOW])


def joined(asked):
    return asked[0] if len(asked) == 1 else '{"events":[%s]}' % ",".join(asked)


def check(title, program, api, model, how):
    place = agentkit.Place()
    ca, leaf = modelserver.make_ca(place.dir)
    for env in (place.plain, place.preload, place.record):
        env["SSL_CERT_FILE"] = ca
    server = subprocess.Popen([agentkit.AGENTS_PYTHON, os.path.join(agentkit.HERE, "wsserver.py"), leaf], stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    port = int(server.stdout.readline())
    place_of_model = "wss://127.0.0.1:%d/v1" % port
    place.record["VCR_MODEL_HOSTS"] = "127.0.0.1:%d" % port
    r = place.run(agentkit.AGENTS_PYTHON, "-c", program, place_of_model, how=how)
    session = place.session()
    server.kill()
    said = [json.loads(line) for line in server.stdout]
    server.wait()
    said = [(joined(s["asked"]), "".join(a + "\n" for a in s["answered"])) for s in said]
    kept = [(session.body(f, "request").decode(), session.body(f, "response").decode()) for f in session.calls()]
    got = [(f["frame_type"], f["metadata"]["model"], f["metadata"]["tokens_input"], f["metadata"]["tokens_output"], session.vcr(f)["api"], session.vcr(f)["protocol"],
            len(f["output_state"]["response"]["output"][0]["content"][0]["text"])) for f in session.calls()]
    lanes = {session.vcr(f)["source"] for f in session.calls()}
    ok(r.returncode == 0 and len(said) == 3 and lanes == {"gate" if how == "gate" else "tap"} and said == kept and got == [("llm", model, 20, 9, api, "websocket", 880)] * 3 and not session.complaints,
       "%s under %s: %s" % (title, HOW[how], PROMISE), r.stderr.decode()[-1500:], got, str(said)[:600], str(kept)[:600], session.end, session.complaints)
    if how == "record":
        again = place.run(os.path.join(agentkit.BUILD, "vcr-replay"), "--", agentkit.AGENTS_PYTHON, "-c", program, place_of_model, "replayed", how="plain")
        ok(again.returncode == 0 and again.stdout == r.stdout and r.stdout.count(b"\n") > 60, AGAIN % title, again.stderr.decode()[-1500:], r.stdout[:600], again.stdout[:600])


for how in HOW:
    for case in CASES:
        check(*case, how)
agentkit.done()
