"""callcheck.py — a client asked the model server everything in clients.ASKS: its session against the server's log, byte for byte."""
import json

import agentkit
import clients
import replies
from agentkit import ok

PROMISES = ("each call is one frame, none doubled or swapped", "requests and answers are rebuilt byte for byte, and complete states with them",
            "model, tokens, stop reason and errors are the provider's own", "the client hears what it hears without us")


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


def expected(call, words, cuts_are_heard=True):
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
        return "error", ("closed",) if do["abort"] == "close" or (do["abort"] == "cut" and ("plain" in words or not cuts_are_heard)) else (do["abort"],)
    return "llm", (None,)


def wrong_words(words, session, frame, call, cuts_are_heard):
    m, v = frame["metadata"], session.vcr(frame)
    kind, errors = expected(call, words, cuts_are_heard)
    got = [frame["frame_type"], m["error_type"] in errors, m["model"], v.get("status", 0), v["api"]]
    want = [kind, True, call["model"], 0 if "never" in call["do"] else call["status"], call["api"]]
    if kind == "llm":
        got += [m["tokens_input"], m["tokens_output"], v["stop_reason"], v["complete"]]
        want += [call["tokens_in"], call["tokens_out"], call["stop"], True]
    elif call["status"] >= 400:
        got.append("question %s: scripted failure" % call["q"] in (m["error_message"] or ""))
        want.append(True)
    return [] if got == want else ["question %s: %s, not %s; error %s" % (call["q"], got, want, m["error_type"])]


def wrong_hearing(sdk, call, heard):
    """The text that the client took from the answer, where it took all of it."""
    if expected(call, "")[0] == "error":
        return []
    text = call["text"] if sdk else call["answer"].decode()
    return [] if heard["text"] == text else ["question %s: heard %r" % (call["q"], heard)]


def check(title, argv, words, how, sdk, env=lambda server: {}, cuts_are_heard=True):
    """Run a client of clients.ASKS against a server of its own; four test points. argv: its command, and the number of its first question last."""
    first = int(argv[-1])
    server = agentkit.server()
    place = agentkit.Place(server)
    r = place.run(*argv, *words.split(), how=how, env=env(server))
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
       "%d frames, %d questions, %d calls" % (len(session.calls()), len(frames), len(calls)), sorted(set(calls) ^ set(frames), key=str), session.end, r.stderr.decode()[-2000:])
    wrong = [w for b in both for w in wrong_bodies(*b)]
    ok(both and not wrong and not session.complaints, "%s: %s" % (title, PROMISES[1]), session.complaints, *wrong)
    wrong = [w for b in both for w in wrong_words(words, *b, cuts_are_heard)]
    ok(both and not wrong, "%s: %s" % (title, PROMISES[2]), *wrong)
    wrong = [w for q in calls for w in wrong_hearing(sdk, calls[q], heard.get(q))]
    ok(r.returncode == 0 and not wrong, "%s: %s" % (title, PROMISES[3]), r.returncode, r.stderr.decode()[-2000:], *wrong)
    server.close()
