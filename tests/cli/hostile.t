#!/usr/bin/python3
"""Hostile recordings: cut, damaged, or made to harm; and terminals, pipes and disks that do not take what is printed."""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, END, Place, chat, done, frame, header, json, ok, said, vcr

ROUNDS = int(os.environ.get("VCR_TEST_ROUNDS", "150"))
place = Place()
talk = [{"role": "user", "content": "one \x1b]0;title\x07 \x9b2J \u202e"}, said("1")["choices"][0]["message"], {"role": "user", "content": "two"}]
lines = [header("talk", tags=["t"]), {"type": "vcr.body", "data": {"ref": "00aa", "size": 3, "sha256": "0" * 64, "enc": "text", "text": "abc"}},
         chat(0, talk[:1], said("1\x1b[31m")), frame(1, "tool", "exec:ls\x1b[2J", {"argv": ["ls", "\x1b[2J", "\x07"], "cwd": "/\x1b[H"}, {"exit_code": 0}, custom=vcr()),
         frame(2, "tool", "file:write", {"path": "a\nb\x1b[1m", "before": {"size": 1, "mode": "\x1b[3m", "sha256": "\x1b[4m"}},
               {"after": {"size": 2}, "diff": "--- a\x1b[5m\n+++ b\n@@ -1 +1 @@\n-\x1b[6m\n+\x1b[7m\n"}, custom=vcr(program="\x1b[8m", source="\x1b[9m", withheld="\x1b[10m")),
         chat(3, talk[1:], said("2"), after=0, omitted=1), frame(4, "node", "n\x1b[m", {"k\x1b[2m": "\x1b[3m", "n": [1, {"\x9b": None}]}, {"o": "\r\x08"}),
         frame(5, "error", "llm:\x1b[m", {"messages": 3}, {"response": "\x1b[m"}, error_type="\x1b[m", error_message="\x1b[m\n\x1b[m", model="\x1b[m"), END]
path = place.write("talk", *lines)
good = open(path, "rb").read()


def shown(*argv):
    status, out, err = place.run(*argv)
    return out + err


texts = [shown("vcr-log"), shown("vcr-log", "talk"), shown("vcr-log", "--color=never", "talk", "\x1b")] + [shown("vcr-show", str(n)) for n in range(6)] + [
    shown("vcr-show", "\x1b[2J"), shown("vcr-log", "\x1b[2J"), shown("vcr-export", "\x1b[2J"), shown("vcr-log", "--\x1b[2J"), shown("vcr", "\x1b[2J"), shown("vcr-log", "--type=\x1b[2J")]
bad = [t for t in texts if any(ord(c) < 32 and c not in "\n\t" or 0x7f <= ord(c) < 0xa0 or c == "\u202e" for c in t)]
ok(not bad, "no escape, control or direction character of a recording or of a wrong call reaches the terminal", *map(repr, bad))
texts = [shown("vcr-log", "--json"), shown("vcr-log", "--json", "talk")] + [shown("vcr-show", "--json", str(n)) for n in range(6)] + [shown("vcr-export", "--format=json"), shown("vcr-export", "--full")]
ok(not [t for t in texts if not t.isascii() or any(ord(c) < 32 and c != "\n" for c in t)], "--json is plain ASCII, whatever is in the recording")

TOOLS = [["vcr-log", "x"], ["vcr-log", "--json", "x", "two"], ["vcr-show", "x", "0"], ["vcr-show", "x", "3"], ["vcr-show", "--json", "x", "call:1"], ["vcr-export", "--full", "x"], ["vcr-log"]]
dice = random.Random(5)


def survive(data, argv):
    """The tool neither crashes nor hangs, and prints nothing that is no whole line."""
    place.write("x", data)
    status, out, err = place.run(*argv)
    return status in (0, 1, 2, 3) and (not out or out.endswith("\n")) and "Sanitizer" not in err and "Assertion" not in err, (status, err, argv)


failed = []
for n in range(ROUNDS):
    fine, why = survive(good[:dice.randrange(len(good))], TOOLS[n % len(TOOLS)])
    failed += [] if fine else [why]
