#!/usr/bin/python3
"""Every hook leaves its record from wherever it is called."""
import os
import re
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import ok

TITLES = {
    "main": "from main",
    "thread": "from a thread",
    "signal": "from a signal handler",
    "vfork": "from a vfork child, which touches nothing of its parent, or counts what it cannot record",
    "closefrom": "after closefrom(3)",
    "exit": "during exit",
    "constructor": "from a constructor that runs before the shim's",
    "destructor": "from a destructor that runs after the shim's last word",
    "jump": "after siglongjmp out of a blocked read",
    "cancel": "after another thread was cancelled in a blocked read",
}


def recorded(session):
    out = []
    for line in session.lines("--bytes"):
        word = line.split()
        if word[0] == "FILE":
            out.append(" ".join(["FILE", word[3], *word[6:]]))
        elif word[0] in ("OUT", "IN"):
            out.append("NET " + re.sub(r"( HTTP/1.1)?(\\r\\n)+$", "", line.split(" ", 4)[4]))
        elif word[0] == "SPOOL":
            out += ["LOST"] * int(word[-1].split("=")[1])
        elif word[0] == "HOLE" or "BAD_CRC" in line:
            out.append(line)
    return Counter(out)


for when, title in TITLES.items():
    session = tapkit.Session()
    where = {} if when in ("jump", "cancel") else {"VICTIM_LATE": "1"} if when == "destructor" else {"WHERE": when}
    r = session.run(tapkit.program("victim"), *(() if where else (when,)), env=where)
    wanted, got = Counter(r.stdout.splitlines()), recorded(session)
    ok(r.returncode == 0 and sum(wanted.values()) > 60 and wanted == got, "each file, descriptor and socket hook records its call " + title,
       "status %d, %d records expected" % (r.returncode, sum(wanted.values())), "missing: %s" % list((wanted - got).elements())[:9],
       "too many: %s" % list((got - wanted).elements())[:9], r.stderr)

# Plain HTTP in small pieces: a connection is known by its first word, however that comes.
PIECES = """
import socket, sys
l = socket.create_server(("127.0.0.1", 0))
for request in ("POST /bytes HTTP/1.1\\r\\n\\r\\n", "POSTAL", "PUT /first HTTP/1.1\\r\\n\\r\\n", "DELETE x", "P"):
    c = socket.create_connection(l.getsockname())
    size = 1 if sys.argv[1] == "bytes" else 3
    for i in range(0, len(request), size):
        c.sendall(request[i:i + size].encode())
    if request[0:4] == "POST":
        d = c.dup(); d.sendall(b"behind")
    c.close()
"""
for how in ("bytes", "threes"):
    session = tapkit.Session()
    r = session.run("/usr/bin/python3", "-c", PIECES, how)
    sent = {}
    for line in session.lines("--bytes"):
        word = line.split(" ", 4)
        if word[0] == "OUT":
            sent[word[2]] = sent.get(word[2], "") + word[4]
    ok(r.returncode == 0 and list(sent.values()) == ["POST /bytes HTTP/1.1\\r\\n\\r\\nbehind"],
       "a request that is written in %s is recorded from its first byte, and what only begins like one is not" % how, sent, r.stderr)
BEFORE = """
import os, socket, sys
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname()); s = l.accept()[0]
os.dup2(c.fileno(), 9); os.dup2(s.fileno(), 8)
s.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
AFTER = "import os; os.write(9, b'POST /inherited HTTP/1.1\\r\\n\\r\\n'); os.read(9, 999); os.write(8, b'HTTP/1.1 100 Continue\\r\\n\\r\\n')"
session = tapkit.Session()
r = session.run("/bin/sh", "-c", ': > first-line; exec "$@"', "sh", "/usr/bin/python3", "-c", BEFORE, AFTER)
said = [(w[0], w[4]) for w in (line.split(" ", 4) for line in session.lines("--bytes")) if w[0] in ("OUT", "IN")]
ok(r.returncode == 0 and said == [("OUT", "POST /inherited HTTP/1.1\\r\\n\\r\\n"), ("IN", "HTTP/1.1 200 OK\\r\\n\\r\\n")],
   "a connection that came through exec is recorded when it is asked something, by write() too; a server's side is not", said, r.stderr)

RING = "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(425, 1, 0), ctypes.get_errno())"  # io_uring_setup has that number everywhere
r = tapkit.Session().run("/usr/bin/python3", "-c", RING)
ok(r.stdout == "-1 38\n", "a program that asks for an io_uring is told that there is no such thing, and uses calls that can be seen", r)

# ---- A filter that the program's parent has installed ----

FILTER = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
dead = [int(n) for n in sys.argv[1].split(",")]
rules = [(0x20, 0, 0, 0)] + [r for n in dead for r in ((0x15, 0, 1, n), (6, 0, 0, 0x80000000))] + [(6, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *r) for r in rules))
class Program(ctypes.Structure): _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Program(len(rules), ctypes.addressof(code)))) == 0
os.dup2(os.open("/dev/null", os.O_RDONLY), 9)
os.execv("/bin/sh", ["sh", "-c", "echo lives > filtered; echo lives"])
"""
title = "a program that is started under a filter without socket calls lives, and its files are recorded"
number = {"x86_64": "41,42,44,45,52,55", "aarch64": "198,203,205,206,207,209"}.get(os.uname().machine)  # socket, connect, sendto, recvfrom, getpeername, getsockopt
if not number:
    tapkit.skip(title, "the numbers of its system calls are not known here")
else:
    session = tapkit.Session()
    r = session.run("/bin/sh", "-c", ': > first; exec "$@"', "sh", "/usr/bin/python3", "-c", FILTER, number)
    ok(r.returncode == 0 and r.stdout == "lives\n" and any("filtered" in line for line in session.lines()), title, r, session.lines())
tapkit.done()
