"""h2server.py DIRECTORY CA-FILE-WITH-KEY — a model server that speaks HTTP/2 (the package h2): with TLS, with prior knowledge, and by upgrade.

Prints its two ports (plain, TLS). Chat completions only: {"stream": true} gets a stream of events. Streams that say "together=N" in their request are
answered when N of them are there, a frame of each in turn. What was asked and answered is DIRECTORY/calls.jsonl."""
import json
import os
import re
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import h2.config
import h2.connection
import h2.events
import modelserver
import replies

LOCK = threading.Lock()


class Connection:
    def __init__(self, sock, log):
        self.sock, self.log = sock, log
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests, self.waiting = {}, []

    def send(self):
        self.sock.sendall(self.h2.data_to_send())

    def begin(self, first):
        """first: bytes that were read already. An HTTP/1.1 request that asks for h2c becomes stream 1."""
        if first.startswith(b"PRI"):
            self.h2.initiate_connection()
            return first
        head, _, body = first.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(body) < int(fields.get("Content-Length", 0)):
            body += self.sock.recv(65536)
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        self.h2.initiate_upgrade_connection(fields["HTTP2-Settings"].encode())
        self.requests[1] = body
        self.send()
        self.ended(1)
        return b""

    def serve(self):
        data = self.begin(self.sock.recv(65536))
        self.send()
        while True:
            for event in self.h2.receive_data(data) if data else []:
                if isinstance(event, h2.events.RequestReceived):
                    self.requests[event.stream_id] = b""
                elif isinstance(event, h2.events.DataReceived):
                    self.requests[event.stream_id] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended(event.stream_id)
            self.send()
            data = self.sock.recv(65536)
            if not data:
                return

    def ended(self, stream):
        together = re.search(rb"together=(\d+)", self.requests[stream])
        self.waiting.append(stream)
        if len(self.waiting) >= int(together.group(1) if together else 1):
            self.answer(self.waiting)
            self.waiting = []

    def parts(self, stream):
        request = json.loads(self.requests[stream])
        question = request["messages"][-1]["content"][:20]
        reply = replies.Reply(text="Answer to %s \u2713" % question, model=request["model"])
        if request.get("stream"):
            return "text/event-stream", replies.stream("openai.chat", reply)
        return "application/json", [replies.render("openai.chat", reply)]

    def answer(self, streams):
        left = {}
        for s in streams:
            kind, left[s] = self.parts(s)
            self.h2.send_headers(s, [(":status", "200"), ("content-type", kind), ("x-request-id", "req-%d" % s)])
            with LOCK:
                self.log.write(json.dumps({"request": self.requests[s].decode(), "answer": b"".join(left[s]).decode()}) + "\n")
                self.log.flush()
        while any(left.values()):
            for s in streams:
                if left[s]:
                    self.h2.send_data(s, left[s].pop(0), pad_length=3)
                    self.send()
        for s in streams:
            self.h2.send_headers(s, [("x-trailer", "t")], end_stream=True)
        self.send()


def serve(listener, context, log):
    def one(sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Connection(context.wrap_socket(sock, server_side=True) if context else sock, log).serve()
        except OSError:
            pass
        sock.close()
    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


def main():
    directory, leaf = sys.argv[1:]
    log = open(os.path.join(directory, "calls.jsonl"), "w")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf)
    context.set_alpn_protocols(["h2"])
    listeners, _held = zip(*(modelserver.listen_alone() for _ in range(2)))
    print(*[l.getsockname()[1] for l in listeners], flush=True)
    threading.Thread(target=serve, args=(listeners[0], None, log), daemon=True).start()
    serve(listeners[1], context, log)


main()
