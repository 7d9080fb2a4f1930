#!/usr/bin/python3
"""vcr diff: two frames with their complete states, and two whole sessions, as people read it and as JSON."""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import END, Place, chat, done, frame, header, ok, said, vcr

place = Place()
KEYS = ["op", "part", "path", "old_path", "old", "new", "old_frame", "new_frame"]
SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Fix the test.\nPlease.\n"}


def changes(*argv):
    """What --json says, without the totals."""
    return [(c["op"], c["part"], c["path"]) for c in place.json("vcr-diff", "--json", *argv) if c["op"] != "totals"]


# ---- Frames ----
place.write("talk", header("talk"),
            chat(0, [SYSTEM, USER], said("No."), latency_ms=1500.0, tokens_used=120, tokens_input=100, tokens_output=20, cost_usd=0.25),
            chat(1, [{"role": "assistant", "content": "No."}, {"role": "user", "content": "Yes."}], said("Yes."), after=0, omitted=2, latency_ms=500.0, tokens_used=150, tokens_input=140,
                 tokens_output=10, cost_usd=0.5),
            chat(2, [SYSTEM, {"role": "user", "content": "Look first."}, USER], said("No.")),
            chat(3, [SYSTEM, {"role": "user", "content": "Fix the build.\nPlease.\n"}], said("No.")),
            chat(4, [SYSTEM, {"role": "user", "content": "It is the third test of the second file, \x1b[31mI think."}], said("No.")),
            chat(5, [SYSTEM, {"role": "user", "content": "It is the fourth test of the second file, \x1b[31mI think."}], said("No.")),
            chat(6, [SYSTEM, USER], said("No.")), END)
status, out, err = place.run("vcr-diff", "0", "6")
ok(status == 0 and not out and not err, "equal frames: nothing is said, status 0", status, out, err)
ok(place.run("vcr-diff", "-q", "0", "1")[:2] == (1, "") and place.run("vcr-diff", "-q", "0", "6")[:2] == (0, ""), "-q says the status only")
ok(changes("0", "2") == [("added", "input", "/messages/1")], "a message that was inserted is one addition", changes("0", "2"))
ok(changes("2", "0") == [("removed", "input", "/messages/1")], "and one removal the other way round", changes("2", "0"))
ok(changes("0", "1") == [("added", "input", "/messages/2"), ("added", "input", "/messages/3"), ("changed", "output", "/response/choices/0/message/content")],
   "states are compared complete: what an earlier frame showed is put back", changes("0", "1"))
every = place.json("vcr-diff", "--json", "0", "3")
ok([list(c) for c in every] == [KEYS] * 2, "every object of --json has the same keys", every)
ok(every[0] == {"op": "changed", "part": "input", "path": "/messages/1/content", "old_path": "/messages/1/content", "old": USER["content"], "new": "Fix the build.\nPlease.\n",
                "old_frame": 0, "new_frame": 3}, "a change has its place and both values", every[0])
ok(every[1]["op"] == "totals" and every[1]["old"]["tokens_in"] == 100 and every[1]["new"]["tokens_in"] is None and every[1]["old"]["cost_usd"] == 0.25, "the last object has both totals", every[1])
status, out, err = place.run("vcr-diff", "0", "3")
ok(status == 1 and not err and "changed /messages/1/content\n" in out and "  -Fix the test.\n  +Fix the build.\n   Please.\n" in out, "a text of several lines is shown as a diff of its lines", out)
status, out, err = place.run("vcr-diff", "-w", "0", "3")
ok("    Fix the [-test-]{+build+}.\n    Please.\n" in out, "--words shows it word by word", out)
status, out, err = place.run("vcr-diff", "4", "5")
ok("It is the [-third-]{+fourth+} test of the second" in out and "\x1b" not in out and "\\x1b[31mI think." in out, "a text of one line is shown by its words, and no terminal obeys it", out)
status, out, err = place.run("vcr-diff", "--color=always", "4", "5")
ok("It is the \x1b[31mthird\x1b[m\x1b[32mfourth\x1b[m test" in out, "in colours the words alone say it, as git does", out)
status, out, err = place.run("vcr-diff", "--color=always", "0", "3")
ok("\x1b[31m-Fix the test.\x1b[m" in out and "\x1b[32m+Fix the build.\x1b[m" in out, "lines are coloured as git colours them", out)
status, out, err = place.run("vcr-diff", "0", "2")
ok("added /messages/1\n" in out and '  + {\n  +   "role": "user",\n  +   "content": "Look first."\n  + }\n' in out, "an added value is shown whole", out)
status, out, err = place.run("vcr-diff", "0", "1")
rows = {line[:11].strip(): line[11:].split() for line in out.splitlines()}
ok(rows.get("tokens in") == ["100", "140", "+40"] and rows.get("tokens out") == ["20", "10", "-10"] and rows.get("cost") == ["$0.2500", "$0.5000", "+$0.2500"] and
   rows.get("calls took") == ["1.50s", "500ms", "-1.00s"], "tokens, cost and time stand side by side", rows)
