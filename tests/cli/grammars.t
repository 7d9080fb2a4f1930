#!/usr/bin/python3
"""The sources of the grammars as a distribution has them: make grammars-dist makes a tarball of its own, and configure --with-grammars of what it holds builds the
modules, without a network and without npm. Of two grammars, the smallest, so that it is quick."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

top = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
sys.path.insert(0, os.path.join(top, "tests", "shim"))
import tapkit
from tapkit import BUILD, done, ok, skip

TITLES = ("make grammars-dist makes a tarball of the grammars' sources, and the same one of the same sources", "it holds their licenses, and none of what fetching them leaves behind",
          "configure --with-grammars of what it holds builds the modules without a network and without npm", "and vcr-sentinel measures with them")
NAME = "vcr-grammars-of-a-test-%d" % os.getpid()
MADE = os.path.join(os.path.abspath(BUILD), NAME + ".tar.xz")


def why_not():
    if subprocess.run([os.path.join(top, "scripts", "grammars"), "--check"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).returncode:
        return "no grammars here; scripts/grammars fetches them"
    if os.path.exists(os.path.join(top, "config.status")):
        return "the source directory is itself a build directory"
    return None if all(map(shutil.which, ("xz", "make", "cc"))) else "no xz, make or cc here"


if why_not():
    for title in TITLES:
        skip(title, why_not())
    done()
    sys.exit()
fetched = subprocess.run([os.path.join(top, "scripts", "grammars")], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
with tempfile.TemporaryDirectory(prefix="vcr-grammars-test.") as directory:
    def path(*names):
        return os.path.join(directory, *names)

    # whatever would fetch something says that it was called
    os.mkdir(path("bin"))
    for name in ("npm", "curl", "wget", "pip", "pip3"):
        with open(path("bin", name), "w") as f:
            f.write("#!/bin/sh\necho $0 >>'%s'\nexit 1\n" % path("called"))
        os.chmod(path("bin", name), 0o755)
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VCR_TEST_CACHE", "VCR_GRAMMARS") and not k.lower().endswith("_proxy")}
    env.update(PATH=path("bin") + ":" + env["PATH"], VCR_TEST_CACHE="/nonexistent", GRAMMAR_CFLAGS="-O0", LC_ALL="C.UTF-8")
    alone = next(([*words] for words in (["unshare", "-rn"], ["unshare", "-n"]) if not subprocess.run([*words, "true"], stderr=subprocess.DEVNULL).returncode), []) if shutil.which("unshare") else []

    def run(*argv, cwd=directory):
        r = subprocess.run([*alone, *argv], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        return r.returncode, r.stdout[-2000:]

    for name in ("tree-sitter-go", "tree-sitter-javascript"):
        shutil.copytree(os.path.join(fetched, name), path("fetched", name))
    for name in ("complete", "modules"):
        open(path("fetched", name), "w").close()
    try:
        made, sums = [], []
        for _ in range(2):
            made.append(run("make", "-C", os.path.abspath(BUILD), "grammars-dist", "GRAMMARS=" + path("fetched"), "VERSION=of-a-test-%d" % os.getpid()))
            sums.append(hashlib.sha256(open(MADE, "rb").read()).hexdigest() if os.path.exists(MADE) else None)
            os.utime(path("fetched", "tree-sitter-go"))
        ok([s for s, _ in made] == [0, 0] and sums[0] and sums[0] == sums[1], TITLES[0], made, sums)
        unpacked = run("tar", "-xJf", MADE)
    finally:
        if os.path.exists(MADE):
            os.unlink(MADE)
    held = {os.path.relpath(os.path.join(d, name), path(NAME)) for d, _, names in os.walk(path(NAME)) for name in names}
    ok({"tree-sitter-go/LICENSE", "tree-sitter-go/src/parser.c", "tree-sitter-javascript/src/scanner.c", "tree-sitter-go/src/tree_sitter/parser.h"} <= held and not held & {"complete", "modules"},
       TITLES[1], unpacked, sorted(held)[:40])
    shutil.rmtree(path("fetched"))
    os.mkdir(path("build"))
    configured = run(os.path.join(top, "configure"), "-q", "--with-grammars=" + path(NAME), cwd=path("build"))
    built = run("make", "grammars/stamp", cwd=path("build"))
    modules = sorted(n for n in os.listdir(path("build", "grammars")) if n.endswith(".so")) if os.path.isdir(path("build", "grammars")) else []
    ok(configured[0] == 0 and built[0] == 0 and modules == ["go.so", "javascript.so"] and not os.path.exists(path("called")) and "no sources of python" in built[1], TITLES[2], configured, built, modules)
    os.mkdir(path("code"))
    for name, text in (("a.go", "package a\n\nfunc f(a int) int { return a }\n"), ("a.js", "function f(a) { return a; }\n")):
        with open(path("code", name), "w") as f:
            f.write(text)
    env.update(VCR_GRAMMARS=path("build", "grammars"), HOME=directory)
    status, said = run(os.path.join(os.path.abspath(BUILD), "vcr-sentinel"), "scan", "-m", "code")
    ok(status == 0 and "code/a.go:3: f:" in said and "code/a.js:1: f:" in said, TITLES[3], status, said)
done()
