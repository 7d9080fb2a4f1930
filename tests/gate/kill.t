#!/usr/bin/python3
"""kill -9 of the gate at 100 random moments of running calls and streams: the client sees a cut connection at most once and goes on, what was complete is in
the session file, what was cut is an interrupted call there, and the next session begins as if nothing had been."""
import collections
import glob
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, clikit, done, ok
import leadkit

SESSIONS, AT_ONCE, CALLS, PIECES = 20 if gatekit.sanitized() else 100, 4, 5, 4
SEED = int(os.environ.get("VCR_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
print("# VCR_SEED=%d" % SEED, flush=True)
place = clikit.Place()
del place.env["VCR_COLLECTOR"]
CA, KEY = leadkit.make_ca(place.dir, "upstream-ca")
LEAF = leadkit.make_leaf(place.dir, CA, KEY)


class Session:
    """One run of the client, and when its gate dies: at a point of a call, then after `later` seconds, while the server waits or goes on."""

    def __init__(self, n):
        rng = random.Random(SEED + n)
        self.name, self.tls, self.waits, self.later = "s%d" % n, rng.random() < 0.3, rng.random() < 0.6, rng.choice((0, 0, rng.uniform(0, 0.002)))
        points = ["connected", "asked", "head"] + ["piece %d" % i for i in range(PIECES)] + ["answered"]
        self.call, self.point = rng.randrange(CALLS - 1), rng.choice(points)
        self.asked, self.killed, self.process, self.last = [], threading.Event(), None, -1

    def gate(self):
        for kid in open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read().split():
            if open("/proc/%s/comm" % kid).read().strip() == "vcr-gate":
                return int(kid)

    def kill(self):
        time.sleep(self.later)
        os.kill(self.gate(), signal.SIGKILL)
        self.last = max(self.asked, default=-1)
        self.killed.set()

    def at(self, call, point):
        """The server is there."""
        if (call, point) != (self.call, self.point) or self.killed.is_set():
            return
        t = threading.Thread(target=self.kill, daemon=True)
        t.start()
        if self.waits:
            t.join()

    def about(self):
        return "%s: killed in call %d, %s, %.1f ms later, %s; %s" % (self.name, self.call, self.point, self.later * 1e3, "server waits" if self.waits else "server goes on", "TLS" if self.tls else "plain")


class Upstream(leadkit.Server):
    """A port of its own for each session: so the server knows whose connection it is before a byte of it is there."""

    def __init__(self, session):
        self.session = session
        super().__init__(LEAF, "upstream", v6=False)

    def talk(self, s, family, port):
        me = self.session
        try:
            me.at(len(me.asked), "connected")
            if s.recv(1, socket.MSG_PEEK) == b"\x16":
                s = self.tls.wrap_socket(s, server_side=True)
            head, _, body = leadkit.read_head(s).partition("\r\n\r\n")
            if not head:
                return
            length = next(int(l.split(":")[1]) for l in head.split("\r\n") if l.lower().startswith("content-length:"))
            while len(body) < length:
                body += s.recv(65536).decode("latin-1")
            asked = json.loads(body)
            n = int(asked["messages"][0]["content"].split()[1])
            me.asked.append(n)
            me.at(n, "asked")
            self.answer(s, n, asked.get("stream"))
            me.at(n, "answered")
        except (OSError, ValueError, StopIteration):
            pass
        finally:
            s.close()

    def answer(self, s, n, stream):
        if stream:
            pieces = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % i for i in range(PIECES - 1)] + [b"data: [DONE]\n\n"]
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        else:
            whole = json.dumps({"id": "x", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "y" * 4000}}]}).encode()
            pieces = [whole[i * 1100:(i + 1) * 1100] for i in range(PIECES)]
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(whole))
        self.session.at(n, "head")
        for i, piece in enumerate(pieces):
            s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if stream else piece)
            self.session.at(n, "piece %d" % i)
        if stream:
            s.sendall(b"0\r\n\r\n")


CLIENT = """
import http.client, json, sys
port, tls, calls, ca = int(sys.argv[1]), sys.argv[2] == "True", int(sys.argv[3]), sys.argv[4]
if tls: import ssl
for n in range(calls):
    c = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=ca), timeout=20) if tls else http.client.HTTPConnection("localhost", port, timeout=20)
    try:
        c.request("POST", "/v1/chat/completions", json.dumps({"model": "m", "stream": n % 2 == 1, "messages": [{"role": "user", "content": "call %d" % n}]}), {"Content-Type": "application/json"})
        r = c.getresponse()
        data = r.read()
        whole = data.endswith(b"[DONE]\\n\\n") if n % 2 else len(json.loads(data)["choices"][0]["message"]["content"]) == 4000
        print(json.dumps([n, "whole" if whole and r.status == 200 else "short"]))
    except (OSError, http.client.HTTPException) as e:
        print(json.dumps([n, type(e).__name__]))
    c.close()
"""
CUT = {"ConnectionResetError", "BrokenPipeError", "RemoteDisconnected", "IncompleteRead", "SSLEOFError", "SSLZeroReturnError"}


