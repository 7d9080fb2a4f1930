#!/usr/bin/python3
"""Canary secrets on every way into a recording, in every form: none of them is found on the disk afterwards."""
import base64
import json
import os
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import ok

CANARY = {
    "bearer": "Zq7rT2mW9xK4vB1nLd", "x-api-key": "h3Jw8Yp5Rk2Tn6VcXs", "x-goog-api-key": "Gm4Qe9Ls7Wb1Zf5KuA", "basic": "vR6tYw2Pq8Nx4McJz1", "cookie": "sK9dFj3Lm5Qa7WoEi2",
    "query": "uT5rEw1Qz8Xc6VbNm3", "environment": "kP2oIu9Yt4Re7WqAs6", "odd": 'p"a\\ss/wörd+%7& 19x', "argv": "dX8cVb5Nm2Lk7JhGf4", "child argv": "wE3rTy6Ui9Op1AsDf5",
    "child environment": "nB7vCx4Zl1Kj8HgFd2", "shell text": "qA1zWs9Xe5Dc3RfVt7", "dotenv": "yH6nUj2Mi8Ko4LpQw9", "late dotenv": "oL5pKm1Ij7Nu3HbYg8", "set-cookie": "cF2vGt8Yh4Bn6JmKi1",
    "json body": "rX4eZs7Cd1Fv9Gb3Hn", "form": "jT7bRn2Wc9Lp4Xz6Vd", "pem": "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7K1pZ",
}
SHAPED = {"sk": "sk-proj-" + "Ab3dE6gH9jK2mN5pQ8sT1vW4xY7z", "github": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "aws": "AKIA" + "QWERTYUIOP234567"}

# The agent: everything that is told to it in $PLAN, over the TLS or the plain server.
AGENT = r'''
import http.client, json, os, ssl, subprocess, sys, urllib.parse
plan = json.load(open(os.environ["PLAN"]))
def connect(scheme):
    u = urllib.parse.urlparse(os.environ["MODEL_HTTPS" if scheme == "https" else "MODEL_HTTP"])
    return http.client.HTTPSConnection(u.hostname, u.port, context=ssl.create_default_context()) if scheme == "https" else http.client.HTTPConnection(u.hostname, u.port)
for step in plan:
    if "run" in step:
        subprocess.run(step["run"], env=dict(os.environ, **step.get("env", {})), stdout=subprocess.DEVNULL)
    elif "write" in step:
        with open(step["write"], "w") as f: f.write(step["text"])
    else:
        c = connect(step.get("scheme", "https"))
        body = step["body"] if isinstance(step["body"], str) else json.dumps(step["body"], ensure_ascii=step.get("ascii", True))
        if step.get("slow"):   # the request in pieces of a few bytes
            c.putrequest("POST", step["target"]); [c.putheader(k, v) for k, v in step["headers"].items()]; raw = body.encode(); c.putheader("Content-Length", str(len(raw))); c.endheaders()
            for at in range(0, len(raw), 7): c.send(raw[at:at + 7])
        else:
            c.request("POST", step["target"], body.encode(), step["headers"])
        c.getresponse().read()
        c.close()
'''


def b64(text, shift):
    return base64.b64encode(b"x" * shift + text.encode() + b"tail").decode()


def chat(words, stream=False, **more):
    return dict({"model": "gpt-4o-mini", "stream": stream, "messages": [{"role": "user", "content": words}]}, **more)


