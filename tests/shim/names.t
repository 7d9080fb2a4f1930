#!/usr/bin/python3
"""The name of a file that is open is remembered, and only as long as it is its name."""
import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import SHIM, ok, skip

tools = tempfile.mkdtemp()
atexit.register(shutil.rmtree, tools, True)


def built(name, source, *flags):
    with open(os.path.join(tools, name + ".c"), "w") as f:
        f.write(source)
    out = os.path.join(tools, name)
    return out if shutil.which("cc") and not subprocess.run(["cc", f.name, "-o", out, *flags], stderr=subprocess.DEVNULL).returncode else None


CASES = {
    "a file that is renamed while it is open is closed by its new name": ("f=w('a'); f.write('1'); f.flush(); os.rename('a','b'); f.write('2'); f.close()", "WRITE a, CLOSE b"),
    "so is one whose directory is renamed": ("os.mkdir('d'); f=w('d/a'); f.write('1'); f.flush(); os.rename('d','e'); f.close()", "WRITE d/a, CLOSE e/a"),
    "a descriptor that names another file behind the library's back is asked": (
        "x=open('x','w'); x.close(); f=w('a'); n=os.open('x', os.O_WRONLY); ctypes.CDLL(None).syscall(33, n, f.fileno()); f.write('1'); f.close()", "CLOSE x, WRITE x, CLOSE x"),
    "what is written through a link is the link's target": ("open('x','w').close(); os.symlink('x','l'); f=open('l','w'); f.write('1'); f.close()", "CLOSE x, WRITE x, CLOSE x"),
    "a child that is forked knows the name too": ("f=w('a'); p=os.fork(); f.write('1') if not p else os.waitpid(p,0); f.close(); os._exit(0) if not p else 0", "WRITE a, CLOSE a, CLOSE a"),
    "a file that is opened, duplicated and closed before it is written, as shells do, is closed once": (
        "fd=os.open('a', os.O_WRONLY | os.O_CREAT); os.dup2(fd, 9); os.close(fd); os.write(9, b'1'); os.close(9)", "WRITE a, CLOSE a"),
    "so is one that is closed with its copies and never written, but for what was opened anew": (
        "fd=os.open('a', os.O_WRONLY | os.O_CREAT); os.dup2(fd, 9); os.close(9); os.close(fd); fd=os.open('a', os.O_WRONLY); os.close(fd)", "CLOSE a, CLOSE a"),
    "a file that is made in a directory outside, which has become a link into the workspace, is one of the workspace": (
        "import tempfile; d=tempfile.mkdtemp(); os.mkdir(d+'/o'); w(d+'/o/1').close(); w(d+'/o/2').close(); os.rename(d+'/o', d+'/p'); os.symlink(os.getcwd(), d+'/o'); "
        "w(d+'/p/3').close(); f=w(d+'/o/a'); f.write('1'); f.close(); import shutil; shutil.rmtree(d)", "WRITE a, CLOSE a"),
    "so is one whose directory made place for that link": (
        "import tempfile; d=tempfile.mkdtemp(); os.mkdir(d+'/o'); w(d+'/o/1').close(); os.unlink(d+'/o/1'); os.rmdir(d+'/o'); os.symlink(os.getcwd(), d+'/o'); "
        "f=w(d+'/o/a'); f.write('1'); f.close(); os.unlink(d+'/o'); os.rmdir(d)", "WRITE a, CLOSE a"),
}


def tried(cases, told):
    """Each case's script, and what its records say: the groups of `told` in each line that it matches."""
    for title, (script, want) in cases.items():
        session = tapkit.Session()
        if "syscall(" in script and os.uname().machine != "x86_64":
            skip(title, "its system calls have these numbers on x86-64 only")
            continue
        r = session.run("/usr/bin/python3", "-c", "import ctypes, os\nw = lambda n: open(n, 'w')\n" + script)
        lines = session.lines()
        said = ", ".join(" ".join(m.groups()) for m in (re.match(told, line) for line in lines) if m)
        ok(r.returncode == 0 and said == want, title, said, r.stderr, *lines)


