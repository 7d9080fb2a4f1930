#!/usr/bin/python3
"""A program that the library cannot enter is lent what leads it to the gate; what it starts has its own environment back."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from leadkit import Gate, make_ca, make_leaf
from tapkit import SHIM, Session, ok, skip

PROGRAMS, SOURCE = tapkit.program("programs"), os.path.join(os.path.dirname(os.path.abspath(__file__)), "lent.c")
BARE = ("execve", "execvpe", "execle", "execveat", "fexecve", "syscall", "posix_spawn", "posix_spawnp")  # an empty environment
OTHERS = ("execv", "execvp", "execl", "execlp", "system", "popen", "fork", "_Fork")
PROXIES = tuple(n for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") for n in (name, name.lower()))
BUNDLES = ("SSL_CERT_FILE", "CODEX_CA_CERTIFICATE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "DENO_CERT")
OURS = ("LD_PRELOAD", "VCR_SPOOL", "VCR_LENT")
place = Session()
CA, CA_KEY = make_ca(place.dir, "gate-ca")
LEAF = make_leaf(place.dir, CA, CA_KEY)
EXTRA = "/nonexistent/extra.pem"
BIN = os.path.join(place.dir, "bin")  # posix_spawnp looks for "programs"
os.mkdir(BIN)


def built(name, *flags, compiler="gcc"):
    """The program, or None where it cannot be built or does not run."""
    out = os.path.join(BIN, name)
    made = shutil.which(compiler) and not subprocess.run([compiler, SOURCE, "-o", out, *flags], stderr=subprocess.DEVNULL).returncode
    return out if made and subprocess.run([out, "show"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 7 else None


STATIC, PIE, DYNAMIC = built("programs", "-static"), built("pie", "-static-pie"), built("dynamic")
GO, MUSL = built("go", "-DGO_NOTE"), built("musl", compiler="musl-gcc")
if not STATIC or not DYNAMIC:
    skip("a static program is lent what leads it to the gate", "the compiler cannot build static programs here")
    tapkit.done()


def opened(*hosts, flags="6"):
    session = Session()
    return session, Gate(session, LEAF, CA, *(hosts or ("api.openai.com",)), flags=flags, extra=EXTRA)


def entries(text):
    return text.split("\0")[:-1]


def run(session, *argv, env=None, only=None):
    """The environment that the last program of argv shows, as a list; env: added to the usual, only: instead of it."""
    own = only if only is not None else dict({"PATH": "/usr/bin:/bin", "HOME": session.dir}, **env or {})
    own = dict(own, LD_PRELOAD=SHIM, VCR_SPOOL=session.env["VCR_SPOOL"].replace("-:", "p:")) # p: the user did not put it there
    r = subprocess.run(argv, cwd=session.work, env=own, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape", timeout=60)
    return entries(r.stdout), r


def variables(shown):
    return dict(e.split("=", 1) for e in shown)


def lent(shown, gate, around="localhost,127.0.0.1,::1"):
    """Is that the environment of a program that was lent? What is wrong with it."""
    v = variables(shown)
    wrong = [n for n in PROXIES if not re.fullmatch("http://vcr(-[1-9][0-9]*)?:0123456789abcdef@127.0.0.1:%d" % gate.port, v.get(n, ""))]
    wrong += [n for n in BUNDLES if v.get(n) != CA] + [n for n in ("NO_PROXY", "no_proxy") if v.get(n) != around]
    wrong += ["NODE_EXTRA_CA_CERTS"] if v.get("NODE_EXTRA_CA_CERTS") != EXTRA else []
    return wrong + ["VCR_LENT"] * ("VCR_LENT" not in v)


def untouched(shown):
    return not [e for e in shown if e.split("=")[0] in PROXIES + BUNDLES + OURS + ("NO_PROXY", "no_proxy", "NODE_EXTRA_CA_CERTS")]


# ---- Lent ----

session, gate = opened()
for how in BARE + OTHERS:
    shown, r = run(session, PROGRAMS, how, STATIC, "show", env={"PATH": BIN + ":/usr/bin:/bin"})
    ok(r.returncode == 7 and not lent(shown, gate) and len(shown) == len(variables(shown)) and (how in OTHERS or len(shown) == 16 + len(OURS)),
       "a static program started by %s%s is lent proxy and certificates, and nothing else" % (how, " with an empty environment" if how in BARE else ""), lent(shown, gate), r)
VFORK = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], env={'A': '1'}, close_fds=True).returncode)"
shown, r = run(session, "/usr/bin/python3", "-c", VFORK, STATIC, "show")
ok(r.returncode == 7 and not lent(shown, gate), "so is one that is started from a vfork child", lent(shown, gate), r)
shown, r = run(session, "/bin/sh", "-c", '"$@"; exit $?', "sh", PIE or STATIC, "show")
pid = variables(shown).get("HTTPS_PROXY", "").split(":")[1].rpartition("-")[2]
ok(r.returncode == 7 and not lent(shown, gate) and pid.isdigit(), "so is a static-pie one, and its proxy's user tells the gate which process it is", lent(shown, gate), r)
script = os.path.join(BIN, "script")
with open(script, "w") as f:
    f.write("#!%s show\n" % STATIC)
os.chmod(script, 0o755)
for how in ("execv", "posix_spawn"):
    shown, r = run(session, PROGRAMS, how, script, "show")
    ok(r.returncode == 7 and not lent(shown, gate), "a script whose interpreter is static is lent too, started by %s" % how, lent(shown, gate), r)
shown, r = run(session, DYNAMIC, "show")
ok(untouched(shown) and r.returncode == 7, "a dynamic program is lent nothing", r)
loader = [l.split()[2] for l in subprocess.run(["readelf", "-l", DYNAMIC], stdout=subprocess.PIPE, text=True).stdout.splitlines() if "ld-linux" in l and "interpreter" in l] if shutil.which("readelf") else []
loader = [m.rstrip("]") for m in loader] or ["/lib64/ld-linux-x86-64.so.2"]
title = "the dynamic linker called as a program is none that is static"
if os.access("/lib64/ld-linux-x86-64.so.2", os.X_OK):
    shown, r = run(session, "/bin/sh", "-c", '"$@"; exit $?', "sh", "/lib64/ld-linux-x86-64.so.2", DYNAMIC, "show")
    ok(r.returncode == 7 and untouched(shown), title, r)
else:
    skip(title, "another machine")
title = "a program of musl's is lent, and starts without the preload"
if MUSL:
    shown, r = run(session, "/bin/sh", "-c", '"$@"; exit $?', "sh", MUSL, "show")
    ok(r.returncode == 7 and not lent(shown, gate) and "LD_PRELOAD" not in variables(shown) and not r.stderr, title, lent(shown, gate), r)
else:
    skip(title, "no musl-gcc here")
session, gate = opened("localhost:11434", "api.openai.com")
shown, r = run(session, "/bin/sh", "-c", '"$@"; exit $?', "sh", STATIC, "show")
ok(not lent(shown, gate, around=""), "where a model's host is this machine it is not gone around the gate", lent(shown, gate, ""), r)

# ---- Given back ----

session, gate = opened()
USERS = {"A": "1", "HTTPS_PROXY": "http://user:word@proxy.corp:3128/?a=b", "PATH": "/usr/bin:/bin", "http_proxy": "", "SSL_CERT_FILE": "/etc/mine\n12:\n.pem", "NO_PROXY": "é,*",
         "NODE_EXTRA_CA_CERTS": "/x", "Z": "last"}
for name, before in (("that was not set", {"A": "1", "Z": "2"}), ("that was set, whatever its bytes, in its place", USERS), ("of an empty environment", {})):
    for how in ("exec", "raw"):
        words = ["raw", "exec"] if how == "raw" else ["exec"]
        shown, r = run(session, DYNAMIC, "exec", STATIC, *words, DYNAMIC, "show", only=before)
        ok(r.returncode == 7 and shown == ["%s=%s" % e for e in before.items()], "a program that a static one starts finds each variable %s as it was before%s" %
           (name, ", asking the kernel directly" if how == "raw" else ""), shown, r.stderr)
shown, r = run(session, DYNAMIC, "exec", STATIC, "exec", STATIC, "exec", DYNAMIC, "exec", STATIC, "exec", DYNAMIC, "show", only=USERS)
ok(r.returncode == 7 and shown == ["%s=%s" % e for e in USERS.items()], "also through a chain of them, lent and given back twice", shown, r.stderr)
shown, r = run(session, DYNAMIC, "exec", STATIC, "HTTPS_PROXY=http://other", "-SSL_CERT_FILE", "-ALL_PROXY", "NEW=1", "exec", DYNAMIC, "show", only=USERS)
want = dict(USERS, HTTPS_PROXY="http://other", NEW="1")
del want["SSL_CERT_FILE"]
ok(r.returncode == 7 and variables(shown) == want, "what a static program has changed itself stays as it made it", shown, r.stderr)
shown, r = run(session, DYNAMIC, "exec", STATIC, "-VCR_SPOOL", "exec", DYNAMIC, "show", only=USERS)
ok(r.returncode == 7 and {k: v for k, v in variables(shown).items() if k != "LD_PRELOAD"} == USERS, "also where the session's variable was taken away on the way", shown, r.stderr)
for bad in ("", "9", "9:", "3:a=b", "99999999999999999999:x", "2:ab\n", "13:HTTPS_PROXY=x\n5:A=two\n", "1:A\n" * 3, "13:HTTPS_PROXY=x\n0:", "0:\n0:\n"):
    shown, r = run(session, DYNAMIC, "show", only={"A": "1", "HTTPS_PROXY": "x", "VCR_LENT": bad})
    ok(r.returncode == 7 and shown in (["A=1", "HTTPS_PROXY=x"], ["A=1"]) and not r.stderr, "a VCR_LENT that nobody lent, %r, does no harm" % bad[:24], shown, r)

# ---- Go: has a dynamic linker, but takes its environment from the stack and calls the kernel itself ----

shown, r = run(session, DYNAMIC, "exec", GO, "show", only=USERS)
ok(r.returncode == 7 and not lent(shown, gate) and {"LD_PRELOAD", "VCR_SPOOL"} <= set(variables(shown)), "a dynamic program of Go's is lent", lent(shown, gate), r)
shown, r = run(session, DYNAMIC, "exec", GO, "raw", "exec", DYNAMIC, "show", only=USERS)
ok(r.returncode == 7 and shown == ["%s=%s" % e for e in USERS.items()], "what it starts, asking the kernel directly, has its own environment back", shown, r.stderr)
joined = [l for l in session.lines() if l.startswith("PROC") and l.endswith("[show]")]
ok(len(joined) >= 2, "and belongs to the session", *session.lines())

# ---- Where there is no gate ----

session = Session()
r = session.run("/bin/sh", "-c", ': > first; "$@"; exit $?', "sh", STATIC, "show")
ok(r.returncode == 7 and not [e for e in entries(r.stdout) if e.split("=")[0] in PROXIES + ("VCR_LENT",)], "where there is no gate nothing is lent", r)
for flags, want, title in (("6", False, "nothing is lent when the gate has died while recording"), ("r6", True, "in a replay whose gate has died the way out stays shut")):
    session, gate = opened(flags=flags)
    gate.kill()
    shown, r = run(session, "/bin/sh", "-c", '"$@"; exit $?', "sh", STATIC, "show")
    ok(r.returncode == 7 and (not lent(shown, gate)) == want and ("VCR_LENT" in variables(shown)) == want, title, shown, r)
session, gate = opened()
gate.ask("scribble")
shown, r = run(session, "/bin/sh", "-c", '"$@"; exit $?', "sh", STATIC, "show")
ok(r.returncode == 7, "a block that somebody scribbled over costs the program nothing", r)
tapkit.done()
