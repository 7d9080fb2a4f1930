#!/usr/bin/python3
"""Programs do with us what they do without us: the same output, the same exit status, the same files - bare preload and vcr-record, recording on."""
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
sys.path.insert(0, os.path.join(TOP, "tests", "agents"))
import agentkit
import tapkit
from agentkit import BUILD, SHIM, ok, skip

SCRIPTS = os.path.join(TOP, "tests", "shim", "scripts")
WAYS = {"preload": "under LD_PRELOAD", "record": "under vcr-record"}
tools = tempfile.mkdtemp(prefix="vcr-harmless.")
os.chmod(tools, 0o755)


def tree(work):
    """Every path with its kind, mode and content; not what differs by itself from run to run."""
    out = {}
    for top, dirs, files in os.walk(work):
        dirs[:] = [d for d in dirs if d not in (".git", ".vcr")]
        for name in dirs + files:
            path = os.path.join(top, name)
            st = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(st.st_mode) else hashlib.md5(open(path, "rb").read()).hexdigest() if stat.S_ISREG(st.st_mode) else ""
            out[os.path.relpath(path, work)] = (oct(st.st_mode), content)
    return out


class Run:
    def __init__(self, how, *argv, env=None, prefix=()):
        self.place = agentkit.Place(work=os.path.join(tools, "work"))
        base = {"plain": self.place.plain, "preload": self.place.preload, "record": self.place.record}[how]
        # What the test itself has put there, and what vcr-record says it sets.
        base = dict(base, KNOWN=" ".join(k for k in base if k.startswith(("LD_", "VCR_"))) + (" VCR_ANNOTATE" if how == "record" else ""))
        record = (os.path.join(BUILD, "vcr-record"), "-q", "--") if how == "record" else ()
        r = subprocess.run([*prefix, *record, *argv], cwd=self.place.work, env=dict(base, **(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=120)
        self.seen = (r.returncode, r.stdout, r.stderr)
        self.files = tree(self.place.work)
        self.frames = [f for s in (self.place.sessions() if how != "plain" else []) for f in s.frames]
        shutil.rmtree(self.place.work)


def same(title, *argv, recorded=None, ignore=None, **options):
    """recorded: a file that hooked programs wrote, or None."""
    bare = Run("plain", *argv, **options)
    for how, words in WAYS.items():
        ours = Run(how, *argv, **options)
        a, b = (tuple(re.sub(ignore, b"", x) if ignore and isinstance(x, bytes) else x for x in r.seen) for r in (bare, ours))
        by_hook = recorded is None or [f for f in ours.frames if f["input_state"].get("path") == recorded and f["metadata"]["custom"]["vcr"]["source"] == "shim"]
        ok(a == b and bare.files == ours.files and by_hook, title % words, *(x for i in range(3) if a[i] != b[i] for x in ("without us: %r" % (a[i],), "with us:    %r" % (b[i],))),
           {k: (bare.files.get(k), ours.files.get(k)) for k in set(bare.files) | set(ours.files) if bare.files.get(k) != ours.files.get(k)},
           *([] if by_hook else ["not recorded: %s" % [(f["node_name"], f["input_state"].get("path")) for f in ours.frames]]))


# The collection.
same("a long shell script does the same %s", shutil.which("bash"), os.path.join(SCRIPTS, "shell.sh"), recorded="out", ignore=rb"line \d+: +\d+ ")
same("git does the same %s, object for object", shutil.which("bash"), os.path.join(SCRIPTS, "git.sh"))
if shutil.which("node"):
    same("node does the same %s", shutil.which("node"), os.path.join(SCRIPTS, "node.cjs"), recorded="sync")
else:
    skip("node does the same", "there is no node")
same("Python does the same %s", "/usr/bin/python3", os.path.join(SCRIPTS, "python.py"), recorded="mapped")

# Environments that are taken away.
WRITER = 'echo written > mark; exit 5'
same("a program run by env -i does the same %s, and is recorded", "/bin/sh", "-c", "env -i /bin/sh -c '%s'" % WRITER, recorded="mark")
same("one run with an empty environment and all descriptors closed does the same %s, and is recorded", "/usr/bin/python3", "-c",
     "import os, subprocess; p = subprocess.run(['/bin/sh', '-c', '%s'], env={}, close_fds=True); os.closerange(3, 4096); os._exit(p.returncode)" % WRITER, recorded="mark")
if shutil.which("bwrap") and not subprocess.run(["bwrap", "--dev-bind", "/", "/", "true"], stderr=subprocess.DEVNULL).returncode:
    same("one in bwrap --clearenv does the same %s, and is recorded", "bwrap", "--dev-bind", "/", "/", "--clearenv", "--unshare-pid", "--unshare-ipc", "/bin/sh", "-c", WRITER, recorded="mark")
else:
    skip("one in bwrap --clearenv does the same, and is recorded", "there is no bwrap that works here")

# Preloads.
early = os.path.join(BUILD, "tests", "shim", ".libs", "libearly.so")
same("somebody else's preload stays and does the same %s", "/bin/sh", "-c", "env | grep ^LD_PRELOAD; " + WRITER, env={"LD_PRELOAD": early}, recorded=None)
for words, value in (("twice", SHIM + ":" + SHIM), ("twice, with a space", SHIM + " " + SHIM)):
    run = Run("preload", "/bin/sh", "-c", WRITER, env={"LD_PRELOAD": value})
    marks = [f for f in run.frames if f["input_state"].get("path") == "mark"]
    ok(run.seen == (5, b"", b"") and len(marks) == 1, "the library named %s in LD_PRELOAD records once" % words, run.seen, marks)

# dlopen in its two odd forms.
with open(os.path.join(tools, "user.c"), "w") as f:
    f.write("""#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	void *m = dlopen(argv[1], RTLD_NOW | (argc > 2 ? RTLD_DEEPBIND : 0));
	int (*work)(void) = m ? (int (*)(void))dlsym(m, "work") : 0;
	if (!work) { puts(dlerror()); return 1; }
	return work();
}
""")
with open(os.path.join(tools, "beside.c"), "w") as f:
    f.write("int beside(void) { return 40; }\n")
with open(os.path.join(tools, "module.c"), "w") as f:
    f.write('#include <fcntl.h>\n#include <unistd.h>\nint beside(void);\nint work(void) { int fd = open("by-module", O_CREAT | O_WRONLY, 0600); return write(fd, "x", 1) + beside() + close(fd); }\n')
with open(os.path.join(tools, "own.c"), "w") as f:
    f.write("int remove(const char *what) { return what[0]; }\n")
with open(os.path.join(tools, "odd.c"), "w") as f:
    f.write('int remove(const char *what);\nint work(void) { return remove("abc"); }\n')
os.makedirs(tools + "/lib", exist_ok=True)
cc = [["cc", "-shared", "-fPIC", "beside.c", "-o", "lib/libbeside.so"], ["cc", "-shared", "-fPIC", "module.c", "-o", "lib/module.so", "-Llib", "-lbeside", "-Wl,-rpath,$ORIGIN"],
      ["cc", "-shared", "-fPIC", "-fno-builtin", "own.c", "-o", "lib/libown.so"], ["cc", "-shared", "-fPIC", "-fno-builtin", "odd.c", "-o", "lib/odd.so", "-Llib", "-lown", "-Wl,-rpath,$ORIGIN"],
      ["cc", "user.c", "-o", "user"], ["cc", "user.c", "-o", "lib/user", "-Wl,-rpath,$ORIGIN"]]
if any(subprocess.run(c, cwd=tools, stderr=subprocess.DEVNULL).returncode for c in cc):
    skip("modules are loaded the same", "there is no compiler")
else:
    same("a module with RTLD_DEEPBIND is loaded and does the same %s, and is seen", tools + "/user", tools + "/lib/module.so", "deep", recorded="by-module")
    same("one with a function of its own that is named as one of libc's calls that %s", tools + "/user", tools + "/lib/odd.so", "deep")
    same("one that is found by its caller's own $ORIGIN is loaded and does the same %s", tools + "/lib/user", "module.so", "deep")
    same("a module found beside it by $ORIGIN is loaded and does the same %s", tools + "/user", tools + "/lib/module.so", recorded="by-module")
    same("a module found by its caller's own $ORIGIN is loaded and does the same %s", tools + "/lib/user", "module.so", recorded="by-module")
same("two copies of a TLS library in one process do the same %s", tapkit.program("tlsuser"), ignore=rb"\d+")

# Children that a preload would harm.
with open(os.path.join(tools, "t.c"), "w") as f:
    f.write('#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main(int argc, char **argv) { const char *p = getenv("LD_PRELOAD"); '
            'printf("%d %d %s\\n", argc, (int)geteuid(), p ? p : "none"); return system("echo a child; exit 3") >> 8; }\n')


def built(name, *command):
    out = os.path.join(tools, name)
    return out if shutil.which(command[0]) and not subprocess.run([*command, os.path.join(tools, "t.c"), "-o", out], stderr=subprocess.DEVNULL).returncode else None


for what, binary in (("a static program", built("static", "cc", "-static")), ("a musl program", built("musl", "musl-gcc")), ("a program with ASan's runtime", built("asan", "cc", "-fsanitize=address")),
                     ("a 32-bit program", built("wide", "cc", "-m32"))):
    title = what + " that a hooked program starts does the same %s"
    if not binary:
        skip(title % "", "the compiler cannot build one here")
        continue
    # A static one hands the preload on to what it starts, so it can be seen there.
    same(title, "/bin/sh", "-c", binary + " x; echo $?; " + WRITER, recorded="mark", ignore=re.escape(SHIM.encode()) + b"|none" if what == "a static program" else None)
setid = built("setid", "cc")
title = "a set-user-ID program that a hooked program starts does the same %s"
try:
    os.chown(setid or "/nonexistent", 65534, -1)
except OSError:
    skip(title % "", "that takes root and a compiler")
else:
    os.chmod(setid, 0o4755)
    same(title, "/bin/sh", "-c", setid + " x; echo $?; " + WRITER, recorded="mark")
    os.chown(setid, 0, -1)
title = "a set-user-ID program that a hooked program of another user starts does the same %s"
nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
if os.getuid() or not setid or not shutil.which("setpriv") or not os.access(SHIM, os.R_OK):
    skip(title % "", "that takes root, setpriv and a compiler")
else:
    os.chmod(setid, 0o4755)
    # As that user: copies of ours that it can reach, and no session, since nothing of its may be written there.
    shutil.copy(SHIM, tools + "/libvcrshim.so")
    bare, ours = (subprocess.run([*nobody, "/bin/sh", "-c", setid + " x; echo $?"], cwd=tools, env={"PATH": os.environ["PATH"], "VCR_COLLECTOR": "/bin/false", **more},
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for more in ({}, {"LD_PRELOAD": tools + "/libvcrshim.so"}))
    ok(bare == ours or (bare.returncode, bare.stdout, bare.stderr) == (ours.returncode, ours.stdout, ours.stderr), title % "under LD_PRELOAD", bare, ours)
shutil.rmtree(tools, True)
agentkit.done()
