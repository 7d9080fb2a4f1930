"""hermetickit.py — what an agent asks of the world besides its model, for tests of --capture=all and --hermetic: an agent that does what it is told, pages, a place."""
import http.server
import os
import subprocess
import sys
import threading

import gatekit
from gatekit import BUILD, OPENAI, clikit

AGENT = """
import ctypes, json, os, socket, subprocess, sys, threading, urllib.error, urllib.request
libc = ctypes.CDLL(None)
libc.popen.restype, libc.pclose.argtypes, libc.fclose.argtypes = ctypes.c_void_p, [ctypes.c_void_p], [ctypes.c_void_p]
libc.fread.argtypes, libc.fwrite.argtypes = [[ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]] * 2
model, web, *doings = sys.argv[1:]

def fetch(url, data=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()

print(fetch(model, json.dumps({"model": "m", "messages": [{"role": "user", "content": "go"}]}).encode())[0], flush=True)
for what in doings:
    if what.startswith("/"):
        print(*fetch(web + what), flush=True)
    elif what.startswith("system:"):
        print(os.system(what[7:]), flush=True)
    elif what.startswith("popen:"):
        f, text = libc.popen(what[6:].encode(), b"r"), ctypes.create_string_buffer(1000)
        n = libc.fread(text, 1, 1000, f)
        print(json.dumps([libc.pclose(f), text.raw[:n].decode()]), flush=True)
    elif what.startswith("popenw:"):
        f = libc.popen(what[7:].encode(), b"we")
        n = libc.fwrite(b"w" * 300000, 1, 300000, f)
        print(json.dumps([libc.fclose(f), n]), flush=True)
    elif what.startswith("fed:"):
        p = subprocess.Popen(what[4:], shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        fed = sum(os.write(p.stdin.fileno(), b"x" * 50000) for _ in range(20))
        p.stdin.close()
        print(json.dumps([p.wait(), fed, p.stdout.read().decode()]), flush=True)
    elif what.startswith("paired:"):
        ours, its = socket.socketpair()
        ours.settimeout(20)
        ours.sendall(b"words")
        p = subprocess.Popen(what[7:], shell=True, stdin=its, stdout=its)
        its.close()
        with ours.makefile() as f:
            print(json.dumps([f.read(), p.wait()]), flush=True)
    elif what.startswith("crossed:"):  # all is said before anything is heard, and neither fits into the socket
        ours, its = socket.socketpair()
        ours.settimeout(20)
        p = subprocess.Popen(what[8:], shell=True, stdin=its, stdout=its)
        its.close()
        ours.sendall(b"w" * 3000000)
        with ours.makefile() as f:
            print(json.dumps([len(f.read()), p.wait()]), flush=True)
    elif what.startswith("unfed:"):
        p = subprocess.Popen(what[6:], shell=True, stdin=subprocess.PIPE)
        print(json.dumps([p.wait()]), flush=True)
    elif what.startswith("together:"):
        threads = [threading.Thread(target=os.system, args=(what[9:],)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    elif what.startswith("byfd:"):
        pid = os.fork()
        if not pid:
            os.execve(os.open("/bin/sh", os.O_RDONLY), ["sh", "-c", what[5:]], os.environ)
        print(json.dumps([os.waitpid(pid, 0)[1]]), flush=True)
    elif what.startswith("filtered:"):
        allow = ctypes.create_string_buffer(bytes([6, 0, 0, 0, 0, 0, 0xff, 0x7f]))
        program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(allow))
        print(json.dumps([libc.prctl(38, 1, 0, 0, 0), libc.prctl(22, 2, ctypes.byref(program)), os.system(what[9:])]), flush=True)
    else:
        r = subprocess.run(what if " " in what else [what], shell=" " in what, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        print(json.dumps([r.returncode, r.stdout, r.stderr]), flush=True)
"""


class Web(http.server.ThreadingHTTPServer):
    """A model, and pages that count how often they were asked for."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]


class Page(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        body = b'{"choices": []}' if self.path == OPENAI else b"page %d of %s" % (len(self.server.asked), self.path.encode())
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json" if self.path == OPENAI else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class World(clikit.Place):
    def __init__(self):
        super().__init__()
        self.env.pop("VCR_COLLECTOR")
        self.web = Web()
        self.agent = os.path.join(self.dir, "agent.py")
        with open(self.agent, "w") as f:
            f.write(AGENT)

    def run(self, *argv, cwd=None):
        r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:]], cwd=cwd or self.dir, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        return r.stdout, r.stderr, r.returncode

    def command(self, *doings):
        return (sys.executable, self.agent, self.web.url + OPENAI, self.web.url, *doings)

    def record(self, session, *doings, options=("--capture=all",)):
        return self.run("vcr-record", "-q", "--session", session, *options, "--", *self.command(*doings))

    def replay(self, session, *doings, options=(), cwd=None):
        """(what it printed, stderr, status, what its server was asked meanwhile)"""
        before = len(self.web.asked)
        return self.run("vcr-replay", *options, "--vcr-dir", self.vcr_dir, session, "--", *self.command(*doings), cwd=cwd) + (self.web.asked[before:],)

    def lines(self, session):
        return gatekit.frames(self.path(session))
