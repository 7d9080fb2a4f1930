#!/usr/bin/python3
"""vcr-import and vcr-export --cassette: recordings of other tools in, and out."""
import base64
import gzip
import os
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, header, json, ok, sanitized

place = Place()
SECRET = "sk-proj-Q7xK2mVb9TzR4wLs8NdF"
place.env["MY_API_KEY"] = SECRET
URL = "https://api.openai.com/v1/chat/completions"


def write(name, text):
    path = os.path.join(place.dir, name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


def frames(session):
    return [json.loads(line) for line in place.run("vcr-log", "--json", session)[1].splitlines()]


def answer(text):
    return {"id": "x", "object": "chat.completion", "model": "gpt-4o", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}


STREAM = "".join("data: %s\n\n" % json.dumps({"id": "s", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [{"index": 0, "delta": d, "finish_reason": f}]})
                 for d, f in (({"role": "assistant", "content": ""}, None), ({"content": "str"}, None), ({"content": "eamed \u00e4"}, None), ({}, "stop"))) + "data: [DONE]\n\n"


def interaction(messages, body, method="POST", uri=URL, kind="application/json", status=200, more=None, **request):
    return {"request": {"method": method, "uri": uri, "body": json.dumps(dict({"model": "gpt-4o", "messages": messages}, **request)) if method == "POST" else None,
                        "headers": {"Authorization": ["Bearer " + SECRET], "Content-Type": ["application/json"], "Accept": ["*/*"]}},
            "response": {"status": {"code": status, "message": "OK"}, "headers": dict({"Content-Type": [kind], "Transfer-Encoding": ["chunked"]}, **(more or {})), "body": body}}


ask = [{"role": "user", "content": "hi \u00e9"}]
then = ask + [answer("hello")["choices"][0]["message"], {"role": "user", "content": "my key is %s" % SECRET}]
plain = [interaction(ask, {"string": json.dumps(answer("hello"))}), interaction(then, {"string": STREAM}, kind="text/event-stream", stream=True),
         interaction([], {"string": "fine"}, method="GET", uri="http://127.0.0.1:8000/health?a=1", kind="text/plain")]
one = write("one.json", json.dumps({"version": 1, "interactions": plain}))
status, out, err = place.run("vcr-import", "--json", "-s", "one", one)
told = json.loads(out) if status == 0 else {}
calls = frames("one")
ok(status == 0 and told == {"session_id": "one", "path": place.path("one"), "exchanges": 3, "left_out": 0, "frames": 2, "model_calls": 2, "tokens": 15} and
   [c["model"] for c in calls] == ["gpt-4o"] * 2 and calls[1].get("parent_frame_id") == calls[0].get("frame_id"), "a cassette is a session: calls, models, tokens, and which conversation one goes on", told, err, calls)
show = place.run("vcr-show", "one", "1")[1]
ok("eamed \u00e4" in show and "hello" in show and "streamed" in show.replace("str\neamed", "streamed"), "an imported stream is assembled, and its conversation is complete", show)
raw = open(place.path("one")).read()
ok(SECRET not in raw and "{{vcr:secret:" in raw and '"imported_kind":"vcrpy"' in raw, "a secret of a cassette, and of the environment, does not reach the session")
ok(place.run("vcr-verify", "one")[0] == 0, "vcr-verify finds an imported session whole")

status, cassette, err = place.run("vcr-export", "--cassette", "one")
write("back.yaml", cassette)
status2, out, err2 = place.run("vcr-import", "-s", "back", "back.yaml")
def bodies(name):
    return [json.loads(line)["data"]["sha256"] for line in open(place.path(name)) if '"type":"vcr.body"' in line]
ok(status == status2 == 0 and bodies("one") == bodies("back") and place.run("vcr-diff", "one", "back")[0] == 0 and SECRET not in cassette,
   "vcr-export --cassette writes what vcr-import read, byte for byte", err, err2, out)
ok("http://127.0.0.1:8000/health?a=1" in cassette, "requests that are no model's are in both, with their scheme and port", cassette)
status, out, err = place.run("vcr-export", "--cassette", "--full", "one")
ok(status == 2 and "format of its own" in err, "--cassette goes with no other format", err)

binary = bytes(range(256)) * 3
yaml = "interactions:\n- request: {body: null, headers: {}, method: GET, uri: '%s'}\n  response:\n    body: {string: !!binary '%s'}\n    headers: {Content-Type: [image/png]%s}\n    status: {code: 200, message: OK}\nversion: 1\n"
write("zip.yaml", yaml % ("https://api.openai.com/v1/a", base64.b64encode(gzip.compress(binary)).decode(), ", Content-Encoding: [gzip]"))
write("lie.yaml", yaml % ("https://api.openai.com/v1/b", base64.b64encode(binary).decode(), ", Content-Encoding: [gzip]"))
status, out, err = place.run("vcr-import", "-s", "zip", "zip.yaml", "lie.yaml")
status2, cassette, err2 = place.run("vcr-export", "--cassette", "zip")
ok(status == status2 == 0 and cassette.count(base64.b64encode(binary).decode()) == 2 and "ncoding" not in cassette,
   "a body is unpacked, one that its tool has unpacked already is taken as it is, and binary ones stay binary; several files make one session", err, err2, cassette)

har = {"log": {"version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "pages": [], "entries": [
    {"_initiator": {"type": "script"}, "_priority": "High", "_resourceType": "fetch", "cache": {}, "connection": "443", "pageref": "page_1", "startedDateTime": "2026-11-24T10:00:00.250Z",
     "time": 90.125, "timings": {"blocked": 1.0, "dns": -1, "ssl": 2.0, "connect": 5.0, "send": 2.0, "wait": 30.0, "receive": 52.125, "_blocked_queueing": 1.0},
     "request": {"method": "POST", "url": URL, "httpVersion": "http/2.0", "headers": [{"name": ":authority", "value": "api.openai.com"}, {"name": ":method", "value": "POST"},
                 {"name": "authorization", "value": "Bearer " + SECRET}, {"name": "content-type", "value": "application/json"}], "queryString": [], "cookies": [],
                 "headersSize": -1, "bodySize": 80, "postData": {"mimeType": "application/json", "text": json.dumps({"model": "gpt-4o", "messages": ask, "stream": True})}},
     "response": {"status": 200, "statusText": "", "httpVersion": "http/2.0", "headers": [{"name": "content-encoding", "value": "br"}, {"name": "content-type", "value": "text/event-stream"}],
                  "cookies": [], "content": {"size": len(STREAM), "mimeType": "text/event-stream", "text": base64.b64encode(STREAM.encode()).decode(), "encoding": "base64"},
                  "redirectURL": "", "headersSize": -1, "bodySize": -1, "_transferSize": 900, "_error": None}, "serverIPAddress": "10.0.0.1"},
    {"_resourceType": "websocket", "request": {"method": "GET", "url": "wss://api.openai.com/v1/realtime", "headers": []}, "response": {"status": 101}, "_webSocketMessages": []},
    {"startedDateTime": "2026-11-24T10:00:05.000Z", "time": 12, "request": {"method": "POST", "url": URL, "headers": [{"name": "content-type", "value": "application/json"}],
     "postData": {"mimeType": "application/json", "text": json.dumps({"model": "gpt-4o", "messages": then})}}, "response": {"status": 0, "statusText": "", "headers": [], "content": {"size": 0},
     "_error": "net::ERR_CONNECTION_RESET"}}]}}
