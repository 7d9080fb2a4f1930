#!/usr/bin/python3
"""On a file system that shares blocks (Btrfs, XFS): files of any size are kept before they are written into, by a clone that costs nothing, and an isolated tree takes no room.

In $VCR_TEST_REFLINK_DIR, or where temporary files or this directory are; else root mounts an image, in a name space of its own."""
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile

TITLES = ("a file beyond what is copied is kept by a clone before a program writes into it, and comes back", "what was kept shares its blocks",
          "the supervisor keeps one so before a static program writes into it", "the files of an isolated tree share their blocks with the workspace's")
FICLONE, MB = 0x40049409, 1 << 20


def can_share(where):
    try:
        with tempfile.TemporaryFile(dir=where) as a, tempfile.TemporaryFile(dir=where) as b:
            a.write(b"x" * 4096)
            a.flush()
            fcntl.ioctl(b.fileno(), FICLONE, a.fileno())
        return True
    except OSError:
        return False


def mounted():
    """This test once more, where an image is mounted; it goes with the name space."""
    make = next((m for m in (["mkfs.btrfs", "-q"], ["mkfs.xfs", "-q", "-m", "reflink=1"]) if shutil.which(m[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin")), None)
    if os.geteuid() or not make or not shutil.which("unshare"):
        return None
    top = tempfile.mkdtemp(prefix="vcr-cli-test.")
    os.mkdir(top + "/fs")
    script = 'truncate -s 1G "$1/image" && PATH=$PATH:/usr/sbin:/sbin && %s "$1/image" > /dev/null && mount -o loop "$1/image" "$1/fs" || exit 99; VCR_TEST_REFLINK_DIR="$1/fs" exec "$2" "$3"' % " ".join(make)
    try:
        r = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", top, sys.executable, os.path.abspath(__file__)], stdout=subprocess.PIPE)
    finally:
        shutil.rmtree(top, True)
    return r if r.returncode != 99 and r.stdout else None


given = os.environ.get("VCR_TEST_REFLINK_DIR")
places = [given] if given else [tempfile.gettempdir(), "/var/tmp", os.getcwd()]
place = next((d for d in places if can_share(d)), None)
if not place and not given:
    r = mounted()
    if r:
        sys.stdout.buffer.write(r.stdout)
        sys.exit(r.returncode)
os.environ["TMPDIR"] = tempfile.tempdir = place or tempfile.gettempdir()
sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, SOURCE, done, ok, skip  # noqa: E402
from project import Project, Standing  # noqa: E402

if not place:
    for title in TITLES:
        skip(title, "no file system here shares blocks, and none can be mounted" if not given else given + " does not share blocks")
    done()


def fill(project, name, size):
    """A hole, with something at its end."""
    with open(os.path.join(project.work, name), "wb") as f:
        f.truncate(size - 1)
        f.seek(size - 1)
        f.write(name[:1].encode())
    return sample(project, name)


def sample(project, name):
    with open(os.path.join(project.work, name), "rb") as f:
        size = f.seek(0, os.SEEK_END)
        f.seek(0)
        head = f.read(100)
        f.seek(max(0, size - 100))
        return size, head, f.read()


def used():
    os.sync()
    st = os.statvfs(place)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


# ---- by the library ----
p = Project(git=False)
before = fill(p, "huge", 200 * MB)
p.record("printf other | dd of=huge conv=notrunc status=none")
after = sample(p, "huge")
status, out, err = p.back()
ok(after != before and status == 0 and sample(p, "huge") == before, TITLES[0], status, out, err)
p = Project(git=False)
with open(p.work + "/full", "wb") as f:
    for _ in range(40):
        f.write(os.urandom(MB))
room = used()
p.record("printf other | dd of=full conv=notrunc status=none")
took = used() - room
kept = [n for n in os.listdir(p.state("preimages")) if os.stat(p.state("preimages", n)).st_size == 40 * MB]
ok(kept and took < 10 * MB, TITLES[1], kept, "%d bytes more are in use" % took)

# ---- by the supervisor ----
p = Project(git=False)
doer = os.path.join(p.dir, "doer")
probe = p.vcr("record", "--supervise", "-q", "--vcr-dir", p.dir + "/probe", "--", "/bin/true")
if probe[0] == 125 or not any(shutil.which(c) and not subprocess.run([c, "-O", "-static", os.path.join(SOURCE, "tests", "gate", "doer.c"), "-o", doer], stderr=subprocess.DEVNULL).returncode for c in ("musl-gcc", "gcc")):
    skip(TITLES[2], probe[2].strip() or "no compiler builds static programs here")
else:
    names = ["%s.bin" % n for n in ("deleted", "replaced", "cut", "grown", "truncated")]
    before = [fill(p, n, 200 * MB) for n in names]
    recorded = p.vcr("record", "--supervise", "-q", "--", doer, "DESTROY")
    gone = [n for n, was in zip(names, before) if not os.path.exists(os.path.join(p.work, n)) or sample(p, n) != was]
    status, out, err = p.back()
    ok(gone == names and status == 0 and [sample(p, n) for n in names] == before, TITLES[2], gone, recorded, status, out, err)

# ---- a tree of its own ----
p = Standing()
with open(p.work + "/full", "wb") as f:
    for _ in range(40):
        f.write(os.urandom(MB))
p.sh("echo full > .gitignore; git add .gitignore; git commit -qm one")
room = used()
status, out, err = p.vcr("txn", "begin", "--isolate", "-q", "-s", "t")
took, same = used() - room, subprocess.run(["cmp", p.work + "/full", out.rstrip("\n") + "/full"], stdout=subprocess.PIPE).returncode == 0
ok(status == 0 and same and took < 10 * MB, TITLES[3], status, err, same, "%d bytes more are in use" % took)
p.vcr("txn", "abort", "-q")
done()
