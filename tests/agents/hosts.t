#!/usr/bin/python3
"""Model services with hosts and paths of their own, asked by their real names through the client that people use for them: recorded, and replayed with the network unplugged."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
from agentkit import BUILD, ok

OPENAI = """
def ask(text):
    return client.chat.completions.create(model="%s", messages=[{"role": "user", "content": text}]).choices[0].message.content
def listen(text):
    stream = client.chat.completions.create(model="%s", messages=[{"role": "user", "content": text}], stream=True)
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
"""
KEY, TOKEN = "sk-test-0123456789abcdefghijklmnopqrstuvwxyz", "ya29.test-0123456789abcdefghijklmnop"
# (what it is, host, API, model, path). Their questions are 10 and 11, 20 and 21 …: the first is answered as a whole, the second as a stream.
SERVICES = (
    ("Azure OpenAI, by openai's own client for it", "vcr-test.openai.azure.com", "openai.chat", "gpt-4o-mini", "/openai/deployments/gpt-4o-mini/chat/completions"),
    ("Mistral, by openai's client", "api.mistral.ai", "openai.chat", "mistral-large-latest", "/v1/chat/completions"),
    ("OpenRouter, by openai's client", "openrouter.ai", "openai.chat", "deepseek/deepseek-chat", "/api/v1/chat/completions"),
    ("Vertex, by google-genai with a credential of Google Cloud", "us-central1-aiplatform.googleapis.com", "gemini.generate", "gemini-2.5-flash",
     "/v1beta1/projects/vcr-test/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent"),
    ("Mistral, by its own client", "api.mistral.ai", "openai.chat", "mistral-small-latest", "/v1/chat/completions"))
CLIENTS = """
import openai
from google import genai
from google.oauth2.credentials import Credentials
from mistralai.client import Mistral
def say(first, ask, pieces):
    print(first, ask("A question. [[q=%%d]]" %% first), flush=True)
    print(first + 1, "".join(p or "" for p in pieces("A longer one. [[q=%%d size=3000]]" %% (first + 1))), flush=True)
def chat(first, client, model):
    def ask(text, **more):
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)
    say(first, lambda text: ask(text).choices[0].message.content, lambda text: (c.choices[0].delta.content for c in ask(text, stream=True) if c.choices))
key = {"api_key": "%s", "max_retries": 0}
chat(10, openai.AzureOpenAI(azure_endpoint="https://vcr-test.openai.azure.com", api_version="2024-10-21", **key), "gpt-4o-mini")
chat(20, openai.OpenAI(base_url="https://api.mistral.ai/v1", **key), "mistral-large-latest")
chat(30, openai.OpenAI(base_url="https://openrouter.ai/api/v1", default_headers={"X-Title": "vcr's tests"}, **key), "deepseek/deepseek-chat")
client = genai.Client(vertexai=True, project="vcr-test", location="us-central1", credentials=Credentials("%s"))
ask = {"model": "gemini-2.5-flash"}
say(40, lambda text: client.models.generate_content(contents=text, **ask).text, lambda text: (c.text for c in client.models.generate_content_stream(contents=text, **ask)))
client = Mistral(api_key="%s").chat
ask = lambda text: {"model": "mistral-small-latest", "messages": [{"role": "user", "content": text}]}
say(50, lambda text: client.complete(**ask(text)).choices[0].message.content, lambda text: (e.data.choices[0].delta.content for e in client.stream(**ask(text)) if e.data.choices))
""" % (KEY, TOKEN, KEY)
RECORDED = "its two calls are recorded whole, with host, path and model"
REPLAYED = "all of it is answered the same by the recording alone, offline"
CREDENTIALS = "and no credential of any of them is in it"
agentkit.need_agents(*["%s: %s" % (s[0], RECORDED) for s in SERVICES], CREDENTIALS, REPLAYED)

server = agentkit.server()
place = agentkit.Place()
command = [agentkit.AGENTS_PYTHON, "-c", CLIENTS]
way = [w for s in SERVICES for w in ("--connect-to", "%s:443:127.0.0.1:%d" % (s[1], server.tls_port))]


def run(*argv):
    return subprocess.run([*argv, "--", *command], cwd=place.work, env=place.record, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)


first = run(os.path.join(BUILD, "vcr-record"), "-q", "--lane=gate", *way, "--cacert", server.ca)
server.settle()
session, asked = place.session(), {c["q"]: c for c in server.calls()}
frames = {agentkit.question(session.body(f, "request")): f for f in session.calls()}
for n, (name, host, api, model, path) in enumerate(SERVICES, 1):
    wrong = []
    for q, want in (("%d0" % n, path), ("%d1" % n, path.replace(":generate", ":streamGenerate"))):
        f = frames.get(q)
        v = session.vcr(f) if f else {}
        told = (v.get("api"), (v.get("host") or "").split(":")[0], (v.get("path") or "").split("?")[0], (f or {}).get("metadata", {}).get("model"))
        if told != (api, host, want, model) or session.body(f, "request") != asked[q]["request"] or session.body(f, "response") != asked[q]["answer"]:
            wrong += [q, told, q in asked]
    ok(not wrong, "%s: %s" % (name, RECORDED), wrong, first.returncode, first.stderr[-1500:])
kept = open(session.path, "rb").read()
ok(len(frames) == 2 * len(SERVICES) and not [k for k in (KEY, TOKEN) if k.encode() in kept], CREDENTIALS, frames.keys())
asked_before = len(server.calls())
again = run(*agentkit.OFFLINE, os.path.join(BUILD, "vcr-replay"), session.path)
ok((again.returncode, again.stdout) == (0, first.stdout) and again.stdout.count(b"\n") == 2 * len(SERVICES) and len(server.calls()) == asked_before, REPLAYED, again.returncode, again.stdout[-300:],
   again.stderr[-1500:])
server.close()
agentkit.done()