tried(CASES, r"FILE .* (WRITE|CLOSE) existed=\d flags=\S+ (\S+)$")

# The path of a directory that files are made in by its descriptor is remembered likewise.
IN = "D=lambda d: os.open(d, os.O_RDONLY); m=lambda n, dir: os.close(os.open(n, os.O_WRONLY | os.O_CREAT, dir_fd=dir)); os.mkdir('d'); d=D('d'); m('1', d); m('2', d); "
MADE_IN = {
    "what is made by a directory's descriptor is in that directory": (IN, "d/1, d/2"),
    "also when the directory is renamed meanwhile": (IN + "os.rename('d', 'e'); m('3', d)", "d/1, d/2, e/3"),
    "or one above it, by another program": (
        "os.mkdir('o'); os.chdir('o'); " + IN + "import subprocess; subprocess.run(['mv', '../o', '../p'], check=True); m('3', d)", "o/d/1, o/d/2, p/d/3"),
    "and when the descriptor leads to another directory, behind the library's back": (
        IN + "os.mkdir('e'); e=D('e'); ctypes.CDLL(None).syscall(33, e, d); m('3', d)", "d/1, d/2, e/3"),
    "or to one that has taken the place of one that is gone, be it on the same inode": (
        IN + "os.unlink('d/1'); os.unlink('d/2'); i=os.stat('d').st_ino; ctypes.CDLL(None).syscall(3, d); os.rmdir('d'); os.mkdir('e'); n=D('e'); m('3', n)\n"
        "if n != d: raise SystemExit(3)", "d/1, d/2, e/3"),
}
HERE = "n=lambda p: [os.close(os.open(p + str(i), os.O_WRONLY | os.O_CREAT)) for i in range(5)]; os.mkdir('d'); n('a'); "
of = lambda p: ", ".join(p + str(i) for i in range(5))  # noqa: E731
MADE_IN.update({
    "what is made by a relative name is in the working directory": (HERE + "n('b')", of("a") + ", " + of("b")),
    "also when it is another one by now": (HERE + "os.chdir('d'); n('b'); os.chdir('..'); n('c')", ", ".join(of(p) for p in ("a", "d/b", "c"))),
    "or is renamed by another program": (HERE + "os.chdir('d'); n('b'); import subprocess; subprocess.run(['mv', '../d', '../e'], check=True); n('c')", ", ".join(of(p) for p in ("a", "d/b", "e/c"))),
    "in a child that has gone elsewhere, and in its parent": (HERE + "p=os.fork(); os.chdir('d') if not p else os.waitpid(p, 0); n('b' if not p else 'c'); os._exit(0) if not p else 0", ", ".join(of(p) for p in ("a", "d/b", "c"))),
    "in a thread that has a working directory of its own": (
        HERE + "import threading\nlibc=ctypes.CDLL(None)\nt=threading.Thread(target=lambda: (libc.unshare(0x200), os.chdir('d'), n('b')))\nt.start(); t.join(); n('c')", ", ".join(of(p) for p in ("a", "d/b", "c"))),
    "within nftw, which goes from directory to directory": (
        HERE + "F=ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)\n"
        "def f(p, s, k, w):\n    if os.path.basename(p) == b'x': n('b')\n    return 0\nos.mkdir('d/x'); n('c'); ctypes.CDLL(None).nftw(b'd', F(f), 4, 4)", ", ".join(of(p) for p in ("a", "c", "d/b"))),
    "and soon after it has become another one by a system call of which nobody hears": (
        HERE + "L=ctypes.CDLL(None)\nL.mmap.restype=ctypes.c_void_p\nm=L.mmap(None, 4096, 7, 0x22, -1, 0)\nctypes.memmove(m, bytes.fromhex('b8500000000f05c3'), 8)\n"
        "assert not ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)(m)(b'd')\nimport time\nuntil=time.monotonic() + 0.2\nwhile time.monotonic() < until: time.sleep(0.05)\nn('b')", ", ".join(of(p) for p in ("a", "d/b"))),
})
MADE_IN["also by a system call of an old kind"] = (IN + "ctypes.CDLL(None).syscall(82, b'd', b'e'); m('3', d)", "d/1, d/2, e/3")
MOVER = built("mover", "#include <stdio.h>\nint main(int argc, char **argv) { return rename(argv[1], argv[2]); }", "-static")
if MOVER:
    MADE_IN["or by a program that the library cannot enter"] = (IN + "import subprocess; subprocess.run([%r, 'd', 'e'], check=True); m('3', d); m('4', d)" % MOVER, "d/1, d/2, e/3, e/4")
