"""serverkit.py — small servers on loopback for the tests: a thread for each connection, requests as bytes, a model that says what a function says, a proxy."""
import http.server
import json
import socket
import threading


class Listening:
    """Has serve(s) called for each connection, in a thread of its own."""

    def __init__(self, backlog=128):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()


def read_head(s):
    """(a request's head, what came behind it), or (None, b"") when the client is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = s.recv(65536)
        if not got:
            return None, b""
        data += got
    return data.split(b"\r\n\r\n", 1)


def field(head, name):
    """The first field of that name, as text, or ""."""
    return next((l.split(b":", 1)[1].strip().decode("latin-1") for l in head.split(b"\r\n")[1:] if l.split(b":")[0].lower() == name.encode()), "")


def read_body(s, head, body):
    """The whole body of which `body` has come, or None when the client is gone."""
    while len(body) < int(field(head, "content-length") or 0):
        got = s.recv(65536)
        if not got:
            return None
        body += got
    return body


def pump(a, b):
    """All that a sends, to b, to the end."""
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Proxy(Listening):
    """A proxy for CONNECT: way(target) is the port where it goes, or None. heads: what it was asked, whole."""

    def __init__(self, way):
        self.way, self.heads = way, []
        super().__init__()
        self.url = "http://me:word-0123456789@127.0.0.1:%d" % self.port

    def serve(self, s):
        head, early = read_head(s)
        if head is None:
            return
        self.heads.append(head.decode("latin-1"))
        word, target = self.heads[-1].split(" ")[:2]
        port = self.way(target) if word == "CONNECT" else None
        if not port:
            s.sendall(b"HTTP/1.1 502 No way\r\nContent-Length: 0\r\n\r\n")
            return s.close()
        try:
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            s.sendall(b"HTTP/1.1 503 Refused\r\nContent-Length: 0\r\n\r\n")
            return s.close()
        s.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        far.sendall(early)
        threading.Thread(target=pump, args=(far, s), daemon=True).start()
        pump(s, far)


def completion(message, model="gpt-4o", usage=None):
    """The body of a chat completion with that message (or that text)."""
    message = message if isinstance(message, dict) else {"role": "assistant", "content": message}
    return dict({"id": "c", "object": "chat.completion", "model": model, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}, **{"usage": usage} if usage else {})


class Model:
    """A model over plain HTTP: answer(request, path) is the body of each answer, as a value. asked: the requests so far."""

    def __init__(self, answer):
        model, self.asked = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.asked.append(request)
                body = json.dumps(answer(request, self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
