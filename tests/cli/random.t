#!/usr/bin/python3
"""Property: whatever an agent does to files, a rollback to any savepoint gives back the names, modes, bytes and attributes that were there then, and the user's repository is untouched.

A recorded program edits a random tree at random and has savepoints taken in between; then the workspace goes to them in random order. Each such rollback is a case:
100 of them, or $VCR_RANDOM_CASES. $VCR_RANDOM_SEED repeats what a failure named."""
import os
import pickle
import random
import shutil
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
PER_SESSION, TOO_LONG = 25, 4096


# ---- What an agent does: runs recorded, in the workspace ----

class Agent:
    """Names are bytes, relative to the current directory."""
    WORDS = [b"a", b"b.py", b"c.txt", b"README", b"src", b"d\xff\xfe", b"new\nline", b" lead", b"quo\"te\\", b"\xc3\xbc", b"x" * 255, b"pointer.bin", b".env", b"crlf.bat",
             b"build", b"-rf", b"*", b"big.iso"]

    def __init__(self, rng, deep=False):
        self.rng, self.deep, self.held = rng, deep, []

    def files(self):
        return [os.path.join(at, n)[2:] for at, _, names, _ in self.walk() for n in names]

    def dirs(self):
        return [os.path.join(at, n)[2:] for at, names, _, _ in self.walk() for n in names]

    @staticmethod
    def walk():
        """What is a directory and what is not, links to directories among the latter, and the descriptor of the one that they are in."""
        for at, dirs, files, fd in os.fwalk(b"."):
            dirs[:] = sorted(d for d in dirs if d not in (b".git", b".vcr"))
            links = [d for d in dirs if stat.S_ISLNK(os.lstat(d, dir_fd=fd).st_mode)]
            dirs[:] = [d for d in dirs if d not in links]
            yield at, dirs, sorted(files + links), fd

    def near(self, path):
        """A name that the kernel takes for a path of any length."""
        fd = None
        while len(path) >= TOO_LONG:
            cut = path.rindex(b"/", 0, TOO_LONG)
            fd = os.open(path[:cut], os.O_PATH | os.O_DIRECTORY, dir_fd=fd)
            self.held.append(fd)
            path = path[cut + 1:]
        return path if fd is None else b"/proc/self/fd/%d/%s" % (fd, path)

    def let_go(self):
        while self.held:
            os.close(self.held.pop())

    def place(self):
        at = self.rng.choice([b""] + self.dirs())
        return os.path.join(at, self.rng.choice(self.WORDS))

    def deepen(self):
        """Directories inside one another to where the kernel takes no path at once, and a file there."""
        path = self.rng.choice([b""] + self.dirs())
        while len(path) < TOO_LONG + self.rng.randrange(700):
            path = os.path.join(path, self.rng.choice([b"y" * 250, b"\xfe" * 255, b"deep " * 40]))
            if not os.path.lexists(self.near(path)):
                os.mkdir(self.near(path))
            elif not stat.S_ISDIR(os.lstat(self.near(path)).st_mode):
                return
        path = self.near(os.path.join(path, self.rng.choice(self.WORDS[:4])))
        if not os.path.lexists(path):
            with open(path, "wb") as f:
                f.write(self.content())

    def content(self):
        r = self.rng
        kind = r.randrange(10)
        if kind == 0:
            return b""
        if kind == 1:
            return b"version https://git-lfs.github.com/spec/v1\noid sha256:%064x\nsize %d\n" % (r.getrandbits(256), r.randrange(1 << 30))
        if kind == 2:
            return b"".join(b"line %d%s" % (i, r.choice([b"\n", b"\r\n", b"\r"])) for i in range(r.randrange(30)))
        if kind == 3:
            return b"tree 1\0vcr-sealed-1\n" + r.randbytes(9)
        if kind == 4:
            return b"vcr-sealed-1\n" + r.randbytes(60)
        if kind == 5:
            return r.randbytes(r.randrange(70000))
        return b"%d\n" % r.randrange(1000) * r.randrange(1, 9)

    def write(self):
        path = self.near(self.place())
        if os.path.isdir(path) and not os.path.islink(path):
            if self.rng.random() < 0.5:
                return
            shutil.rmtree(path)
        if os.path.lexists(path) and (os.path.islink(path) or self.rng.random() < 0.3):
            os.unlink(path)
        with open(path, "wb") as f:
            f.write(self.content())
            if path.endswith(b"big.iso") and self.rng.random() < 0.2:
                f.truncate((17 << 20) + self.rng.randrange(1000))

    def regular(self):
        return [os.path.join(at, n)[2:] for at, _, names, fd in self.walk() for n in names if stat.S_ISREG(os.lstat(n, dir_fd=fd).st_mode)]

    def change(self):
        files = self.regular()
        if not files:
            return
        path = self.near(self.rng.choice(files))
        how = self.rng.randrange(3)
        if how == 0:
            with open(path, "ab") as f:
                f.write(self.content())
        elif how == 1:
            os.truncate(path, self.rng.randrange(100))
        else:
            with open(path, "r+b") as f:
                f.seek(self.rng.randrange(20))
                f.write(self.content()[:20])

    def delete(self):
        files = self.files()
        if files:
            os.unlink(self.near(self.rng.choice(files)))

    def delete_all(self):
        dirs = self.dirs()
        if dirs and self.rng.random() < 0.5:
            shutil.rmtree(self.near(self.rng.choice(dirs)))

    def make_dir(self):
        path = self.near(self.place())
        if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            os.unlink(path)
        if not os.path.lexists(path):
            os.mkdir(path)
            os.chmod(path, self.rng.choice([0o755, 0o755, 0o700, 0o750, 0o1777]))

    def move(self):
        things = self.files() + self.dirs()
        if not things:
            return
        a, b = self.rng.choice(things), self.place()
        from_, to = self.near(a), self.near(b)
        try:
            os.rename(from_, to)
        except OSError:
            if a != b and not (a + b"/").startswith(b + b"/") and not (b + b"/").startswith(a + b"/"):
                if os.path.isdir(to) and not os.path.islink(to):
                    shutil.rmtree(to)
                elif os.path.lexists(to):
                    os.unlink(to)
                os.rename(from_, to)

    def swap(self):
        things = self.files() + self.dirs()
        if len(things) < 2:
            return
        a, b = self.rng.sample(things, 2)
        if not (a + b"/").startswith(b + b"/") and not (b + b"/").startswith(a + b"/"):
            a, b = self.near(a), self.near(b)
            os.rename(a, b"swap.tmp")
            os.rename(b, a)
            os.rename(b"swap.tmp", b)

    def link(self):
        path = self.near(self.place())
        if os.path.lexists(path):
            if os.path.isdir(path) and not os.path.islink(path):
                return
            os.unlink(path)
        os.symlink(self.rng.choice([b"a", b"nowhere", b"../..", b"/etc/passwd", b"src", b"t\xffrget", b"l" * 300]), path)

    def hard_link(self):
        files, path = self.regular(), self.near(self.place())
        if files and not os.path.lexists(path):
            os.link(self.near(self.rng.choice(files)), path)

    def mode(self):
        files = self.regular()
        if files:
            os.chmod(self.near(self.rng.choice(files)), self.rng.choice([0o644, 0o755, 0o600, 0o444, 0o640, 0o4755, 0o777]))
        dirs = self.dirs()
        if dirs and self.rng.random() < 0.3:
            os.chmod(self.near(self.rng.choice(dirs)), self.rng.choice([0o755, 0o700, 0o711, 0o2755]))

    def attribute(self):
        things = self.regular() + self.dirs()
        if not things:
            return
        path, name = self.near(self.rng.choice(things)), self.rng.choice([b"user.a", b"user.b b", b"user.\xff"])
        try:
            if name.decode("utf-8", "surrogateescape") in os.listxattr(path) and self.rng.random() < 0.5:
                os.removexattr(path, name)
            else:
                os.setxattr(path, name, self.rng.choice([b"", b"1", b"line\n\0\xff=%"]))
        except OSError:
            pass  # none here, or none of it may be written

    def edit(self):
        many = [self.write] * 4 + [self.change] * 3 + [self.delete, self.delete_all] + [self.make_dir] * 2 + [self.move] * 2 + [self.swap, self.link, self.hard_link, self.mode] + [self.attribute] * 2
        self.rng.choice(many + [self.deepen] * self.deep)()
        self.let_go()

    def look(self):
        """Every name with its type, mode, content and attributes."""
        found = {}
        for at, dirs, files, fd in self.walk():
            for name in dirs + files:
                st, what = os.lstat(name, dir_fd=fd), None
                if stat.S_ISLNK(st.st_mode):
                    what = os.readlink(name, dir_fd=fd)
                elif not stat.S_ISDIR(st.st_mode):
                    with open(name, "rb", opener=lambda n, flags: os.open(n, flags, dir_fd=fd)) as f:
                        what = f.read() if st.st_size < (1 << 20) else (st.st_size, f.read(1 << 16))
                # not of what is too large for a savepoint
                found[os.path.join(at, name)[2:]] = (oct(st.st_mode), what, {} if st.st_size > 1 << 20 else self.attributes(b"/proc/self/fd/%d/%s" % (fd, name)))
        return found

    @staticmethod
    def attributes(path):
        try:
            return {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False) if n.startswith("user.")}
        except OSError:
            return {}


