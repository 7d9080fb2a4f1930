#!/usr/bin/python3
"""vcr-replay --mode: what may go on to the real hosts, how it is recorded, and that the next replay of it is offline."""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import gatekit
import modelserver
from gatekit import BUILD, OPENAI, clikit, done, ok

ASKER = """import json, sys, urllib.request
for text in sys.argv[1:]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "stream": text.startswith("stream")}
    request = urllib.request.Request("https://api.openai.com/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json", "Authorization": "Bearer sk-live-0123456789abcdef0123"})
    try:
        print(json.dumps(urllib.request.urlopen(request, timeout=60).read().decode()), flush=True)
    except urllib.error.HTTPError as e:
        print(e.code, flush=True)
"""
server = modelserver.ModelServer(tempfile.mkdtemp(prefix="vcr-live-test."))


class Place(clikit.Place):
    """Connections to api.openai.com end at our server, if the machine's network is asked at all."""

    def __init__(self):
        super().__init__()
        del self.env["VCR_COLLECTOR"]
        self.env["SSL_CERT_FILE"] = server.ca
        os.makedirs(self.vcr_dir)
        self.configure()
        self.asker = os.path.join(self.dir, "asker.py")
        with open(self.asker, "w") as f:
            f.write(ASKER)

    def configure(self, *more):
        with open(os.path.join(self.vcr_dir, "config"), "w") as f:
            f.write("connect-to api.openai.com:443:127.0.0.1:%s\n%s" % (server.https.rsplit(":", 1)[1], "".join(l + "\n" for l in more)))

    def record(self, session, *texts):
        return self.run("vcr-record", "--session", session, "--lane=gate", "--", "/usr/bin/python3", self.asker, *texts)

    def replay(self, session, texts, *options, verb=("vcr-replay",)):
        """(status, what the program printed, events, stderr, requests that the server got meanwhile)"""
        before = len(server.calls())
        status, out, err = self.run(*verb, "--json", *options, *([session] if session else []), "--", "/usr/bin/python3", self.asker, *texts)
        events = [json.loads(l) for l in err.splitlines() if l.startswith("{")]
        return status, out.splitlines(), events, err, len(server.calls()) - before

    def sessions(self):
        return {f[:-4] for f in gatekit.sessions(self)}

    def forget(self):
        for f in os.listdir(self.vcr_dir):
            if f.endswith(".vcr"):
                os.unlink(os.path.join(self.vcr_dir, f))


def named(events, what):
    return [e for e in events if e["event"] == what]


place = Place()
status, out, err = place.record("rec", "one", "two")
said = out.splitlines()
ok(status == 0 and len(said) == 2 and place.sessions() == {"rec"}, "two calls are recorded", status, out, err)

# ---- none ----
status, out, events, err, asked = place.replay("rec", ("one", "three"))
ok((out, asked) == ([said[0], "400"], 0) and status == 1, "without --mode nothing goes online, whatever is missed", status, out, err)
status, out, events, err, asked = place.replay("rec", ("one", "three"), "--mode=none")
ok((out, asked) == ([said[0], "400"], 0), "--mode=none says the same", status, out, err)
for own in place.sessions() - {"rec"}:
    os.unlink(place.path(own))

# ---- new-episodes ----
rec = open(place.path("rec"), "rb").read()
status, new, events, err, asked = place.replay("rec", ("one", "three", "stream four"), "--mode=new-episodes")
ok(status == 0 and new[0] == said[0] and asked == 2 and len(named(events, "live")) == 2, "with --mode=new-episodes what was not recorded goes on to the real host, and only that", status, new, events, err, asked)
own = place.sessions() - {"rec"}
ledger = named(events, "ledger")[0]["ledger"]
ok((ledger["steps_replayed"], ledger["steps_rerun"]) == (1, 2) and ledger["original"]["tokens"] - ledger["replay"]["tokens"] == ledger["saved"]["tokens"] > 0 and ledger["replay"]["tokens"] > 0,
   "the ledger tells what was replayed from what was live, and what that saved", ledger)