ok(out.startswith("--- talk frame 0  llm  llm:gpt-4o\n+++ talk frame 1  llm  llm:gpt-4o\n@@ input @@\n"), "what is compared is named first", out)
status, out, err = place.run("vcr-diff", "--stat", "0", "1")
ok(status == 1 and "input   2 added, 0 removed, 0 changed\noutput  0 added, 0 removed, 1 changed\n" in out, "--stat counts", out)
ok(place.json("vcr-diff", "--json", "--stat", "0", "1")[1]["new"] == {"added": 2, "removed": 0, "changed": 0}, "also in JSON")
for one, other in (("call:0", "call:2"), ("start", "@10:00:02"), ("0", "2")):
    ok(changes("talk", one, other) == [("added", "input", "/messages/1")], "frames are given as everywhere: %s, %s" % (one, other))
ok(changes(place.path("talk"), "0", "talk", "2") == [("added", "input", "/messages/1")], "frames of two sessions are compared")

# ---- Wrong calls ----
for argv, words in (([], "compare two frames or two sessions"), (["3"], "which frame is frame 3 to be compared with?"), (["talk"], "what is talk to be compared with?"),
                    (["talk", "3"], "which frame is frame 3 to be compared with?"), (["1", "2", "3"], "compare two frames or two sessions"), (["3", "99"], "talk.vcr has no frame 99"),
                    (["talk", "none"], "none")):
    status, out, err = place.run("vcr-diff", *argv)
    ok(status == 2 and words in err and not out, "a wrong call (%s) is status 2 and says what is wrong" % " ".join(argv), status, err)
place.write("torn", header("torn"), chat(7, [USER], said("x"), after=3, omitted=4), chat(8, [USER], said("x")))
status, out, err = place.run("vcr-diff", "torn", "0", "1")
ok(status == 3 and "torn.vcr:2:" in err, "a state that cannot be completed is status 3 and named", status, err)


# ---- Sessions ----
def ran(n, argv, code=0, **more):
    return frame(n, "tool", "exec:" + argv[0], {"argv": argv, "pid": n, "parent": 1}, {"exit_code": code}, custom=vcr(pid=n), **more)


def wrote(n, path, text, before=None, node="file:write"):
    after = {"size": len(text), "mode": "100644", "sha256": "%064x" % hash(text)} if text is not None else None
    return frame(n, "tool", node, {"path": path, "before": {"size": 1} if before else None}, {"after": after, **({"content": "%032x" % abs(hash(text))} if text is not None else {})}, custom=vcr())


def body(text):
    return {"type": "vcr.body", "data": {"ref": "%032x" % abs(hash(text)), "size": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest(), "enc": "text", "text": text}}


def run(name, *lines):
    place.write(name, header(name), *lines, END)


def answer(text, id, **call):
    a = dict(said(text, **call), id="chatcmpl-" + id, created=len(id))
    for t in a["choices"][0]["message"].get("tool_calls", []):
        t["id"] = "call_" + id
    return a


