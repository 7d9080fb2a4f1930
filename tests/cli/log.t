#!/usr/bin/python3
"""vcr log: the list of sessions, the frames of one, filters, and following one that is being recorded."""
import datetime
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
import clikit
from clikit import BEGAN, BUILD, END, Place, chat, done, frame, header, ok, said, vcr

day = datetime.timedelta(days=1)
place = Place()
status, out, err = place.run("vcr-log")
ok(status == 1 and not out and "no session in %s yet" % place.vcr_dir in err and err.count("\n") == 1, "without a .vcr directory there is one line that says so, and status 1", out, err)
os.mkdir(place.vcr_dir)
status, out, err = place.run("vcr-log", "--json")
ok(status == 1 and not out, "an empty .vcr directory lists nothing, and status 1", out, err)

place.write("talk", header("talk", tags=["ci", "night"]),
            chat(0, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Fix the\n  failing TEST, Ärger"}], said(bash={"cmd": "ls"}),
                 latency_ms=1500.0, tokens_used=120, tokens_input=100, tokens_output=20, cost_usd=0.25),
            frame(1, "tool", "exec:ls", {"argv": ["ls", "-l", "a b"], "cwd": "/w"}, {"exit_code": 2}, parent=0, custom=vcr(pid=9)),
            frame(2, "tool", "file:write", {"path": "src/main.c", "before": None},
                  {"after": {"size": 4}, "diff": "--- /dev/null\n+++ b/src/main.c\n@@ -0,0 +1,2 @@\n+one\n+--two\n"}, custom=vcr()),
            chat(3, [{"role": "tool", "tool_call_id": "c1", "content": "src\nmain.c"}], said("All done."), after=0, omitted=3, tokens_used=200, cost_usd=0.5),
            chat(4, [{"role": "user", "content": "again"}], None, kind="error", error_type="rate_limit", error_message="slow down\x1b[2J"),
            END)
place.write("older", header("older", BEGAN - day, parent_session_id="talk", forked_from_frame=3, tags=["ci"]), frame(0, "node", "plan", {"a": 1}, {"a": 2}),
            frame(1, "tool", "tool:x", error_type="ToolError", error_message="no"))
place.write("cut", header("cut", BEGAN + day), frame(0, "tool", "exec:true", {"argv": ["true"]}, {"exit_code": 0}, custom=vcr()))

ids = [s["session_id"] for s in place.json("vcr-log", "--json")]
ok(ids == ["cut", "talk", "older"], "sessions are listed newest first", ids)
ok([s["session_id"] for s in place.json("vcr-log", "--json", "--reverse", "-n2")] == ["talk", "cut"], "-n keeps the newest, --reverse turns the order round")
s = {s["session_id"]: s for s in place.json("vcr-log", "--json")}
ok(s["talk"] == dict(session_id="talk", path=place.path("talk"), created_at="2026-11-24T10:00:00.000000+00:00", duration_ms=4000.0, frames=5, model_calls=3, errors=1, tokens=320,
                     cost_usd=0.75, tags=["ci", "night"], state="ended", parent_session_id=None, forked_from_frame=None), "--json of a session holds its totals", s["talk"])
ok([s[i]["state"] for i in ("talk", "cut", "older")] == ["ended", "cut", None], "a session is ended, cut, or of a tool that does not say", s)
ok(s["older"]["errors"] == 1 == len(place.json("vcr-log", "--json", "--errors", "older")), "errors are the frames of type error and those that hold one", s["older"])
ok(s["older"]["parent_session_id"] == "talk" and s["older"]["forked_from_frame"] == 3, "a fork names its parent and frame")
status, out, err = place.run("vcr-log")
ok(status == 0 and len(out.splitlines()) == 5 and out.splitlines()[4].startswith("on disk: ") and "ci,night" in out and "< talk:3" in out and not err, "people get a line per session, with tags and parent, and what it takes on the disk", out, err)
status, out2, err = place.run("vcr", "log")
ok(out2 == out, "vcr log and vcr-log are the same")

