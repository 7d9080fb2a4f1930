"""h2kit.py — HTTP/2 without packages: a client and a model's server that say every frame themselves. Field sections are written plainly and read by libnghttp2.

As a program, h2kit.py HOST PORT plain|tls [METHOD=TEXT]...: asks all on one connection, one after the other; prints what it hears of each, a line of JSON each."""
import ctypes
import json
import os
import socket
import ssl
import struct
import sys
import threading

TIMEOUT = 30
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = "/google.ai.generativelanguage.v1beta.GenerativeService/"


class Pair(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_ubyte)), ("value", ctypes.POINTER(ctypes.c_ubyte)), ("nname", ctypes.c_size_t), ("nvalue", ctypes.c_size_t), ("flags", ctypes.c_ubyte)]


class Fields:
    """HPACK of one direction."""

    def __init__(self):
        self.lib = ctypes.CDLL("libnghttp2.so.14")
        self.inflater = ctypes.c_void_p()
        self.lib.nghttp2_hd_inflate_new(ctypes.byref(self.inflater))
        self.lib.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t

    def read(self, block):
        found, at = [], 0
        while True:
            pair, flags = Pair(), ctypes.c_int()
            n = self.lib.nghttp2_hd_inflate_hd2(self.inflater, ctypes.byref(pair), ctypes.byref(flags), block[at:], ctypes.c_size_t(len(block) - at), 1)
            assert n >= 0, n
            at += n
            if flags.value & 2:
                found.append((bytes(pair.name[:pair.nname]).decode(), bytes(pair.value[:pair.nvalue]).decode()))
            if flags.value & 1:
                self.lib.nghttp2_hd_inflate_end_headers(self.inflater)
                return found


def text(s):
    s = s.encode()
    return (bytes([len(s)]) if len(s) < 127 else bytes([127, (len(s) - 127) & 127 | 128, (len(s) - 127) >> 7])) + s


def fields(*pairs):
    return b"".join(b"\0" + text(k) + text(v) for k, v in pairs)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def message(data):
    return b"\0" + struct.pack(">I", len(data)) + data


def messages(body):
    found = []
    while len(body) >= 5:
        n = struct.unpack(">I", body[1:5])[0]
        found.append(body[5:5 + n].decode())
        body = body[5 + n:]
    return found


class End:
    """One end of a connection. Windows are opened as wide as they go, and given back at once."""

    def __init__(self, sock, client, window=None):
        self.sock, self.file, self.fields = sock, sock.makefile("rb"), Fields()
        settings = b"" if window is None else struct.pack(">HI", 4, window)
        self.gives = window is None
        self.send((PREFACE if client else b"") + frame(SETTINGS, 0, 0, settings))
        if not client:
            assert self.file.read(len(PREFACE)) == PREFACE

    def send(self, data):
        self.sock.sendall(data)

    def frame(self):
        """The next that says something; None: the end."""
        while True:
            head = self.file.read(9)
            if len(head) < 9:
                return None
            payload = self.file.read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == DATA and payload and self.gives:
                self.send(b"".join(frame(WINDOW_UPDATE, 0, s, struct.pack(">I", len(payload))) for s in (0, stream)))
            if kind == HEADERS:
                payload = self.fields.read(payload[5:] if flags & 32 else payload)
            if kind in (DATA, HEADERS, RST_STREAM, GOAWAY):
                return kind, flags, stream, payload