ok(len(own) == 1 and open(place.path("rec"), "rb").read() == rec, "it is recorded in a session of its own, and the recording is as it was", own)
own = own.pop()
lines = gatekit.frames(place.path(own))
ok(lines[0]["data"]["metadata"]["replay_of"] == "rec" and sum(l["type"] == "frame" and l["data"]["frame_type"] == "llm" for l in lines) == 2, "which names the one that it continues and holds what was live", lines[0])
status, out, events, err, asked = place.replay(own, ("one", "three", "stream four", "two"))
ok((out, asked, status) == (new + [said[1]], 0, 0), "a replay of that session has all of both, streams too, and asks nobody", status, out, err)
status, out, events, err, asked = place.replay(None, ("three", "one"))
ok((out, asked) == ([new[1], new[0]], 0), "so has the newest session, which is it", status, out, err)
status, out, events, err, asked = place.replay(own, ("three", "five", "one"), "--mode=new-episodes")
ok((out[0], out[2], asked) == (new[1], new[0], 1), "what is new in turn continues both", status, out, err)
third = out[1]
status, out, events, err, asked = place.replay(None, ("one", "three", "five", "two", "stream four"))
ok((out, asked) == ([new[0], new[1], third, said[1], new[2]], 0), "a chain of three sessions is replayed whole", status, out, err)
os.rename(place.path("rec"), place.path("rec") + ".away")
status, out, events, err, asked = place.replay(own, ("three",))
ok((out, asked) == ([new[1]], 0) and "continues rec, which is not here" in err, "a session whose beginning is gone says so, and replays what it has", status, out, err)
os.rename(place.path("rec") + ".away", place.path("rec"))
status, out, err = place.run("vcr-replay", "-v", "--mode=new-episodes", "rec", "--", "/usr/bin/python3", place.asker, "one", "six")
ok("1 call replayed, 1 live" in err and "POST /v1/chat/completions goes to api.openai.com" in err and "recorded as session" in err, "people are told what went online, and where it is", err)

# ---- Serving alone ----
place.forget()
place.record("rec", "one")
with gatekit.Gate(place, "rec", "--mode=new-episodes") as gate:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "seven"}]}
    before = len(server.calls())
    status, _, seven = gate.post(body)
    ok(status == 200 and len(server.calls()) == before + 1 and gate.event()["event"] == "live", "a server of its own lets through what is new", status, seven)
    own = gate.ready["recorded_as"]
ok("recorded as session " + own in gate.err, "… and says where it is recorded", gate.err)
with gatekit.Gate(place, own) as gate:
    ok(gate.post(body)[2] == seven and gate.event()["event"] == "served", "… from where it is served offline")

# ---- once ----
place.forget()
status, out, events, err, asked = place.replay("cassette", ("one", "two"), "--mode=once")
ok(status == 0 and asked == 2 and place.sessions() == {"cassette"}, "--mode=once records under the name that it is told when there is no such session", status, out, err, place.sessions())
status, again, events, err, asked = place.replay("cassette", ("one", "two"), "--mode=once")
ok((again, asked) == (out, 0), "the same call again is offline", status, again, err)
status, again, events, err, asked = place.replay("cassette", ("one", "three"), "--mode=once")
ok((again, asked) == ([out[0], "400"], 0), "what is missed then is missed", status, again, err)

# ---- all ----
place.forget()
place.record("rec", "one", "two")
before = open(place.path("rec"), "rb").read()
status, out, events, err, asked = place.replay("rec", ("one", "two"), "--mode=all")
own = place.sessions() - {"rec"}
ok((status, asked, len(own)) == (0, 2, 1) and open(place.path("rec"), "rb").read() == before, "--mode=all records everything anew, beside the recording", status, out, err, own)
own = own.pop()
os.unlink(place.path("rec"))
status, again, events, err, asked = place.replay(own, ("one", "two"))
ok((again, asked) == (out, 0) and "not here" not in err, "which stands on its own", status, again, err)
status, out, err = place.run("vcr-replay", "--mode=always", own)
ok(status == 2 and "none, once, new-episodes, all or rewrite" in err, "another mode is a wrong call", err)