def frames(name):
    """{call: [its entries]}, and the session's end."""
    found, lines, bodies = collections.defaultdict(list), [json.loads(l) for l in open(os.path.join(place.vcr_dir, name + ".vcr"))], {}
    for l in lines:
        if l["type"] == "frame" and l["data"]["node_name"].startswith("llm:"):
            words = json.dumps(l["data"]["input_state"])
            n = next(i for i in range(CALLS) if "call %d" % i in words)
            found[n].append(dict(l["data"]["metadata"]["custom"]["vcr"], type=l["data"]["frame_type"], error=l["data"]["metadata"].get("error_type")))
    return found, lines[-1]["data"]


def check(me, out, err, status):
    """What is wrong, in words."""
    said = dict(json.loads(l) for l in out.splitlines())
    wrong = [] if status == 0 and list(said) == list(range(CALLS)) else ["the client did not go on to its end: %d %s" % (status, out)]
    if not me.killed.is_set():
        wrong.append("the gate was not killed")
    cut = [n for n, what in said.items() if what != "whole"]
    if len(cut) > 1 or any(said[n] not in CUT for n in cut):
        wrong.append("the client saw %s" % said)
    found, end = frames(me.name)
    for n, what in said.items():
        entries = found.get(n, [])
        if what == "whole" and [(v["type"], v["complete"]) for v in entries] != [("llm", True)]:
            wrong.append("call %d was complete and is in the file as %s" % (n, [(v["type"], v["complete"], v["error"]) for v in entries]))
        if what != "whole" and n in me.asked and len(entries) != 1:
            wrong.append("call %d was cut and had reached the server; in the file: %s" % (n, entries))
        if what != "whole" and any(not v["complete"] and (v["type"], v["failure"]) != ("error", "interrupted") for v in entries):
            wrong.append("call %d was cut and is in the file as %s" % (n, entries))
    late = [n for n in said if n > me.last + 1]  # the one behind the last may be there already
    if any(v["source"] != "tap" for n in late for v in found.get(n, [])):
        wrong.append("a call after the gate's death is not the tap's")
    if late and not any("the gate has ended" in w for w in end["unseen"]) or "the gate has ended" not in err and late:
        wrong.append("nobody says that the gate has ended: %s %s" % (end["unseen"], err))
    return wrong, bool(cut)


results, turn = [], threading.Lock()


def run(numbers):
    for n in numbers:
        me = Session(n)
        try:
            up = Upstream(me)
            argv = [os.path.join(BUILD, "vcr-record"), "--session", me.name, "--lane=gate", "--vcr-dir", place.vcr_dir, "--cacert", CA, "--", "/usr/bin/python3", "-I", "-S", "-c", CLIENT,
                    str(up.port), str(me.tls), str(CALLS), CA]
            me.process = subprocess.Popen(argv, cwd=place.dir, env=dict(place.env, VCR_MODEL_HOSTS="localhost:%d" % up.port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            out, err = me.process.communicate(timeout=60)
            up.sockets[0].shutdown(socket.SHUT_RDWR)
            wrong, cut = check(me, out, err, me.process.returncode)
        except Exception as e:
            wrong, cut = ["%s: %s" % (type(e).__name__, e)], False
        with turn:
            results.append((me, wrong, cut))


workers = [threading.Thread(target=run, args=(range(k, SESSIONS, AT_ONCE),)) for k in range(AT_ONCE)]
for w in workers:
    w.start()
for w in workers:
    w.join()
bad = [(me.about(), wrong) for me, wrong, _ in results if wrong]
cuts = sum(cut for _, _, cut in results)
ok(len(results) == SESSIONS and not bad, "a gate killed at any of %d moments loses no call, cuts one at most, and is said to have ended" % SESSIONS, *bad[:8])
ok(cuts >= SESSIONS // 5, "many of them are in the middle of a call", "%d of %d cut a call" % (cuts, SESSIONS))
left = [f for f in glob.glob(os.path.join(place.run_dir, "**"), recursive=True) if f.endswith((".key", ".pem", ".spool"))]
ok(not left, "nothing is left in the runtime directory", left)
r = subprocess.run([os.path.join(BUILD, "vcr"), "log", "--vcr-dir", place.vcr_dir], env=place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
ok(r.returncode == 0 and r.stdout.count("s%d" % (SESSIONS - 1)) >= 1, "and vcr-log lists the sessions", r)
print("# %d of %d sessions had a call that was cut" % (cuts, SESSIONS))
done()