else:
    skip("or by a program that the library cannot enter", "the compiler cannot build static programs here")
tried(MADE_IN, r"FILE .* OPEN existed=\d flags=\S+ (\S+)$")

# The program that the library cannot enter is the first that the session starts, and renames what one that it starts itself has open.
STARTER = built("starter", r"""
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int said[2], told[2];
    char c;
    if (pipe(said) || pipe(told))
        return 2;
    if (!fork()) {
        dup2(told[0], 0);
        dup2(said[1], 1);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    close(said[1]);
    int ok = read(said[0], &c, 1) == 1 && !rename("d", "e") && write(told[1], "\n", 1) == 1, status;
    return wait(&status) > 0 && ok ? status != 0 : 3;
}""", "-static")
for starts in ("bash", "dash"):
    title = "also when it is the first program of the session, started by %s" % starts
    if not STARTER or not shutil.which(starts):
        skip(title, "there is no such shell here, or the compiler cannot build static programs")
        continue
    session = tapkit.Session()
    r = session.run(starts, "-c", '"$@"; true', starts, STARTER, "/usr/bin/python3", "-c", "import os\n" + IN + "print(flush=True); input(); m('3', d); m('4', d)")
    said = ", ".join(m.group(1) for m in (re.match(r"FILE .* OPEN existed=\d flags=\S+ (\S+)$", line) for line in session.lines()) if m)
    ok(r.returncode == 0 and said == "d/1, d/2, e/3, e/4", title, said, r, *session.lines())

# A hundred handlers that come while the program goes from one directory to another, and that is not at a time of its own choice.
HANDLER = built("handler", r"""
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
static volatile int going, count;
static void make(const char *how, int n) { char f[20]; snprintf(f, sizeof f, how, n); close(open(f, O_WRONLY | O_CREAT, 0644)); }
static void set(int us) { struct itimerval t = { { 0, 0 }, { 0, us } }; setitimer(ITIMER_REAL, &t, NULL); }
static void on(int sig) { if (going) make("h%d", count++); if (count < 100) set(200 + 37 * count % 300); }
static int go(const char *where)
{
    for (int i = 0; i < 3; i++)
        make("f%d", i);
    going = 1;
    int r = chdir(where);
    going = 0;
    return r;
}
int main(void)
{
    signal(SIGALRM, on);
    set(200);
    while (count < 100)
        if ((mkdir("d", 0755), go("d")) || go(".."))
            return 1;
    return 0;
}""")
TITLE = "also in a signal's handler that comes in the midst of it"
if HANDLER:
    session = tapkit.Session()
    r = session.run(HANDLER)
    said = {m.group(1) for m in (re.match(r"FILE .* OPEN existed=\d flags=\S+ ((?:d/)?h\d+)$", line) for line in session.lines()) if m}
    there = {path + f for path in ("", "d/") for f in os.listdir(os.path.join(session.work, path)) if f[0] == "h"}
    ok(r.returncode == 0 and len(there) == 100 and said == there, TITLE, r, sorted(said - there), sorted(there - said))
