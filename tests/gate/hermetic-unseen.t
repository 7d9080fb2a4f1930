#!/usr/bin/python3
"""--hermetic: what a program starts that the library does not see is answered if the library can enter it, and else does not run."""
import ctypes
import errno
import json
import os
import shutil
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import BUILD, OPENAI, clikit, done, ok, skip
from hermetickit import World

HOST = "api.model.example"
world = World()
for name in [n for n in world.env if n.lower().endswith("_proxy")]:
    del world.env[name]
ran = os.path.join(world.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
open(ran, "w").close()
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "go"}]})
WAY = ("--capture=all", "--connect-to", "%s:80:127.0.0.1:%d" % (HOST, world.web.server_address[1]))
MARKER = '#include <stdio.h>\nint main(void) { FILE *f = fopen("%s", "a"); fputs("ran\\n", f); puts("by a marker"); return 0; }\n' % ran
BEFORE = '#include <stdlib.h>\n#include <unistd.h>\nint main(int argc, char **argv) { if (system(argv[1])) return 9; execv(argv[2], argv + 2); return 8; }\n'
WAITER = """#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	for (int i = 0; access(argv[1], F_OK) && i < 4000; i++)
		usleep(5000);
	if (!fork()) {
		execv(argv[2], argv + 2);
		FILE *f = fopen(argv[3], "w");
		fprintf(f, "%d", errno);
		fclose(f);
		_exit(1);
	}
	wait(NULL);
	return 0;
}
"""


def build(name, source, *options, compiler="gcc"):
    path = os.path.join(world.dir, name)
    if source.endswith(".c"):
        code = source
    else:
        code = path + ".c"
        with open(code, "w") as f:
            f.write(source)
    return path if shutil.which(compiler) and not subprocess.run([compiler, "-O", *options, "-o", path, code], stderr=subprocess.DEVNULL).returncode else None


SOURCE = os.path.join(gatekit.SOURCE, "tests", "gate", "asker.c")
ASKER, STATIC, DYNAMIC = build("asker", SOURCE, "-static"), build("marker", MARKER, "-static"), build("library", MARKER)
FIRST, LATER = build("first", BEFORE, "-static"), build("later", WAITER, "-static")
if not ASKER or not STATIC:
    skip("tools that the library does not see start", "no static programs can be made here")
    done()


def runs():
    return len(open(ran).readlines())


def command(*tools, agent=ASKER):
    return (agent, "TOOLS", "http://%s%s" % (HOST, OPENAI), BODY, *tools)


def record(session, *words, options=WAY):
    return world.run("vcr-record", "-q", "--session", session, *options, "--", *words)


def replay(session, *words, options=("--hermetic",)):
    return world.run("vcr-replay", *options, "--vcr-dir", world.vcr_dir, session, "--", *words)


def told(out):
    return [line for line in out.splitlines()[2:] if line]


REFUSED = "126 ?%d" % errno.EACCES
TOOLS = ("echo said", "!" + STATIC, "-" + DYNAMIC, "!/bin/echo")
said, err, status = record("tools", *command(*TOOLS))
probe = replay("tools", *command("echo said"))
if "seccomp" in probe[1]:
    ok(probe[2] == 1 and "asker is static, of Go or of another libc: of what it starts, static programs and those with an environment of their own are not answered from the session, and run" in probe[1],
       "where the kernel refuses a filter, a program whose tools may have run is named, with the reason, and the status says so", probe)
    skip("what the library does not see start is refused", "no filter is to be had")
    done()
first = (status, told(said), runs())


def holds(title, options=("--hermetic",), session="tools"):
    count = runs()
    out, err, status = replay(session, *command(*TOOLS), options=options)
    ok(first == (0, ["0 said", "0 by a marker", "0 by a marker", "0 tool"], 2) and told(out) == ["0 said", REFUSED, REFUSED, "0 tool"] and runs() == count and status == 1, title, first, out, err, status, runs())
    return err


err = holds("a static tool of a static program, and one with an environment of its own, do not run: who starts them hears it; others are answered as before")
ok("2 tools were refused: %s tool (it was not recorded: it is static); %s tool (it was not recorded: its environment is its own)" % (STATIC, DYNAMIC) in err and " run" not in err.split("refused: ")[0].split("\n")[-1],
   "each is named at the end, with the reason, and nothing else is said of the program that started them", err)
