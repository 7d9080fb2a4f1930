#!/usr/bin/python3
"""vcr-record as a parent: the command's terminal, signals, status and streams are its own, as if it had been started directly."""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, ok, skip
import tapkit

COLLECTOR = os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector"))
RECORD = os.path.join(BUILD, "vcr-record")
LIMIT = 60
# A shell's background job ignores these, and what it starts inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def make_place():
    place = Place()
    place.env.update(VCR_COLLECTOR=COLLECTOR, VCR_SHIM=tapkit.SHIM)
    return place


def shell(place, command):
    """What a shell with job control does for one job: a group of its own, the terminal while it runs, "fg" when it was stopped."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.chdir(place.dir)
        os.execve(RECORD, [RECORD, "-q", "--", *command], place.env)
    while True:
        status = os.waitpid(child, os.WUNTRACED)[1]
        os.tcsetpgrp(0, os.getpgrp())
        if not os.WIFSTOPPED(status):
            break
        print("SHELL: stopped by %d" % os.WSTOPSIG(status), flush=True)
        os.read(0, 100)
        os.tcsetpgrp(0, child)
        os.kill(-child, signal.SIGCONT)
    print("SHELL: ended with %d" % (os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)), flush=True)
    os.read(0, 100)


class Terminal:
    """vcr-record as the foreground job of a terminal of its own."""

    def __init__(self, place, *command):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                shell(place, command)
            finally:
                os._exit(0)
        self.text = ""

    def until(self, what):
        """Read the terminal until `what` has been said; what was said so far."""
        deadline = time.monotonic() + LIMIT
        while what not in self.text and time.monotonic() < deadline:
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    got = os.read(self.fd, 4096)
                except OSError:
                    break
                self.text += got.decode(errors="replace")
        said, at, self.text = self.text, self.text.find(what), ""
        if at >= 0:
            self.text = said[at + len(what):]
        return said[:at + len(what)] if at >= 0 else said + " …never said: " + what

    def type(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        self.type("\n")
        os.waitpid(self.pid, 0)
        os.close(self.fd)


place = make_place()
for command, want, title in (
        (["sh", "-c", "exit 7"], 7, "its exit status"), (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM, "the signal it died of"),
        (["sh", "-c", "kill -SEGV $$"], -signal.SIGSEGV, "a crash"), (["/nonexistent/command"], 127, "127 for a command that is not there"),
        ([place.dir], 126, "126 for one that cannot be run")):
    status, out, err = place.run("vcr-record", "-q", "--", *command)
    plain = subprocess.run(["env", *command], stderr=subprocess.DEVNULL, env=place.env).returncode
    ok(status == want == plain, "vcr-record returns %s, as env(1) does" % title, status, want, plain, err)

r = subprocess.run([RECORD, "-q", "--", "sh", "-c", "cat; echo problem >&2"], input=b"bytes \x00\xff in", cwd=place.dir, env=place.env, capture_output=True, timeout=LIMIT)
ok(r.stdout == b"bytes \x00\xff in" and r.stderr.startswith(b"problem\n"), "standard input, output and error are the command's own", r)
r = subprocess.run([RECORD, "-q", "--", "sh", "-c", "ls -l /proc/self/fd | grep -c -e '->'"], cwd=place.dir, env=place.env, capture_output=True, text=True, timeout=LIMIT)
plain = subprocess.run(["sh", "-c", "ls -l /proc/self/fd | grep -c -e '->'"], cwd=place.dir, env=place.env, capture_output=True, text=True, timeout=LIMIT)
ok(r.stdout == plain.stdout, "the command gets no descriptor of ours", r.stdout, plain.stdout)
show_state = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
ignore = {"preexec_fn": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN)}
r = subprocess.run([RECORD, "-q", "--", *show_state], cwd=place.dir, env=place.env, capture_output=True, text=True, timeout=LIMIT, **ignore)
plain = subprocess.run(show_state, cwd=place.dir, env=place.env, capture_output=True, text=True, **ignore)
ok(r.stdout == plain.stdout and r.stdout, "signals that were blocked or ignored stay so for the command, and no others", r.stdout, plain.stdout)
r = subprocess.run([RECORD, "-q", "--", "env"], cwd=place.dir, env=dict(place.env, LD_PRELOAD=""), capture_output=True, text=True, timeout=LIMIT)
ours = [line for line in r.stdout.splitlines() if line.startswith(("LD_PRELOAD=/", "VCR_SPOOL="))]
ok(not ours and "HOME=" + place.home in r.stdout, "the command's environment shows nothing of us", *ours)

for sig, name in ((signal.SIGTERM, "TERM"), (signal.SIGINT, "INT"), (signal.SIGHUP, "HUP"), (signal.SIGUSR1, "USR1"), (signal.SIGQUIT, "QUIT")):
    p = subprocess.Popen([RECORD, "-q", "--", "sh", "-c", "trap 'echo got %s; exit 3' %s; echo ready; while :; do sleep 0.02; done" % (name, name)],
                         cwd=place.dir, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    p.stdout.readline()
    p.send_signal(sig)
    out, err = p.communicate(timeout=LIMIT)
    ok(out == "got %s\n" % name and p.returncode == 3, "SIG%s sent to vcr-record alone reaches the command, whose answer counts" % name, out, err, p.returncode)

term = Terminal(place, "sh", "-c", "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done")
term.until("ready")
term.type("\x03")
said = term.until("SHELL: ended with 5")
ok(said.count("interrupted") == 1 and "never" not in said, "Ctrl-C reaches the command once, and vcr-record returns what it makes of it", said)
term.close()

term = Terminal(place, "sh", "-c", "echo ready; while :; do sleep 0.02; done")
term.until("ready")
term.type("\x03")
said = term.until("SHELL: ended with 130")
ok("never" not in said, "a command that Ctrl-C ends ends vcr-record the same way", said)
term.close()

term = Terminal(place, "sh", "-c", "trap 'echo continued' CONT; echo ready; read line; echo the line is $line; exit 4")
term.until("ready")
term.type("\x1a")
said = term.until("SHELL: stopped by %d" % signal.SIGTSTP)
ok("never" not in said, "Ctrl-Z stops the job as a whole: its shell gets the terminal back", said)
term.type("fg\n")
said = term.until("continued")
term.type("typed\n")
said += term.until("SHELL: ended with")
ok("never" not in said and said.count("continued") == 1, "fg continues it, once", said)
term.close()

term = Terminal(place, "sh", "-c", "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.02; done")
term.until("ready")
fcntl.ioctl(term.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
said = term.until("33 77")
ok("never" not in said, "the command hears of a new window size and sees it", said)
term.type("\x03")
term.until("SHELL: ended")
term.close()

place = make_place()
status, out, err = place.run("vcr-record", "--tag", "ci", "-t", "nightly", "--meta", "who=me", "-m", "n=a=b", "--session", "my run", "--", "sh", "-c", "echo x > f")
head = json.loads(open(place.path("my run")).readline())["data"]
ok(status == 0 and head["session_id"] == "my run" and head["tags"] == ["ci", "nightly"] and {k: v for k, v in head["metadata"].items() if k != "agent"} == {"who": "me", "n": "a=b"} and len(head["metadata"]["agent"].split()) == 2,
   "--tag, --meta and --session stand in the session's header", head, err)
ok("my run" in err and "vcr-log" in err and "NO MODEL CALLS" in err, "the summary names session, file and how to read it, and says loudly that no model was called", err)
status, out, err = place.run("vcr-record", "--", tapkit.program("tlsrefused"))
ok(status == 0 and "NO MODEL CALLS were seen: TLS inside the program cannot be tapped: SSL_write begins with a loop; --lane=gate helps" in err,
   "of a program whose TLS was heard and not understood the summary says why, and which option helps", err)
before = open(place.path("my run"), "rb").read()
status, out, err = place.run("vcr-record", "--session", "my run", "--", "touch", "ran")
ok(status == 2 and "already" in err and err.count("\n") == 1 and open(place.path("my run"), "rb").read() == before and not os.path.exists(os.path.join(place.dir, "ran")),
   "an existing session is refused in one line, before the command runs, and stays as it was", status, err)
for bad in ("../x", "-x", "x.lock", ".x", "x/y", "", "x" * 200, "x.vcr", "a\nb"):
    status, out, err = place.run("vcr-record", "--session=" + bad, "--", "touch", "ran")
    ok(status == 2 and err.count("\n") == 1 and not os.path.exists(os.path.join(place.dir, "ran")), "the session id %r is refused in one clear line" % bad[:9], status, err)
status, out, err = place.run("vcr-record")
ok(status == 2 and err.count("\n") == 2 and "--help" in err, "without a command it says what is missing", err)
status, out, err = place.run("vcr-record", "--json", "--", "sh", "-c", "echo y > g")
ok(status == 0 and json.loads(err.splitlines()[0])["file_changes"] == 1, "--json gives the summary as one object", err)
# vcr-record leaves before its collector does: told so by processes that go on, or killed
place = make_place()
held, hold = os.pipe()
os.set_inheritable(held, True)
status, out, err = place.run("vcr-record", "-q", "--session", "outlived", "--", "sh", "-c", "echo a > a; { read line; echo b > b; } <&%d >/dev/null 2>&1 & exec %d<&-" % (held, held), pass_fds=[held])
os.close(held)
os.mkfifo(os.path.join(place.dir, "go"))
victim = subprocess.Popen([RECORD, "-q", "--session", "killed", "--", "sh", "-c", "echo ready; read line < go; echo c > c"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE)
victim.stdout.readline()
victim.kill()
victim.wait()
os.close(hold)
with open(os.path.join(place.dir, "go"), "w") as go:
    go.write("on\n")
until = time.monotonic() + LIMIT
while [f for f in os.listdir(os.path.join(place.run_dir, "vcr")) if f.endswith(".spool")] and time.monotonic() < until:
    time.sleep(0.02)
paths = {name: [f["what"].split()[0] for f in place.json("vcr-log", name, "--json", "--node=file:*")] for name in ("outlived", "killed")}
left = os.listdir(os.path.join(place.run_dir, "vcr"))
ok(status == 0 and "b" in paths["outlived"] and "c" in paths["killed"] and not left, "a session that outlives its vcr-record is complete, and leaves nothing in the runtime directory",
   status, err, paths, left)

place = make_place()
source, program = os.path.join(place.dir, "asan.c"), os.path.join(place.dir, "asan")
with open(source, "w") as f:
    f.write('#include <stdio.h>\nint main(void) { FILE *f = fopen("by-asan", "w"); fputs("x", f); fclose(f); puts("alive"); return 4; }\n')
if subprocess.run(["cc", "-fsanitize=address", "-o", program, source], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
    skip("a command that cannot take the library runs without it", "the compiler has no ASan here")
else:
    status, out, err = place.run("vcr-record", "--session", "harmed", "--", program, env={"ASAN_OPTIONS": "detect_leaks=0"})
    paths = [f["what"].split()[0] for f in place.json("vcr-log", "harmed", "--json", "--node=file:*")]
    ok(status == 4 and out == "alive\n" and "cannot take the library" in err and paths == ["by-asan"],
       "a command that cannot take the library runs without it, which is said, and its files are recorded", status, out, err, paths)
place = make_place()
os.makedirs(place.vcr_dir)
with open(os.path.join(place.vcr_dir, "config"), "w") as f:
    f.write("# hosts\nmodel-hots api.example.com\n")
status, out, err = place.run("vcr-record", "-q", "--", "/bin/echo", "here")
ok(status == 0 and out == "here\n" and err.count("\n") == 1 and ".vcr/config:2: 'model-hots' is no setting" in err, "a setting that there is not is named with file and line, and the command runs",
   status, out, err)
place = make_place()
gone = os.path.join(place.dir, "gone")
os.mkdir(gone)
status, out, err = place.run("/bin/sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', gone, RECORD, "--", "/bin/echo", "here")
ok(status == 0 and out == "here\n" and "NOT RECORDED: " in err, "in a directory that is gone the command runs all the same, and it is said that nothing is recorded", status, out, err)
status, out, err = place.run("/bin/sh", "-c", 'ulimit -n 4; exec "$@"', "sh", RECORD, "--", "/bin/sh", "-c", "echo here; exit 7")
ok(status == 7 and out == "here\n" and "NOT RECORDED: " in err, "with no descriptor to be had the command takes vcr-record's place", status, out, err)
if os.environ.get("ASAN_OPTIONS") is None:
    for limit in (8000000, 1000000):
        status, out, err = place.run("/bin/sh", "-c", 'ulimit -v $0; exec "$@"', str(limit), RECORD, "--session", "v%d" % limit, "--", "/bin/sh", "-c", "echo 1 > limited; echo here")
        frames = [f["what"].split()[0] for f in place.json("vcr-log", "v%d" % limit, "--json", "--node=file:*")]
        ok(status == 0 and out == "here\n" and frames == ["limited"], "with %d MB of address space (ulimit -v) a recording is as any other" % (limit // 1000), status, out, err, frames)
    status, out, err = place.run(RECORD, "--", "/bin/echo", "here", env={"VCR_COLLECTOR": "/bin/false"})
    left = os.listdir(os.path.join(place.run_dir, "vcr"))
    ok(status == 0 and out == "here\n" and "NOT RECORDED: " in err and not left, "a recording that cannot begin leaves nothing in the runtime directory", status, out, err, left)
    status, out, err = place.run("vcr-record", "-q", "--session", "outer", "--", RECORD, "-q", "--session", "inner", "--", "sh", "-c", "echo z > h")
    paths = [[f["what"].split()[0] for f in place.json("vcr-log", name, "--json", "--node=file:*")] for name in ("inner", "outer")]
    ok(status == 0 and paths[0] == ["h"], "vcr-record within vcr-record makes a session of its own", status, err, paths)
done()