status, out, err = place.run("vcr-import", "--json", "-s", "har", write("run.har", "\ufeff" + json.dumps(har)))
calls = frames("har")
lines = [json.loads(line)["data"] for line in open(place.path("har")) if '"type":"frame"' in line]
at = lines[0]["metadata"]["custom"]["vcr"]
ok(status == 0 and json.loads(out)["left_out"] == 1 and "exchange 2: a WebSocket; left out" in err and at["started_at"] == "2026-11-24T10:00:00.250000+00:00" and at["ttfb_ms"] == 38.0 and
   at["total_ms"] == 90.125 and lines[0]["output_state"]["response"]["choices"][0]["message"]["content"] == "streamed \u00e4" and lines[1]["frame_type"] == "error" and SECRET not in str(lines),
   "a HAR as a browser writes it is a session: the stream assembled, times kept, the call that failed an error", err, lines)

# ---- what must not come in ----
kept = sorted(os.listdir(place.vcr_dir))
LAUGHS = "a: &a0 [%s]\n" % ", ".join(["lol"] * 10) + "".join("b%d: &a%d [%s]\n" % (n, n, ", ".join(["*a%d" % (n - 1)] * 10)) for n in range(1, 12))
bomb = gzip.compress(b"\0" * (400 << 20), 9, mtime=0)
CASES = {
    "aliases that make it far larger": (LAUGHS + "interactions: *a11\n", "aliases make it far larger than it is"),
    "an alias in a circle": ("interactions: &x [*x]\n", "an alias stands in what it means"),
    "deep YAML": ("interactions: " + "[" * 200000, "nested deeper"),
    "deep JSON": ('{"interactions":' + "[" * 200000 + "]" * 200000 + "}", "nested too deep"),
    "half of a JSON": ('{"interactions":[{"request":', "no JSON"),
    "a JSON of something else": ('{"a":1}', "neither a cassette of vcrpy"),
    "a later version": ("version: 2\ninteractions: []\n", "version 2"),
    "bytes that are nothing": (bytes(range(256)) * 100, "no YAML"),
    "nothing": (b"", "nothing is in it"),
    "no exchange": ("interactions: []\nversion: 1\n", "there is no exchange"),
}


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


