#!/usr/bin/python3
"""Models that do not sit behind api.openai.com: Ollama, llama.cpp, LM Studio, vLLM and gateways, on any port and over a Unix socket, Bedrock by its own client."""
import base64
import http.server
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import zlib

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import replies
from agentkit import ok

KEY, SECRET, TOKEN = "AKIAQ3EGXMPLE7TESTKY", "wJalrXUtnFEMIbK7MDENGbPxRfiCYzzTESTKEYab", "FwoGZXIvYXdzEBYaDGhtZXN0c2Vzc2lvbnRva2VuMDEyMzQ1Njc4OQ"
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
CALLS = {}  # path: [(request, answer)]


def lines(*values):
    return [replies.dump(v) + b"\n" for v in values]


def message(headers, payload):
    head = b"".join(bytes([len(k)]) + k.encode() + b"\x07" + struct.pack(">H", len(v)) + v.encode() for k, v in headers.items())
    out = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    out += struct.pack(">I", zlib.crc32(out)) + head + payload
    return out + struct.pack(">I", zlib.crc32(out))


def event(name, value):
    return message({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, replies.dump(value))


def converse():
    usage = {"inputTokens": 20, "outputTokens": 9, "totalTokens": 29}
    return [event("messageStart", {"role": "assistant"}), event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo \u2713"}}), event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "end_turn"}), event("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})]


def invoke():
    stream = replies.messages_stream(replies.Reply("Hello \u2713", "claude-haiku-4-5-20251001", tokens_in=20, tokens_out=9))
    events = [json.loads(e.split(b"data: ")[1]) for e in stream]
    return [event("chunk", {"bytes": base64.b64encode(json.dumps(e).encode()).decode()}) for e in events]


COUNTS = {"done": True, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 9}
ANSWERS = {
    "/api/chat": ("application/x-ndjson", lines(*[{"model": "qwen3:8b", "message": {"role": "assistant", "content": t}, "done": False} for t in ("Hel", "lo \u2713")],
                                                dict({"model": "qwen3:8b", "message": {"role": "assistant", "content": ""}}, **COUNTS))),
    "/api/generate": ("application/x-ndjson", lines(*[{"model": "qwen3:8b", "response": t, "done": False} for t in ("Hel", "lo \u2713")],
                                                    dict({"model": "qwen3:8b", "response": ""}, **COUNTS))),
    "/completion": ("text/event-stream", [replies.event(e) for e in (
        {"content": "Hello ", "stop": False}, {"content": "\u2713", "stop": False},
        {"content": "", "stop": True, "stop_type": "stop", "model": "qwen3:8b", "tokens_evaluated": 20, "tokens_predicted": 9})]),
    "/api/v0/chat/completions": ("text/event-stream", replies.chat_stream(replies.Reply("Hello \u2713", "qwen3:8b", tokens_in=20, tokens_out=9))[:-1] +
                                 [replies.event({"stats": {"tokens_per_second": 51.4}, "model_info": {"arch": "qwen3"}, "choices": []}), b"data: [DONE]\n\n"]),
    "/v1/messages": ("text/event-stream", replies.messages_stream(replies.Reply("Hello \u2713", "qwen3:8b", tokens_in=20, tokens_out=9))),
    "/chat/completions": ("text/event-stream", replies.chat_stream(replies.Reply("Hello \u2713", "qwen3:8b", tokens_in=20, tokens_out=9))),
    "/converse-stream": ("application/vnd.amazon.eventstream", converse()),
    "/invoke-with-response-stream": ("application/vnd.amazon.eventstream", invoke()),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"]))
        kind, parts = next(a for end, a in ANSWERS.items() if self.path.endswith(end))
        CALLS.setdefault(self.path, []).append((request, b"".join(parts)))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for p in parts + [b""]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(p), p))
            self.wfile.flush()

    def log_message(self, *words):
        pass

    def address_string(self):
        return "here"


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads, allow_reuse_address = True, True

    def server_activate(self):
        self.socket.listen(64)


class UnixServer(Server):
    address_family = socket.AF_UNIX


