#!/usr/bin/python3
"""Clients that speak HTTP/2 alone, calls by gRPC in the main: the gate that records passes their connection as it is, and each call is a frame."""
import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import gatekit
import h2kit
import modelserver
from gatekit import BUILD, clikit, done, ok

HOST = "generativelanguage.googleapis.com"
CALLS = ["GenerateContent=first", "StreamGenerateContent=a story", "Exhausted=third", "Midway=fourth", "Reset=fifth", "CountTokens=sixth", "GenerateContent=last"]
NAMES = ["llm", "llm", "error", "error", "error", "llm"]
certificates = tempfile.TemporaryDirectory(prefix="vcr-h2.")
CA, LEAF = modelserver.make_ca(certificates.name)


class Server(h2kit.Server):
    def answer(self, end, stream, method, words):
        super().answer(end, stream, "GenerateContent" if method == "CountTokens" else method, words)


class Talk:
    """A server, and a place whose programs find it, by its name with TLS or by its address without."""

    def __init__(self, how, protocols=("h2",)):
        self.how, self.server, self.place = how, Server(LEAF if how == "tls" else None, protocols), clikit.Place()
        self.port = self.server.port
        os.mkdir(self.place.vcr_dir)
        with open(os.path.join(self.place.vcr_dir, "config"), "w") as f:
            f.write("model-host 127.0.0.1:%d\nconnect-to %s:%d:127.0.0.1:%d\ncacert %s\n" % (self.port, HOST, self.port, self.port, CA))
        self.place.env.pop("VCR_COLLECTOR")

    def run(self, *argv, calls=CALLS):
        host = HOST if self.how == "tls" else "127.0.0.1"
        command = [sys.executable, os.path.join(gatekit.SOURCE, "tests", "gate", "h2kit.py"), host, str(self.port), self.how, *calls]
        r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:], "--", *command], cwd=self.place.dir, env=self.place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        return r.stdout, r.stderr

    def direct(self, calls=CALLS):
        sock = h2kit.connect("127.0.0.1", self.port, False)
        if self.how == "tls":
            context = ssl.create_default_context(cafile=CA)
            context.set_alpn_protocols(["h2"])
            sock = context.wrap_socket(sock, server_hostname=HOST)
        client = h2kit.Client(sock, "%s:%d" % (HOST if self.how == "tls" else "127.0.0.1", self.port))
        said = [json.dumps(h2kit.tell(client.call(*(lambda m, _, w: (m, w.encode()))(*c.partition("="))))) for c in calls]
        sock.close()
        return said

    def lines(self, name="talk"):
        return [l["data"] for l in gatekit.frames(self.place.path(name)) if l["type"] == "frame" and l["data"]["node_name"].startswith("llm:")]


def parsed(out):
    return [json.loads(l) for l in out.splitlines()]


for how in ("tls", "plain"):
    t = Talk(how)
    want = [json.loads(l) for l in t.direct()]
    before = len(t.server.asked)
    out, err = t.run("vcr-record", "-q", "--lane=gate", "--session", "talk")
    ok(parsed(out) == want and len(t.server.asked) == before + len(CALLS),
       "a program that speaks HTTP/2 alone (%s) hears through the gate what it hears without it: answers, a stream, trailers, errors" % how, out, want, err)
    frames = t.lines()
    noted = [f["metadata"]["custom"]["vcr"] for f in frames]
    ok([f["frame_type"] for f in frames] == NAMES and all(v["source"] == "gate" and v["http"] == "2" and v["api"] == "generic" and v["status"] == 200 for v in noted),
       "each of its calls (%s) is a frame, and one that counts tokens is none" % how, frames)
    ok([v.get("response_trailers", {}).get("grpc-status") for v in noted] == ["0", "0", None, "14", None, "0"] and noted[2]["response_headers"]["grpc-status"] == "8" and noted[4]["reset_code"] == 11 and
       [f["metadata"]["error_type"] for f in frames] == [None, None, "RESOURCE_EXHAUSTED", "UNAVAILABLE", "reset", None] and frames[2]["metadata"]["error_message"] == "too many of you",
       "its trailers (%s) are kept, and an error of gRPC's is one, by its name and in its words" % how, noted, frames[2])
    asked = len(t.server.asked)
    again, events = t.run("vcr-replay", "--json", "talk")
    ok(parsed(again) == want and len(t.server.asked) == asked, "in a replay (%s) it hears the same, trailers and resets too, and no server is asked" % how, again, want, events)
    other, events = t.run("vcr-replay", "-q", "talk", calls=["GenerateContent=first", "GenerateContent=never asked", "Unheard=of", "StreamGenerateContent=a story"])
    heard = parsed(other)
    ok(heard[0] == want[0] and heard[3]["body"] == want[1]["body"] and [h["head"].get("grpc-status") for h in heard[1:3]] == ["3", "3"] and
       all("vcr replay: " in h["head"]["grpc-message"].replace("%20", " ") and not h["body"] for h in heard[1:3]) and len(t.server.asked) == asked,
       "a call that was not recorded (%s) is refused by name, in gRPC's own terms, and its connection goes on" % how, other, events)
    t.server.close()

t = Talk("tls", protocols=("http/1.1",))
out, err = t.run("vcr-record", "-q", "--lane=gate", "--session", "talk", calls=["GenerateContent=first"])
ok([h["reset"] for h in parsed(out)] != [None] and not t.server.asked, "where the server does not speak it, the connection ends and nothing was asked", out, err)
t.server.close()
done()
