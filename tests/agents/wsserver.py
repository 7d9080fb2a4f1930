"""wsserver.py LEAF — models behind a WebSocket (the package websockets, messages compressed): /v1/realtime and /v1/responses, over TLS.

Prints its port, then a line of JSON for every response: what was asked since the one before, and what was answered."""
import json
import ssl
import sys

from websockets.sync.server import serve

TEXT = "Hello over a socket \u2713 " * 40


def pieces(text, n=37):
    return [text[i:i + n] for i in range(0, len(text), n)]


def events(path, number, request):
    ident = "resp_%d" % number
    realtime = "/realtime" in path
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": TEXT}]}
    response = {"object": "realtime.response" if realtime else "response", "id": ident, "status": "in_progress", "output": [], "usage": None}
    if not realtime:
        response["model"] = request["model"]
    usage = {"total_tokens": 29, "input_tokens": 20, "output_tokens": 9}
    yield {"type": "response.created", "event_id": "event_1", "response": response}
    yield {"type": "response.output_item.added", "event_id": "event_2", "response_id": ident, "output_index": 0, "item": dict(item, status="in_progress", content=[])}
    for p in pieces(TEXT):
        yield {"type": "response.output_text.delta", "event_id": "event_3", "response_id": ident, "item_id": "item_1", "output_index": 0, "content_index": 0, "delta": p}
    yield {"type": "response.done" if realtime else "response.completed", "event_id": "event_4",
           "response": dict(response, status="completed", output=[item], usage=usage)}


def talk(socket):
    path, asked, number = socket.request.path, [], 0
    if "/realtime" in path:
        socket.send(json.dumps({"type": "session.created", "event_id": "event_0", "session": {"type": "realtime", "id": "sess_1"}}))
    for message in socket:
        asked.append(message)
        if json.loads(message)["type"] != "response.create":
            continue
        answered = [json.dumps(e) for e in events(path, number, json.loads(message))]
        for a in answered:
            socket.send(a)
        print(json.dumps({"asked": asked, "answered": answered}), flush=True)
        asked, number = [], number + 1


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
with serve(talk, "127.0.0.1", 0, ssl=context) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