count = runs()
under = replay("tools", "/bin/sh", "-c", '"$@"; exit $?', "sh", *command(*TOOLS))
ok(told(under[0]) == ["0 said", REFUSED, REFUSED, "0 tool"] and runs() == count and under[2] == 1 and "2 tools were refused" in under[1], "and when it is started by a program that the library is in", under)
spawned = replay("tools", "/usr/bin/python3", "-c", "import os, sys; p = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); sys.exit(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))", *command(*TOOLS))
ok(told(spawned[0]) == ["0 said", REFUSED, REFUSED, "0 tool"] and runs() == count and spawned[2] == 1, "and when it is spawned", spawned)
holds("and with --supervise", ("--hermetic", "--supervise"))
if "cannot be had" in replay("tools", "/bin/true", options=("--sealed",))[1]:
    skip("and in namespaces of its own (--sealed)", "none are to be had")
else:
    holds("and in namespaces of its own (--sealed)", ("--hermetic", "--sealed"))
record("numbers", *command(*TOOLS), options=("--deterministic", *WAY))
holds("and with process numbers of the command's own (--deterministic)", ("--hermetic", "--deterministic"), "numbers")

count = runs()
own = replay("tools", *command("@" + STATIC, "!" + ASKER))
ok(told(own[0]) == [REFUSED, "1 "] and runs() == count and own[2] == 1 and "1 tool was refused: %s tool (" % STATIC in own[1], "a program that starts itself again may; what that starts is a tool as well", own)
often = replay("tools", *command(*["!" + STATIC] * 25, "-" + DYNAMIC))
ok(told(often[0]) == [REFUSED] * 26 and often[1].count(STATIC) == 1 and often[1].count(DYNAMIC) == 1 and "26 tools were refused: " in often[1] and "others" not in often[1], "one that is tried again and again is named once, and hides no other", often)
hard = replay("tools", *command("^", *TOOLS))
ok(told(hard[0]) == ["0", "0 said", REFUSED, REFUSED, "0 tool"] and runs() == count and hard[2] == 1 and "2 tools were refused" in hard[1] and "look into" not in hard[1], "of one that lets nobody look into it as well, whoever runs it", hard)
UNDER = ("+" + DYNAMIC, "+" + STATIC)
said, err, status = record("under", *command(*UNDER))
count = runs()
again, err, status = replay("under", *command(*UNDER))
ok(told(said) == ["0 by a marker"] * 2 and told(again) == ["0 by a marker", REFUSED] and runs() == count and status == 1, "the tools of one that it has started again are recorded and answered as its own", said, again, err, status)
orphans = replay("tools", *command("*" + STATIC, "*" + DYNAMIC, TOOLS[0]))
ok(told(orphans[0]) == [REFUSED.replace("126", "0")] * 2 + ["0 said"] and runs() == count and orphans[2] == 1 and "it is static" in orphans[1] and "who began it has ended" in orphans[1],
   "nor does one whose parent has ended before it began", orphans)
nowhere = replay("tools", *command("%" + STATIC, TOOLS[0]))
ok(told(nowhere[0]) == ["125 ?%d" % errno.ENOENT, "0 said"] and runs() == count and nowhere[2] in (0, 1), "calls whose arguments are not there, or without end, harm nobody", nowhere)

said, err, status = record("chain", FIRST, STATIC, FIRST, STATIC, *command(*TOOLS))
count = runs()
again, err, status = replay("chain", FIRST, STATIC, FIRST, STATIC, *command(*TOOLS))
ok([l for l in again.splitlines() if l][:2] == ["by a marker"] * 2 and again.splitlines()[4:] and told("\n".join(again.splitlines()[2:])) == ["0 said", REFUSED, REFUSED, "0 tool"] and runs() == count + 2 and status == 1,
   "what runs before the agent speaks to its model, and the programs by which it is started, run as they did", again, err, status)

