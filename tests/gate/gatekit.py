"""gatekit.py — for the tests of the gate: recordings written by hand, vcr-replay serving them, and clients that look at every byte."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import uuid

SOURCE = os.environ.get("srcdir", os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
sys.path.insert(0, os.path.join(SOURCE, "tests", "shim"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "cli"))
import clikit
from clikit import sanitized  # noqa: E402,F401
from tapkit import BUILD, done, ok, skip  # noqa: E402,F401

TIMEOUT = 30
OPENAI, ANTHROPIC, GEMINI = "/v1/chat/completions", "/v1/messages", "/v1beta/models/gemini-2.5-flash:generateContent"
APIS = {OPENAI: "openai.chat", ANTHROPIC: "anthropic.messages", GEMINI: "gemini.generate"}


def dump(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def ask(text, **more):
    return dict({"model": "m", "messages": [{"role": "user", "content": text}]}, **more)


class Recording:
    """A session file in the making; calls are asked in the order in which they are added."""

    def __init__(self, place, name="rec"):
        self.place, self.name, self.n, self.lines = place, name, 0, [clikit.header(name)]

    def body(self, data):
        sha = hashlib.sha256(data).hexdigest()
        ref = sha[:16]
        try:
            text = {"enc": "text", "text": data.decode()}
        except UnicodeDecodeError:
            text = {"enc": "raw", "raw": base64.b64encode(data).decode()}
        if not any(l["type"] == "vcr.body" and l["data"]["ref"] == ref for l in self.lines):
            self.lines.append({"type": "vcr.body", "data": dict({"ref": ref, "size": len(data), "sha256": sha}, **text)})
        return ref

    def call(self, request, answer, path=OPENAI, method="POST", status=200, fields=None, pieces=None, times=None, side=False, **more):
        """answer: bytes, or a list of the pieces in which it came; times: microseconds after the first, for the others."""
        if isinstance(answer, list):
            pieces, answer = answer, b"".join(answer)
        request = dump(request) if request is not None else b""
        v = dict(format=1, seq=self.n, pid=1, tid=1, conn=1, source="tap", api="side" if side else APIS.get(path.split("?")[0], "generic"), scheme="https", method=method, path=path,
                 http="1.1", host="api.openai.com", status=status, complete="failure" not in more, ttfb_ms=1.0, total_ms=2.0, response_headers=fields if fields is not None else {"Content-Type": "application/json"})
        v.update(more)
        if not v["status"]:
            del v["status"]
        if request:
            v["request"] = self.body(request)
        if answer:
            v["response"] = self.body(answer)
        if pieces and len(pieces) > 1:
            v["chunks"] = [x for i, p in enumerate(pieces[:-1]) for x in (len(p), times[i] if times else i + 1)]
        self.n += 1
        if side:
            self.lines.append({"type": "vcr.http", "data": v})
        else:
            failed = status >= 400 or "failure" in more
            self.lines.append(clikit.frame(self.n, "error" if failed else "llm", "llm:m", custom={"vcr": v}))
        return self

    def write(self):
        return self.place.write(self.name, *self.lines, clikit.END)


class Gate:
    """vcr-replay --json, serving."""

    def __init__(self, place, session="rec", *options, env=None):
        self.place = place
        self.process = subprocess.Popen([os.path.join(BUILD, "vcr-replay"), "--json", *options, "--vcr-dir", place.vcr_dir, session], cwd=place.dir,
                                        env=dict(place.env, **env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("vcr-replay did not start: " + self.process.stderr.read())
        self.ready = json.loads(line)
        self.port, self.token, self.ca, self.env = (self.ready[k] for k in ("port", "token", "ca", "environment"))
        self.context = ssl.create_default_context(cafile=self.ca)
        self.context.verify_flags |= ssl.VERIFY_X509_STRICT
        self.context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # some Pythons set it: then a cut cannot be heard

    def __enter__(self):
        return self

    def __exit__(self, *_):
        died = self.process.poll() is not None
        if not died:
            self.process.terminate()
        self.out, self.err = self.process.communicate(timeout=TIMEOUT)
        self.status = self.process.returncode
        ok(not died and self.status in (0, 1), "the gate lived until it was told to end", self.status, self.err)

    def event(self):
        """The next event."""
        return json.loads(self.process.stdout.readline())

    def socket(self, host="127.0.0.1"):
        s = socket.create_connection((host, self.port), timeout=TIMEOUT)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def tls(self, name="api.openai.com", raw=None):
        return self.context.wrap_socket(raw or self.socket(), server_hostname=name)

    def led(self):
        """A plain connection behind a lead line."""
        s = self.socket()
        s.sendall(b"VCR1 %s api.openai.com:80\n" % self.token.encode())
        return s

    def proxy_word(self):
        return "Basic " + base64.b64encode(b"vcr:" + self.token.encode()).decode()

    def connection(self, name="api.openai.com", port=443):
        """An http.client connection through CONNECT."""
        c = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT, context=self.context)
        c.set_tunnel(name, port, {"Proxy-Authorization": self.proxy_word()})
        return c

    def base_url(self, host="api.openai.com"):
        return self.ready["base_url"].replace("HOST", host)

    def post(self, request, path=OPENAI, method="POST", headers=None, connection=None, name="api.openai.com"):
        """(status, headers, body)"""
        c = connection or self.connection(name)
        c.request(method, path, dump(request) if request is not None else None, dict({"Content-Type": "application/json", "Authorization": "Bearer sk-live-0123456789abcdef0123"}, **headers or {}))
        r = c.getresponse()
        out = r.status, r.headers, r.read()
        if not connection:
            c.close()
        return out


def post_bytes(request, path=OPENAI, host="api.openai.com", more=""):
    data = dump(request)
    return ("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n" % (path, host, len(data), more)).encode() + data


def read_all(sock):
    """Every receive until the end: (list of byte strings, name of the exception that ended it or None)."""
    got = []
    try:
        while True:
            data = sock.recv(65536)
            if not data:
                return got, None
            got.append(data)
    except (OSError, ssl.SSLError) as e:
        return got, "SSLEOFError" if "EOF" in str(e) else type(e).__name__  # some say so in words only


def read_answer(sock):
    """Status, fields and body of one answer."""
    r = http.client.HTTPResponse(sock)
    r.begin()
    return r.status, r.headers, r.read()


@contextlib.contextmanager
def recorded(*calls, options=(), env=None, name=None, context=None):
    """A gate that serves a recording of (request, answer[, keywords]). context: the directories where it was recorded."""
    place = clikit.Place()
    rec = Recording(place)
    if context:
        rec.lines.append({"type": "vcr.context", "data": context})
    for request, answer, *more in calls:
        rec.call(request, answer, **(more[0] if more else {}))
    rec.write()
    with Gate(place, "rec", *options, env=env) as gate:
        yield gate


def sessions(place):
    return sorted(f for f in os.listdir(place.vcr_dir) if f.endswith(".vcr"))


def frames(path):
    return [json.loads(l) for l in open(path)]
