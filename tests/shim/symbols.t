#!/usr/bin/python3
"""The libraries' symbol tables: each exports the list of its hooks, needs libc alone, and runs on glibc 2.34."""
import os
import re
import subprocess
import sys

top = os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(top, "tests", "shim"))
import tapkit
from tapkit import SHIM, ok

CEILING = (2, 34)  # dlsym and dladdr are in libc itself from here on


def tool(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


for library, header, which in (SHIM, "hooks.h", ""), (os.path.join(os.path.dirname(SHIM), "libvcrdeterm.so"), "determ.h", "libvcrdeterm.so: "):
    listed = set(re.findall(r"\bX\(([a-zA-Z_0-9]+)\)", open(os.path.join(top, "shim", header)).read())) - {"name", "X"}
    exported = {line.split()[-1] for line in tool("nm", "-D", "--defined-only", library).splitlines()}
    ok(exported == listed, which + "the exported symbols are the list of hooks", "not exported: %s" % sorted(listed - exported), "not listed: %s" % sorted(exported - listed))
    ok(not any("@" in name for name in exported), which + "no exported symbol has a version: a named one would not take part in versioned references")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", tool("readelf", "-dW", library))
    ok(needed == ["libc.so.6"], which + "libc is the only library it needs", needed)
    undefined = tool("nm", "-D", "--undefined-only", library)
    versions = {tuple(map(int, v.split("."))) for v in re.findall(r"@GLIBC_([0-9.]+)", undefined)}
    ok(versions and max(versions) <= CEILING, which + "no symbol is newer than glibc %d.%d" % CEILING, sorted(versions))
    taboo = {"malloc", "calloc", "realloc", "free", "printf", "fprintf", "pthread_mutex_lock", "exit", "_exit", "abort", "open", "write", "getenv", "__stack_chk_fail"}
    used = {line.split()[-1].split("@")[0] for line in undefined.splitlines()}
    ok(not used & taboo, which + "it allocates, prints, locks and exits nowhere", used & taboo)
    ok("STATIC_TLS" in tool("readelf", "-dW", library) and "__tls_get_addr" not in used, which + "thread-local data is initial-exec: no allocation on first touch")
tapkit.done()
