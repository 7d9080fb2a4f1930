#!/usr/bin/python3
"""Tools of agents that the library cannot enter: recorded with --capture=all, and answered from the session."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from gatekit import OPENAI, clikit, done, ok, skip
from hermetickit import World

HOST = "api.model.example"
KEPT = "tools of a static program are recorded: what they print, how they end, and what they do to files; and they run as they would"
ANSWERED = "--hermetic: none of them runs, each prints and ends as it did, and their files are there, in another directory too"
KILLED = "one that was killed, and one that a shell has become and that the library is not in, end as they did too"
REFUSED = "one that was not recorded does not run: it ends with 127, and is named"
EARLY = "what a static program starts before it has spoken to a model runs"
UNDER = "a static program that is a tool itself has no tools of its own"
NUMBERS = "with process numbers of the command's own (--deterministic) as well"
world = World()
for name in [n for n in world.env if n.lower().endswith("_proxy")]:
    del world.env[name]
ASKER, STRANGER = os.path.join(world.dir, "asker"), os.path.join(world.dir, "stranger")
with open(STRANGER + ".c", "w") as f:
    f.write("#include <stdlib.h>\nint main(void) { return system(\"echo by a stranger; echo 1 >>$RAN\") != 0; }\n")
if subprocess.run(["gcc", "-O", "-static", os.path.join(gatekit.SOURCE, "tests", "gate", "asker.c"), "-o", ASKER], stderr=subprocess.DEVNULL).returncode or \
        subprocess.run(["gcc", "-static", "-o", STRANGER, STRANGER + ".c"], stderr=subprocess.DEVNULL).returncode:
    for title in (KEPT, ANSWERED, KILLED, REFUSED, EARLY, UNDER, NUMBERS):
        skip(title, "no static programs can be made here")
    done()
WAY = ("--capture=all", "--connect-to", "%s:80:127.0.0.1:%d" % (HOST, world.web.server_address[1]))
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "go"}]})
ran = world.env["RAN"] = os.path.join(world.run_dir, "ran")  # outside of the workspace: who really runs leaves a line there
open(ran, "w").close()


BECOME = shutil.copy(STRANGER, os.path.join(world.run_dir, "become"))


def runs():
    return len(open(ran).readlines())


def command(*tools, before=()):
    return (*before, ASKER, "TOOLS", "http://%s%s" % (HOST, OPENAI), BODY, *tools)


def record(session, *words, options=WAY):
    return world.run("vcr-record", "-q", "--session", session, *options, "--", *words)


def replay(session, *words, cwd=None, options=("--hermetic",)):
    return world.run("vcr-replay", *options, "--vcr-dir", world.vcr_dir, session, "--", *words, cwd=cwd)


def outputs(session):
    return [l["data"] for l in world.lines(session) if l["type"] == "vcr.output"]


TOOLS = ("echo said; echo 1 >>$RAN; exit 3", "pwd; mkdir -p sub; echo \"in $PWD\" >sub/here; echo 1 >>$RAN", "date +%N; echo 1 >>$RAN", "date +%N; echo 1 >>$RAN", "kill -9 $$",
         "sh -c 'echo nested; echo 1 >>$RAN'; env | grep -c -e VCR_SPOOL -e VCR_LENT -e LD_PRELOAD -e PROXY=; true", "!/bin/echo", BECOME)
said, err, status = record("tools", *command(*TOOLS))
lines = said.splitlines()
kept = outputs("tools")
plain = subprocess.run(["sh", "-c", "cd $1; pwd", "sh", world.dir], stdout=subprocess.PIPE, text=True).stdout
ok(status == 0 and "3 said" in lines and "0 " + plain.strip() in lines and "0 nested" in lines and lines[lines.index("0 nested") + 1] == "0" and "-9 " in lines and "0 tool" in lines and "0 by a stranger" in lines and runs() == 6 and
   len(kept) == len(TOOLS) and not [k for k in kept if "not_kept" in k], KEPT, said, err, kept, runs())
other = clikit.Place()
count = runs()
again, err, status = replay("tools", *command(*TOOLS), cwd=other.dir)
here = os.path.join(other.dir, "sub", "here")
if [k for k in kept if k.get("signal") == 9]:
    ok(again == said.replace(world.dir, other.dir) and status == 0, KILLED, said, again, err, status)
else:
    skip(KILLED, "the kernel tells that to nobody but who waits for it: Linux 6.15 does")
    again = again.replace("127 \n", "-9 \n", 1).replace("127 \n", "0 by a stranger\n")
    err += "" if err.count("(how it ended was not seen)") == 2 else "are not refused"
ok(runs() == count and "are not refused" not in err and again == said.replace(world.dir, other.dir) and os.path.exists(here) and open(here).read() == "in %s\n" % other.dir, ANSWERED, said, again, err, status)
again, err, status = replay("tools", *command(TOOLS[0], "echo other; echo 1 >>$RAN", TOOLS[0]))
ok(runs() == count and "3 said\n" in again and again.count("127 \n") == 2 and status == 1 and "-lc echo other; echo 1 >>$RAN (it was not recorded)" in err and "so often" in err, REFUSED, again, err, status)
under = replay("tools", *command(TOOLS[0], before=("/bin/sh", "-c", '"$@"; exit $?', "sh")))
ok(under[0].endswith("3 said\n\n") and runs() == count, "a static program that is started by another one has its tools answered too", under)

spawned = replay("tools", *command(TOOLS[0], "echo other; echo 1 >>$RAN", before=("/usr/bin/python3", "-c", "import os, sys; p = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); "
                                                                                          "sys.exit(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))")))
ok("3 said\n" in spawned[0] and "127 \n" in spawned[0] and runs() == count and "(it was not recorded)" in spawned[1], "so are those of one that is spawned, whose number nobody knew when it was", spawned)

said, err, status = record("early", "/bin/sh", "-c", STRANGER + '; "$@"', "sh", *command(TOOLS[0]))
count = runs()
again, err, status = replay("early", "/bin/sh", "-c", STRANGER + '; "$@"', "sh", *command(TOOLS[0]))
ok(again == said and "by a stranger" in again and runs() == count + 1 and len([k for k in outputs("early") if "not_kept" not in k]) == 1, EARLY, said, again, err)

said, err, status = record("late", "/bin/sh", "-c", 'bash -lc "echo 1 >>$RAN; echo no tool"; exec "$@"', "sh", *command(TOOLS[0]))
count = runs()
again, err, status = replay("late", *command("echo 1 >>%s; echo no tool" % ran, TOOLS[0], "echo 1 >>%s; echo no tool" % ran))
ok("0 no tool" in again and "3 said" in again and runs() == count + 1 and err.count("refused") and "so often" in err, "what ran before the agent had spoken, and begins later now, runs, and not more often", said, again, err, status)

said, err, status = record("under", *command("%s; echo under" % STRANGER))
kept = outputs("under")
count = runs()
again, err, status = replay("under", *command("%s; echo under" % STRANGER))
ok(len(kept) == 1 and again == said and "by a stranger\nunder" in said and runs() == count and status == 0, UNDER, said, again, kept, err)

said, err, status = record("numbers", *command(*TOOLS[:2]), options=("--deterministic", *WAY))
count = runs()
again, err2, status = replay("numbers", *command(*TOOLS[:2]), options=("--hermetic", "--deterministic"))
if "process numbers are the kernel's" in err:
    skip(NUMBERS, "no namespace is to be had")
else:
    ok(again == said and "3 said" in said and runs() == count and status == 0, NUMBERS, said, again, err, err2)
done()
