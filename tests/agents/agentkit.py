"""agentkit.py — for the tests with real clients: a private place, the model server, a run under the recorder, and the session it left.

tests/shim/tapkit.py gives ok, skip and done. $AGENTS_PYTHON is the python of scripts/agents-env; without it those tests are skipped by name."""
import atexit
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.environ.get("srcdir", os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "shim"))
sys.path.insert(0, HERE)
import modelserver
import tapkit
from tapkit import done, ok, skip

BUILD, SHIM = tapkit.BUILD, tapkit.SHIM
COLLECTOR = os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector"))
AGENTS_PYTHON = os.environ.get("AGENTS_PYTHON", "")
PEEK = os.path.join(BUILD, "tests", "agents", "peek")
CLIENTS = os.path.join(HERE, "clients.py")
# Put before a command: it runs in a namespace that has the loopback interface and nothing else. Empty where that is not allowed.
OFFLINE = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
if subprocess.run([*OFFLINE, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode if shutil.which("unshare") else True:
    OFFLINE = ()
SETTLE = 60  # seconds until a session has its end line; it takes a fraction of one


def need_agents(*titles):
    """Skip all titles by name and end when there are no real clients."""
    if AGENTS_PYTHON and os.access(AGENTS_PYTHON, os.X_OK):
        return
    for title in titles:
        skip(title, "no clients: AGENTS_PYTHON=$(scripts/agents-env) is not set")
    done()


class Place:
    """A workspace with a .git, HOME, state and runtime directories that are this test's alone, and the environment of a program that is recorded."""

    def __init__(self, server=None, work=None):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="vcr-agents."))
        self.run_dir = tempfile.mkdtemp(prefix="vcr-agents.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        atexit.register(self.clean)
        self.work = work or os.path.join(self.dir, "work")
        self.home, self.state = os.path.join(self.dir, "home"), os.path.join(self.dir, "state")
        for d in (os.path.join(self.work, ".git"), self.home, self.state):
            os.makedirs(d, exist_ok=True)
        keep = ("PATH", "LANG", "TERM", "TMPDIR")
        self.plain = {k: os.environ[k] for k in keep if k in os.environ}
        self.plain.update(HOME=self.home, XDG_STATE_HOME=self.state, XDG_RUNTIME_DIR=self.run_dir, PYTHONDONTWRITEBYTECODE="1", PYTHONUTF8="1",
                          VCR_PRICES=os.path.join(TOP, "data", "prices.json"))
        if server:
            self.plain.update(MODEL_HTTP=server.http, MODEL_HTTPS=server.https, SSL_CERT_FILE=server.ca, REQUESTS_CA_BUNDLE=server.ca)
        self.preload = dict(self.plain, LD_PRELOAD=SHIM, VCR_COLLECTOR=COLLECTOR)
        self.record = dict(self.plain, VCR_SHIM=SHIM, VCR_COLLECTOR=COLLECTOR)

    def clean(self):
        """A collector that still ends would put back what is removed under it."""
        if self.spools():
            self.settle()
        for d in (self.dir, self.run_dir):
            shutil.rmtree(d, True)

    def run(self, *argv, how="preload", **options):
        """how: plain (without us), preload (bare LD_PRELOAD), record (vcr-record), gate (vcr-record --lane=gate)."""
        env = dict({"plain": self.plain, "preload": self.preload}.get(how, self.record), **options.pop("env", {}))
        lane = ("--lane=gate",) if how == "gate" else ()
        argv = ((os.path.join(BUILD, "vcr-record"), "-q", *lane, "--") if how in ("record", "gate") else ()) + argv
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(argv, cwd=self.work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, **options)

    def start(self, *argv, env=None, **options):
        return subprocess.Popen(argv, cwd=self.work, env=env or self.preload, stdin=subprocess.DEVNULL, **options)

    def spools(self):
        return glob.glob(os.path.join(self.run_dir, "vcr", "*.spool"))

    def settle(self):
        """Wait until the collectors are done, as a tool does that is started right after the agent, and until they have removed their spools."""
        until = time.monotonic() + SETTLE
        while True:
            subprocess.run([PEEK, "settle", os.path.join(self.work, ".vcr"), str(SETTLE * 1000)], cwd=self.work, env=dict(self.plain, VCR_COLLECTOR=COLLECTOR))
            if not self.spools() or time.monotonic() > until:
                return
            time.sleep(0.02)

    def sessions(self):
        self.settle()
        return [Session(p) for p in sorted(glob.glob(os.path.join(self.work, ".vcr", "*.vcr")))]

    def session(self):
        """The one session there must be."""
        found = self.sessions()
        if len(found) != 1:
            raise AssertionError("%d sessions, not 1 (spools: %s)" % (len(found), self.spools()))
        return found[0]


class Session:
    """A session file as it stands: lines, frames, and its bodies as the project's own reader rebuilds them."""

    def __init__(self, path):
        self.path = path
        raw = open(path, "rb").read()
        self.torn = not raw.endswith(b"\n")
        self.lines, self.bad_lines = [], 0
        for line in raw.split(b"\n")[:-1]:
            try:
                self.lines += [json.loads(line)] if line.strip() else []
            except ValueError:
                self.bad_lines += 1
        self.head = self.lines[0]["data"] if self.lines else {}
        self.frames = [l["data"] for l in self.lines if l["type"] == "frame"]
        self.end = next((l["data"] for l in self.lines if l["type"] == "vcr.end"), None)
        self.dir = tempfile.mkdtemp(prefix="vcr-bodies.")
        atexit.register(shutil.rmtree, self.dir, True)
        r = subprocess.run([PEEK, "dump", path, self.dir], stdout=subprocess.PIPE, text=True)
        self.broken = r.returncode != 0
        self.complaints = r.stdout if r.returncode or r.stdout else ""

    def calls(self):
        return [f for f in self.frames if f["node_name"].startswith("llm:")]

    def work(self):
        return [f for f in self.frames if f["node_name"].startswith(("file:", "exec:"))]

    def vcr(self, frame):
        return frame["metadata"]["custom"]["vcr"]

    def body(self, frame, which):
        """The request's or response's bytes; b"" when there were none."""
        ref = self.vcr(frame).get(which)
        if not ref:
            return b""
        with open(os.path.join(self.dir, ref), "rb") as f:
            return f.read()

    def input(self, frame):
        with open(os.path.join(self.dir, frame["frame_id"] + ".input")) as f:
            return json.load(f)


def question(request):
    """The number of the question in a request's bytes."""
    return modelserver.directives(request).get("q")


def differences(session, server):
    """Between a session and the server's log, every call of which was answered to the end: what is lost, doubled, swapped or not byte for byte."""
    server.settle()
    calls, out, seen = {c["q"]: c for c in server.calls()}, [], set()
    for f in session.calls():
        request = session.body(f, "request")
        q = question(request)
        call = calls.get(q)
        if not call or q in seen:
            out.append("question %s: %s" % (q, "never asked" if not call else "doubled"))
            continue
        seen.add(q)
        if request != call["request"] or session.body(f, "response") != call["answer"]:
            out.append("question %s: bodies differ" % q)
        if f["frame_type"] != "llm":
            out.append("question %s: %s" % (q, f["metadata"]["error_type"]))
    return out + ["question %s: lost" % q for q in calls if q not in seen] + ([session.complaints] if session.complaints else [])


def server(place_dir=None, tls_port=0):
    d = place_dir or tempfile.mkdtemp(prefix="vcr-model.")
    atexit.register(shutil.rmtree, d, True)
    s = modelserver.ModelServer(d, tls_port)
    atexit.register(s.close)
    return s
