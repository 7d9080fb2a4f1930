#!/usr/bin/python3
"""A chat that is sent again with every turn: the recording grows with its new text only."""
import glob
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import serverkit
import tapkit
from tapkit import BUILD, ok

TURNS, SIZE = 60, 1000
CLIENT = """
import http.client, json, sys
c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
messages = []
for turn in json.load(open(sys.argv[2])):
    messages.append({'role': 'user', 'content': turn})
    c.request('POST', '/v1/chat/completions', json.dumps({'model': 'gpt-4o', 'messages': messages}), {'Content-Type': 'application/json'})
    messages.append(json.loads(c.getresponse().read())['choices'][0]['message'])
    for call in messages[-1].get('tool_calls', []):
        messages.append({'role': 'tool', 'tool_call_id': call['id'], 'content': turn[::-1]})
"""
words = random.Random(7)


def text():
    return "%0*x" % (SIZE, words.getrandbits(4 * SIZE))


def answer(request, path):
    message = {"role": "assistant", "content": text()}
    if "tool" in path:
        call = {"id": "call_%012d" % len(request["messages"]), "type": "function", "function": {"name": "store", "arguments": json.dumps({"name": "x", "text": message["content"]})}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return serverkit.completion(message)


server = serverkit.Model(answer)


def record(client, turns):
    """The session's lines when the client has gone through its turns."""
    session = tapkit.Session(os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector")))
    path = os.path.join(session.dir, "turns.json")
    with open(path, "w") as f:
        json.dump(turns, f)
    r = session.run("/usr/bin/python3", "-c", client, str(server.port), path)
    until, lines = time.monotonic() + 30, []
    while not (lines and '"vcr.end"' in lines[-1]) and time.monotonic() < until:
        time.sleep(0.05)
        lines = [line for path in glob.glob(os.path.join(session.work, ".vcr", "*.vcr")) for line in open(path)]
    return r, lines


r, lines = record(CLIENT, [text() for _ in range(TURNS)])
data = [json.loads(line) for line in lines]
frames = [d["data"] for d in data if d["type"] == "frame" and d["data"]["frame_type"] == "llm"]
ok(r.returncode == 0 and len(frames) == TURNS and '"vcr.end"' in lines[-1], "each turn is a frame", r, len(frames))
bodies = {d["data"]["ref"]: d["data"] for d in data if d["type"] == "vcr.body"}
requests = [bodies[f["metadata"]["custom"]["vcr"]["request"]] for f in frames]
whole = [i for i, body in enumerate(requests) if "ops" not in body]
ok(len(whole) <= 1 + TURNS // 31, "a request is stored as what differs from the one before it, with a whole one at least every 32 calls", whole)
new = 2 * TURNS * SIZE
stored = sum(len(line) for line in lines if line.startswith('{"type":"vcr.body"'))
# Random hex digits are packed to half, base64 makes two thirds of that; a request holds both texts of a turn, an answer one; 400 bytes of names and hashes.
ok(stored < new * 1.5 + 2 * TURNS * 400, "the bodies take what the new text takes, not what was sent", "%d bytes for %d of new text" % (stored, new))

turns = [text() for _ in range(TURNS)]
r, lines = record(CLIENT.replace("/v1/chat", "/tool/v1/chat"), turns)
server.close()
frames = [line for line in lines if line.startswith('{"type":"frame"')]
tools = [line for line in frames if '"node_name":"tool:store"' in line]
ok(r.returncode == 0 and len(tools) == TURNS, "each tool call is a frame", r, len(tools))
size = max(map(len, tools))
ok(size < 2000 and all(sum(t[::-1] in line for line in frames) <= 1 for t in turns), "a long argument and a long result stand in the model calls' frames only, once", size)
tapkit.done()
