"""project.py — for tests that record in a workspace and look at its files afterwards."""
import atexit
import hashlib
import os
import signal
import stat
import subprocess

from clikit import BUILD, Place

SHIM = os.environ.get("VCR_SHIM", os.path.join(BUILD, ".libs", "libvcrshim.so"))
COLLECTOR = os.path.join(BUILD, "vcr-collector")
QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
         "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com", "PYTHONDONTWRITEBYTECODE": "1"}


class Project(Place):
    """A home, and a workspace in it where things are recorded."""

    def __init__(self, git=True):
        super().__init__()
        self.env.update(QUIET, VCR_COLLECTOR=COLLECTOR, VCR_SHIM=SHIM)
        self.work = os.path.join(self.dir, "work")
        self.vcr_dir = os.path.join(self.work, ".vcr")
        os.makedirs(self.work)
        if git:
            self.sh("git init -q")

    def sh(self, script, **options):
        r = subprocess.run(["bash", "-ec", script], cwd=options.pop("cwd", self.work), env=dict(self.env, **options.pop("env", {})), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        if r.returncode:
            print("# " + r.stdout.replace("\n", "\n# "))
        return r

    def record(self, script, *options):
        return self.vcr("record", "-q", *options, "--", "bash", "-c", script)

    def vcr(self, *argv, **options):
        options.setdefault("cwd", self.work)
        return self.run("vcr", *argv, **options)

    def back(self, *argv, **options):
        return self.vcr("rollback", *argv, **options)

    def state(self, *parts):
        """$XDG_STATE_HOME/vcr/<workspace-id>/…"""
        return os.path.join(self.home, ".local", "state", "vcr", hashlib.sha256(self.work.encode()).hexdigest()[:16], *parts)

    def look(self, top=None, git=False):
        """Every path: type and mode, and its content or target."""
        top, found = top or self.work, {}
        for at, dirs, files in os.walk(top):
            dirs[:] = [d for d in dirs if d != ".vcr" and (git or d != ".git")]
            for name in dirs + files:
                path = os.path.join(at, name)
                st = os.lstat(path)
                if os.path.islink(path):
                    what = os.readlink(path)
                else:
                    data = open(path, "rb").read() if stat.S_ISREG(st.st_mode) else None
                    what = data if data is None or len(data) < 200 else hashlib.sha256(data).hexdigest()
                found[os.path.relpath(path, top)] = (oct(st.st_mode), what)
        return found


class Standing(Project):
    """One whose collectors, which stay, are ended with the test however it ends."""

    def __init__(self, **options):
        super().__init__(**options)
        atexit.register(lambda: [os.kill(pid, signal.SIGKILL) for pid in self.collectors()])

    def collectors(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open("/proc/%s/cmdline" % pid, "rb").read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"vcr-collector") and any(self.run_dir.encode() in w for w in words):
                found.append(int(pid))
        return found


def differences(a, b):
    return ["%s: %s -> %s" % (k, a.get(k), b.get(k)) for k in sorted(set(a) | set(b)) if a.get(k) != b.get(k)][:12]