def forms(text):
    """Every form of a secret that is looked for, as bytes."""
    raw = text.encode()
    out = {raw, json.dumps(text)[1:-1].encode(), json.dumps(text, ensure_ascii=False)[1:-1].encode(), urllib.parse.quote(text, safe="").encode(), urllib.parse.quote_plus(text).encode()}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        out.add(whole[{0: 0, 1: 2, 2: 3}[shift]:len(whole) // 4 * 4 - 4])
        out.add(base64.urlsafe_b64encode(b"\0" * shift + raw)[{0: 0, 1: 2, 2: 3}[shift]:len(whole) // 4 * 4 - 4])
    return out


JSON = {"Content-Type": "application/json"}
CHAT = "/v1/chat/completions"
all_learnt = [CANARY[n] for n in ("bearer", "x-api-key", "x-goog-api-key", "basic", "cookie", "query", "environment", "odd", "argv", "child argv", "child environment", "dotenv", "late dotenv")]


def plan(server):
    every = " and ".join(all_learnt)
    server.texts.update(every=every, shaped=" then ".join(SHAPED.values()), b64=" ".join(b64(s, i) for s in all_learnt for i in range(3)))
    headers = [dict(JSON, Authorization="Bearer " + CANARY["bearer"]), dict(JSON, **{"x-api-key": CANARY["x-api-key"], "anthropic-version": "2023-06-01"}),
               dict(JSON, **{"x-goog-api-key": CANARY["x-goog-api-key"]}), dict(JSON, Authorization="Basic " + base64.b64encode(("user:" + CANARY["basic"]).encode()).decode()),
               dict(JSON, Cookie="session=" + CANARY["cookie"])]
    ask = [{"target": CHAT, "headers": h, "body": chat("Question %d [[q=%d]]" % (i, i))} for i, h in enumerate(headers)]
    ask += [{"target": "/v1beta/models/gemini-2.5-flash:generateContent?key=" + CANARY["query"], "headers": JSON, "body": {"contents": [{"parts": [{"text": "hello [[q=7]]"}]}]}}]
    work = [{"run": ["true", "--api-key", CANARY["child argv"]]}, {"run": ["true", "-H", "Authorization: Bearer " + CANARY["child argv"]]},
            {"run": ["env", "CHILD_API_TOKEN=" + CANARY["child environment"], "true"]}, {"run": ["sh", "-c", "export DEPLOY_API_KEY=%s; true" % CANARY["shell text"]]},
            {"write": "settings.py", "text": "PASSWORD = '%s'\n" % CANARY["dotenv"]}, {"write": ".env", "text": "DB_PASSWORD=%s\n#\n" % CANARY["dotenv"]},
            {"write": ".env.local", "text": "export SERVICE_TOKEN='%s'\n" % CANARY["late dotenv"]},
            {"write": "key.txt", "text": "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n" % CANARY["pem"]},
            {"write": "log-%s.txt" % CANARY["environment"], "text": every + "\n"}, {"run": ["rm", "log-%s.txt" % CANARY["environment"]]}]
    told = []
    for words in (every, json.dumps(all_learnt), urllib.parse.quote(every), urllib.parse.quote_plus(every), " ".join(SHAPED.values())) + tuple(" ".join(b64(s, i) for s in all_learnt) for i in range(3)):
        told += [{"target": CHAT, "headers": JSON, "body": chat(words + " [[q=8]]"), "ascii": False}, {"target": CHAT, "headers": JSON, "body": chat(words + " [[q=9 gzip]]", True), "slow": True}]
    told += [{"target": "/v1/messages", "headers": dict(JSON, **{"x-api-key": CANARY["x-api-key"]}), "scheme": "http",
              "body": {"model": "claude-sonnet-4-6", "max_tokens": 99, "stream": s, "messages": [{"role": "user", "content": json.dumps({"nested": every}) + d}]}}
             for s in (False, True) for d in ("", " [[say=every tool=edit split=5]]")]
    said = [{"target": t, "headers": JSON, "scheme": scheme, "body": chat("tell me [[q=10 say=%s %s]]" % (what, how), stream, input="tell me")}
            for scheme in ("https", "http") for t in (CHAT, "/v1/responses", "/v1/messages") for stream in (False, True) for what in ("every", "shaped", "b64")
            for how in ("", "split=5", "gzip")]
    said += [{"target": "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse&key=" + CANARY["query"], "headers": JSON, "body": {"contents": [{"parts": [{"text": "[[say=every split=3]]"}]}]}}]
    said += [{"target": CHAT, "headers": JSON, "body": {"model": "gpt-4o-mini", "api_key": CANARY["json body"], "messages": []}}, {"target": CHAT, "headers": JSON, "body": "api_key=%s not JSON" % CANARY["bearer"]},
             {"target": "/v1/chat/completions", "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": "grant=x&client_secret=%s" % CANARY["form"]}]
    early = [{"write": "early.txt", "text": "the key of the first call is %s\n" % CANARY["bearer"]}]  # told to nobody before that call's header
    return early + ask + work + told + said


def everything(place, session):
    """(where, bytes) of all that is on the disk, and all that the reader makes of it."""
    for top in (os.path.join(place.work, ".vcr"), place.state, session.dir):
        for d, _, files in os.walk(top):
            for f in files:
                path = os.path.join(d, f)
                yield os.path.relpath(path, place.dir), f.encode() + b"\n" + open(path, "rb").read()
            if d.endswith("shadow.git"):  # its objects as they are inside
                yield os.path.relpath(d, place.dir), subprocess.run(["git", "--git-dir=" + d, "cat-file", "--batch-all-objects", "--batch"], stdout=subprocess.PIPE, check=True).stdout
    for i, line in enumerate(session.lines):  # strings as they are, not as JSON writes them
        yield "line %d" % (i + 1), "\n".join(strings(line)).encode(errors="surrogatepass")


def strings(value):
    if isinstance(value, dict):
        for k, v in value.items():
            yield k
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)
    elif isinstance(value, str):
        yield value


for how in ("preload", "record"):
    server = agentkit.server()
    place = agentkit.Place(server)
    script, steps = os.path.join(place.dir, "agent.py"), plan(server)
    with open(script, "w") as f:
        f.write(AGENT)
    with open(os.path.join(place.dir, "plan.json"), "w") as f:
        json.dump(steps, f)
    with open(os.path.join(place.work, ".env"), "w") as f:
        f.write("DB_PASSWORD=%s\n" % CANARY["dotenv"])
    r = place.run("/usr/bin/python3", script, "--api-key", CANARY["argv"], how=how,
                  env={"PLAN": os.path.join(place.dir, "plan.json"), "DEPLOY_SECRET_KEY": CANARY["environment"], "ODD_PASSWORD": CANARY["odd"], "TOKENIZERS_PARALLELISM": "false"})
    session = place.session()
    places = list(everything(place, session))
    under = {"preload": "LD_PRELOAD", "record": "vcr-record"}[how]
    asked = sum("body" in s for s in steps)
    ok(r.returncode == 0 and len(session.calls()) == asked and not session.broken, "a run with secrets is recorded whole under %s: every call is there" % under,
       r.stderr.decode()[-1000:], "%d of %d" % (len(session.calls()), asked), session.complaints)
    for name, secret in list(CANARY.items()) + list(SHAPED.items()):
        found = ["%s: %s" % (where, form.decode(errors="replace")) for form in forms(secret) for where, data in places if form in data]
        ok(not found, "a secret in %s is found in no form under %s" % (name, under), len(found), *found[:6])
    marks = sum(b"{{vcr:secret:" in d for _, d in places)
    ok(marks > 50, "placeholders stand where secrets stood under %s" % under, marks)
    server.close()

server = agentkit.server()
place = agentkit.Place(server)
with open(os.path.join(place.dir, "plan.json"), "w") as f:
    json.dump([{"target": CHAT, "headers": JSON, "body": chat("is it false or true, 12345678901234, /usr/share/dict/words? [[q=1]]")},
               {"target": CHAT, "headers": JSON, "body": chat("false [[q=2]]", True)}], f)
with open(os.path.join(place.dir, "agent.py"), "w") as f:
    f.write(AGENT)
r = place.run("/usr/bin/python3", os.path.join(place.dir, "agent.py"), env={"PLAN": os.path.join(place.dir, "plan.json"), "TOKENIZERS_PARALLELISM": "false", "MAX_TOKENS": "12345678901234",
              "SSH_KEY_PATH": "/usr/share/dict/words", "GITHUB_TOKEN": "", "KEYBOARD": "us"})
session = place.session()
wrong = agentkit.differences(session, server)
ok(not wrong and not any(b"{{vcr:" in d for _, d in everything(place, session)), "TOKENIZERS_PARALLELISM=false, numbers and paths in the environment redact nothing", *wrong)
agentkit.done()