# ---- Another program ----
place.forget()
place.record("rec", "one")
ok("another version" not in place.replay("rec", ("one",))[3], "of the same program nothing is said")
with open(place.asker, "a") as f:
    f.write("# changed\n")
status, out, events, err, asked = place.replay("rec", ("one",))
ok((status, asked) == (0, 0) and err.count("another version of it: ") == 1 and "asker.py" in err, "that the program is another than when it was recorded is said in one line", status, err)

# ---- Another version of its package ----
def package(version):
    """The script is a package's, as npm's are: what changes is the version."""
    with open(os.path.join(place.dir, "package.json"), "w") as f:
        json.dump({"name": "asker", "version": version}, f)


place.forget()
package("1.2.3")
place.record("rec", "one")
ok("another version" not in place.replay("rec", ("one",))[3], "of the same version of its package nothing is said")
package("1.2.4")
status, out, events, err, asked = place.replay("rec", ("one",))
said_so = [l for l in err.splitlines() if "another version of it: " in l]
ok((status, asked, len(said_so)) == (0, 0, 1) and "asker 1.2.3" in said_so[0].split("; this is ")[0] and "asker 1.2.4" in said_so[0].split("; this is ")[1], "that its package has another version is said in one line, with both", status, err)
os.unlink(os.path.join(place.dir, "package.json"))

# ---- Expiry ----
place.forget()
place.record("rec", "one", "two")
lines = gatekit.frames(place.path("rec"))
first = next(l for l in lines if l["type"] == "frame" and l["data"]["frame_type"] == "llm")
first["data"]["timestamp"] = "2020-01-02T03:04:05+00:00"
place.write("rec", *lines)
status, out, events, err, asked = place.replay("rec", ("one", "two"), "--expire=30")
ok((status, len(out), asked) == (0, 2, 0) and "1 recorded model call is older than 30 days, the oldest of 2020-01-02" in err, "what was recorded too long ago is named, and replayed all the same", status, err)
status, out, events, err, asked = place.replay("rec", ("one", "two"), "--expire=30", "--expired=error")
ok((status, out, asked) == (125, [], 0) and "older than 30 days" in err, "--expired=error replays nothing then", status, out, err)
ok(place.replay("rec", ("two",), "--expire=40000", "--expired=error")[0] == 0, "… unless it is younger")
status, out, events, err, asked = place.replay("rec", ("one", "two"), "--expire=30", "--expired=record", "--mode=new-episodes")
ok((status, asked, len(named(events, "live"))) == (0, 1, 1), "--expired=record asks anew for what is too old, and for nothing else", status, events)
status, again, events, err, asked = place.replay(None, ("one", "two"), "--expire=30", "--expired=record", "--mode=new-episodes")
ok((again, asked) == (out, 0), "… once: then it is young", status, again, err)
for words in (("--expired=record", "--expire=3"), ("--expired=warn",), ("--expire=3", "--expired=never")):
    ok(place.run("vcr-replay", *words, "rec")[0] == 2, "%s is a wrong call" % " ".join(words))

