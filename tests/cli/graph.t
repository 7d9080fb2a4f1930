#!/usr/bin/python3
"""A session as a tree: vcr log --graph and vcr export --mermaid; and states that stand in another frame."""
import json
import os
import pty
import fcntl
import re
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
import clikit
from clikit import BUILD, END, Place, chat, done, frame, header, ok, said, vcr


def user(text):
    return [{"role": "user", "content": text}]


def call(n, text, answer="yes", parent=None, **more):
    line = chat(n, user(text), said(answer))
    line["data"]["parent_frame_id"] = frame(parent, "llm", "x")["data"]["frame_id"] if parent is not None else None
    line["data"]["metadata"]["custom"]["vcr"].update(more)
    return line


def tool(n, name, parent, **more):
    return frame(n, "tool", "tool:" + name, {"a": n}, {"result": "r%d" % n}, parent=parent, custom=vcr(), **more)


place = Place()
place.write("tree", header("tree"),
            call(0, "main"), call(1, "title"), call(2, "sub one", parent=0, known_by="prompt"), tool(3, "bash", 2), call(4, "sub two", parent=0, known_by="process"),
            tool(5, "bash", 4), call(6, "one goes on", parent=2), tool(7, "late", 0), call(8, "two goes on", parent=4), call(9, "main goes on", parent=0),
            call(10, "another way", parent=0), tool(11, "write", 9), call(12, "end", parent=9), END)
status, out, err = place.run("vcr-log", "--graph", "tree")
want = """\
*  0 llm:gpt-4o  main → yes
| *  1 llm:gpt-4o  title → yes
|\\
| *  2 llm:gpt-4o  sub one → yes
| o  3 tool:bash  a: 3 → r3
|\\ \\
| * |  4 llm:gpt-4o  sub two → yes
| o |  5 tool:bash  a: 5 → r5
| | *  6 llm:gpt-4o  one goes on → yes
o |  7 tool:late  a: 7 → r7
| *  8 llm:gpt-4o  two goes on → yes
*  9 llm:gpt-4o  main goes on → yes
|\\
| *  10 llm:gpt-4o  another way → yes
o  11 tool:write  a: 11 → r11
*  12 llm:gpt-4o  end → yes
"""
ok(status == 0 and not err and out.startswith(want) and out[len(want):].startswith("tree: 13 frames, 9 model calls"),
   "vcr-log --graph draws conversations as lanes, sub-agents as branches, tools in the lane of their call", out, err)
status, out, err = place.run("vcr-log", "--graph", "--type=llm", "-n3", "tree")
ok(status == 0 and [re.findall(r"(\d+) llm", l) for l in out.splitlines()[:-1]] == [["9"], ["10"], ["12"]] and out.startswith("*  9"),
   "conditions pick its frames; a hidden parent's children hang under the nearest that is shown", out)
ok(place.run("vcr-log", "--graph")[1] == place.run("vcr-log", "--graph", "tree")[1], "without a session it is the newest one")
for words in (["--json"], ["-r"], ["--follow"]):
    status, out, err = place.run("vcr-log", "--graph", "tree", *words)
    ok(status == 2 and not out and "--graph" in err, "--graph with %s is a wrong call" % words[0], status, out, err)