class Client(End):
    def __init__(self, sock, host, window=None):
        super().__init__(sock, True, window)
        self.host, self.stream = host, -1

    def ask(self, method, data, end=True, more=()):
        self.stream += 2
        path = method if method.startswith("/") else SERVICE + method
        self.send(frame(HEADERS, END_HEADERS, self.stream, fields((":method", "POST"), (":scheme", "https"), (":path", path), (":authority", self.host), ("te", "trailers"),
                                                                  ("content-type", "application/grpc"), ("user-agent", "h2kit"), *more)) +
                  frame(DATA, END_STREAM if end else 0, self.stream, message(data)))
        return self.stream

    def hear(self, *streams):
        """{stream: what came}, until all have ended."""
        heard = {s: {"head": {}, "body": b"", "trailers": {}, "reset": None, "frames": 0} for s in streams}
        left = set(streams)
        while left:
            f = self.frame()
            if not f:
                for s in left:
                    heard[s]["reset"] = "end"
                break
            kind, flags, stream, payload = f
            if kind == GOAWAY:
                last, code = struct.unpack(">II", payload[:8])
                for s in [s for s in left if s > last]:
                    heard[s]["reset"] = "refused %d" % code
                    left.discard(s)
            if stream not in heard:
                continue
            h = heard[stream]
            if kind == HEADERS:
                h["trailers" if h["head"] else "head"] = dict(payload)
            elif kind == DATA:
                h["body"] += payload
                h["frames"] += 1
            elif kind == RST_STREAM:
                h["reset"] = struct.unpack(">I", payload)[0]
            if kind == RST_STREAM or flags & END_STREAM:
                left.discard(stream)
        return heard

    def call(self, method, data, **more):
        s = self.ask(method, data, **more)
        return self.hear(s)[s]


class Server:
    """A model by gRPC. What it does stands in the method's name."""

    def __init__(self, leaf=None, protocols=("h2",)):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.asked, self.conns, self.asking = self.listener.getsockname()[1], [], 0, threading.Event()
        self.context = None
        if leaf:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(leaf)
            self.context.set_alpn_protocols(list(protocols))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.talk, args=(sock,), daemon=True).start()

    def talk(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end = End(self.context.wrap_socket(sock, server_side=True) if self.context else sock, False)
            self.conns += 1
            self.serve(end)
        except (OSError, AssertionError):
            pass
        sock.close()

    def serve(self, end):
        requests = {}
        while True:
            f = end.frame()
            if not f:
                return
            kind, flags, stream, payload = f
            if kind == HEADERS:
                requests[stream] = [dict(payload), b""]
            elif kind == DATA and stream in requests:
                requests[stream][1] += payload
            if flags & END_STREAM and kind in (HEADERS, DATA):
                head, body = requests.pop(stream)
                self.asked.append((head, body))
                self.asking.set()
                self.answer(end, stream, head[":path"].rsplit("/", 1)[1], messages(body)[0].encode())

    def answer(self, end, stream, method, words):
        head = frame(HEADERS, END_HEADERS, stream, fields((":status", "200"), ("content-type", "application/grpc"), ("x-request-id", "r-%d" % stream)))
        done = frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(("grpc-status", "0"), ("grpc-message", "")))
        piece = lambda data: frame(DATA, 0, stream, message(data))
        if method == "GenerateContent":
            end.send(head + piece(b"answer to " + words) + done)
        elif method == "StreamGenerateContent":
            end.send(head)
            for i in range(3):
                end.send(piece(b"piece %d of %s" % (i, words)))
            end.send(done)
        elif method == "Large":
            end.send(head + b"".join(frame(DATA, 0, stream, bytes([i]) * 16000) for i in range(60)) + done)
        elif method == "Exhausted":
            end.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, fields((":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "8"), ("grpc-message", "too many%20of you"))))
        elif method == "Midway":
            end.send(head + piece(b"so far") + frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(("grpc-status", "14"), ("grpc-message", "no more"))))
        elif method == "Reset":
            end.send(head + piece(b"so far") + frame(RST_STREAM, 0, stream, struct.pack(">I", 11)))
        elif method == "Break":
            end.send(head + piece(b"so far"))
            end.sock.shutdown(socket.SHUT_RDWR)
        elif method == "Away":
            end.send(frame(GOAWAY, 0, 0, struct.pack(">II", max(stream - 2, 0), 11)))
            end.sock.shutdown(socket.SHUT_RDWR)
        elif method == "Wait":
            end.send(head + piece(b"so far"))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def tell(heard):
    return dict(heard, body=messages(heard["body"]) if len(heard["body"]) < 10000 else len(heard["body"]), frames=None)


def connect(host, port, tls):
    sock = socket.create_connection((host, int(port)), timeout=TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return sock
    context = ssl.create_default_context(cafile=os.environ.get("H2_CA"))
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(sock, server_hostname=host)


def main(host, port, how, *calls):
    client = Client(connect(host, port, how == "tls"), "%s:%s" % (host, port))
    for call in calls:
        method, _, words = call.partition("=")
        print(json.dumps(tell(client.call(method, words.encode())), sort_keys=True), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
