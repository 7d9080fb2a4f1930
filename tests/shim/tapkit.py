"""tapkit.py — TAP and a private session for the shim's tests: a workspace, a runtime directory of its own, and the spool's lines afterwards."""
import atexit
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile

BUILD = os.environ.get("builddir", os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "build")))
SHIM = os.environ.get("VCR_SHIM", os.path.join(BUILD, ".libs", "libvcrshim.so"))
DUMP = os.path.join(BUILD, "tests", "shim", "spool-dump")
count = failed = 0
# Whoever runs us may ignore these (nohup, a job in a shell's background), and a program keeps what it is born with.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


def ok(passed, title, *why):
    global count, failed
    count += 1
    failed += not passed
    print("%sok %d - %s" % ("" if passed else "not ", count, title), flush=True)
    for line in () if passed else why:
        print("# " + str(line).replace("\n", "\n# "))
    return passed


def skip(title, why):
    global count
    count += 1
    print("ok %d - %s # SKIP %s" % (count, title, why), flush=True)


def done():
    print("1..%d" % count)
    sys.exit(1 if failed else 0)


class Session:
    """A workspace with a .git and a runtime directory on /dev/shm that is this test's alone. No collector unless one is given."""

    def __init__(self, collector="/nonexistent/vcr-collector"):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="vcr-shim-test."))
        self.run_dir = tempfile.mkdtemp(prefix="vcr-shim-test.", dir="/dev/shm")
        self.work = os.path.join(self.dir, "work")
        os.makedirs(os.path.join(self.work, ".git"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("VCR_", "LD_"))}
        self.env.update(LD_PRELOAD=SHIM, VCR_COLLECTOR=collector, XDG_RUNTIME_DIR=self.run_dir)
        for d in (self.dir, self.run_dir):
            atexit.register(shutil.rmtree, d, True)

    def run(self, *argv, **options):
        env = dict(self.env, **options.pop("env", {}))
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(argv, cwd=self.work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, **options)

    def spools(self):
        return sorted(glob.glob(os.path.join(self.run_dir, "vcr", "*.spool")))

    def lines(self, *options):
        """Every line of every spool; paths relative to the workspace."""
        out = []
        for spool in self.spools():
            text = subprocess.run([DUMP, *options, spool], stdout=subprocess.PIPE, text=True, check=True, errors="replace").stdout
            out += text.replace(self.work + "/", "").splitlines()
        return out

    def forget(self):
        for spool in self.spools():
            os.unlink(spool)


def program(name):
    return os.path.join(BUILD, "tests", "shim", name)