def serve(kind, address):
    server = kind(address, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


POST = """
import http.client, json, socket, sys
where, path, body = sys.argv[1:]
class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(where)
c = Local("localhost") if where.startswith("/") else http.client.HTTPConnection(where)
c.request("POST", path, body, {"Content-Type": "application/json"})
sys.stdout.buffer.write(c.getresponse().read())
"""
BEDROCK = """
import json, sys, botocore.session
url, how, model, key, secret, token = sys.argv[1:]
s = botocore.session.get_session()
s.set_credentials(key, secret, token)
c = s.create_client("bedrock-runtime", region_name="eu-west-1", endpoint_url=url)
if how == "converse-stream":
    for e in c.converse_stream(modelId=model, system=[{"text": "be brief"}], messages=[{"role": "user", "content": [{"text": "hi"}]}])["stream"]:
        sys.stdout.write(e.get("contentBlockDelta", {}).get("delta", {}).get("text", ""))
else:
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    for e in c.invoke_model_with_response_stream(modelId=model, body=body, contentType="application/json")["body"]:
        sys.stdout.write(json.loads(e["chunk"]["bytes"]).get("delta", {}).get("text", ""))
"""
CHAT = '{"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}], "stream": true}'
PROMPT = '{"model": "qwen3:8b", "prompt": "hi"}'


def text_of(response):
    """The answer's text, wherever its API puts it."""
    if "output" in response:
        return response["output"]["message"]["content"][0]["text"]
    if "choices" in response:
        return response["choices"][0]["message"]["content"]
    found = response.get("message", response).get("content", response.get("response"))
    return found if isinstance(found, str) else found[0]["text"]


def check(title, place, argv, path, api, model):
    CALLS.clear()
    r = place.run(*argv)
    session = place.session()
    frames = session.calls()
    f = frames[0] if frames else None
    v = session.vcr(f) if f else {}
    kept = (session.body(f, "request"), session.body(f, "response")) if f else None
    said = CALLS.get(path, [None])[0]
    m = f["metadata"] if f else {}
    got = [len(frames), m.get("model"), m.get("tokens_input"), m.get("tokens_output"), v.get("api"), v.get("complete"), text_of(f["output_state"]["response"]) if f else None]
    ok(r.returncode == 0 and said and kept == said and got == [1, model, 20, 9, api, True, "Hello \u2713"] and f["frame_type"] == "llm", title,
       got, kept, said, r.stderr.decode()[-1500:], session.end)
    return session


titles = {"ollama": "Ollama's chat is a call on any port, its lines one answer with its counts", "generate": "Ollama's generate too",
          "llama": "llama.cpp's own completion is a call", "vllm": "vLLM's chat is a call on any port", "lmstudio": "LM Studio's own chat is a call, whatever it adds to the stream",
          "gateway": "a gateway that serves chat at its root is recognised by the path alone", "gateway2": "a gateway that speaks Anthropic's messages behind a prefix is too",
          "unix": "HTTP over a Unix socket is recorded like any other, by its path",
          "converse": "Bedrock's converse-stream is decoded to what converse returns", "invoke": "Bedrock's invoke stream is the model's own stream",
          "cost": "a call whose answer does not name the model costs what the model that was asked for costs",
          "keys": "no key, signature or session token of Bedrock's client is in the session"}
tcp = serve(Server, ("127.0.0.1", 0))
where = "127.0.0.1:%d" % tcp.server_address[1]
python = sys.executable
for name, path, api, body in (("ollama", "/api/chat", "ollama.chat", CHAT), ("generate", "/api/generate", "ollama.generate", PROMPT),
                              ("llama", "/completion", "llamacpp.completion", PROMPT), ("vllm", "/v1/chat/completions", "openai.chat", CHAT),
                              ("lmstudio", "/api/v0/chat/completions", "openai.chat", CHAT), ("gateway", "/chat/completions", "openai.chat", CHAT),
                              ("gateway2", "/anthropic/v1/messages", "anthropic.messages", CHAT)):
    check(titles[name], agentkit.Place(), [python, "-c", POST, where, path, body], path, api, "qwen3:8b")
place = agentkit.Place()
serve(UnixServer, os.path.join(place.dir, "s"))
check(titles["unix"], place, [python, "-c", POST, os.path.join(place.dir, "s"), "/v1/chat/completions", CHAT], "/v1/chat/completions", "openai.chat", "qwen3:8b")
agentkit.need_agents(titles["converse"], titles["invoke"], titles["keys"], titles["cost"])
leaks, costs = [], []
for name, how, api in (("converse", "converse-stream", "bedrock.converse"), ("invoke", "invoke-with-response-stream", "bedrock.invoke")):
    place = agentkit.Place()
    session = check(titles[name], place, [agentkit.AGENTS_PYTHON, "-c", BEDROCK, "http://" + where, how, MODEL, KEY, SECRET, TOKEN],
                    "/model/%s/%s" % (MODEL.replace(":", "%3A"), how), api, MODEL)
    raw = open(session.path).read() + json.dumps(session.frames)
    costs.append(session.calls()[0]["metadata"]["cost_usd"] if session.calls() else None)
    leaks += [w for w in (KEY, SECRET, TOKEN, "Signature=") if w in raw]
ok(not leaks, titles["keys"], *leaks)
ok(all(costs) and len(set(costs)) == 1, titles["cost"], costs)
agentkit.done()