status, out, err = place.run("vcr-log", "talk")
lines = out.splitlines()
ok(status == 0 and len(lines) == 7 and not err, "a session is one line per frame, between a head and the totals", out, err)
ok("Fix the failing TEST, Ärger → bash({\"cmd\": \"ls\"})" in lines[1] and "1.50s" in lines[1] and "100+20" in lines[1] and "$0.2500" in lines[1],
   "a model call shows what was new, what was answered, its time, tokens and cost", lines[1])
ok(lines[2].endswith("ls -l 'a b' → exit 2"), "a program shows its arguments and how it ended", lines[2])
ok(lines[3].endswith("src/main.c +2 -0"), "a file shows its path and how many lines came and went", lines[3])
ok("c1: src main.c → All done." in lines[4], "a later call shows the tool's result as what is new", lines[4])
ok(lines[5].endswith("again → rate_limit: slow down\\x1b[2J") and "\x1b" not in out, "an error shows its type and words, and no terminal obeys them", lines[5])
nodes = place.json("vcr-log", "--nodes", "--json", "talk")
ok([(n["node"], n["first"], n["frames"], n["errors"], n["tokens"], n["latency_ms"], n["cost_usd"]) for n in nodes] ==
   [("llm:gpt-4o", 0, 3, 1, 320, 1500.0, 0.75), ("exec:ls", 1, 1, 0, 0, 0.0, 0.0), ("file:write", 2, 1, 0, 0, 0.0, 0.0)], "--nodes names each node once, in the order in which they came, with its sums", nodes)
nstatus, nout, nerr = place.run("vcr-log", "--nodes", "--node=exec:*", "talk")
ok(nstatus == 0 and nout.splitlines()[1].split() == ["1", "0", "0", "exec:ls"] and len(nout.splitlines()) == 3, "for people it is a table, of the frames that a filter takes", nout, nerr)
ok(place.run("vcr-log", "--nodes", "--graph", "talk")[0] == 2, "--nodes with --graph is a wrong call")
ok(lines[6] == "talk: 5 frames, 3 model calls, 1 error, 320 tokens, $0.7500, 4.00s", "the last line sums up", lines[6])
ok(place.run("vcr-log", "tal")[1] == out and place.run("vcr-log", place.path("talk"), cwd="/")[1] == out, "a session is named by its id, the beginning of it, or a path")
ok([f["index"] for f in place.json("vcr-log", "talk", "--json", "-n2")] == [3, 4], "-n shows the last frames")
ok([f["index"] for f in place.json("vcr-log", "talk", "--json", "--reverse")] == [4, 3, 2, 1, 0], "--reverse shows the last frame first")
f = place.json("vcr-log", "talk", "--json")
ok(f[0]["model"] == "gpt-4o" and f[0]["latency_ms"] == 1500.0 and f[0]["tokens_input"] == 100 and f[4]["error_type"] == "rate_limit" and f[3]["parent_frame_id"] == f[0]["frame_id"],
   "--json of a frame holds what the line shows", f)


def picked(*options):
    return [f["index"] for f in place.json("vcr-log", "talk", "--json", *options)]


ok(picked("--type=llm") == [0, 3] and picked("--type=llm", "--type", "error") == [0, 3, 4], "--type picks by type, several are alternatives")
ok(picked("--node=file:*") == [2] and picked("--node", "exec:*", "--node", "llm:*", "--type=tool") == [1], "--node picks by glob, together with the others")
ok(picked("--errors") == [4], "--errors picks what failed")
ok(picked("--grep", "all DONE") == [3] and picked("-g", "äRGER") == [0] and picked("ärger") == [0], "text is found whatever its case, umlauts too, by --grep or as operand")
ok(picked("--grep", "python3") == [] and place.run("vcr-log", "talk", "zebra")[0] == 1, "bookkeeping is no text, and finding nothing is status 1")
ok(picked("--since", "2026-11-24T10:00:03") == [3, 4] and picked("--since", "2026-11-24T11:00:03+01:00") == [3, 4], "--since takes local times and times with an offset")
ok(sorted(s["session_id"] for s in place.json("vcr-log", "--json", "--tag", "ci")) == ["older", "talk"], "--tag picks sessions")
ok([s["session_id"] for s in place.json("vcr-log", "--json", "--errors")] == ["talk", "older"] and
   [s["session_id"] for s in place.json("vcr-log", "--json", "--type", "node")] == ["older"], "conditions on frames pick the sessions that hold such a frame")