def ask(path, message):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b'{"op":"savepoint","message":"%s"}\n' % message.encode())
        answer = s.makefile().readline()
    if '"ok":true' not in answer:
        raise ValueError(answer)


def is_deep(seed):
    return seed % 2 == 1


def act(seed, out):
    agent, states = Agent(random.Random(seed), is_deep(seed)), []
    control = next(os.path.join(at, n) for at, _, names in os.walk(os.environ["XDG_RUNTIME_DIR"]) for n in names if n.endswith(".sock"))
    for i in range(PER_SESSION - 1):
        for _ in range(agent.rng.randrange(1, 12)):
            agent.edit()
        states.append(agent.look())
        ask(control, str(i))
    agent.edit()
    states.append(agent.look())
    with open(out, "wb") as f:
        pickle.dump(states, f)


if len(sys.argv) > 2:
    act(int(sys.argv[1]), sys.argv[2])
    sys.exit(0)

# ---- The test ----
from clikit import done, ok  # noqa: E402
from project import Project  # noqa: E402


def look(project):
    os.chdir(project.work)
    try:
        return Agent(None).look()
    finally:
        os.chdir("/")


def differences(a, b):
    def short(x):
        return repr(x)[:60]
    return ["%s: %s -> %s" % (short(p), short(a.get(p)), short(b.get(p))) for p in sorted(set(a) | set(b)) if a.get(p) != b.get(p)][:6]


