#!/usr/bin/python3
"""configure on a machine that lacks something: one line for each thing, with the package that has it."""
import os
import re
import subprocess
import sys
import tempfile

top = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
sys.path.insert(0, os.path.join(top, "tests", "shim"))
import tapkit
from tapkit import ok, skip


def configure(**env):
    """What configure says on stderr in an empty directory, line by line; its exit status first."""
    with tempfile.TemporaryDirectory(prefix="vcr-configure-test.") as directory:
        r = subprocess.run([os.path.join(top, "configure"), "-q"], cwd=directory, env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120)
        return r.returncode, r.stderr.splitlines()


source = open(os.path.join(top, "configure.ac")).read()
libraries = re.findall(r"^VCR_NEED_PKG\(\[.*?\], \[(.*?)\], \[(.*?)\], \[(.*?)\]\)$", source, re.M)
title = "with every library hidden configure names each in a line of its own, with its Debian and its Fedora package"
if os.path.exists(os.path.join(top, "config.status")):
    skip(title, "the source directory is itself a build directory")
else:
    status, said = configure(PKG_CONFIG_LIBDIR="/nonexistent", PKG_CONFIG_PATH="")
    wanted = ["  %s: apt install %s   |   dnf install %s" % library for library in libraries]
    ok(status != 0 and len(libraries) > 3 and said[1:] == wanted, title, status, *said)
    status, said = configure(PKG_CONFIG="/bin/false")
    ok(status != 0 and any(re.search("pkg-config: apt install pkg-config .* dnf install", line) for line in said),
       "without pkg-config configure says which package has it", status, *said)

needs = subprocess.run([os.path.join(top, "scripts", "needs"), "--list", "build"], stdout=subprocess.PIPE, text=True).stdout.split()
named = re.findall(r"apt install ([a-z0-9.+-]+)", source) + [debian for _, debian, _ in libraries]
ok(len(named) > 6 and set(named) <= set(needs), "scripts/needs installs every package that configure names", set(named) - set(needs))
tapkit.done()
