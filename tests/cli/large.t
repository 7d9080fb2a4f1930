#!/usr/bin/python3
"""Large session files: they are read by several threads, and read the same as by one."""
import datetime
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, END, Place, chat, done, frame, header, json, ok, said, skip, vcr

place = Place()
dice = random.Random(11)
cores = sorted(os.sched_getaffinity(0))


NOWHERE = os.path.join(place.dir, "nowhere") # a file, in which no index can be kept: every reader reads
open(NOWHERE, "w").close()
KEPT = os.path.join(place.dir, "cache")


def on(n, *argv, cache=NOWHERE):
    """What the tool prints on n cores."""
    r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:]], cwd=place.dir, env=dict(place.env, XDG_CACHE_HOME=cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, cores[:n]))
    return r.returncode, r.stdout, r.stderr


def difference(what, one, other):
    """Where they differ first, and what stands there."""
    if one == other:
        return "%s: the same %d bytes" % (what, len(one))
    n = len(os.path.commonprefix([one, other]))
    return "%s: %d and %d bytes, which differ from byte %d on: %r and %r" % (what, len(one), len(other), n, one[max(n - 200, 0):n + 300], other[max(n - 200, 0):n + 300])


def compare(title, one, other):
    ok(one == other and one[0] in (0, 2, 3), title, "status %d and %d" % (one[0], other[0]), difference("stdout", one[1], other[1]), difference("stderr", one[2], other[2]),
       one[2][-300:])


def same(title, name, *more, indexed=False):
    for argv in (["vcr-log", "--json", name], ["vcr-show", "--json", name, "end"], ["vcr-export", name], *more):
        one = on(1, *argv)
        compare("%s: %s is the same on one core and on %d" % (title, argv[0], len(cores)), one, on(len(cores), *argv))
        if indexed and argv[0] == "vcr-log":
            on(1, *argv, cache=KEPT)
            kept = sum(len(files) for _, _, files in os.walk(KEPT))
            compare("%s: %s is the same by its index" % (title, argv[0]), one, on(1, *argv, cache=KEPT))
            ok(kept == 1, "%s: which the first reader leaves behind" % title, kept)
            shutil.rmtree(KEPT)


if len(cores) < 2:
    skip("large files are read the same by several threads", "there is one core")
    done()
text = "x" * 6000
frames = [frame(n, "node", "n%d" % (n % 7), {"k": n, "text": text}, custom=vcr()) for n in range(2000)]
place.write("plain", header("plain"), *frames, END)
same("a plain file", "plain", indexed=True)
status, out, err = on(len(cores), "vcr-show", "--json", "plain", "1999")
ok(status == 0 and json.loads(out)["input_state"]["k"] == 1999, "its last frame is found", status, err)

odd = [b"\xef\xbb\xbf" + json.dumps(header("odd")).encode() + b"\r\n"]
for f in frames:
    what = dice.randrange(60)
    line = json.dumps(f).encode()
    if what == 0:
        line = b"\n \r\n\t\n" + line
    elif what == 1:
        line = line[:dice.randrange(100)] + b"\xff" + line[dice.randrange(100):]
    elif what == 2:
        f["data"]["frame_type"] = "kind%d" % dice.randrange(90)
        f["data"]["timestamp"] = dice.choice(["never", 1795514400.5, "2026-11-24 09:00:00Z", None])
        line = json.dumps(f).encode()
    elif what == 3:
        line = json.dumps(dict(data=f["data"], type="frame", more=[1])).encode()
    elif what == 4:
        line = json.dumps(dict(type="vcr.x", data={})).encode() + b"\n" + line
    odd.append(line + dice.choice([b"\n", b"\r\n"]))
odd.insert(1000, json.dumps(header("odd", tags=["late"])).encode() + b"\n")
place.write("odd", *odd, raw=b'{"type":"frame","data":{"fr')
same("a file of odd lines", "odd")
status, out, err = on(len(cores), "vcr-log", "--json", "odd")
ok(b": a further session header" in err and b": the line is damaged" in err and b"the last line is torn" in err, "and each odd line is named", err[-500:])

place.write("long", header("long"), frame(0, "node", "n", {"text": "y" * 17000000}), *frames[1:500])
same("a file with a very long line", "long")
# Behind so many the first thread gives up; the file is large enough for two.
place.write("tiny", header("tiny"), b"{}\n" * 200000, *frames, END)
same("a file of tiny lines", "tiny", indexed=True)
place.write("blank", header("blank"), b"\n" * 500000, *frames, b"\n" * 500000, END)
same("a file of blank lines", "blank", indexed=True)
place.write("one", raw=b"z" * 17000000)
same("a file that is one line", "one")
done()
