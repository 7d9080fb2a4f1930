#!/usr/bin/python3
"""vcr export: a session as a file of its own, complete if asked, and never over another file."""
import hashlib
import html.parser
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BEGAN, BUILD, END, Place, chat, done, frame, header, json, ok, said, vcr

place = Place()
talk = [{"role": "user", "content": "one"}, said("1")["choices"][0]["message"], {"role": "user", "content": "two"}, said("2")["choices"][0]["message"], {"role": "user", "content": "three"}]
own = chat(4, talk[3:], said("3"), after=2, omitted=3)
own["data"]["input_state"]["_vcr"]["is"] = {"mine": 1}
lines = [header("talk"), {"type": "vcr.body", "data": {"ref": "00aa"}}, chat(0, talk[:1], said("1")), frame(1, "tool", "file:write", {"path": "f"}, custom=vcr()),
         chat(2, talk[1:3], said("2"), after=0, omitted=1), {"type": "vcr.http", "data": {}}, own, {"type": "vcr.end", "data": {"frames": 4, "sha256": "00"}}]
path = place.write("talk", *lines)
plain = open(path).read()

status, out, err = place.run("vcr-export", "talk")
ok((status, out, err) == (0, plain, ""), "without --full the lines are copied as they are", status, err)
status, out, err = place.run("vcr-export", "--full")
got = [json.loads(l) for l in out.splitlines()]
frames = [l["data"] for l in got if l["type"] == "frame"]
ok(status == 0 and not err and [l["type"] for l in got] == [l["type"] for l in lines], "--full has the same lines in the same order", err, out)
ok([f["input_state"].get("messages") for f in frames] == [talk[:1], None, talk[:3], talk], "--full gives each frame its complete messages", frames)
ok(not any("after" in f["input_state"].get("_vcr", {}) for f in frames), "--full leaves nothing out")
ok([dict(f, input_state=0) for f in frames] == [dict(l["data"], input_state=0) for l in lines if l["type"] == "frame"], "--full changes nothing else in a frame")
before = out[:out.rindex('{"type":"vcr.end"')].encode()
ok(got[-1]["data"] == {"frames": 4, "sha256": hashlib.sha256(before).hexdigest()}, "the end line has the hash of the file that it ends", got[-1])
place.write("full", out.encode())
a, b = ([dict(f, frame_id=0) for f in (place.json("vcr-show", "--json", s, str(n))[0] for n in range(4))] for s in ("talk", "full"))
ok(a == b and a[3]["input_state"]["_vcr"] == {"mine": 1}, "an export shows the same frames as the session, also where a request has a member _vcr of its own", a, b)
os.unlink(place.path("full"))

target = os.path.join(place.dir, "out.vcr")
status, out, err = place.run("vcr-export", "--full", "-o", target)
ok(status == 0 and not out and not err and open(target, "rb").read().startswith(before[:50]) and stat.S_IMODE(os.stat(target).st_mode) == 0o600, "-o writes a file that only its owner can read", err)
status, out, err = place.run("vcr-export", "-o", target)
ok(status == 2 and "exists already" in err and open(target, "rb").read().startswith(before), "an existing file is not overwritten", err)
ok(place.run("vcr-export", "-o", target, "--force")[0] == 0 and open(target).read() == plain, "with --force it is")
os.symlink(path, os.path.join(place.dir, "link"))
os.link(path, os.path.join(place.dir, "hard"))
for name in (path, "link", "hard", ".vcr/../.vcr/talk.vcr"):
    status, out, err = place.run("vcr-export", "--force", "-o", name, "talk")
    ok(status == 2 and "is the session itself" in err and open(path).read() == plain, "the session is never its own target, --force or not (%s)" % os.path.basename(name), err)