ok([s["session_id"] for s in place.json("vcr-log", "--json", "--since", "2026-11-25")] == ["cut"], "--since picks sessions too")
for wrong, words in ((["--type=lm"], "--type wants"), (["--since=yore"], "--since wants"), (["a", "b", "c"], "at most"), (["--grep="], "--grep wants"), (["-nx"], "--limit wants")):
    status, out, err = place.run("vcr-log", *wrong)
    ok(status == 2 and words in err and err.count("\n") == 2 and not out, "a wrong call (%s) is one specific line and a pointer to --help" % " ".join(wrong), err)
status, out, err = place.run("vcr-log", "nosuch")
ok(status == 2 and err == "vcr-log: no session 'nosuch' in %s; vcr-log lists them\n" % place.vcr_dir, "a session that does not exist is one clear line", err)


class Follow:
    def __init__(self, *argv, where=place):
        self.p = subprocess.Popen([os.path.join(BUILD, "vcr-log"), "--follow", "--json", *argv], cwd=where.dir, env=where.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.guard = threading.Timer(60, self.p.kill)
        self.guard.start()

    def next(self):
        line = self.p.stdout.readline()
        return clikit.json.loads(line)["index"] if line else None

    def end(self):
        rest, err = self.p.stdout.read(), self.p.stderr.read()
        self.p.wait()
        self.guard.cancel()
        return self.p.returncode, rest, err


new = Place()
f = Follow("later", where=new)
ok("waiting for session later" in f.p.stderr.readline(), "--follow waits for a session that does not exist, even for its directory")
new.write("later", header("later"), frame(0, "node", "a", custom=vcr()))
ok(f.next() == 0, "its first frame is shown when it comes")
whole = clikit.json.dumps(frame(1, "node", "b", custom=vcr())).encode() + b"\n"
new.write("later", raw=whole[:50], mode="ab")
new.write("later", raw=whole[50:], mode="ab")
ok(f.next() == 1, "a line that is written in two pieces is shown once, whole")
new.write("later", frame(2, "node", "c", custom=vcr()), END, mode="ab")
ok(f.next() == 2 and f.end()[:2] == (0, ""), "the end of the session ends it, with status 0")
f = Follow("later", "-n1", where=new)
ok(f.next() == 2 and f.end()[0] == 0, "a session that has ended is shown and left; -n shows the last frames of it only")
f = Follow("--node=x", where=new)
ok("waiting for a session" in f.p.stderr.readline(), "without a name the next session to begin is followed")
new.write("next", header("next", BEGAN + day), frame(0, "node", "x", custom=vcr()), frame(1, "node", "y", custom=vcr()), frame(2, "node", "x", custom=vcr()), END)
ok([f.next(), f.next()] == [0, 2] and f.end()[0] == 0, "filters hold while following")
new.write("dead", header("dead", BEGAN + 2 * day), frame(0, "node", "x", custom=vcr()))
f = Follow("dead", where=new)
ok(f.next() == 0 and f.end()[0] == 0, "a recording whose collector is gone is left after a moment")
new.write("other", header("other", BEGAN + 3 * day), *[frame(n, "node", "x" * 3000) for n in range(40)])
f = Follow("other", where=new)
f.next()
f.p.stdout.close()
f.p.wait()
ok(f.p.returncode in (0, -13, 3), "a reader that goes away ends it", f.p.returncode)
f.guard.cancel()
for name in ("../x", "-x", "x.lock", "a/../b", ".", ""):
    status, out, err = new.run("vcr-log", "--follow", "--", name)
    ok(status == 2 and err.count("\n") == 1, "--follow does not wait for a session that cannot be: '%s'" % name, status, err)
done()