FULL = """import glob, os, socket, sys
r, w = os.pipe()
os.set_blocking(w, False)
try:
    while os.write(w, b"x" * 65536):
        pass
except BlockingIOError:
    os.set_blocking(w, True)
path, = glob.glob(os.environ["XDG_RUNTIME_DIR"] + "/**/*.tools.w", recursive=True)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(path)
socket.send_fds(s, [b"what it says"], [w])
os.close(w)
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
p = subprocess.Popen([os.path.join(BUILD, "vcr-replay"), "--hermetic", "--vcr-dir", world.vcr_dir, "tools", "--", sys.executable, "-c", FULL, *command(*TOOLS)], cwd=world.dir, env=world.env, stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE, text=True, start_new_session=True)
try:
    full = p.communicate(timeout=40)
except subprocess.TimeoutExpired:
    os.killpg(p.pid, signal.SIGKILL)
    full = ("it hangs", p.communicate()[1])
ok(told(full[0]) == ["0 said", REFUSED, REFUSED, "0 tool"] and p.returncode == 1, "a process that says nonsense at the place where programs say that they begin holds nobody up", full, p.returncode)

MUSL = build("musl", MARKER, compiler="musl-gcc"), build("another", SOURCE, compiler="musl-gcc")
if all(MUSL) and not subprocess.run([MUSL[0]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
    count = runs()
    out, err, status = replay("tools", *command("!" + MUSL[0], TOOLS[0]))
    ok(told(out) == [REFUSED, "0 said"] and runs() == count and status == 1 and "it is of another libc" in err, "a tool of another libc does not run either", out, err)
    out, err, status = replay("tools", *command(*TOOLS, "@" + MUSL[0], agent=MUSL[1]))
    ok(told(out) == [REFUSED] * 5 and runs() == count and status == 1 and "refused" in err, "nor does anything that a program of another libc starts, be it the same, which may be an interpreter", out, err)
else:
    skip("tools of another libc", "musl-gcc makes no programs here that run")

marks = [os.path.join(world.run_dir, name) for name in ("go", "heard")]
count = runs()
p = subprocess.Popen([os.path.join(BUILD, "vcr-replay"), "-q", "--hermetic", "--vcr-dir", world.vcr_dir, "tools", "--", LATER, marks[0], STATIC, marks[1]], cwd=world.dir, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
while not [c for c in open("/proc/%d/task/%d/children" % (p.pid, p.pid)).read().split() if os.path.exists("/proc/%s/exe" % c) and os.readlink("/proc/%s/exe" % c) == os.path.realpath(LATER)]:
    if p.poll() is not None:
        break
p.send_signal(signal.SIGKILL)
p.wait()
open(marks[0], "w").close()
p.stdout.read()  # until the last of them has ended
ok(os.path.exists(marks[1]) and open(marks[1]).read() == str(errno.ENOSYS) and runs() == count, "when vcr-replay is killed nothing hangs: what is started then fails", os.path.exists(marks[1]))

# Where a host forbids seccomp(2), as containers do: EPERM.
ARCH, CALL = {"x86_64": (0xc000003e, 317), "aarch64": (0xc00000b7, 277)}.get(os.uname().machine, (0, 0))


def forbid():
    libc = ctypes.CDLL(None, use_errno=True)
    steps = ((0x20, 0, 0, 4), (0x15, 0, 3, ARCH), (0x20, 0, 0, 0), (0x15, 0, 1, CALL), (0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7fff0000))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *s) for s in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0):
        os._exit(99)


UNSEEN = "where the kernel refuses a filter, a program whose tools may have run is named, with the reason, and the status says so"
if CALL:
    count = runs()
    r = subprocess.run([os.path.join(BUILD, "vcr-replay"), "--hermetic", "--vcr-dir", world.vcr_dir, "tools", "--", *command(*TOOLS)], cwd=world.dir, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=60, preexec_fn=forbid)
    ok(told(r.stdout) == ["0 said", "0 by a marker", "0 by a marker", "0 tool"] and r.returncode == 1 and "asker is static, of Go or of another libc: of what it starts, static programs and those with an environment of "
       "their own are not answered from the session, and run, for the kernel refuses a seccomp filter" in r.stderr, UNSEEN, r.stdout, r.stderr, r.returncode)
    r = subprocess.run([os.path.join(BUILD, "vcr-replay"), "--hermetic", "--vcr-dir", world.vcr_dir, "chain", "--", "/bin/sh", "-c", FIRST + " " + STATIC + " /bin/true"], cwd=world.dir, env=world.env, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=60, preexec_fn=forbid)
    ok(r.returncode == 0 and "is static" not in r.stderr, "of one that never spoke to a model nothing is said there: it had no tools", r.stdout, r.stderr, r.returncode)
else:
    skip(UNSEEN, "system calls of this kind of machine are not known")
done()
