#!/usr/bin/python3
"""vcr blame: from a line of a file to the frame that wrote it, the tool call, the model call, and the words of a person that led to it."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
import clikit  # noqa: E402,F401
import serverkit  # noqa: E402
from project import Project  # noqa: E402
from tapkit import done, ok  # noqa: E402

AGENT = r'''
import http.client, json, subprocess, sys
def ask(messages):
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    c.request("POST", "/v1/chat/completions", json.dumps({"model": "gpt-4o", "messages": messages}), {"Content-Type": "application/json"})
    return json.loads(c.getresponse().read())["choices"][0]["message"]
m = [{"role": "system", "content": "be good"}, {"role": "user", "content": sys.argv[2]}]
while True:
    said = ask(m)
    m.append(said)
    if not said.get("tool_calls"):
        break
    for call in said["tool_calls"]:
        subprocess.run(["bash", "-c", json.loads(call["function"]["arguments"])["command"]], check=True)
        m.append({"role": "tool", "tool_call_id": call["id"], "content": "done"})
'''
SCRIPTS = {
    "write the sum": ["printf 'def sum():\\n    return 1\\n# end\\n' > a.py", "sed -i 's/return 1/return 2/' a.py"],
    "say hello too": ["sed -i '1i import sys' a.py; mv a.py b.py; printf 'print(\"hello\")\\n' >> b.py"],
}


def answer(request, path):
    asked = [m for m in request["messages"] if m["role"] == "user"][-1]["content"]
    step = sum(m["role"] == "tool" for m in request["messages"])
    script = SCRIPTS[asked]
    saved = p.state("shadow.git", "refs", "vcr", "first" if asked == "write the sum" else "second", str(step))
    until = time.monotonic() + 60
    while not os.path.exists(saved) and time.monotonic() < until: # a model thinks for longer than a savepoint takes
        time.sleep(0.002)
    if step >= len(script):
        return serverkit.completion("done")
    message = {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_%s_%d" % (asked[:3], step), "type": "function", "function": {"name": "run_bash", "arguments": json.dumps({"command": script[step]})}}]}
    return {"id": "c", "object": "chat.completion", "model": "gpt-4o", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}


server = serverkit.Model(answer)
p = Project(git=False)
p.sh("printf '# old\\n' > old.txt; printf '\\0binary' > bin")
for name, prompt in (("first", "write the sum"), ("second", "say hello too")):
    if name == "second":
        p.sh("printf '# by hand\\n' >> a.py")
    status, out, err = p.vcr("record", "-q", "-s", name, "--", sys.executable, "-c", AGENT, str(server.port), prompt)
    ok(status == 0, "session %s is recorded" % name, err)
p.sh("printf '# after all\\n' >> b.py")
status, out, err = p.vcr("blame", "b.py")
lines = out.splitlines()
rows = {j["text"]: j for j in p.json("vcr", "blame", "--json", "b.py", cwd=p.work)}
ok(status == 0 and len(lines) == 7 and set(rows) == {"import sys", "def sum():", "    return 2", "# end", "# by hand", 'print("hello")', "# after all"}, "each line of a file is told", out, err)


def of(text):
    return tuple(rows[text][k] for k in ("origin", "session", "call", "tool", "model", "prompt"))


ok(of("def sum():") == of("# end") == ("session", "first", 0, "run_bash", "gpt-4o", "write the sum"),
   "a line leads to its session, the model call that asked for it, the tool and the prompt, through a rename in a later session", rows["def sum():"])
ok(of("    return 2") == ("session", "first", 1, "run_bash", "gpt-4o", "write the sum"), "a line that was changed is of the call that changed it", rows["    return 2"])
ok(of("import sys") == of('print("hello")') == ("session", "second", 0, "run_bash", "gpt-4o", "say hello too"), "lines of the next session are of that one", rows["import sys"], rows['print("hello")'])
ok(rows["# by hand"]["origin"] == rows["# after all"]["origin"] == "unrecorded", "what nobody recorded, between sessions and after them, is said to be that", rows["# by hand"])
f = p.json("vcr", "show", "--json", "first", str(rows["    return 2"]["frame"]), cwd=p.work)[0]
ok(f["node_name"].startswith("file:") and f["input_state"]["path"] == "a.py", "the frame is the change of the file", f["node_name"])
status, out, err = p.vcr("blame", "b.py:3")
ok(status == 0 and out.startswith("b.py:3      return 2\n") and re.search(r"session +first, savepoint \d+", out) and re.search(r"written by +frame \d+  file:\w+ by sed", out) and
   re.search(r"tool call +frame \d+  tool:run_bash", out) and re.search(r"model call +frame \d+  llm:gpt-4o", out) and re.search(r"prompt +write the sum\n", out),
   "for one line people get the whole chain", out, err)
ok([j["line"] for j in p.json("vcr", "blame", "--json", "b.py:3", cwd=p.work)] == [3] and p.json("vcr", "blame", "--json", "b.py:3", cwd=p.work)[0] == rows["    return 2"], "and --json the same as for the whole")
ok([j["origin"] for j in p.json("vcr", "blame", "--json", "old.txt", cwd=p.work)] == ["before"], "what was there before any session is before")
ok(p.json("vcr", "blame", "--json", "b.py:2", "second", cwd=p.work)[0]["origin"] == "before", "with a session, what is older than that is before")
p.sh("mkdir -p d; printf 'x:1\\n' > 'd/odd:1'")
ok(p.vcr("blame", "odd:1", cwd=p.work + "/d")[0] == 0, "a file whose name ends like a line is a file; names are relative to where the call is made")
for argv, word in ((["nosuch"], "no such file"), (["b.py:99"], "7 lines"), (["bin"], "no text"), (["/etc/passwd"], "not in the workspace"), (["d"], "cannot be read"), ([], "which file"), (["b.py", "nosuch"], "nosuch")):
    status, out, err = p.vcr("blame", *argv)
    ok(status == 2 and word in err and not out, "a wrong call is refused in words: %s" % (" ".join(argv) or "nothing"), status, err)
server.close()
done()