os.unlink(os.path.join(place.dir, "hard"))
status, out, err = place.run("vcr-export", "-o", "nowhere/out")
ok(status == 3 and "cannot write nowhere/out" in err, "a directory that does not exist is status 3", err)
ok(place.run("vcr-export", "-o", ".", "--force")[0] == 2, "a directory is no target")
limited = subprocess.run("trap '' XFSZ; ulimit -f 0; exec %s -o small talk" % os.path.join(BUILD, "vcr-export"), shell=True, cwd=place.dir, env=place.env, capture_output=True, text=True)
ok(limited.returncode == 3 and "cannot write small" in limited.stderr, "a target that cannot be written whole is status 3", limited.returncode, limited.stderr)
ok(not [f for f in os.listdir(place.dir) if f.startswith(("out.vcr.", "nowhere", "small"))], "a failed export leaves nothing behind", os.listdir(place.dir))
with open("/dev/full", "w") as full:
    status, out, err = place.run("vcr-export", "talk", stdout=full)
ok(status == 3 and err.count("\n") == 1 and "standard output" in err, "a full disk behind standard output is one line and status 3", err)

status, out, err = place.run("vcr-export", "--full", "--format=json")
doc = json.loads(out)
ok(status == 0 and doc["session"]["session_id"] == "talk" and doc["session"]["frame_count"] == 4 and doc["frames"] == frames, "--format=json is one document of session and frames", out)
place.write("none", header("none"))
ok(json.loads(place.run("vcr-export", "--format=json", "none")[1])["frames"] == [], "also for a session without frames")
ok(place.run("vcr-export", "--format=xml")[0] == 2 and place.run("vcr-export", "a", "b")[0] == 2, "wrong calls are status 2")

place.write("bad", header("bad"), b"\xef{\n", chat(0, talk[:1], said("1")), b"\r\n", b'{"type":"vcr.end","data"\n', chat(1, [], said("2"), after=9, omitted=1), b"x" * 200000 + b"\n", b"\0\n", raw=b'{"type":"frame","da')
status, out, err = place.run("vcr-export", "bad")
ok(status == 0 and [json.loads(l)["type"] for l in out.splitlines()] == ["session", "frame", "frame"] and "bad.vcr:2:" in err and "bad.vcr:5:" in err and "bad.vcr:9:" in err,
   "damaged lines are left out, and each is named", err)
status, out, err = place.run("vcr-export", "--full", "bad")
ok(status == 3 and len(out.splitlines()) == 3 and "bad.vcr:6:" in err and "exported as it stands" in err, "a state that cannot be completed is said, and the rest exported", status, err)

# ---- A page ----
evil = "<script>alert(1)</script><img src=x onerror=y> &amp; \x1b[31mred\x1b]0;t\x07 \u202e 'q' \"z\""
place.write("evil", header("evil<b>", BEGAN), chat(0, [{"role": "user", "content": evil}], said(evil)), frame(1, "tool", "file:write<i>", {"path": evil}, custom=vcr()),
            frame(2, "node", evil, {evil: evil}, {"a": evil}), frame(3, "x\"onclick=\"", "n", {}, {}), chat(4, [{"role": "user", "content": "and now"}], said("so"), after=0, omitted=1), END)
status, out, err = place.run("vcr-export", "--html", place.path("evil"))


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attrs, self.text = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attrs.update(name for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


page = Page(out)
ok(status == 0 and page.tags <= {"html", "head", "meta", "style", "title", "body", "header", "h1", "p", "main", "details", "summary", "span", "b", "pre"} and
   page.attrs <= {"lang", "charset", "name", "content", "http-equiv", "class", "id", "open"}, "--html writes a page in which nothing of a recording is markup", status, err, page.tags, page.attrs)
ok("<script>alert(1)</script>" in page.text and "default-src 'none'" in out and "url(" not in out and "@import" not in out and "\x1b" not in out and "\u202e" not in out,
   "it shows the words as they are, asks for nothing elsewhere, and holds no control sequence", out[:3000])
ok(out.count("<details") == 5 and out.count("<span") == out.count("</span>") and "2 earlier message" not in out and "1 earlier message" in page.text and "and now" in page.text,
   "each frame is a section, and what an earlier one shows is not shown again", out)
ok([place.run("vcr-export", "--html", w)[0] for w in ("--full", "--mermaid", "--json", "--format=json")] == [2] * 4, "--html with another format is a wrong call")
done()