ok(not failed, "a session file cut anywhere (%d cuts) is read up to the cut" % ROUNDS, *failed[:3])
failed = []
for n in range(ROUNDS):
    data = bytearray(good)
    for _ in range(dice.randrange(1, 8)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    fine, why = survive(bytes(data), TOOLS[n % len(TOOLS)])
    failed += [] if fine else [why]
ok(not failed, "a session file with flipped bits (%d times) crashes nothing" % ROUNDS, *failed[:3])
failed = []
for n in range(ROUNDS):
    k = [l for l in good.splitlines(True)]
    dice.shuffle(k)
    fine, why = survive(b"".join(k[:dice.randrange(1, len(k))]) + k[0][:dice.randrange(len(k[0]))], TOOLS[n % len(TOOLS)])
    failed += [] if fine else [why]
ok(not failed, "lines in any order, twice, or missing (%d times) crash nothing" % ROUNDS, *failed[:3])
os.unlink(place.path("x"))

damaged = good.splitlines(True)
damaged[3] = damaged[3][:60] + b"\xff{" + damaged[3][60:]
place.write("damaged", b"".join(damaged))
status, out, err = place.run("vcr-log", "--json", "damaged")
ok(status == 0 and len(out.splitlines()) == 5 and err == "vcr-log: %s:4: %s" % (place.path("damaged"), err.split(":4: ")[-1]) and err.count("\n") == 1,
   "a damaged line is one warning with file and line, and all others are read", out, err)
ok(place.run("vcr-log", "-q", "damaged")[2] == "", "-q leaves the warning out")
for name, data in (("empty", b""), ("text", b"hello\nworld\n"), ("zeros", b"\0" * 5000), ("list", b"[1,2]\n"), ("deep", b'{"type":"frame","data":' + b"[" * 100000 + b"\n"), ("json", b'{"a":1}\n')):
    place.write(name, data)
    status, out, err = place.run("vcr-show", name, "0")
    ok(status in (2, 3) and not out and place.path(name) in err and err.count("\n") <= 3, "a file that is no session (%s) is named in words" % name, status, err)
    os.unlink(place.path(name))
os.mkdir(place.path("folder"))
os.mkfifo(place.path("pipe"))
ok(place.run("vcr-show", "folder", "0")[0] in (2, 3) and place.run("vcr-show", "pipe", "0")[0] in (2, 3), "a directory or a pipe is no session, and nothing waits for it")
status, out, err = place.run("vcr-log", "--json")
ok("talk" in out, "the list passes over what is no session", out, err)
loop = [header("loop")] + [chat(n, talk[:1], said("x"), after=(n + 1) % 3, omitted=1) for n in range(3)]
place.write("loop", *loop)
ok(place.run("vcr-show", "loop", "0")[0] == 3 and place.run("vcr-export", "--full", "loop")[0] == 3, "frames that continue each other in a circle end")
place.write("bodies", header("bodies"), {"type": "vcr.body", "data": {"ref": "a", "size": 9, "sha256": "0" * 64, "enc": "text", "text": "x", "base": "b", "ops": [0, 1, 2]}},
            {"type": "vcr.body", "data": {"ref": "b", "size": 1 << 60, "sha256": "0" * 64, "enc": "lz4", "lz4": "AAAA", "base": "a"}}, frame(0, "llm", "llm:m", {}, {}, custom=vcr(request="a", response="b")))
ok(place.run("vcr-show", "--raw=request", "bodies", "0")[0] == 3 and place.run("vcr-show", "--raw=response", "bodies", "0")[0] == 3, "bodies that need each other, or claim to be huge, end in words")

for name in ("../no-such-session", "-x", "x.lock", "..", "a\nb", "x" * 300, ""):
    for argv in (["vcr-log", "--", name], ["vcr-show", "--", name, "0"], ["vcr-export", "--", name], ["vcr-record", "--session=" + name, "--", "true"]):
        status, out, err = place.run(*argv)
        ok(status == 2 and not out and err.count("\n") == 1, "%s refuses a session called %s in one clear line" % (argv[0], repr(name[:12])), status, err)
status, out, err = place.run("vcr-record", "--session=talk", "--", "true")
ok(status == 2 and "already" in err and open(path, "rb").read() == good, "vcr-record does not touch a session that exists", err)

for argv in (["vcr-log"], ["vcr-log", "talk"], ["vcr-show", "talk", "0"], ["vcr-show", "--json", "talk", "0"], ["vcr-export", "talk"]):
    with open("/dev/full", "w") as full:
        status, out, err = place.run(*argv, stdout=full)
    ok(status == 3 and "standard output" in err, "%s: a full disk behind standard output is status 3" % " ".join(argv), status, err)
place.write("many", header("many"), *[frame(n, "node", "n", {"text": "x" * 500}) for n in range(3000)])
for argv in (["vcr-log", "many"], ["vcr-export", "many"], ["vcr-log", "--json", "many"]):
    p = subprocess.Popen([os.path.join(BUILD, argv[0]), *argv[1:]], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.read(10)
    p.stdout.close()
    err = p.stderr.read()
    ok(p.wait() in (-13, 3) and err.count(b"\n") <= 1, "%s: a reader that leaves early ends it quietly" % " ".join(argv), p.returncode, err)
done()