def begin(seed, repository):
    """A project with some edits in it, half of them known to git."""
    p = Project(git=repository)
    os.chdir(p.work)
    agent = Agent(random.Random(-seed - 1))
    for i in range(40):
        if i == 20 and repository:
            with open(b".gitattributes", "wb") as f:
                f.write(b"* text=auto\n*.bat eol=crlf\n*.txt eol=lf\n*.bin filter=lfs diff=lfs merge=lfs -text\n")
            p.sh("printf 'build/\\nnode_modules\\n*.iso\\n' > .gitignore; git config core.safecrlf false; git add -A; git commit -qm x; printf '#!/bin/sh\\n' > .git/hooks/pre-commit")
        agent.edit()
        agent.deep = is_deep(seed) and i > 20  # no git add reads that far
    os.chdir("/")
    return p


def session(seed, cases):
    """One recording, and that many rollbacks. What went wrong."""
    repository = seed % 4 != 3
    p, rng, wrong = begin(seed, repository), random.Random(seed), []
    first = look(p)
    git_before = p.look(os.path.join(p.work, ".git"), git=True) if repository else None
    status, out, err = p.vcr("record", "-q", "--", sys.executable, os.path.abspath(__file__), str(seed), p.dir + "/states")
    if status:
        return 0, ["seed %d: the recording failed: %s %s" % (seed, status, err)]
    with open(p.dir + "/states", "rb") as f:
        states = pickle.load(f)
    frames = [f["index"] for f in p.json("vcr", "log", "--json", "last", cwd=p.work) if f["node"] == "savepoint"]
    if "to" in p.json("vcr", "show", "--json", str(frames[0]), cwd=p.work)[0]["input_state"]:
        return 0, ["seed %d: a savepoint tells of a place to go to" % seed]
    longest = max(len(path) for state in states + [first] for path in state)
    if is_deep(seed) != (longest >= TOO_LONG):
        return 0, ["seed %d: the longest path has %d bytes" % (seed, longest)]
    targets = [("start", first)] + list(zip(map(str, frames), states)) + [("end", states[-1])]
    if len(frames) != PER_SESSION - 1 or look(p) != states[-1]:
        return 0, ["seed %d: %d savepoints" % (seed, len(frames))]
    for _ in range(cases):
        to, want = rng.choice(targets)
        before = look(p)
        status, out, err = p.back("-q", "--to", to)
        now = look(p)
        if status or now != want:
            wrong += ["seed %d, to %s: %s %s" % (seed, to, status, err)] + differences(want, now)
            break
        if rng.random() < 0.1 and before != now:
            status, out, err = p.back("-q", "--undo")
            if status or look(p) != before:
                wrong += ["seed %d, --undo of --to %s: %s %s" % (seed, to, status, err)] + differences(before, look(p))
                break
    if repository:
        if p.look(os.path.join(p.work, ".git"), git=True) != git_before:
            wrong.append("seed %d: the user's .git is another" % seed)
        if p.sh("git fsck --strict 2>&1").returncode or subprocess.run(["git", "--git-dir", p.state("shadow.git"), "fsck", "--connectivity-only"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            wrong.append("seed %d: git fsck complains" % seed)
    shutil.rmtree(p.dir, True)
    return cases, wrong


os.umask(0o022)
wanted, failed, did, seed = int(os.environ.get("VCR_RANDOM_CASES", "100")), [], 0, int(os.environ.get("VCR_RANDOM_SEED", "0"))
while did < wanted and len(failed) < 30:
    n, wrong = session(seed, min(PER_SESSION, wanted - did))
    failed += wrong
    did += n or PER_SESSION
    seed += 1
ok(not failed, "%d rollbacks to random savepoints of random trees under random edits are exact in bytes, modes, names (also of more than 4,096 bytes) and extended attributes, and leave the user's .git as it was, which git fsck finds clean" % wanted, *failed)
done()