else:
    skip(TITLE, "there is no compiler here")

NAMELESS = {
    "a descriptor that has become a pipe behind the library's back is no file without a name": "r, p = os.pipe(); f=w('a'); f.close(); fd=os.open('a', os.O_WRONLY); libc.syscall(33, p, fd); os.write(fd, b'1'); os.close(fd)",
    "nor is one of a stream": "libc.fopen.restype=ctypes.c_void_p; r, p = os.pipe(); f=ctypes.c_void_p(libc.fopen(b'a', b'w')); libc.syscall(33, p, libc.fileno(f)); libc.fclose(f)",
}
for title, script in NAMELESS.items():
    session = tapkit.Session()
    if os.uname().machine != "x86_64":
        skip(title, "33 is dup2 on x86-64 only")
        continue
    r = session.run("/usr/bin/python3", "-c", "import ctypes, os\nlibc = ctypes.CDLL(None)\nw = lambda n: open(n, 'w')\nw('first').close()\n" + script)
    lines = session.lines()
    ok(r.returncode == 0 and any(re.match(r"FILE .* OPEN existed=\d flags=\S+ a$", line) for line in lines) and not any(re.match("FILE .* DEEP ", line) for line in lines), title, r.stderr, *lines)

# A spool of another version is left alone, and not looked at again.
CHILD = "open('child-1', 'w').close(); v = open(%r, 'r+b', 0); v.seek(8); v.write(b'\\2'); v.close(); open('child-2', 'w').close()"
session = tapkit.Session()
r = session.run("/usr/bin/python3", "-c", "import glob, subprocess, sys\nopen('parent', 'w').close()\nname, = glob.glob(%r)\nv = open(name, 'r+b', 0)\nv.seek(8)\nnow = v.read(1)\nv.seek(8)\nv.write(b'\\1')\n"
                "subprocess.run([sys.executable, '-c', %r %% name], check=True)\nv.seek(8)\nv.write(now)\nopen('last', 'w').close()" %
                (os.path.join(session.run_dir, "vcr", "*.spool"), CHILD))
lines = session.lines()
said = [name for name in ("parent", "child-1", "child-2", "last") if any(re.match(r"FILE .* existed=\d flags=\S+ " + name + "$", line) for line in lines)]
ok(r.returncode == 0 and said == ["parent", "last"], "a process that finds a spool of another version writes nothing there, and does not try again", said, r.stderr, *lines)

# Where a collector reads: what was made and closed before it came to that is told by one record.
TAKE = "T = lambda: subprocess.run([%r, '--take', *glob.glob(%r)], check=True, env={})\n"
ONCE = {
    "a file that is made, written and closed before its opening has been read is told by one record": ("T(); f=w('a'); f.write('1'); f.close()", "closed OPEN a"),
    "so is one that is written by a stream of C": ("T(); c=ctypes.CDLL(None); c.fopen.restype=ctypes.c_void_p; c.fclose.argtypes=[ctypes.c_void_p]; c.fclose(c.fopen(b'a', b'w'))", "closed OPEN a"),
    "and one of a shell, which duplicates it": ("T(); fd=os.open('a', os.O_WRONLY | os.O_CREAT); os.dup2(fd, 9); os.close(fd); os.write(9, b'1'); os.close(9)", "closed OPEN a"),
    "what is written after that has a record of its own, and so has its close": ("T(); f=w('a'); T(); f.write('1'); f.close()", "OPEN a, WRITE a, CLOSE a"),
    "so has the close of what was read in between": ("T(); f=w('a'); f.write('1'); f.flush(); T(); f.close()", "OPEN a, CLOSE a"),
    "a file that was there, and is not emptied, is told of by each": ("open('a','w').close(); T(); fd=os.open('a', os.O_WRONLY); os.write(fd, b'1'); os.close(fd)", "OPEN a, WRITE a, CLOSE a"),
    "what a forked child writes is its own": ("T(); f=w('a'); p=os.fork(); (f.write('1'), f.close(), os._exit(0)) if not p else os.waitpid(p,0); f.close()", "closed OPEN a, WRITE a, CLOSE a"),
}
for title, (script, want) in ONCE.items():
    session = tapkit.Session()
    r = session.run("/usr/bin/python3", "-c", "import ctypes, glob, os, subprocess\nw = lambda n: open(n, 'w')\nw('first').close()\n" +
                    TAKE % (tapkit.DUMP, os.path.join(session.run_dir, "vcr", "*.spool")) + script)
    lines = session.lines()
    said = [m.group(1) + " " + m.group(2) for m in (re.match(r"FILE \S+ \S+ ((?:closed )?[A-Z]+) existed=\d flags=\S+ (a)$", line) for line in lines) if m]
    ok(r.returncode == 0 and ", ".join(said[-len(want.split(", ")):]) == want and (len(said) == len(want.split(", ")) or "was there" in title), title, said, r.stderr, *lines)

