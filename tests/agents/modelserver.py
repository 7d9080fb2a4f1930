#!/usr/bin/python3
"""modelserver.py — a language model for tests: HTTP/1.1 on 127.0.0.1, plain and over TLS, with scripted answers and a log of every byte.

It speaks OpenAI chat completions, responses and embeddings, Anthropic messages, and Gemini generateContent, as JSON and as streams
(replies.py has the words). What it answers is decided by the request alone (but for once=N): the last [[…]] in the body holds directives,

    q=N            the number of the question; the answer repeats it, together with a hash of the request, so that no two can be swapped
    say=NAME       answer with the text server.texts[NAME]            size=N     pad the text to N characters
    tool=NAME      answer with a call of that tool                     status=N   an error of that status in the provider's envelope
    once=N         that error for the first request that asks the question; later ones are answered
    malformed      half of the JSON, with a right Content-Length       chunked    JSON in chunks
    gzip deflate   a content coding                                    split=N    write at most N bytes at a time (each a TLS record)
    wait=NAME      stop at the place of `after` until NAME is released, by server.release(NAME) or POST /control/release/NAME
    of=N           with wait: N answers that have come to their place release it together
    after=K        the place: behind K events of a stream (default 3); JSON: half of the body when an abort is asked for, else its beginning
    abort=HOW      end the connection at that place: reset (RST), cut (FIN without close_notify), close (with close_notify)
    utf8           move the place into the middle of the next character that has several bytes (JSON: the first one)

or by server.script(api, request), which may return a replies.Reply (an agent's scenario), with directives of its own. There is no clock in it: "slow" waits to be told.

The log: DIR/log.jsonl, one line for a request that was read and one for its answer as far as it went, and DIR/N.request and DIR/N.answer
with the bytes of the bodies (the answer's before content coding and chunking). Needs python3 and the openssl command, nothing else."""
import errno
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import replies

HOSTS = ("localhost", "api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com", "chatgpt.com", "vcr-test.openai.azure.com",
         "us-central1-aiplatform.googleapis.com", "api.mistral.ai", "openrouter.ai")
MODELS = {"openai.embeddings": "text-embedding-3-small", "gemini.generate": "gemini-2.5-flash"}
PATHS = (("/chat/completions", "openai.chat"), ("/responses", "openai.responses"), ("/embeddings", "openai.embeddings"),
         ("/messages", "anthropic.messages"), (":generateContent", "gemini.generate"), (":streamGenerateContent", "gemini.generate"))
WAIT_AT_MOST = 120  # seconds; a test that forgets to release ends


def make_ca(directory):
    """A certificate authority and one leaf for all HOSTS, made anew. Returns (ca.pem, leaf.pem with its key)."""
    def path(name):
        return os.path.join(directory, name)

    def openssl(*words):
        subprocess.run(("openssl",) + words, check=True, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    names = ",".join(["DNS:" + h for h in HOSTS] + ["IP:127.0.0.1"])
    with open(path("leaf.ext"), "w") as f:
        f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
                "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName=%s\n" % names)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=test model CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", *key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "leaf.ext", "-out", "leaf.crt")
    with open(path("leaf.pem"), "w") as out:
        for name in ("leaf.key", "leaf.crt", "ca.pem"):
            out.write(open(path(name)).read())
    return path("ca.pem"), path("leaf.pem")


def listen_alone(port=0, backlog=1024):
    """A listener on 127.0.0.1, and what keeps everybody else from its port on ::1, where clients of "localhost" look first."""
    while True:
        listener, six = socket.create_server(("127.0.0.1", port), backlog=backlog), socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET)
        try:
            six.bind(("::1", listener.getsockname()[1]))
        except OSError as e:
            if e.errno == errno.EADDRINUSE and not port:
                listener.close()
                continue
        return listener, six


class Abort(Exception):
    """The scripted end of a connection."""


class Gone(Exception):
    """The client has left."""


def directives(body):
    found = re.findall(rb"\[\[([^\[\]]{1,300})\]\]", body)
    words = found[-1].decode("ascii", "replace").split() if found else []
    return dict((w.split("=", 1) + [""])[:2] for w in words)


class Wire:
    """One connection: reads requests, writes answers in pieces of at most `piece` bytes."""

    def __init__(self, sock):
        self.sock, self.buffer, self.piece = sock, b"", 0

    def more(self):
        try:
            got = self.sock.recv(65536)
        except OSError:
            got = b""
        if not got:
            raise Gone
        self.buffer += got

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def chunked(self):
        out = b""
        while True:
            n = int(self.until(b"\r\n").split(b";")[0], 16)
            out += self.take(n)
            self.take(2)
            if not n:
                return out

    def write(self, data):
        step = self.piece or len(data) or 1
        try:
            for at in range(0, len(data), step):
                self.sock.sendall(data[at:at + step])
        except OSError:
            raise Gone from None

    def end(self, how):
        try:
            if how == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "close" and isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()
        except (OSError, ValueError):
            pass
        self.sock.close()