def talk(id, second="content of f", more=(), last="Done."):
    """A conversation of two calls with ids that the server makes up."""
    one = answer(None, id, bash={"cmd": "ls"})
    result = {"role": "tool", "tool_call_id": "call_" + id, "content": second}
    return [chat(0, [SYSTEM, USER], one, tokens_input=10, tokens_output=5, tokens_used=15, latency_ms=100.0), ran(1, ["ls", "-l"]),
            chat(2, [one["choices"][0]["message"], *more, result], answer(last, id + "2"), after=0, omitted=2, tokens_input=20, tokens_output=5, tokens_used=25, latency_ms=100.0)]


run("a", *talk("one"))
run("b", *talk("two"))
status, out, err = place.run("vcr-diff", "a", "b")
ok((status, out, err) == (0, "", ""), "two runs that differ in nothing but ids and times that a server made up are the same", out, err)
ok(place.run("vcr-diff", "-q", "a", "b") == (0, "", ""), "-q says so by its status")
run("c", *talk("three", second="other content", last="Failed."))
status, out, err = place.run("vcr-diff", "a", "c")
ok(status == 1 and "first divergence: call:1 differs: /messages/3/content and 1 more\n" in out, "the first divergence is named: call and place", out, err)
ok(changes("a", "c") == [("changed", "input", "/messages/3/content"), ("changed", "output", "/response/choices/0/message/content")], "in JSON every change is told, with its frames", changes("a", "c"))
for name, id, second in (("c1", "one", "content of f"), ("c2", "six", "other content")):
    run(name, *talk(id, second=second), chat(3, [said("Done.")["choices"][0]["message"], {"role": "user", "content": "And %s?" % second}], said("x"), after=2, omitted=4))
ok(changes("c1", "c2") == [("changed", "input", "/messages/3/content"), ("changed", "input", "/messages/5/content")], "what a call repeats of the conversation before it is not told again; "
   "places are those of the complete state", changes("c1", "c2"))
run("d", *talk("four", last="Failed."))
status, out, err = place.run("vcr-diff", "a", "d")
ok(status == 1 and "first divergence: call:1 is answered differently: /response/choices/0/message/content\n" in out, "so is an answer that differs where the question does not", out)
status, out, err = place.run("vcr-diff", "-v", "a", "c")
ok("- content of f" in out and "+ other content" in out, "-v shows the changes", out)
other = chat(9, [SYSTEM, {"role": "user", "content": "Another lane."}], said("Ja."))
run("e", chat(0, [SYSTEM, {"role": "user", "content": "Another lane."}], said("Ja.")),
    chat(3, [SYSTEM, USER], answer(None, "one", bash={"cmd": "ls"})), ran(4, ["ls", "-l"]),
    chat(5, [answer(None, "one", bash={"cmd": "ls"})["choices"][0]["message"], {"role": "tool", "tool_call_id": "call_one", "content": "content of f"}], answer("Done.", "one2"), after=3, omitted=2))
ok(changes("a", "e") == [("added", "step", "")], "calls are aligned by conversation: one more lane is one more call", place.run("vcr-diff", "a", "e")[1])
status, out, err = place.run("vcr-diff", "a", "e")
ok("first divergence: call:0 only in the new: llm:gpt-4o" in out, "a call that only one session has is told", out)
run("f", *talk("one"), other)
ok(changes("f", "a") == [("removed", "step", "")] and changes("f", "e") == [], "the order of independent conversations does not matter", changes("f", "e"))
run("g", chat(0, [SYSTEM, USER], None, kind="error", error_type="rate_limit", error_message="slow down"), chat(1, [SYSTEM, USER], said("x")))
run("h", chat(0, [SYSTEM, USER], said("x")))
ok(changes("g", "h") == [("removed", "step", "")], "a failed call that was asked again is not taken for the one that succeeded", place.run("vcr-diff", "g", "h")[1])
run("i", chat(0, [{"role": "user", "content": "1"}], said("x")), chat(1, [{"role": "user", "content": "2"}], said("x")))
run("j", chat(0, [{"role": "user", "content": "1"}], said("x")), frame(1, "llm", "llm:claude", {"model": "claude", "messages": [{"role": "user", "content": "3"}]}, {"response": said("x")}))
ok(("changed", "input", "/model") in changes("i", "j") and ("changed", "frame", "/node_name") in changes("i", "j"), "a call to another model is a call that differs", changes("i", "j"))