def on_terminal(columns, *argv):
    """What a terminal of that width gets, and the width of its widest line without colours."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen([os.path.join(BUILD, argv[0]), *argv[1:]], cwd=place.dir, env=place.env, stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.DEVNULL)
    os.close(its)
    text = b""
    while True:
        try:
            got = os.read(mine, 65536)
        except OSError:
            break
        if not got:
            break
        text += got
    p.wait()
    os.close(mine)
    text = text.decode()
    return text, max(len(l) for l in re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "").split("\n")[:-2])


evil = "\x1b[2J\x1b]0;x\x07 \x9b5m \u202e %%{init: {'theme':'x'}}%% \"] --> x; `end` <script>alert(1)</script> #quot; style a:b#c; &lt;"
place.write("wide", header("wide"), call(0, "x" * 500, "y" * 500),
            *[call(n, evil * 5, evil, parent=0, known_by="prompt") for n in range(1, 40)], *[tool(n, "t" + evil, n - 39) for n in range(40, 79)], END)
widths = {w: on_terminal(w, "vcr-log", "--graph", "wide") for w in (40, 60, 80, 200)}
text, width = widths[60]
ok(all(0 < got <= w for w, (_, got) in widths.items()) and "\x1b[36m" in text, "on a terminal it has colours and no line is wider than the terminal, however many lanes there are", {w: got for w, (_, got) in widths.items()})
place.write("dots", header("dots"), *[frame(n, "node", "n", {"s": evil}, parent=n - 1 if n else None, custom=vcr()) for n in range(5)], END)
text, _ = on_terminal(80, "vcr-log", "--graph", "--color=always", "wide")
ok(not re.search(r"\x1b(?!\[[0-9;]*m)|\x07|\x9b|\u202e", text) and not re.search(r"\x1b\[(2J|5m)", text), "no terminal obeys what a recording holds", repr(text[:600]))

loop = [frame(n, "tool", "tool:x", custom=vcr()) for n in range(4)]
for n, parent in enumerate((0, 2, 1, 77)): # itself, a later one, each other, nobody
    loop[n]["data"]["parent_frame_id"] = frame(parent, "x", "x")["data"]["frame_id"]
place.write("loop", header("loop"), *loop, END)
status, out, err = place.run("vcr-log", "--graph", "loop")
ok(status == 0 and len(out.splitlines()) >= 5 and all(" %d tool:x" % n in out for n in range(4)), "who is his own ancestor, or names a parent that is not there, has none", out, err)
node = frame(2, "node", "step", custom=vcr())
under = call(0, "in a step", parent=2), tool(1, "x", 0)
place.write("step", header("step"), *under, node, call(3, "after it"), END)
status, out, err = place.run("vcr-log", "--graph", "step")
ok(out.startswith("*  2 step") and [re.findall(r"[*o]  (\d)", l)[0] for l in out.splitlines()[:-1]] == ["2", "0", "1", "3"], "a node that is written when it ends stands before what happened in it", out)
status, out, err = place.run("vcr-log", "--graph", place.write("nothing", header("nothing")))
ok(status == 0 and out.startswith("nothing: 0 frames"), "a session without frames is drawn as nothing", out)

# ---- mermaid ----
status, out, err = place.run("vcr-export", "--mermaid", "tree")
lines = out.splitlines()
edges = [l.strip() for l in lines if "-->" in l or "-.->" in l]
ok(status == 0 and not err and lines[0] == "flowchart TD" and edges == ["f0 -.-> f2", "f2 --> f3", "f0 -.-> f4", "f4 --> f5", "f2 --> f6", "f0 --> f7", "f4 --> f8", "f0 --> f9", "f0 --> f10",
   "f9 --> f11", "f9 --> f12"] and '\tf3["3 tool#58;bash<br/>a#58; 3 → r3"]:::tool' in lines, "vcr-export --mermaid writes the tree as a flowchart", out, err)
GRAMMAR = re.compile(r'flowchart TD|\tf\d+\["(?:[A-Za-z0-9 .,/_+=()\u00a0-\U0010ffff-]|#\d+;|<br/>)*"\]:::(?:llm|tool|error|checkpoint|node)|\tf\d+ -(?:-|\.-)> f\d+|'
                     r'\tmore\["and \d+ frames more"\]|\tclassDef [a-z]+ [a-z0-9:,-]+')
status, out, err = place.run("vcr-export", "--mermaid", "wide")
bad = [l for l in out.splitlines() if not GRAMMAR.fullmatch(l) or "\u202e" in l or "\x9b" in l]
ok(status == 0 and not bad, "nothing that a recording holds is syntax in it", bad[:3])
place.write("long", header("long"), *[call(n, "text %d" % n, parent=n - 1 if n else None) for n in range(600)], END)
status, out, err = place.run("vcr-export", "--mermaid", "long")
ok(status == 0 and len(out) < 50000 and sum("-->" in l for l in out.splitlines()) < 500 and "frames more" in out and "of 600 frames are in the chart" in err,
   "a long session is drawn as far as mermaid draws, and it is said", len(out), err)
ok(place.run("vcr-export", "--mermaid", "--full", "tree")[0] == 2 and place.run("vcr-export", "--mermaid", "--format=json", "tree")[0] == 2, "with --full or JSON it is a wrong call")
status, out, err = place.run("vcr-export", "--mermaid", "-o", "tree.mmd", "tree")
ok(status == 0 and open(os.path.join(place.dir, "tree.mmd")).readline() == "flowchart TD\n", "-o writes it to a file")

# ---- States that stand elsewhere ----


def refers(n, state, result, parent=0):
    line = frame(n, "tool", "tool:x", state, result, parent=parent, custom=vcr())
    return line


def whole(n, at, **more):
    return {"_vcr": {"whole": dict(frame=frame(n, "x", "x")["data"]["frame_id"], at=at, **more)}}


talk = user("go") + [said(None, x={"path": "p", "text": "T" * 900})["choices"][0]["message"], {"role": "tool", "tool_call_id": "c1", "content": "R" * 900}]
at = "output_state.response.choices[0].message.tool_calls[0].function.arguments"
place.write("whole", header("whole"), chat(0, talk[:1], said(None, x={"path": "p", "text": "T" * 900})),
            refers(1, dict(whole(0, at), text="TT…"), dict(whole(2, "input_state.messages[2].content", member="result"), result="RR…")), chat(2, talk[1:], said("done"), after=0, omitted=1),
            refers(3, whole(9, at), {}), refers(4, whole(4, at), whole(4, "output_state.result", member="result")), refers(5, whole(0, "output_state.nothing"), {}),
            refers(6, whole(1, "input_state._vcr"), whole(1, "session_id", member="result")), refers(7, whole(0, 5), {"_vcr": {"whole": 7}}), END)
shown = place.json("vcr-show", "--json", "whole", "1")
ok(shown and shown[0]["input_state"] == {"path": "p", "text": "T" * 900} and shown[0]["output_state"] == {"result": "R" * 900}, "vcr-show completes a tool frame from the frames around it", shown)
for n, why in ((3, "a frame that is not there"), (4, "itself"), (5, "a place that is not there"), (7, "nothing that can be understood")):
    status, out, err = place.run("vcr-show", "whole", str(n))
    ok(status == 3 and err.count("\n") == 1 and "frame %d" % n in err, "a state that refers to %s is said to be damaged, in one line" % why, status, err)
status, out, err = place.run("vcr-show", "whole", "6")
ok(status in (0, 3) and "Traceback" not in err, "nor does a reference that refers to a reference lead anywhere", status, err)
status, out, err = place.run("vcr-export", "--full", "whole")
frames = [json.loads(l)["data"] for l in out.splitlines() if '"frame_id"' in l]
ok(status == 3 and len(frames) == 8 and frames[1]["output_state"] == {"result": "R" * 900} and "exported as it stands" in err, "vcr-export --full completes what can be completed, and says what cannot", status, err)
done()