# A file that may be new is opened as one that must be, first. Nobody sees that.
OPENS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def opens(path, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    ctypes.set_errno(77)
    fd = libc.open(path.encode(), flags, 0o640)
    print(path, "fails" if fd < 0 else oct(os.fstat(fd).st_mode), ctypes.get_errno(), hex(libc.fcntl(fd, 3)))
    if fd >= 0: os.write(fd, b"x") if flags & 3 == 1 else 0; os.close(fd)
os.mkdir("dir"); os.symlink("made", "dangling"); os.symlink("dir", "link"); os.mkfifo("fifo")
keep = os.open("fifo", os.O_RDWR)
opens("first"); opens("first"); opens("dangling"); opens("dangling"); opens("dir"); opens("link"); opens("fifo"); opens("none/x"); opens("/dev/null")
opens("first", os.O_RDWR | os.O_CREAT | os.O_EXCL); opens("dangling", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW); opens("second", os.O_RDONLY | os.O_CREAT); opens("first", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print([(n, os.lstat(n).st_size) for n in sorted(os.listdir(".")) if n[0] != "."])
"""
session = tapkit.Session()
hooked = session.run("/usr/bin/python3", "-c", OPENS)
said = [" ".join(m.groups()) for m in (re.match(r"FILE .* OPEN existed=(\d) flags=\S+ (\S+)$", line) for line in session.lines()) if m]
session = tapkit.Session()
session.env.pop("LD_PRELOAD")
bare = session.run("/usr/bin/python3", "-c", OPENS)
ok(hooked.returncode == 0 and hooked.stdout == bare.stdout, "opens that may make a file have the results, errors, flags and modes that they have without the library", hooked.stdout, bare.stdout, hooked.stderr)
ok(said == ["1 fifo", "0 first", "1 first", "1 dangling", "1 dangling", "1 fifo", "0 second", "1 first"], "and say whether a name was there", said)

for where in ("", "outside the workspace "):
    title = "a file that is made, written and closed %scosts no readlink" % where
    if not shutil.which("strace"):
        skip(title, "strace is not installed")
        continue
    session = tapkit.Session()
    counts = []
    with tempfile.TemporaryDirectory() as outside:
        for n in (10, 110):
            out = os.path.join(session.dir, "trace")
            session.env.pop("LD_PRELOAD", None)
            session.run("strace", "-f", "-qq", "-o", out, "-e", "trace=readlink,readlinkat", "-E", "LD_PRELOAD=" + SHIM, "/usr/bin/python3", "-c",
                        "import os\nfor i in range(%d):\n    fd = os.open('%s%d-%%d' %% i, os.O_WRONLY | os.O_CREAT, 0o600); os.write(fd, b'x'); os.close(fd)" %
                        (n, outside + "/" if where else "", n))
            counts.append(len(open(out).read().splitlines()))
    ok(counts[1] - counts[0] < 10, title, counts)
tapkit.done()