run("files1", body("one\ntwo\n"), body("x\n"), chat(0, [USER], said("x")), wrote(1, "src/a.c", "one\ntwo\n"), wrote(2, "same", "x\n"), wrote(3, "gone", "x\n"), wrote(4, "gone", None, before=True, node="file:delete"),
    wrote(5, "old", "x\n"), ran(6, ["make", "all it"], 2), ran(7, ["ls"]), ran(8, ["only", "here"]))
run("files2", body("one\n2\n"), body("x\n"), chat(0, [USER], said("x")), wrote(1, "src/a.c", "x\n"), wrote(2, "src/a.c", "one\n2\n", before=True), wrote(3, "same", "x\n"), ran(4, ["ls"]), ran(5, ["make", "all it"]),
    wrote(6, "new", "x\n"))
ok(changes("files1", "files2") == [("added", "file", "new"), ("removed", "file", "old"), ("changed", "file", "src/a.c"), ("changed", "program", "make 'all it'"), ("removed", "program", "only here")],
   "files go by what they hold in the end, programs by their command line", changes("files1", "files2"))
status, out, err = place.run("vcr-diff", "files1", "files2")
ok(status == 1 and "changed src/a.c\n" in out and "   one\n  -two\n  +2\n" in out and "changed make 'all it': exit code 2, now exit code 0\n" in out and "only in the new: new\n" in out, "the contents are compared", out)
status, out, err = place.run("vcr-diff", "--stat", "files1", "files2")
ok("steps       1 the same, 0 differ, 0 only in the old, 0 only in the new\n" in out and "files       1 the same, 1 differ, 1 only in the old, 1 only in the new\n" in out and
   "programs    1 the same, 1 differ, 1 only in the old, 0 only in the new\n" in out, "--stat counts them", out)
status, out, err = place.run("vcr-diff", "--stat", "a", "g")
rows = {line[:11].strip(): line[11:].split() for line in out.splitlines()}
ok(rows.get("calls") == ["2", "2"] and rows.get("errors") == ["0", "1", "+1"] and rows.get("tokens in") == ["30", "-"] and rows.get("time") == ["2.00s", "1.00s", "-1.00s"],
   "calls, errors, tokens and time of both stand side by side", rows, out)

def nodes(*values):
    return [frame(i, "node", "n", {"a": v}, {"b": 0}, parent=i - 1 if i else None) for i, v in enumerate(values)]


run("nodes1", *nodes(1, 2, 3, 9))
run("nodes2", *nodes(1, 7, 8, 3, 10))
told = [(c["op"], c["old_frame"], c["new_frame"]) for c in place.json("vcr-diff", "--json", "nodes1", "nodes2")]
ok(told == [("changed", 1, 1), ("added", None, 2), ("changed", 3, 4), ("totals", None, None)], "between steps that ask the same, the rest are paired in order", told)

# ---- ai-agent-vcr's ----
state = {"messages": [{"role": "user", "content": "hi"}], "id": "ticket-1"}
run("plain1", frame(0, "node", "plan", state, {"steps": ["a", "b"]}), frame(1, "tool", "tool:search", {"q": "x"}, {"hits": 1}, parent=0), frame(2, "node", "act", {"n": 1}, {"n": 2}, parent=1))
run("plain2", frame(0, "node", "plan", dict(state, id="ticket-2"), {"steps": ["a", "z", "b"]}), frame(1, "node", "act", {"n": 1}, {"n": 2}, parent=0))
ok(changes("plain1", "0", "plain2", "0") == [("changed", "input", "/id"), ("added", "output", "/steps/1")], "frames of ai-agent-vcr are compared", changes("plain1", "0", "plain2", "0"))
ok(changes("plain1", "plain2") == [("changed", "input", "/id"), ("added", "output", "/steps/1"), ("removed", "step", "")], "so are its sessions; an id of the agent's own is a difference", changes("plain1", "plain2"))
done()
