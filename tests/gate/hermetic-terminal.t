#!/usr/bin/python3
"""Tools on terminals: recorded with --capture=all they are what they would be, and --hermetic writes to the terminal what they wrote."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import OPENAI, done, ok
from hermetickit import World

AGENT = r"""
import errno, fcntl, json, os, pty, signal, struct, subprocess, sys, termios, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{"model": "m"}', {"Content-Type": "application/json"})).read()
say = {}


def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read(fd, until=None):
    out = b""
    while until is None or until not in out:
        try:
            more = os.read(fd, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            more = b""
        if not more:
            break
        out += more
    return out


def begin(command):
    pid, fd = pty.fork()
    if not pid:
        os.execvp("bash", ["bash", "-c", command])
    return pid, fd


def run(command, *talk):
    # talk: what is waited for, then what is done, in turns
    pid, fd = begin(command)
    out, waits = b"", True
    for until, do in zip(talk[::2], talk[1::2]):
        out += read(fd, until)
        waits = waits and (do.__name__ != "typed" or out.endswith(until))
        do(fd)
    out += read(fd)
    status = os.waitpid(pid, 0)[1]
    os.close(fd)
    return [out.decode(), status, waits]


def type(text):
    def typed(fd):
        os.write(fd, text)
    return typed


RAN = "; echo 1 >>$RAN"
say["is"] = run("test -t 0 -a -t 1 -a -t 2 && : </dev/tty && echo a terminal; [ $(ps -o tpgid= $$) = $$ ] && echo in front; echo 1 >>$RAN; exit 3")
say["large"] = run("seq 1 40000" + RAN)
say["typed"] = run("read -p 'name? ' x; echo got $x" + RAN, b"name? ", type(b"me\n"))
say["turns"] = run("read -p 'one? ' x; echo got $x; read -p 'two? ' x; echo got $x; read -p 'three? ' x; exit $x" + RAN, b"one? ", type(b"a word\n"), b"two? ", type(b"b\n"), b"three? ", type(b"7\n"))
say["unseen"] = run("stty -echo; echo word; read x; stty echo; echo got $x" + RAN, b"word\r\n", type(b"hidden\n"))
say["end"] = run("echo ready; cat; echo over" + RAN, b"ready\r\n", type(b"line\n\x04"))
say["signal"] = run("stty noflsh; trap 'echo int; exit 5' INT; echo ready; while :; do read -t 1 x; done", b"ready\r\n", type(b"\x03"))
say["killed"] = run("echo dying; kill -9 $$")
say["size"] = run("trap 'stty size; exit 0' WINCH; echo ready; while :; do read -t 1 x; done", b"ready\r\n", lambda fd: size(fd, 33, 77))
say["screen"] = run(r"printf '\033[2J\033[31mred\033[0m\r\n'; stty raw; printf 'a\nb'" + RAN)
say["left"] = run("trap '' HUP; (sleep 0.2; echo later) & echo now" + RAN)
ours, its = pty.openpty()
p = subprocess.Popen(["bash", "-c", "echo out; echo error >&2; read x; echo $x" + RAN], stdin=its, stdout=its, stderr=subprocess.PIPE)
os.close(its)
out = read(ours, b"out\r\n")
os.write(ours, b"in\n")
out += read(ours)
say["apart"] = [out.decode(), p.stderr.read().decode(), p.wait()]
ours, its = pty.openpty()
texts = []
for i in range(2):
    p = subprocess.Popen(["bash", "-c", "echo number %d" % i + RAN], stdin=its, stdout=its, stderr=its, start_new_session=True)
    texts.append(p.wait())
    texts.append(read(ours, b"number %d\r\n" % i).decode())
say["shared"] = texts
gone = os.environ["RAN"] + ".gone"
os.mkfifo(gone)
pid, fd = begin("trap 'echo hung up >$RAN.gone; exit 6' HUP; echo ready; while :; do read -t 1 x; done")
read(fd, b"ready\r\n")
fifo = os.open(gone, os.O_RDWR)
os.close(fd)
say["hung up"] = [os.waitpid(pid, 0)[1]]
os.unlink(gone)
print(json.dumps(say))
"""
TITLES = {"is": "is on a terminal, its own, and in front there", "large": "may print much", "typed": "hears what is typed, which it echoes", "turns": "waits for what is typed, and says no word before", "unseen": "may have it unseen", "end": "hears its end",
          "signal": "is interrupted by ^C", "killed": "may be killed", "size": "hears of a new size", "screen": "may paint the screen, and have it raw", "left": "may leave others that print",
          "apart": "may print its errors elsewhere", "shared": "may have had another before it on the same terminal", "hung up": "is hung up on"}
world = World()
ran = world.env["RAN"] = os.path.join(world.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
open(ran, "w").close()
world.agent = os.path.join(world.dir, "terminals.py")
with open(world.agent, "w") as f:
    f.write(AGENT)


def runs():
    return len(open(ran).readlines())


def heard(text):
    try:
        return json.loads(text.splitlines()[-1]) if text else {}
    except ValueError:
        return {}  # it did not come to its end


alone = subprocess.run([sys.executable, world.agent, world.web.url + OPENAI], cwd=world.dir, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
err = alone.stderr
alone, count = heard(alone.stdout), runs()
ok(len(alone) == len(TITLES), "the tools end and print what they do", alone, err)
said, err, status = world.record("terminals")
say = heard(said)
for what, title in TITLES.items():
    ok(say.get(what) == alone.get(what) and what in say, "a tool on a terminal that is recorded " + title, status, say.get(what), alone.get(what), err[-2000:])
kept = [l["data"] for l in world.lines("terminals") if l["type"] == "vcr.output"]
ok(len(kept) == 15 and not [k for k in kept if "not_kept" in k] and runs() == 2 * count, "what each of them printed is in the session", kept, count, runs())
count = runs()
again, err, status2, _ = world.replay("terminals", options=("--hermetic",))
say2 = heard(again)
differs = [w for w in TITLES if say2.get(w) != say.get(w)]
ok(runs() == count and not differs and say2, "--hermetic: none of them runs, and the terminal shows what it showed, with the status that it had", status2, [(say2.get(w), say.get(w)) for w in differs], err, again[-300:])
done()