# ---- rewrite ----
place.forget()
place.record("rec", "one", "two")
before = open(place.path("rec"), "rb").read()
status, out, err = place.run("vcr-replay", "--mode=rewrite", "rec", "--", "/bin/sh", "-c", "/usr/bin/python3 %s three; exit 7" % place.asker)
ok(status == 7 and open(place.path("rec"), "rb").read() == before and "rec stays as it was: the run failed" in err, "--mode=rewrite leaves the recording as it was when the run fails", status, err)
place.forget()
place.record("rec", "one", "two")
status, out, events, err, asked = place.replay("rec", ("three", "stream four"), "--mode=rewrite")
lines = gatekit.frames(place.path("rec"))
ok((status, asked, place.sessions()) == (0, 2, {"rec"}) and {l["data"]["session_id"] for l in lines if l["type"] in ("session", "frame")} == {"rec"}, "one that succeeds takes its place, under its name", status, err, place.sessions())
ok(lines[-1]["type"] == "vcr.end" and place.run("vcr-verify", "rec")[0] == 0, "it is a whole session, as vcr-verify sees it", place.run("vcr-verify", "rec"))
status, again, events, err, asked = place.replay("rec", ("three", "stream four"))
ok((again, asked) == (out, 0), "and is replayed offline", status, again, err)
listed = json.load(open(os.path.join(place.vcr_dir, "manifest.json")))["sessions"]
ok([s["session_id"] for s in listed if s["session_id"] == "rec"] == ["rec"] and not [f for f in os.listdir(place.vcr_dir) if f.startswith(".join")], "the list of sessions knows it once, and nothing is left over", listed, os.listdir(place.vcr_dir))

# ---- Golden runs ----
place.forget()
place.record("rec", "one", "two", "three")
place.run("vcr-golden", "save", "answer three questions", "rec")
os.unlink(place.path("rec"))
golden = [os.path.join(place.vcr_dir, "golden", f) for f in os.listdir(os.path.join(place.vcr_dir, "golden")) if f.endswith(".vcr")][0]
before = open(golden, "rb").read()


def golden_replay(texts, *options):
    return place.replay(None, texts, "replay", *options, "answer three questions", verb=("vcr-golden",))


status, out, events, err, asked = golden_replay(("one", "two", "three"))
ledger = named(events, "ledger")[0]["ledger"]
ok((status, asked, ledger["steps_replayed"], ledger["steps_rerun"], ledger["saved"]["percent"]) == (0, 0, 3, 0, 100.0), "a golden run costs nothing", status, ledger, err)
status, changed, events, err, asked = golden_replay(("one", "other", "three"), "--mode=new-episodes")
ledger = named(events, "ledger")[0]["ledger"]
tokens = sum(l["data"]["metadata"]["tokens_used"] for l in gatekit.frames(place.path((place.sessions()).pop())) if l["type"] == "frame" and l["data"]["frame_type"] == "llm")
ok((status, asked, ledger["steps_replayed"], ledger["steps_rerun"]) == (0, 1, 2, 1) and changed[0] == out[0] and changed[2] == out[2], "of one whose second question is another only that goes live", status, ledger, err)
ok(ledger["replay"]["tokens"] == tokens > 0 and ledger["saved"]["tokens"] == ledger["original"]["tokens"] - tokens, "its ledger counts what was live as spent, and the rest as saved", ledger, tokens)
ok(open(golden, "rb").read() == before, "and the golden run is what it was")
own = place.sessions().pop()
status, again, events, err, asked = place.replay(own, ("one", "other", "three"))
ok((again, asked) == (changed, 0), "the session of that run continues the golden one", status, again, err)
status, out2, err = place.run("vcr-golden", "save", "answer three questions", own)
os.unlink(place.path(own))
status, again, events, err, asked = golden_replay(("one", "other", "three", "two"))
ok((again, asked) == ([changed[0], changed[1], changed[2], out[1]], 0), "saved, both are one golden run", status, again, err, out2)
ok(place.run("vcr-golden", "verify")[0] == 0 and not [f for f in os.listdir(place.vcr_dir) if f.startswith(".join")], "which verifies, and nothing is left over", place.run("vcr-golden", "verify"), os.listdir(place.vcr_dir))
status, out, events, err, asked = golden_replay(("seven",), "--mode=rewrite")
own = place.sessions().pop()
entry = json.loads(place.run("vcr-golden", "--json", "show", "answer three questions")[1])
ok((status, asked) == (0, 1) and entry["session_id"] == own and entry["task"] == "answer three questions", "vcr-golden replay --mode=rewrite keeps a run that succeeds in its place", status, err, entry)
os.unlink(place.path(own))
status, again, events, err, asked = golden_replay(("seven",))
ok((again, asked) == (out, 0), "which is offline from then on", status, again, err)
server.close()
done()
