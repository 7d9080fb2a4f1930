"""wskit.py — a WebSocket without packages: a client that says every byte itself, and a model behind one.

As a program, wskit.py PORT PATH [TEXT...]: asks for a session, then TEXT after TEXT; prints what it hears, a line each."""
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import threading

TIMEOUT = 30


class Closed(Exception):
    """code, reason; None where no close frame came"""


def frame(op, data, mask=b"", first=128):
    n, m = len(data), 128 if mask else 0
    head = bytes([first | op, m | (n if n < 126 else 126 if n < 65536 else 127)]) + (b"" if n < 126 else struct.pack(">H" if n < 65536 else ">Q", n))
    return head + mask + (bytes(b ^ mask[i & 3] for i, b in enumerate(data)) if mask else data)


class End:
    """One end of a connection; the client's masks."""

    def __init__(self, sock, client):
        self.sock, self.client, self.file = sock, client, sock.makefile("rb")

    def head(self):
        lines = []
        while True:
            line = self.file.readline().strip()
            if not line:
                return lines[0] if lines else b"", {k.strip().lower(): v.strip() for k, v in (l.decode().split(":", 1) for l in lines[1:])}
            lines.append(line)

    def send(self, message, op=1):
        self.sock.sendall(frame(op, message if isinstance(message, bytes) else message.encode() if isinstance(message, str) else json.dumps(message).encode(), os.urandom(4) if self.client else b""))

    def frame(self):
        a = self.file.read(2)
        if len(a) < 2:
            raise Closed(None, None)
        n = a[1] & 127
        n = struct.unpack(">H", self.file.read(2))[0] if n == 126 else struct.unpack(">Q", self.file.read(8))[0] if n == 127 else n
        mask = self.file.read(4) if a[1] & 128 else b""
        data = self.file.read(n)
        return a[0], bytes(b ^ mask[i & 3] for i, b in enumerate(data)) if mask else data

    def text(self):
        first, data = self.frame()
        if first & 15 == 8:
            raise Closed(struct.unpack(">H", data[:2])[0] if data else None, data[2:].decode())
        return data.decode()

    def json(self):
        return json.loads(self.text())


def client(sock, path, host="api.openai.com", fields=""):
    """(end, status line, fields): after the handshake."""
    end, key = End(sock, True), base64.b64encode(os.urandom(16)).decode()
    sock.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
                  "Sec-WebSocket-Extensions: permessage-deflate\r\n%s\r\n" % (path, host, key, fields)).encode())
    status, got = end.head()
    if b" 101 " in status:
        assert got["sec-websocket-accept"] == accept(key), got
    return end, status.decode(), got


def accept(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def answer(n, text):
    """The events of response n."""
    response = {"object": "realtime.response", "id": "resp_%d" % n, "status": "in_progress", "output": []}
    yield {"type": "response.created", "response": response}
    yield {"type": "response.output_text.delta", "response_id": "resp_%d" % n, "item_id": "item", "output_index": 0, "content_index": 0, "delta": text}
    yield {"type": "response.done", "response": dict(response, status="completed", usage={"total_tokens": 3, "input_tokens": 2, "output_tokens": 1})}


def serve_realtime(end):
    """Says of its session what the real one does: at the beginning, of an update, of an item."""
    n = 0
    end.send({"type": "session.created", "session": {"id": "sess_1"}})
    while True:
        said = end.json()
        if said["type"] == "session.update":
            end.send({"type": "session.updated", "session": said["session"]})
        elif said["type"] == "conversation.item.create":
            end.send({"type": "conversation.item.added", "item": said["item"]})
            last = said["item"]["text"]
        else:
            for event in answer(n, "you said: " + last):
                end.send(event)
            n += 1


def serve_live(end):
    """As Gemini's: nothing marks where a turn is asked for."""
    while True:
        said = end.json()
        if "setup" in said:
            end.send({"setupComplete": {}})
        elif said["clientContent"].get("turnComplete"):
            end.send({"serverContent": {"modelTurn": {"parts": [{"text": "you said: " + said["clientContent"]["text"]}]}}})
            end.send({"serverContent": {"turnComplete": True}})


class Server:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.clients = self.listener.getsockname()[1], 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self.clients += 1
            threading.Thread(target=self.talk, args=(sock,), daemon=True).start()

    def talk(self, sock):
        end = End(sock, False)
        line, fields = end.head()
        if "sec-websocket-key" not in fields:
            return sock.close()  # somebody has looked whether there is anybody
        sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % accept(fields["sec-websocket-key"])).encode())
        try:
            (serve_live if b"BidiGenerate" in line else serve_realtime)(end)
        except Closed as e:
            if e.args[0]:
                end.send(struct.pack(">H", e.args[0]), op=8)
        sock.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def ask_realtime(end, texts):
    """Waits for each thing that it is owed."""
    yield end.text()
    end.send({"type": "session.update", "session": {"instructions": "be brief"}})
    yield end.text()
    for text in texts:
        end.send({"type": "conversation.item.create", "item": {"text": text}})
        yield end.text()
        end.send({"type": "response.create"})
        while True:
            said = end.text()
            yield said
            if json.loads(said)["type"] == "response.done":
                break


def ask_live(end, texts):
    end.send({"setup": {"model": "models/gemini-live"}})
    yield end.text()
    for text in texts:
        end.send({"clientContent": {"text": text}})
        end.send({"clientContent": {"text": text, "turnComplete": True}})
        while True:
            said = end.text()
            yield said
            if json.loads(said).get("serverContent", {}).get("turnComplete"):
                break


def main(port, path, *texts):
    end, status, _ = client(socket.create_connection(("127.0.0.1", int(port)), timeout=TIMEOUT), path, "127.0.0.1:" + port)
    if " 101 " not in status:
        sys.exit(status)
    try:
        for said in (ask_live if "BidiGenerate" in path else ask_realtime)(end, texts):
            print(json.dumps(json.loads(said)), flush=True)
        end.send(struct.pack(">H", 1000), op=8)
        end.text()
    except Closed as e:
        print("closed", *e.args, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
