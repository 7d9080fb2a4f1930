#!/usr/bin/python3
"""vcr show: one frame with its complete state, as people read it, as JSON, and as the bytes that were recorded."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BEGAN, END, Place, chat, done, frame, header, json, ok, said, vcr

place = Place()
system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Fix the test.\nPlease, Ä."}
calls, result = said(bash={"cmd": "ls", "why": "to \"look\""})["choices"][0]["message"], {"role": "tool", "tool_call_id": "c1", "content": "src\nmain.c"}
body = b'{"messages": [\x1b]}'
place.write("talk", header("talk"),
            {"type": "vcr.body", "data": {"ref": "00aa", "size": len(body), "sha256": "", "enc": "text", "text": body.decode()}},
            chat(0, [system, user], {"choices": [{"message": calls}]}, latency_ms=1500.0, tokens_used=120, tokens_input=100, tokens_output=20, cost_usd=0.25),
            frame(1, "tool", "exec:ls", {"argv": ["ls", "a b", "it's"], "cwd": "/w", "pid": 9, "parent": 7}, {"exit_code": 2}, parent=0, custom=vcr(pid=9)),
            frame(2, "tool", "file:write", {"path": "src/main.c", "before": {"size": 2, "mode": "100644", "sha256": "ab" * 32}},
                  {"after": {"size": 4, "mode": "100755"}, "diff": "--- a/src/main.c\n+++ b/src/main.c\n@@ -1,2 +1,2 @@\n same\n-old\x1b[1m\n+new\n"}, custom=vcr(program="sed", pid=4, source="shim")),
            chat(3, [calls, result], said("All done."), after=0, omitted=2),
            chat(4, [{"role": "user", "content": "again"}], None, after=3, omitted=4, kind="error", error_type="rate_limit", error_message="slow down\x1b[2J"),
            frame(5, "checkpoint", "savepoint", {"message": "m"}, {"files": 3}, custom=vcr()), END)
complete = [system, user, calls, result]

one = place.json("vcr-show", "--json", "3")[0]
ok(one["index"] == 3 and one["input_state"] == {"model": "gpt-4o", "temperature": 0.5, "messages": complete} and one["output_state"]["response"] == said("All done."),
   "--json is the whole frame as one object, its input state complete", one)
ok(place.json("vcr", "show", "--json", "talk", "3")[0] == one and place.json("vcr-show", "--json", place.path("talk"), "3", cwd="/")[0] == one,
   "a session is given by id or path; without one it is the newest")
for what, index in (("start", 0), ("end", 5), ("call:0", 0), ("call:1", 3), ("call:2", 4), ("@2026-11-24T10:00:02Z", 2), ("@10:00:01", 1), ("@2026-11-24T10:00:04", 4)):
    ok([f["index"] for f in place.json("vcr-show", "--json", what)] == [index], "%s is frame %d" % (what, index))
for what, words in (("9", "talk.vcr has no frame 9: its frames are 0 to 5"), ("call:7", "has no call:7: it has 3 model calls"), ("x", "names no frame"), ("-1", "unknown option")):
    status, out, err = place.run("vcr-show", what)
    ok(status == 2 and words in err and not out, "a frame that does not exist (%s) is refused in words" % what, err)
status, out, err = place.run("vcr-show", place.path("talk"))
ok(status == 2 and "which frame of" in err, "a session without a frame is asked for the frame", err)

status, out, err = place.run("vcr-show", "3")
order = ["frame 3", "follows: frame 0", "POST https://api.example.com/v1/chat/completions  200", "by: python3, pid 7", "temperature: 0.5", "── system (earlier) ──", "Be brief.",
         "── user (earlier) ──", "Fix the test.\nPlease, Ä.", "── assistant ──", "calls bash", '    "why": "to \\"look\\""', "── tool ──", "result of c1", "  src\n  main.c", "── answer ──", "All done."]
at = [out.find(words) for words in order]
ok(status == 0 and -1 not in at and at == sorted(at) and not err, "a call reads as a conversation: who, what, tool calls and results, the answer, and what an earlier call showed already", at, out)
status, out, err = place.run("vcr-show", "0")
ok("usage: 100 in, 20 out tokens, $0.2500" in out and "took 1.50s" in out, "tokens, cost and time stand at the end and the beginning", out)
status, out, err = place.run("vcr-show", "call:2")
ok("ERROR rate_limit: slow down\\x1b[2J" in out, "an error is prominent, and no terminal obeys its words", out)
status, out, err = place.run("vcr-show", "1")
ok("$ ls 'a b' 'it'\\''s'" in out and "cwd: /w" in out and "exit code: 2" in out, "a program shows a command line that a shell takes, directory and exit code", out)
status, out, err = place.run("vcr-show", "--color=always", "2")
ok("\x1b[32m+new\x1b[m" in out and "\x1b[31m-old\\x1b[1m\x1b[m" in out and "\x1b[36m@@ -1,2 +1,2 @@\x1b[m" in out and "before:\x1b[m 2 bytes, mode 100644, sha256 abab" in out and
   "by:\x1b[m sed, pid 4 (seen by shim)" in out, "a file shows before and after, who changed it, and its diff in colour", out)
ok("\x1b" not in place.run("vcr-show", "2")[1] and "\x1b" not in place.run("vcr-show", "2", env={"NO_COLOR": "1"})[1], "there are no colours in a file or pipe")
status, out, err = place.run("vcr-show", "5")
ok("── input ──" in out and '"message": "m"' in out and '"files": 3' in out, "other frames show their states as JSON", out)

place.write("raw", header("raw", BEGAN.replace(day=25)), {"type": "vcr.body", "data": {"ref": "00aa", "size": len(body), "sha256": "00" * 32, "enc": "text", "text": body.decode()}},
            frame(0, "llm", "llm:m", {}, {}, custom=vcr(request="00aa")))
status, out, err = place.run("vcr-show", "--raw=request", "0")
ok(status == 3 and "raw.vcr:2:" in err and not out, "a damaged body is named by file and line", status, err)
import hashlib  # noqa: E402
place.write("raw", header("raw", BEGAN.replace(day=25)), {"type": "vcr.body", "data": {"ref": "00aa", "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "enc": "text", "text": body.decode()}},
            frame(0, "llm", "llm:m", {}, {}, custom=vcr(request="00aa")), frame(1, "tool", "file:write", {"path": "f"}, {"content": "00aa"}, custom=vcr()))
ok(place.run("vcr-show", "--raw=request", "0")[:2] == (0, body.decode()), "--raw request is the bytes that were sent, and nothing else")
ok(place.run("vcr-show", "--raw=content", "1")[:2] == (0, body.decode()), "--raw content is a file's content")
status, out, err = place.run("vcr-show", "--raw=response", "0")
ok(status == 1 and "has no recorded response" in err, "what was not recorded is status 1", err)
ok(place.run("vcr-show", "--raw=x", "0")[0] == 2 and place.run("vcr-show")[0] == 2 and place.run("vcr-show", "a", "b", "c")[0] == 2, "wrong calls are status 2")

shapes = {
    "Anthropic": ({"model": "claude", "max_tokens": 9, "system": [{"type": "text", "text": "SYS"}], "tools": [{"name": "bash"}, {"name": "edit"}], "messages": [
        {"role": "user", "content": "ASK"}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "HMM"}, {"type": "tool_use", "id": "t1", "name": "bash", "input": {"cmd": "CMD"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [{"type": "text", "text": "BROKE"}]},
                                     {"type": "image", "source": {"data": "A" * 999}}]}]},
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "ANSWER"}]},
        ["max_tokens: 9", "tools: bash, edit", "── system ──", "SYS", "── user ──", "ASK", "── assistant ──", "thinking", "HMM", "calls bash", "CMD", "failed result of t1", "BROKE", "[image, ", "── answer ──", "ANSWER"]),
    "OpenAI responses": ({"model": "o", "instructions": "SYS", "input": [{"role": "user", "content": [{"type": "input_text", "text": "ASK"}]}, {"type": "reasoning", "summary": [{"type": "summary_text", "text": "HMM"}]},
        {"type": "function_call", "call_id": "c", "name": "bash", "arguments": "{\"cmd\":\"CMD\"}"}, {"type": "function_call_output", "call_id": "c", "output": "RESULT"}]},
        {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ANSWER"}]}, {"type": "function_call", "name": "edit", "arguments": "{}"}]},
        ["SYS", "ASK", "HMM", "calls bash", "CMD", "result of c", "RESULT", "── answer ──", "ANSWER", "calls edit"]),
    "Gemini": ({"systemInstruction": {"parts": [{"text": "SYS"}]}, "tools": [{"functionDeclarations": [{"name": "bash"}]}], "contents": [{"role": "user", "parts": [{"text": "ASK"}]},
        {"role": "model", "parts": [{"text": "HMM", "thought": True}, {"functionCall": {"name": "bash", "args": {"cmd": "CMD"}}}]}, {"role": "user", "parts": [{"functionResponse": {"name": "bash", "response": {"r": "RESULT"}}}]}]},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "ANSWER"}]}}]},
        ["tools: bash", "SYS", "ASK", "── model ──", "thinking", "HMM", "calls bash", "CMD", "result of bash", "RESULT", "── answer ──", "ANSWER"]),
    "completions": ({"prompt": "ASK"}, {"choices": [{"text": "ANSWER"}]}, ["── user ──", "ASK", "── answer ──", "ANSWER"]),
    "embeddings": ({"input": ["ONE", "TWO"]}, {"data": [{"embedding": [1, 2, 3]}, {"embedding": [4, 5, 6]}]}, ["ONE", "TWO", "[2 embeddings of 3 numbers]"]),
    "an unknown API's": ({"weird": {"x": ["ASK"]}}, {"strange": "ANSWER"}, ["── request ──", '"weird": {', "── answer ──", '"strange": "ANSWER"']),
    "a bare": ({"messages": [{"role": "user", "content": "ASK"}]}, {"content": "ANSWER"}, ["ASK", "── answer ──", "ANSWER"]),
}
for n, (name, (request, answer, order)) in enumerate(shapes.items()):
    place.write("shape%d" % n, header("shape%d" % n), frame(0, "llm", "llm:m", request, {"response": answer}))
    status, out, err = place.run("vcr-show", "shape%d" % n, "0")
    at, place_of = 0, []
    for words in order:
        at = out.find(words, at)
        place_of.append(at)
        at = max(at, 0)
    ok(status == 0 and -1 not in place_of, "%s conversation is shown in order" % name, place_of, out)
place.write("odd", header("odd"), frame(0, "llm", "llm:m", {"messages": [1, None, {"role": 3, "content": {"parts": [[[[[[[["x"]]]]]]]]}}, {"tool_calls": {"a": 1}}, [], "s"], "system": 4, "tools": [1, {"function": 2}]},
                                        {"response": {"choices": [None, 1, {"message": None}]}}))
status, out, err = place.run("vcr-show", "odd", "0")
ok(status == 0 and not err, "members of the wrong type do no harm", status, out, err)

place.write("lost", header("lost", BEGAN.replace(day=26)), chat(7, [{"role": "user", "content": "tail"}], said("x"), after=3, omitted=4))
status, out, err = place.run("vcr-show", "lost", "0")
ok(status == 3 and "lost.vcr:2:" in err and "tail" in out, "a state that cannot be completed is said, with file and line, and what there is is shown", status, err)
place.write("new", header("new", BEGAN.replace(day=26)), frame(0, "node", "n", custom=vcr(format=2)))
status, out, err = place.run("vcr-show", "new", "0")
ok(status == 3 and "format 2" in err and "newer vcr" in err, "a frame of a later format is refused by its number", err)
place.write("news", header("news", BEGAN.replace(day=27)), chat(0, [{"role": "user", "content": "first words"}], said("one")), chat(1, [{"role": "user", "content": "second words"}], said("two"), after=0, omitted=1))
status, out, err = place.run("vcr-show", "--new", "news", "1")
ok(status == 0 and "second words" in out and "two" in out and "first words" not in out and "1 earlier message" in out and "first words" in place.run("vcr-show", "news", "1")[1],
   "--new leaves out what an earlier frame shows, and says how much that is", out, err)
ok(place.run("vcr-show", "--new", "--json", "news", "1")[0] == 2, "--new with --json is a wrong call")
done()
