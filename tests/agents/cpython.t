#!/usr/bin/python3
"""CPython's own tests give the same results without us, under the bare preload, and under vcr-record - recorded all the while.

CPYTHON_SUITE is the interpreter of scripts/cpython-suite; without it they are skipped by name. Left out are the tests of cpython-slow.txt (more than a
tenth of a second each on a quiet core), so that it takes about a minute; with CPYTHON_ALL=1, as in scripts/test --long, all of them run.
A test whose outcome differs is run again, alone, both ways: what differs twice differs because of us."""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import agentkit
from agentkit import ok, skip

MODULES = "test_os test_posix test_io test_threading test_socket test_subprocess test_ssl test_multiprocessing_fork test_asyncio".split()
WAYS = {"preload": "under LD_PRELOAD", "record": "under vcr-record"}
SUITE, ALL = os.environ.get("CPYTHON_SUITE", ""), os.environ.get("CPYTHON_ALL") == "1"
SLOW = os.path.join(HERE, "cpython-slow.txt")
TIMEOUT = 1500 if ALL else 280
TITLE = "CPython's own %s gives the same result for each test %s as without us, and is recorded"


class Run:
    """One module, one way; outcome is None if it did not come to its end."""

    def __init__(self, module, how, only=None):
        self.place = agentkit.Place()
        env = {"plain": self.place.plain, "preload": self.place.preload, "record": self.place.record}[how]
        # A scratch directory of its own, outside of the workspace: sockets need short names.
        self.temp = tempfile.mkdtemp(prefix="vcr-cpy.")
        out = os.path.join(self.place.work, "out.json")  # a change that is recorded, whatever the tests do
        options = []
        if only:
            options = ["--only", os.path.join(self.place.dir, "only")]
            with open(options[1], "w") as f:
                f.write("\n".join(only))
        elif not ALL:
            options = ["--without", SLOW]
        prefix = [os.path.join(agentkit.BUILD, "vcr-record"), "-q", "--"] if how == "record" else []
        with open(os.path.join(self.place.dir, "output"), "wb") as log:
            try:
                self.status = subprocess.run([*prefix, SUITE, os.path.join(HERE, "cpythonsuite.py"), module, out, *options], cwd=self.place.work, env=dict(env, TMPDIR=self.temp),
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=TIMEOUT).returncode
            except subprocess.TimeoutExpired:
                self.status = "still running after %d s" % TIMEOUT
        found = json.load(open(out)) if os.path.exists(out) else {"outcome": None, "why": {}}
        self.outcome, self.why = found["outcome"], found["why"]
        self.recorded = how == "plain" or len(self.place.sessions()) >= 1
        shutil.rmtree(self.temp, True)

    def log(self):
        return open(os.path.join(self.place.dir, "output"), errors="replace").read()[-1500:]


def different(a, b):
    return sorted(t for t in set(a) | set(b) if a.get(t) != b.get(t))


def compare(module, how, bare):
    """(same, how many, words)"""
    ours = Run(module, how)
    if bare.outcome is None or ours.outcome is None:
        return False, 0, ["without us: %s, %s: %s" % (bare.status, how, ours.status), bare.log(), ours.log()]
    words, lasting = [], []
    for again in range(2):
        doubtful = different(bare.outcome, ours.outcome) if not again else lasting
        if not doubtful:
            break
        first, second = Run(module, "plain", doubtful), Run(module, how, doubtful)
        lasting = different(first.outcome or {}, second.outcome or {}) if first.outcome is not None and second.outcome is not None else doubtful
        words = ["%s: %s, with us %s\n%s" % (t, (first.outcome or {}).get(t), (second.outcome or {}).get(t), second.why.get(t, "")) for t in lasting]
    return not lasting and ours.recorded and bare.status == ours.status, len(ours.outcome), words + ["recorded: %s, status %s and %s" % (ours.recorded, bare.status, ours.status)]


def one_module(module):
    bare = Run(module, "plain")
    return module, {how: compare(module, how, bare) for how in WAYS}


if not SUITE or not os.access(SUITE, os.X_OK):
    for name in MODULES:
        for words in WAYS.values():
            skip(TITLE % (name, words), "CPYTHON_SUITE=$(scripts/cpython-suite) is not set")
    agentkit.done()
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    for name, results in pool.map(one_module, MODULES):
        for how, words in WAYS.items():
            same, n, why = results[how]
            ok(same and n > 0, TITLE % (name, words), *why)
agentkit.done()
