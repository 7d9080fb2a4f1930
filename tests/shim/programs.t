#!/usr/bin/python3
"""Programs that are started stay in the session, whatever environment they are given, and see nothing of it."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import SHIM, ok, skip

PROGRAMS = tapkit.program("programs")
BARE = {"execve", "execvpe", "execle", "execveat", "fexecve", "syscall", "posix_spawn", "posix_spawnp"}  # an empty environment
OTHERS = {"execv", "execvp", "execl", "execlp", "system", "popen"}
FORKS = {"fork", "_Fork", "vfork", "clone", "forkpty", "wait", "waitpid", "wait3", "wait4", "waitid"}


def run(how, *argv, **options):
    session = tapkit.Session()
    # The first line makes it a session worth keeping.
    r = session.run("/bin/sh", "-c", ': > first-line; "$@"', "sh", PROGRAMS, how, *(argv or (PROGRAMS, "show")), env=dict({"PATH": os.path.dirname(PROGRAMS) + ":/usr/bin:/bin"}, **options.pop("env", {})), **options)
    return session, r, session.lines()


for how in sorted(BARE | OTHERS | FORKS):
    session, r, lines = run(how)
    joined = [l for l in lines if l.startswith("PROC") and l.endswith("[show]") and "[%s]" % how not in l]
    ended = [l for l in lines if l.startswith("EXIT") and "status=0x700" in l]
    seen = r.stdout.replace("LD_PRELOAD=" + SHIM + "\n", "") if how not in BARE else r.stdout
    ok(r.returncode == 7 and joined and ended and not seen and len(session.spools()) == 1,
       "a program started by %s%s joins the session and sees no variable that was not the user's" % (how, " with an empty environment" if how in BARE else ""),
       "status %d, %d joined" % (r.returncode, len(joined)), r.stdout, r.stderr, *lines)

WHERE = {"thread": "a thread", "signal": "a signal handler", "closefrom": "a program after closefrom(3)", "exit": "a handler of exit()", "vfork": "a vfork child",
         "constructor": "a constructor that runs before the shim's"}
SHELLS = {"system", "popen"}


def went(how, when):
    """What is wrong with it, if anything. A vfork child changes nothing of its parent, its environment neither: what it starts by a shell is not seen, and counted."""
    session, r, lines = run(how, env={"WHERE": when})
    joined = [l for l in lines if l.startswith("PROC") and l.endswith("[show]") and "[%s]" % how not in l]
    ended = [l for l in lines if l.startswith("EXIT") and "status=0x700" in l]
    daemon = [l for l in lines if "FILE" in l and "by-daemon" in l]
    counted = "dropped=0" not in lines[0] if lines else False
    lost = when == "vfork" and how in SHELLS
    forks = {re.match(r"FORK pid=(\d+) conn=0 parent=(\d+)", l).groups() for l in lines if l.startswith("FORK")}
    reaped = {m.groups()[::-1] for m in (re.match(r"EXIT pid=(\d+) conn=0 WAIT child=(\d+)", l) for l in lines) if m}
    users = int(re.search(r"users=(\d+)", lines[0]).group(1)) if lines else -1
    seen = counted if lost else daemon if how == "daemon" else how in ("_exit", "_Exit") or joined
    if r.returncode == 7 and seen and counted == lost and ended and (how == "daemon" or forks <= reaped) and users <= (how == "daemon") and len(session.spools()) == 1 and not [l for l in lines if "HOLE" in l or "BAD" in l]:
        return None
    return how, r.returncode, r.stdout, r.stderr, lines


for when, where in WHERE.items():
    hooks = sorted(BARE | OTHERS | FORKS | {"_exit", "_Exit", "daemon"})
    wrong = [w for w in (went(how, when) for how in hooks) if w]
    ok(len(hooks) == 27 and not wrong, "each hook that starts, becomes or awaits a program does so from %s too%s" % (where, ", or is counted" if when == "vfork" else ""), *wrong)

for how in ("_exit", "_Exit"):
    session, r, lines = run(how)
    ok(r.returncode == 7 and [l for l in lines if "SELF" in l and "status=0x700" in l] and [l for l in lines if "WAIT" in l and "status=0x700" in l],
       "%s of a child is recorded by the child and by the parent that waits" % how, *lines)

session, r, lines = run("daemon")
ok(r.returncode == 7 and any("FILE" in l and "by-daemon" in l for l in lines), "a process that makes itself a daemon is still recorded", r.stderr, *lines)

session, r, lines = run("execv", "/nonexistent/program", "x")
ok(r.returncode == 127 and not [l for l in lines if l.startswith("EXEC") and "error=0 /nonexistent" in l], "a program that is not there is not announced", *lines)


session = tapkit.Session()
r = session.run("/bin/sh", "-c", "ls | wc -l; /bin/true; /bin/false; exit 3")
ok(r.returncode == 3 and not session.spools(), "a session in which nothing worth recording happened leaves no spool", *session.spools())

# The environment in detail.
foreign = os.path.join(tapkit.BUILD, "tests", "shim", ".libs", "libearly.so")
session = tapkit.Session()
r = session.run("/bin/sh", "-c", ": > first-line; /usr/bin/env -i LD_PRELOAD=%s %s show; true" % (foreign, PROGRAMS))
ok(r.stdout == "LD_PRELOAD=%s\n" % foreign and any("PROC" in l and l.endswith("[show]") for l in session.lines()),
   "a preload of somebody else is kept and ours stays beside it, unseen", r.stdout, r.stderr)
session = tapkit.Session()
link = os.path.join(session.dir, "another-name.so")
os.symlink(SHIM, link)
r = session.run("/bin/sh", "-c", "LD_PRELOAD=%s %s show; true" % (link, PROGRAMS))
ok(r.stdout == "LD_PRELOAD=%s\n" % link, "the same library under another name is recognised by its file and not put in twice", r.stdout)

# Targets that a preload would harm.
session = tapkit.Session()
source = os.path.join(session.dir, "t.c")
with open(source, "w") as f:
    f.write('#include <stdlib.h>\n#include <stdio.h>\nint main(void) { const char *p = getenv("LD_PRELOAD"); puts(p ? p : "none"); return 0; }\n')


def built(name, *flags):
    out = os.path.join(session.dir, name)
    return out if subprocess.run(["gcc", source, "-o", out, *flags], stderr=subprocess.DEVNULL).returncode == 0 else None


for name, flags, want, title in (
        ("asan", ["-fsanitize=address"], "none", "a program linked to ASan's library is started without the preload and runs"),
        ("static", ["-static"], SHIM, "a static program hands the preload on to its children"),
        ("wide", ["-m32"], "none", "a 32-bit program is started without the preload"),
        ("musl", ["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"], None, "a musl program is started without the preload")):
    out = built(name, *flags)
    if not out:
        skip(title, "the compiler cannot build one here")
        continue
    if want is None:  # there is no musl here: what would be run is seen in the environment that a stand-in loader prints
        env = subprocess.run(["strace", "-f", "-v", "-s", "9999", "-e", "trace=execve", "-E", "LD_PRELOAD=" + SHIM, "-E", "VCR_COLLECTOR=/nonexistent", "/bin/sh", "-c", out + "; true"],
                             cwd=session.work, env=session.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) if os.access("/usr/bin/strace", os.X_OK) else None
        if env is None:
            skip(title, "strace is not installed")
            continue
        call = [l for l in env.stderr.splitlines() if 'execve("%s"' % out in l]
        ok(call and "LD_PRELOAD" not in call[0], title, env.stderr[-2000:])
        continue
    r = session.run("/bin/sh", "-c", out + "; true")
    script = os.path.join(session.dir, name + ".script")
    with open(script, "w") as f:
        f.write("#!%s\n" % out)
    os.chmod(script, 0o755)
    r2 = session.run("/bin/sh", "-c", script + "; true")
    ok(r.stdout.strip() == want and r2.stdout.strip() == want and not r.stderr, title + ", also behind #!", r.stdout, r2.stdout, r.stderr)

# A symbolic link that first leads to a program of the system, which a shell knows after it has started it, and then to another kind.
title = "a name that leads to a program of another kind than the last time is looked at anew"
static, link = built("static-again", "-static"), os.path.join(session.dir, "link")
if static:
    other = os.path.join(session.dir, "asan") if os.path.exists(os.path.join(session.dir, "asan")) else static
    r = session.run("/bin/sh", "-c", 'ln -sf /usr/bin/true $0; $0; $0; ln -sf $1 $0; $0; ln -sf $2 $0; $0', link, static, other)
    ok(r.stdout.split() == [SHIM, "none" if other != static else SHIM] and not r.stderr, title, r.stdout, r.stderr)
else:
    skip(title, "the compiler cannot build a static program here")

secret = {"KEY": "1", "a_key_b": "2", "GITHUB_TOKEN": "3", "mysecretly": "4", "PASSWORD": "5", "X_CREDENTIALS": "6", "AUTHORIZATION": "7", "A_PWD": "8", "B_pat": "9", "XKE_KEY": "10",
          "PROXY": "http://me:word@host:1", "LAST": "ftp://@"}
plain = {"KE": "1", "TOKE": "2", "PWD_": "3", "SECRE": "=KEY=", "PAT": "TOKEN", "MAIL": "me@host", "URL": "http://host:1/", "TWO": "a@b http://c", "KE_Y": "//@:", "EMPTY": ""}
session = tapkit.Session()
r = session.run("/bin/sh", "-c", ": > begun; env", env=dict(secret, **plain))
said = {l.split(" ", 2)[2] for l in session.lines() if l.startswith("SECRET")}
ok(r.returncode == 0 and {s for s in said if s.split("=")[0] in {**secret, **plain}} == {"%s=%s" % s for s in secret.items()}, "variables that may hold a secret are told by their names and by a password in a URL, others are not", said)
tapkit.done()
