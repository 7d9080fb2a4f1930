#!/usr/bin/python3
"""A chat that is sent again with every turn: the recording grows with its new text only."""
import glob
import http.server
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
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
"""
words = random.Random(7)


def text():
    return "%0*x" % (SIZE, words.getrandbits(4 * SIZE))


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": text()}
        body = json.dumps({"id": "c", "object": "chat.completion", "model": "gpt-4o", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = tapkit.Session(os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector")))
turns = os.path.join(session.dir, "turns.json")
with open(turns, "w") as f:
    json.dump([text() for _ in range(TURNS)], f)
r = session.run("/usr/bin/python3", "-c", CLIENT, str(server.server_address[1]), turns)
server.shutdown()
until, lines = time.monotonic() + 30, []
while not (lines and '"vcr.end"' in lines[-1]) and time.monotonic() < until:
    time.sleep(0.05)
    lines = [line for path in glob.glob(os.path.join(session.work, ".vcr", "*.vcr")) for line in open(path)]
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
tapkit.done()