class ModelServer:
    def __init__(self, directory, tls_port=0):
        self.dir = directory
        self.log_dir = os.path.join(directory, "log")
        os.makedirs(self.log_dir, exist_ok=True)
        self.ca, leaf = make_ca(directory)
        self.texts, self.script = {}, None
        self.lock = threading.Lock()
        self.count = self.answered = 0
        self.idle = threading.Condition(self.lock)
        self.events, self.waiting, self.asked = {}, {}, set()
        self.index = open(os.path.join(self.log_dir, "log.jsonl"), "a")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf)
        self.context.set_alpn_protocols(["http/1.1"])
        self.held = {}
        self.listeners = [self.listen(None, 0), self.listen(self.context, tls_port)]
        self.port, self.tls_port = (l.getsockname()[1] for l in self.listeners)
        self.http, self.https = "http://127.0.0.1:%d" % self.port, "https://localhost:%d" % self.tls_port

    def listen(self, context, port):
        listener, self.held[context] = listen_alone(port)
        threading.Thread(target=self.accept, args=(listener, context), daemon=True).start()
        return listener

    def accept(self, listener, context):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock, context), daemon=True).start()

    def close(self):
        for listener in self.listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # else it takes one connection more, for the thread that waits for one
            except OSError:
                pass
            listener.close()
        for six in self.held.values():
            six.close()
        for event in list(self.events.values()):
            event.set()

    # ---- Waiting ----

    def event(self, name):
        with self.lock:
            return self.events.setdefault(name, threading.Event())

    def wait(self, name, together):
        event = self.event(name)
        with self.lock:
            self.waiting[name] = self.waiting.get(name, 0) + 1
            if self.waiting[name] == together:
                event.set()
        event.wait(WAIT_AT_MOST)

    def release(self, name):
        self.event(name).set()

    def settle(self):
        """Wait until every request that was read has its answer in the log, however it ended."""
        with self.idle:
            if not self.idle.wait_for(lambda: self.answered == self.count, WAIT_AT_MOST):
                raise AssertionError("%d requests, %d answers" % (self.count, self.answered))

    # ---- The log ----

    def log(self, entry, body_name, body):
        with open(os.path.join(self.log_dir, body_name), "wb") as f:
            f.write(body)
        with self.lock:
            self.index.write(json.dumps(entry) + "\n")
            self.index.flush()
            self.answered += entry["event"] == "answer"
            self.idle.notify_all()

    def calls(self):
        """What was asked and answered, in order of asking: a list of dicts; `request` and `answer` are the bodies as bytes."""
        out = {}
        for line in open(os.path.join(self.log_dir, "log.jsonl")):
            entry = json.loads(line)
            what = entry.pop("event")
            call = out.setdefault(entry["n"], {"answer": None, "complete": False, "status": 0})
            call.update(entry)
            with open(os.path.join(self.log_dir, "%d.%s" % (entry["n"], what)), "rb") as f:
                call[what] = f.read()
        return [out[n] for n in sorted(out)]

    # ---- One connection ----

    def serve(self, sock, context):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = None
        try:
            wire = Wire(context.wrap_socket(sock, server_side=True) if context else sock)
            while self.exchange(wire, "https" if context else "http"):
                pass
            wire.end("close")
        except Gone:
            wire.end("cut")
        except Abort as a:
            wire.end(str(a))
        except (OSError, ValueError):
            sock.close()

    def exchange(self, wire, scheme):
        """One request and its answer; True when the connection goes on."""
        head = wire.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:])}
        if headers.get("expect", "").lower() == "100-continue":
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = wire.chunked() if "chunked" in headers.get("transfer-encoding", "") else wire.take(int(headers.get("content-length", 0)))
        wire.piece = 0
        if target.startswith("/control/release/"):
            self.release(target.rsplit("/", 1)[1])
            self.write(wire, 200, "application/json", [b'{"ok":true}'])
            return True
        with self.lock:
            self.count += 1
            n = self.count
        self.log({"event": "request", "n": n, "scheme": scheme, "method": method, "target": target, "headers": headers}, "%d.request" % n, body)
        self.answer(wire, n, method, target, body)
        return headers.get("connection", "").lower() != "close"

    # ---- The answer ----

    def reply_for(self, api, number, body, request, do):
        scripted = self.script(api, request) if self.script else None
        if scripted:
            return scripted  # with a number of its own
        echo = hashlib.sha256(body).hexdigest()[:12]
        text = self.texts[do["say"]] if "say" in do else "Answer to question %s (%s): où? 日本語 ☃ — done." % (number, echo)
        text += "".join(" %s.%d" % (echo, i) for i in range(max(0, int(do.get("size", 0)) - len(text)) // 15))
        tools = [("call_" + number, do["tool"], {"path": "f%s.txt" % number, "text": "née %s" % echo})] if do.get("tool") else []
        return replies.Reply(text, request.get("model") or MODELS.get(api, "unknown"), tools, len(body) // 4, len(text) // 4 + 1, number)

    def answer(self, wire, n, method, target, body):
        path = target.split("?")[0]
        api = next((a for end, a in PATHS if path.endswith(end)), None)
        do = directives(body)
        number = do.get("q", "0")
        try:
            request = json.loads(body)
        except ValueError:
            request = {}
        entry = {"event": "answer", "n": n, "api": api, "q": number, "do": do}
        if method != "POST" or not api:
            entry.update(status=404)
            return self.send(wire, entry, 404, "application/json", [b'{"error":{"message":"no such thing"}}'], {})
        reply = self.reply_for(api, number, body, request, do)
        do.update(reply.do)
        if "gemini" in api and "model" not in request:
            reply.model = path.rsplit("/", 1)[1].split(":")[0]
        with self.lock:
            again = number in self.asked
            self.asked.add(number)
        entry.update(status=int(do.get("status", do["once"] if "once" in do and not again else 200)), model=reply.model, stop=reply.stop(api), tokens_in=reply.tokens_in,
                     tokens_out=None if api == "openai.embeddings" else reply.tokens_out, text=reply.text)
        if entry["status"] >= 400:
            text = "question %s: scripted failure" % number
            return self.send(wire, entry, entry["status"], "application/json", [replies.dump(replies.error(api, entry["status"], text))], do)
        if request.get("stream") or ":stream" in path:
            return self.send(wire, entry, 200, "text/event-stream", replies.stream(api, reply), do)
        whole = replies.render(api, reply)
        if "malformed" in do:
            whole = whole[:len(whole) // 2].decode(errors="ignore").encode()
        return self.send(wire, entry, 200, "application/json", [whole], do)

    def send(self, wire, entry, status, content_type, parts, do):
        """Log the answer as far as it was sent, whatever ends it."""
        sent = []
        wire.piece = int(do.get("split", 0))
        try:
            self.write(wire, status, content_type, self.staged(parts, do, sent), do, len(parts) == 1)
            entry["complete"] = True
        except (Abort, Gone) as end:
            entry.update(complete=False, ended=str(end) if isinstance(end, Abort) else "client")
            raise
        finally:
            self.log(entry, "%d.answer" % entry["n"], b"".join(sent))

    def staged(self, parts, do, sent):
        """The parts, with the scripted stop in its place. Yields None when the place comes before anything."""
        place, how = int(do.get("after", 3)), do.get("abort")
        if len(parts) == 1 and how:
            parts, place = [parts[0][:len(parts[0]) // 2], parts[0][len(parts[0]) // 2:]], 1
        if len(parts) == 1:
            place = 0
        if "utf8" in do:
            whole, begin = b"".join(parts), len(b"".join(parts[:place])) if len(parts) > 2 else 0
            at = next(i for i in range(begin, len(whole)) if whole[i] >= 0xc0) + 1
            parts, place = [whole[:at], whole[at:]], 1
        for i, part in enumerate(parts):
            if i == place:
                if "wait" in do:
                    if i == 0:
                        yield None
                    self.wait(do["wait"], int(do.get("of", 0)))
                if how:
                    raise Abort(how)
            yield part
            sent.append(part)

    def write(self, wire, status, content_type, parts, do=(), one=True):
        stream = content_type == "text/event-stream" or "chunked" in do or ("abort" in do and not one)
        coder = zlib.compressobj(6, zlib.DEFLATED, 31) if "gzip" in do else zlib.compressobj(6) if "deflate" in do else None
        coding = ["Content-Encoding: %s" % ("gzip" if "gzip" in do else "deflate")] if coder else []
        head = ["HTTP/1.1 %d %s" % (status, {200: "OK", 404: "Not Found", 429: "Too Many Requests"}.get(status, "Error")),
                "Content-Type: " + content_type, "X-Request-Id: req-%s" % self.count] + coding
        if stream:
            wire.write("\r\n".join(head + ["Transfer-Encoding: chunked", "", ""]).encode())
            for part in parts:
                if part is None:
                    continue
                data = coder.compress(part) + coder.flush(zlib.Z_SYNC_FLUSH) if coder else part
                for piece in [data[:len(data) // 3], data[len(data) // 3:]] if "chunked" in do and len(data) > 6 else [data]:
                    wire.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
            last = coder.flush() if coder else b""
            wire.write((b"%x\r\n" % len(last) + last + b"\r\n" if last else b"") + b"0\r\n\r\n")
            return
        if "abort" in do:
            wire.write("\r\n".join(head + ["Content-Length: 1000000", "", ""]).encode())
            for part in parts:
                wire.write(part or b"")
            return
        body = b"".join(p for p in parts if p)
        body = coder.compress(body) + coder.flush() if coder else body
        wire.write("\r\n".join(head + ["Content-Length: %d" % len(body), "", ""]).encode() + body)


def main():
    """Serve until stdin ends. Prints one line of JSON: where, and the CA."""
    import tempfile
    directory = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="vcr-model.")
    os.makedirs(directory, exist_ok=True)
    server = ModelServer(directory)
    print(json.dumps({"http": server.http, "https": server.https, "ca": server.ca, "log": server.log_dir}), flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main()
