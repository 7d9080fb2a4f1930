#!/usr/bin/python3
"""Real client packages ask a model everything that can go well or wrong; their sessions hold what was said, byte for byte."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import clients
import replies
from agentkit import ok

RUNS = [(n, w) for n in ("openai", "responses", "anthropic", "genai", "httpx") for w in ("sync", "async")]
RUNS += [("requests", "sync"), ("aiohttp", "async"), ("requests", "sync plain"), ("aiohttp", "async plain")]
HOW = {"preload": "LD_PRELOAD", "record": "vcr-record"}
PROMISES = ("each call is one frame, none doubled or swapped", "requests and answers are rebuilt byte for byte, and complete states with them",
            "model, tokens, stop reason and errors are the provider's own", "the client hears what it hears without us")
NAMES = ["%s %s under %s" % (name, words, HOW[how]) for how in HOW for name, words in RUNS]
agentkit.need_agents(*["%s: %s" % (n, p) for n in NAMES for p in PROMISES])
# Some versions of Python (3.10 to 3.11.2) tell OpenSSL to take the end of the bytes for the end of TLS: then a cut is a close, to them and to us.
CUTS_ARE_HEARD = not subprocess.run([agentkit.AGENTS_PYTHON, "-c", "import ssl, sys; sys.exit(bool(ssl.create_default_context().options & ssl.OP_IGNORE_UNEXPECTED_EOF))"]).returncode


def wrong_bodies(session, frame, call):
    """What of the two bodies and the state differs from the server's log."""
    out = []
    request, answer = session.body(frame, "request"), session.body(frame, "response")
    if request != call["request"]:
        out.append("request of question %s: %d bytes, not %d" % (call["q"], len(request), len(call["request"])))
    if call.get("ended") == "reset":  # a reset may overtake what was sent before it
        if not (call["answer"].startswith(answer) and answer):
            out.append("answer to question %s is not what came before the reset" % call["q"])
    elif answer != (b"" if "never" in call["do"] else call["answer"]):
        out.append("answer to question %s: %d bytes, not %d" % (call["q"], len(answer), len(call["answer"])))
    if session.input(frame) != json.loads(call["request"]):
        out.append("state of question %s" % call["q"])
    return out


def expected(call, words):
    """(frame type, possible error types)"""
    do = call["do"]
    if call["status"] >= 400:
        e = replies.error(call["api"], call["status"], "")["error"]
        return "error", (e.get("type") or e.get("status"),)
    if "never" in do:
        return "error", ("aborted",)
    if "malformed" in do:
        return "error", ("malformed",)
    if "abort" in do and "async" in words and "plain" not in words:
        return "error", ("aborted", "closed", "cut", "reset")  # TLS over memory buffers: the library need not learn why the bytes ended
    if "abort" in do:  # without TLS a cut is a close
        return "error", ("closed",) if do["abort"] == "close" or (do["abort"] == "cut" and ("plain" in words or not CUTS_ARE_HEARD)) else (do["abort"],)
    return "llm", (None,)


def wrong_words(words, session, frame, call):
    m, v = frame["metadata"], session.vcr(frame)
    kind, errors = expected(call, words)
    got = [frame["frame_type"], m["error_type"] in errors, m["model"], v.get("status", 0), v["api"]]
    want = [kind, True, call["model"], 0 if "never" in call["do"] else call["status"], call["api"]]
    if kind == "llm":
        got += [m["tokens_input"], m["tokens_output"], v["stop_reason"], v["complete"]]
        want += [call["tokens_in"], call["tokens_out"], call["stop"], True]
    elif call["status"] >= 400:
        got.append("question %s: scripted failure" % call["q"] in (m["error_message"] or ""))
        want.append(True)
    return [] if got == want else ["question %s: %s, not %s; error %s" % (call["q"], got, want, m["error_type"])]


def wrong_hearing(name, call, heard):
    """The text that the client took from the answer, where it took all of it."""
    if expected(call, "")[0] == "error":
        return []
    text = call["text"] if name in clients.SDKS else call["answer"].decode()
    return [] if heard["text"] == text else ["question %s: heard %r" % (call["q"], heard)]


def check(title, name, words, how, first):
    server = agentkit.server()
    place = agentkit.Place(server)
    r = place.run(agentkit.AGENTS_PYTHON, agentkit.CLIENTS, name, str(first), *words.split(), how=how)
    for call in range(first, first + len(clients.ASKS)):
        for style in "sa":
            server.release("%d-%s" % (call, style))
    session = place.session()
    server.settle()
    calls = {c["q"]: c for c in server.calls()}
    frames = {agentkit.question(session.body(f, "request")): f for f in session.calls()}
    heard = {str(h["q"]): h for h in map(json.loads, r.stdout.splitlines())}
    both = [(session, frames[q], calls[q]) for q in calls if q in frames]
    ok(len(session.calls()) == len(frames) == len(calls) == len(clients.ASKS) and frames.keys() == calls.keys() and session.end, "%s: %s" % (title, PROMISES[0]),
       "%d frames, %d questions, %d calls" % (len(session.calls()), len(frames), len(calls)), sorted(set(calls) ^ set(frames), key=str), session.end)
    wrong = [w for b in both for w in wrong_bodies(*b)]
    ok(both and not wrong and not session.complaints, "%s: %s" % (title, PROMISES[1]), session.complaints, *wrong)
    wrong = [w for b in both for w in wrong_words(words, *b)]
    ok(both and not wrong, "%s: %s" % (title, PROMISES[2]), *wrong)
    wrong = [w for q in calls for w in wrong_hearing(name, calls[q], heard.get(q))]
    ok(r.returncode == 0 and not wrong, "%s: %s" % (title, PROMISES[3]), r.returncode, r.stderr.decode()[-2000:], *wrong)
    server.close()


first = 100
for how in HOW:
    for name, words in RUNS:
        check("%s %s under %s" % (name, words, HOW[how]), name, words, how, first)
        first += 100
agentkit.done()
