"""leadkit.py — a stand-in for the gate: a server with a certificate authority of its own that says in its answers where each connection was meant to go."""
import json
import os
import socket
import ssl
import subprocess
import threading

import tapkit

NAMES = "DNS:api.openai.com,DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1,DNS:api.anthropic.com"


def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(place, name):
    """A CA and nothing else: place/name.pem, place/name.key."""
    ca, key = (os.path.join(place, name + end) for end in (".pem", ".key"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=" + name, "-keyout", key, "-out", ca,
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    return ca, key


def make_leaf(place, ca, key):
    leaf, request, extensions = (os.path.join(place, name) for name in ("leaf.pem", "leaf.csr", "leaf.ext"))
    with open(extensions, "w") as f:
        f.write("subjectAltName=%s\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n" % NAMES)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=leaf", "-keyout", leaf + ".key", "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", key, "-days", "2", "-CAcreateserial", "-extfile", extensions, "-out", leaf)
    return leaf, leaf + ".key"


def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        part = s.recv(65536)
        if not part:
            break
        data += part
    return data.decode("latin-1")


class Server:
    """Answers each HTTP request with what it knows of the connection, as JSON."""

    def __init__(self, leaf=None, name="server", v6=True):
        self.name, self.tls = name, None
        self.connects, self.near = [], False  # near: says so, as the gate does of a host that answers soon
        if leaf:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*leaf)
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=128)]
        self.port = self.sockets[0].getsockname()[1]
        if v6:
            try:
                self.sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6, backlog=128))
            except OSError:
                pass
        for s in self.sockets:
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def meant(self, family, port):
        return ""

    def serve(self, listener):
        while True:
            try:
                s, peer = listener.accept()
            except OSError:  # it is deaf
                return
            threading.Thread(target=self.talk, args=(s, 6 if listener.family == socket.AF_INET6 else 4, peer[1]), daemon=True).start()

    def talk(self, s, family, port):
        try:
            first = s.recv(1, socket.MSG_PEEK)
            about = {"server": self.name, "meant": self.meant(family, port) if first else "", "tls": False, "connect": ""}
            if first == b"C":
                about["connect"] = read_head(s).split()[1]
                self.connects.append(about["connect"])
                s.sendall(b"HTTP/1.1 200 OK\r\n%s\r\n" % (b"VCR-Near: yes\r\n" if self.near else b""))
                first = s.recv(1, socket.MSG_PEEK)
            if first == b"\x16" and self.tls:
                s = self.tls.wrap_socket(s, server_side=True)
                about["tls"] = True
            about["line"] = read_head(s).split("\r\n")[0]
            body = json.dumps(about).encode()
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except OSError:
            pass
        finally:
            s.close()


class Gate(Server):
    """With the spool whose header says where it is. hosts as model hosts are written."""

    def __init__(self, session, leaf, ca, *hosts, flags="6", extra="/nonexistent/extra.pem"):
        super().__init__(leaf, "gate")
        env = dict(os.environ, XDG_RUNTIME_DIR=session.run_dir)
        self.lock = threading.Lock()
        self.helper = subprocess.Popen([tapkit.program("spool-gate"), flags, str(self.port), ca, extra, *hosts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        session.env["VCR_SPOOL"] = "-:" + self.helper.stdout.readline().strip()

    def ask(self, line):
        with self.lock:
            self.helper.stdin.write(line + "\n")
            self.helper.stdin.flush()
            return self.helper.stdout.readline().strip()

    def meant(self, family, port):
        return self.ask("%d %d" % (family, port)) if self.helper.poll() is None else "dead"

    def counts(self):
        words = self.ask("counts").split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def deaf(self):
        """It runs, and nobody listens at its port any more: a gate in its last moment."""
        for s in self.sockets:
            s.shutdown(socket.SHUT_RDWR)

    def kill(self):
        """Dead and not waited for, as the collector of a vcr-record that waits for its command."""
        self.helper.kill()
        os.waitid(os.P_PID, self.helper.pid, os.WEXITED | os.WNOWAIT)


class Upstream(Server):
    """Answers and counts; keeps what it was asked. A connection that only looks whether there is somebody asks nothing."""

    def __init__(self, leaf=None):
        self.asked = []
        super().__init__(leaf, "upstream", v6=False)

    def talk(self, s, family, port):
        try:
            if self.tls:
                s = self.tls.wrap_socket(s, server_side=True)
            head, _, body = read_head(s).partition("\r\n\r\n")
            if not head:
                return s.close()
            length = next((int(l.split(":")[1]) for l in head.split("\r\n") if l.lower().startswith("content-length:")), 0)
            while len(body) < length:
                body += s.recv(65536).decode("latin-1")
            self.asked.append((head, body))
            answer = json.dumps({"id": "x", "choices": [{"message": {"role": "assistant", "content": "answer %d" % len(self.asked)}}]}).encode()
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer))
            s.close()
        except OSError:  # it does not trust us, or is gone
            pass
