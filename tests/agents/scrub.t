#!/usr/bin/python3
"""vcr-scrub: what rules name is gone from a session, in every form, and the program that was recorded still hears its answers."""
import base64
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import BUILD, ok

MAIL, CODE, NAME, PHONE, CARD = "ada.lovelace@example.com", "ZX-4471-QQ", 'Ada "the first" L\u00f6velace', "0451/7712", 4929123412341238
NOTE = json.dumps({"customer": {"name": NAME, "phone": PHONE}, "note": "see " + CODE})


class Model(http.server.BaseHTTPRequestHandler):
    """Asks for a tool whose arguments hold what was told to it, then streams it in pieces, then repeats it in other forms."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        turn = sum(m["role"] == "user" for m in request["messages"]) + 2 * any(m["role"] == "tool" for m in request["messages"])
        base = {"id": "chatcmpl-%d" % turn, "model": "gpt-4o"}
        if turn == 1:
            call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": json.dumps({"email": MAIL, "customer": {"name": NAME}, "card": CARD})}}
            body, kind = dict(base, choices=[{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]), "application/json"
        elif turn == 3:
            text = "Mail %s, code %s, name %s." % (MAIL, CODE, NAME)
            pieces = [{"role": "assistant", "content": ""}] + [{"content": text[n:n + 5]} for n in range(0, len(text), 5)]
            body, kind = "".join("data: %s\n\n" % json.dumps(dict(base, choices=[{"index": 0, "delta": d, "finish_reason": None}])) for d in pieces) + "data: [DONE]\n\n", "text/event-stream"
        else:
            text = "%s %s" % (base64.b64encode(("xy" + MAIL).encode()).decode(), urllib.parse.quote(MAIL, safe=""))
            body, kind = dict(base, choices=[{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]), "application/json"
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("X-Request-Id", "req-" + CODE)
        if kind == "application/json":
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for n in range(0, len(body), 97):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body[n:n + 97]), body[n:n + 97]))
            self.wfile.write(b"0\r\nGrpc-Message: of %s\r\n\r\n" % CODE.encode())

    def log_message(self, *words):
        pass


AGENT = r'''
import http.client, json, os, sys
MAIL, CODE, NOTE, port = sys.argv[1:5]
connection = http.client.HTTPConnection("127.0.0.1", int(port))


def ask(messages, stream=False, **more):
    body = json.dumps(dict({"model": "gpt-4o", "stream": stream, "messages": messages}, **more))
    connection.request("POST", "/v1/chat/completions?code=" + CODE, body, {"Content-Type": "application/json", "Authorization": "Bearer none"})
    r = connection.getresponse()
    text = r.read().decode()
    print(r.status, json.dumps(text))
    if r.status != 200:
        sys.exit(1)
    if not stream:
        return json.loads(text)["choices"][0]["message"]
    deltas = [json.loads(l[6:])["choices"][0]["delta"] for l in text.splitlines() if l.startswith("data: {")]
    return {"role": "assistant", "content": "".join(d.get("content") or "" for d in deltas)}


talk = [{"role": "system", "content": "You serve " + MAIL}, {"role": "user", "content": "Who is behind %s? Say \"%s\"." % (MAIL, CODE)}]
talk.append(ask(talk, user=MAIL))
json.loads(talk[-1]["tool_calls"][0]["function"]["arguments"])
with open("note.json", "w") as f:
    f.write(NOTE)
with open("note.txt", "w") as f:
    f.write("first line\nmail: %s\nlast line\n" % MAIL)
talk.append({"role": "tool", "tool_call_id": "call_1", "content": NOTE})
talk.append(ask(talk, stream=True))
talk.append({"role": "user", "content": "And encoded?"})
ask(talk)
'''

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = agentkit.Place()
argv = (sys.executable, "-c", AGENT, MAIL, CODE, NOTE, str(server.server_port))
recorded = place.run(*argv, how="record")
session = place.session()
server.shutdown()
server.server_close()


def vcr(*words, **env):
    return subprocess.run([os.path.join(BUILD, words[0]), *words[1:]], cwd=place.work, env=dict(place.plain, VCR_COLLECTOR=agentkit.COLLECTOR, VCR_SHIM=agentkit.SHIM, **env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)


def everything(path):
    """The file, its bodies unpacked, and its complete states: as bytes in which nothing may be found."""
    s = agentkit.Session(path)
    return b"\n".join([open(path, "rb").read()] + [open(os.path.join(s.dir, n), "rb").read() for n in sorted(os.listdir(s.dir))]), s


def forms(value):
    plain = value.encode()
    found = {plain, json.dumps(value)[1:-1].encode(), json.dumps(json.dumps(value)[1:-1])[1:-1].encode(), urllib.parse.quote(value, safe="").encode()}
    for skip in range(3):
        text = base64.b64encode(b"\0" * skip + plain)
        found.add(text[(skip and skip + 1):len(text) // 4 * 4 - 4])
    return {f for f in found if len(f) >= 6}


def left(blob, *values):
    return [(v, f) for v in values for f in forms(v) if f in blob]


RULES = ("-p", r"[\w.]+@example\.com", "-p", r"ZX-\d{4}-\w+", "-f", "customer.name", "-f", "phone", "--field=card")
ALL = (MAIL, CODE, NAME, PHONE, str(CARD))
before, _ = everything(session.path)
ok(recorded.returncode == 0 and len(session.calls()) == 3 and all(left(before, v) for v in ALL) and left(before, MAIL)[0] and any(b64 in before for b64 in forms(MAIL)), "without a scrub all of it is in the recording",
   recorded.stderr, left(before, *ALL))
original = open(session.path, "rb").read()
out = os.path.join(place.dir, "scrubbed.vcr")
r = vcr("vcr-scrub", "--json", *RULES, "-o", out, session.path)
told = json.loads(r.stdout) if r.returncode == 0 else {}
blob, scrubbed = everything(out) if told else (b"", None)
ok(told and not left(blob, *ALL) and told["values"] >= 5 and not scrubbed.complaints and open(session.path, "rb").read() == original,
   "what patterns and fields name is in no body, state, header, trailer, path, diff or file any more: plain, escaped, in URLs, in base64, split over a stream, as a number", r.stderr, left(blob, *ALL), told,
   scrubbed and scrubbed.complaints)
frames = {f["frame_id"]: f for f in scrubbed.frames}
ok(list(frames) == [f["frame_id"] for f in session.frames] and [f["timestamp"] for f in scrubbed.frames] == [f["timestamp"] for f in session.frames] and
   [f["parent_frame_id"] for f in scrubbed.frames] == [f["parent_frame_id"] for f in session.frames], "frames, their ids, their times and who follows whom are as they were")
r = vcr("vcr-verify", "--json", out)
ok(r.returncode == 0 and json.loads(r.stdout)["sealed"], "vcr-verify finds the scrubbed session whole, its hash of all lines too", r.stdout, r.stderr)
first = json.loads(scrubbed.body(scrubbed.calls()[0], "request"))
label = first["user"]
ok(label.startswith("{{vcr:secret:") and first["messages"][0]["content"] == "You serve " + label and label in first["messages"][1]["content"] and
   label in json.loads(scrubbed.body(scrubbed.calls()[1], "request"))["messages"][2]["tool_calls"][0]["function"]["arguments"] and label in scrubbed.body(scrubbed.calls()[1], "response").decode(),
   "equal values have the same placeholder, wherever they are", first)
arguments = json.loads(json.loads(scrubbed.body(scrubbed.calls()[0], "response"))["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
ok(arguments["email"] == label and arguments["customer"]["name"].startswith("{{vcr:secret:") and arguments["card"].startswith("{{vcr:secret:"), "JSON in JSON stays JSON; a number becomes a string", arguments)
lines = open(out, "rb").read().splitlines()
rules = [json.loads(line)["data"] for line in lines if b'"vcr.scrub"' in line]
ok(rules == [{"patterns": [RULES[1], RULES[3]], "fields": ["customer.name", "phone", "card"], "hosts": []}], "the rules stand in the session, the values do not", rules)
ok(len(open(out, "rb").read()) < len(original) * 1.3, "it grows with new text only, as before", len(open(out, "rb").read()), len(original))


def replay(path, match="exact"):
    r = vcr("vcr-replay", "--match=" + match, path, "--", *argv)
    return r, [line.split(" ", 1) for line in r.stdout.decode().splitlines()]


r, heard = replay(session.path)
ok(r.returncode == 0 and r.stdout == recorded.stdout, "(the recording itself is replayed)", r.stderr)
r, heard = replay(out)
ok(r.returncode == 0 and len(heard) == 3 and b", 0 missed;" in r.stderr and not left(r.stdout, *ALL) and label in "".join(json.loads(t) for _, t in heard).replace("\\", ""),
   "the program that was recorded, which still holds what was removed, finds every answer by its exact key, and hears placeholders", r.stderr.decode()[-3000:], heard)
chunks = scrubbed.vcr(scrubbed.calls()[1]).get("chunks", [])
body = scrubbed.body(scrubbed.calls()[1], "response")
ok(len(chunks) == len(session.vcr(session.calls()[1]).get("chunks", [])) and sum(chunks[::2]) < len(body) and all(n > 0 for n in chunks[::2]), "the reads of a stream are still inside it", chunks, len(body))

r = vcr("vcr-golden", "save", "serve Ada", out)
r2 = vcr("vcr-golden", "replay", "serve Ada", "--", *argv)
ok(r.returncode == r2.returncode == 0 and len(r2.stdout.splitlines()) == 3 and not left(r2.stdout, *ALL), "a golden run that is kept of it is replayed as well", r.stderr, r2.stderr.decode()[-2000:])

r = vcr("vcr-scrub", "-q", *RULES, "--in-place", session.path)
again, _ = everything(session.path)
ok(r.returncode == 0 and not r.stdout and not left(again, *ALL) and os.listdir(os.path.dirname(session.path)).count(os.path.basename(session.path)) == 1 and
   not [n for n in os.listdir(os.path.dirname(session.path)) if n.startswith(os.path.basename(session.path) + ".")] and os.stat(session.path).st_mode & 0o777 == 0o600, "--in-place puts it in the place of the session, and leaves nothing beside it",
   r.stderr, os.listdir(os.path.dirname(session.path)))
ok(not left(open(os.path.join(place.work, ".vcr", "manifest.json"), "rb").read(), *ALL), "nor is it in the list of sessions")
r = vcr("vcr-scrub", "--json", "-p", r"first\sline", "-p", r"last lin\w", "--in-place", session.path)
r2, heard = replay(session.path)
ok(r.returncode == r2.returncode == 0 and len(heard) == 3 and not left(everything(session.path)[0], "first line", "last line", *ALL), "a session can be scrubbed again, and is still replayed", r.stderr, r2.stderr.decode()[-2000:])
r = vcr("vcr-scrub", "--json", *RULES, "-o", os.path.join(place.dir, "third.vcr"), session.path)
ok(r.returncode == 0 and json.loads(r.stdout)["values"] == 0, "a second scrub by the same rules finds nothing", r.stdout, r.stderr)

open(os.path.join(place.dir, "real.vcr"), "wb").write(original)
os.symlink("real.vcr", os.path.join(place.dir, "link.vcr"))
r = vcr("vcr-scrub", "-q", *RULES, "--in-place", os.path.join(place.dir, "link.vcr"))
ok(r.returncode == 0 and os.path.islink(os.path.join(place.dir, "link.vcr")) and not left(everything(os.path.join(place.dir, "real.vcr"))[0], *ALL), "a link to a session stays one, and the session is scrubbed", r.stderr)
open(os.path.join(place.dir, "other.vcr"), "wb").write(original)
other = os.path.join(place.dir, "other.vcr")
r = vcr("vcr-scrub", "-p", r"[\w.]+@example\.com", "--host", "api.elsewhere.example", "-o", os.path.join(place.dir, "host.vcr"), other)
r2 = vcr("vcr-scrub", "-p", r"[\w.]+@example\.com", "--host", "127.0.0.*", "-o", os.path.join(place.dir, "host2.vcr"), other)
ok(r.returncode == r2.returncode == 0 and left(everything(os.path.join(place.dir, "host.vcr"))[0], MAIL) and not left(everything(os.path.join(place.dir, "host2.vcr"))[0], MAIL),
   "--host looks at the traffic with that host only, and what it finds there goes elsewhere too", r.stderr, r2.stderr)

r = vcr("vcr-scrub", "-q", "-p", r"\b\d{1,3}\b", "-o", os.path.join(place.dir, "numbers.vcr"), other)
ok(r.returncode == 0 and vcr("vcr-verify", os.path.join(place.dir, "numbers.vcr")).returncode == 0, "numbers can be removed, but not those that hold the session together", r.stderr)

# ---- what is refused, with nothing changed ----
for words, why in (((), "what is to be removed"), (("-p", "("), "the pattern '('"), (("-p", "x", "-f", "a[0]"), "has a number"), (("-f", "a..b"), "no path of names"), (("-p", ""), "an empty pattern")):
    r = vcr("vcr-scrub", *words, "--in-place", other)
    ok(r.returncode == 2 and why in r.stderr.decode() and open(other, "rb").read() == original, "vcr-scrub %s is a wrong call" % " ".join(words), r.stderr)
r = vcr("vcr-scrub", "-p", "x", other)
r2 = vcr("vcr-scrub", "-p", "x", "-o", other, other)
r3 = vcr("vcr-scrub", "-p", "x", "-o", out, other)
ok(r.returncode == r2.returncode == r3.returncode == 2 and b"--in-place" in r.stderr and b"is the session itself" in r2.stderr and b"exists already" in r3.stderr, "where it goes has to be said, and what is there is not replaced", r.stderr,
   r2.stderr, r3.stderr)
r = vcr("vcr-scrub", "-p", r"(\w+\s*)+$", "--in-place", other)
ok(r.returncode in (0, 3) and (r.returncode == 0 or (b"takes too long" in r.stderr and open(other, "rb").read() == original)), "a pattern that never ends is given up in words", r.stderr)
open(other, "wb").write(original)
r = vcr("vcr-scrub", "-f", "role", "-f", "type", "-f", "messages", "--in-place", other)
ok(r.returncode in (0, 3) and (r.returncode == 0 or open(other, "rb").read() == original) and vcr("vcr-verify", other).returncode == 0, "a rule that tears a session apart is refused, and one that does not leaves it whole", r.stderr)
shutil.rmtree(place.dir, True)
agentkit.done()
