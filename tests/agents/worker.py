"""worker.py API PROMPT [title] [router] — a small agent of the standard library alone: it asks the model at $MODEL_HTTP, does what it is told, and says so, until nothing is asked for.

Its tools: bash {command}; write {path, content}; read {path}; task {prompt} and job {prompt}: another worker, a process of its own, all at once (a job's
prompt is another than the argument says); remote {…}: nothing is done; add {numbers}: asked of an MCP server, which is $MCP_SERVER. API: chat, responses, anthropic,
gemini, gemini-ids. title, router: calls of other conversations before it. With $WORKER_STREAM it streams."""
import http.client
import json
import os
import subprocess
import sys
import urllib.parse

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "anthropic": "/v1/messages"}
MODEL = "worker-1"


def ask(api, history):
    url = urllib.parse.urlparse(os.environ["MODEL_HTTP"])
    stream = bool(os.environ.get("WORKER_STREAM"))
    if api.startswith("gemini"):
        path = "/v1beta/models/%s:%s" % (MODEL, "streamGenerateContent?alt=sse" if stream else "generateContent")
        body = {"contents": history}
    else:
        path = PATHS[api]
        body = {"model": MODEL, "stream": stream, "input" if api == "responses" else "messages": history}
    conn = http.client.HTTPConnection(url.hostname, url.port)
    conn.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    raw = conn.getresponse().read()
    conn.close()
    if not stream:
        return json.loads(raw)
    return join(api, [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: {")])


def join(api, events):
    """What a stream says, as the answer without one has it; only as far as this agent needs it."""
    if api == "responses":
        return events[-1]["response"]
    if api.startswith("gemini"):
        return {"candidates": [{"content": {"role": "model", "parts": [p for e in events for p in e["candidates"][0]["content"]["parts"]]}}]}
    text, calls = "", {}
    if api == "anthropic":
        for e in events:
            if e["type"] == "content_block_start" and e["content_block"]["type"] == "tool_use":
                calls[e["index"]] = dict(e["content_block"], input="")
            elif e["type"] == "content_block_delta":
                text += e["delta"].get("text", "")
                if "partial_json" in e["delta"]:
                    calls[e["index"]]["input"] += e["delta"]["partial_json"]
        return {"content": [{"type": "text", "text": text}] + [dict(c, input=json.loads(c["input"] or "{}")) for c in calls.values()]}
    for e in events:
        for choice in e["choices"]:
            text += choice["delta"].get("content") or ""
            for c in choice["delta"].get("tool_calls", []):
                if "id" in c:
                    calls[c["index"]] = c
                else:
                    calls[c["index"]]["function"]["arguments"] += c["function"]["arguments"]
    for c in calls.values():
        c.pop("index")
    return {"choices": [{"message": dict({"role": "assistant", "content": text}, **({"tool_calls": list(calls.values())} if calls else {}))}]}


def first(api, prompt):
    if api.startswith("gemini"):
        return [{"role": "user", "parts": [{"text": prompt}]}]
    return [{"role": "user", "content": prompt}]


def calls_of(api, answer):
    """(items that go into the history, [(id, name, arguments)])"""
    if api == "responses":
        return answer["output"], [(i["call_id"], i["name"], json.loads(i["arguments"])) for i in answer["output"] if i["type"] == "function_call"]
    if api == "anthropic":
        return [{"role": "assistant", "content": answer["content"]}], [(b["id"], b["name"], b["input"]) for b in answer["content"] if b["type"] == "tool_use"]
    if api.startswith("gemini"):
        content = answer["candidates"][0]["content"]
        return [content], [("g%d" % n if api == "gemini-ids" else None, p["functionCall"]["name"], p["functionCall"]["args"])
                           for n, p in enumerate(content["parts"]) if "functionCall" in p]
    message = answer["choices"][0]["message"]
    return [message], [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", [])]


def results(api, done):
    """The items that say what came of it: done is a list of (id, name, text, failed)."""
    if api == "responses":
        return [{"type": "function_call_output", "call_id": i, "output": text} for i, _, text, _ in done]
    if api == "anthropic":
        return [{"role": "user", "content": [dict({"type": "tool_result", "tool_use_id": i, "content": text}, **({"is_error": True} if bad else {})) for i, _, text, bad in done]}]
    if api.startswith("gemini"):
        return [{"role": "user", "parts": [{"functionResponse": dict({"name": n, "response": {"error" if bad else "output": text}}, **({"id": i} if i else {}))}
                                           for i, n, text, bad in done]}]
    return [{"role": "tool", "tool_call_id": i, "content": text} for i, _, text, _ in done]


class Server:
    """An MCP server, started once."""
    process, n = None, 0

    def say(self, method, params, answered=True):
        if not self.process:
            self.process = subprocess.Popen([sys.executable, "-c", os.environ["MCP_SERVER"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.say("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "worker", "version": "1"}})
        Server.n += 1
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": Server.n, "method": method, "params": params}).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["result"]


MCP = Server()


def begin(api, name, a):
    """Do it, or begin it: what gives (text, failed) when it is called."""
    if name == "bash":
        p = subprocess.Popen(["/bin/sh", "-c", a["command"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    elif name in ("task", "job"):
        prompt = a["prompt"] if name == "task" else "As a job: " + a["prompt"]
        p = subprocess.Popen([sys.executable, os.path.abspath(__file__), api, prompt], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    else:
        return lambda: perform(name, a)
    return lambda: (p.communicate()[0].decode(), p.returncode != 0)


def perform(name, a):
    if name == "write":
        with open(a["path"], "w") as f:
            f.write(a["content"])
        return "written", False
    if name == "read":
        try:
            return open(a["path"]).read(), False
        except OSError as e:
            return str(e), True
    if name.endswith("add"):
        return MCP.say("tools/call", {"name": "add", "arguments": a})["content"][0]["text"], False
    return "nothing was done", False


def main():
    api, prompt = sys.argv[1:3]
    for word in sys.argv[3:]:
        ask(api, first(api, {"title": "A title for: ", "router": "Who is to do this: "}[word] + prompt))
    history = first(api, prompt)
    while True:
        items, calls = calls_of(api, ask(api, history))
        if not calls or any(name == "leave" for _, name, _ in calls):
            break
        begun = [(i, name, begin(api, name, a)) for i, name, a in calls]
        history = history + items + results(api, [(i, name, *end()) for i, name, end in begun])
    print("done: " + prompt)


if __name__ == "__main__":
    main()