limit = {} if sanitized() else {"preexec_fn": limited}
for name, (text, words) in CASES.items():
    status, out, err = place.run("vcr-import", "-s", "bad", one, write("bad", text)) if name != "no exchange" else place.run("vcr-import", "-s", "bad", write("bad", text))
    ok(status == 3 and words in err and err.count("\n") == 1 and not out and sorted(os.listdir(place.vcr_dir)) == kept,
       "%s is refused in one line, in bounded memory, and leaves no session" % name, status, err, sorted(os.listdir(place.vcr_dir)))
big = write("bomb.yaml", yaml % ("https://api.openai.com/v1/a", base64.b64encode(bomb).decode(), ", Content-Encoding: [gzip]"))
status, out, err = place.run("vcr-import", "-s", "bomb", big, one, **limit)
ok(status == 0 and "exchange 1: its body is larger than what is read when it is unpacked; left out" in err and os.path.getsize(place.path("bomb")) < 1 << 20,
   "a decompression bomb is left out by name in bounded memory, and what else there is comes in", status, err[-500:])
with open(os.path.join(place.dir, "huge"), "wb") as f:
    f.truncate(1 << 33)
status, out, err = place.run("vcr-import", "huge", **limit)
ok(status == 3 and "larger than the 256 MiB" in err, "a huge file is refused by its size", status, err)
os.unlink(os.path.join(place.dir, "huge"))
os.mkfifo(os.path.join(place.dir, "pipe"))
status, out, err = place.run("vcr-import", "pipe")
status2, out2, err2 = place.run("vcr-import", "nowhere.yaml")
ok(status == status2 == 2 and "pipe is no file" in err and "nowhere.yaml: No such file" in err2, "what is no file is refused, and nothing waits for it", err, err2)
evil = interaction([], {"string": "x"}, method="GET", uri="https://h/a\r\nX-Evil: 1")
fields = interaction(ask, {"string": "{}"}, more={"A\r\nB": ["x"], "C": ["d\r\nE: f"], "Set-Cookie": ["k=" + SECRET], "Content-Length": ["999999999999"]})
status, out, err = place.run("vcr-import", "-s", "evil", write("evil.json", json.dumps({"interactions": [evil, fields, 7, {"request": None}, dict(fields, response=[])]})))
raw = open(place.path("evil")).read()
status2, _, _ = place.run("vcr-verify", "evil")
ok(status == status2 == 0 and "X-Evil" not in raw.replace("%0D%0AX-Evil:%201", "") and "E: f" not in raw and "999999999999" not in raw and raw.count('"vcr.body"') == 3 and err.count("left out") >= 5, "line ends in fields and URLs, false lengths and values of a wrong kind harm nothing", err, raw)
status, out, err = place.run("vcr-import", "-s", "one", one)
ok(status == 2 and "one.vcr exists already" in err and open(place.path("one")).read().count('"type":"frame"') == 2, "a session that exists is not touched", err)
for name in ("../x", "-x", "a/b", ""):
    status, out, err = place.run("vcr-import", "--session=" + name, one)
    ok(status == 2 and not out, "a session cannot be called %r" % name, status, err)
ok(place.run("vcr-import")[0] == 2, "vcr-import wants a file")
left = sorted(n for d in (place.home, place.run_dir) for _, dirs, files in os.walk(d) for n in files)
ok(not left, "an import writes nothing outside .vcr", left)

place.write("mixed", header("mixed"), {"type": "vcr.http", "data": {"seq": 5, "method": "GET", "path": "/a", "host": "h", "scheme": "https", "status": 200, "response": "gone"}},
            {"type": "vcr.http", "data": {"seq": 4, "method": "GET", "path": "/b", "host": "h", "scheme": "https", "failure": "reset"}},
            {"type": "vcr.http", "data": {"seq": 3, "method": "GET", "path": "/c", "host": "h", "scheme": "http", "status": 200, "response_headers": {"X": 5, "Y": "z"}}})
status, out, err = place.run("vcr-export", "--cassette", "mixed")
ok(status == 3 and out.count("- request:") == 1 and "http://h/c" in out and "no answer came" in err and "line 2: " in err, "what a cassette cannot hold, and a body that is not there, are left out by name", out, err)
place.write("none", header("none"))
status, out, err = place.run("vcr-export", "--cassette", "none")
ok(status == 0 and out == "interactions:\n  []\nversion: 1\n", "a session without exchanges is an empty cassette", out, err)
done()
