"""storm.py — many small files written by an installation, by tar, by cp and by recipes of make, with and without vcr-record, in turns. On file systems that are new
and in memory, where there is room: nothing hides what is added, and no disk of other people's.

What is said is the median of what neighbouring turns differ by: on a machine that others use, too, one of a hundred turns is left alone on one side alone, and the
least of each side then says anything between -20 and +30 %."""
import base64
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import zipfile


LIMIT, GUARD = 10, 30  # percent
MORE_SECONDS = 30


def text(i):
    return (b"# module %d\n" % i) + b"def f%d(x):\n    return x + %d\n" % (i, i) * 6


def make_wheel(path, n):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        record = []

        def add(name, data):
            z.writestr(name, data)
            record.append("%s,sha256=%s,%d" % (name, base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(), len(data)))
        for i in range(n):
            add("storm/p%03d/m%06d.py" % (i // 100, i), text(i))
        add("storm-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: storm\nVersion: 1.0\n")
        add("storm-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("storm-1.0.dist-info/RECORD", "\n".join(record + ["storm-1.0.dist-info/RECORD,,"]) + "\n")


def make_tar(path, n):
    with tarfile.open(path, "w") as t:
        for i in range(n):
            info = tarfile.TarInfo("storm/p%03d/m%06d.py" % (i // 100, i))
            info.size = len(text(i))
            t.addfile(info, io.BytesIO(text(i)))


class Turns:
    """Each run on a file system that is new: one that is fuller is slower, and of two that are alike the first can be slower by a fifth than the second."""

    def __init__(self, build, place, env):
        self.build, self.place, self.env = build, place, env

    def run(self, argv, recorded, look=None):
        """(seconds of the command, seconds until all is over, CPU seconds of the collector, what look says of the directory)"""
        with self.place() as directory:
            return *self.run_in(directory, argv, recorded), look and look(os.path.join(directory, "run"))

    def run_in(self, directory, argv, recorded):
        work, note = os.path.join(directory, "run"), os.path.join(directory, "time")
        os.makedirs(work)
        env = dict(self.env, VCR_DIR=os.path.join(work, ".vcr"), TMPDIR=work + ".tmp")
        os.makedirs(env["TMPDIR"])
        timed = ["sh", "-c", 'date +%s%N > "$0"; "$@"; s=$?; date +%s%N >> "$0"; exit $s', note, *argv]
        before = os.times()
        begin = time.perf_counter()
        subprocess.run(([os.path.join(self.build, "vcr"), "record", "-q", "--"] if recorded else []) + timed, cwd=work, env=env, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        whole = time.perf_counter() - begin
        while recorded:  # the collector, when vcr-record did not wait for it: we are its reaper
            try:
                os.wait()
            except ChildProcessError:
                break
        after = os.times()
        a, b = (int(line) for line in open(note))
        return (b - a) / 1e9, whole, after.children_user + after.children_system - before.children_user - before.children_system


def in_turns(run, rounds, more=None):
    """[(what run(False) gave, what run(True) gave)]; each is the first one every other time. more: of all that there are so far, are there to be more? For half a
    minute at most."""
    runs, until = [], time.monotonic() + MORE_SECONDS
    while len(runs) < rounds or (more and time.monotonic() < until and more(runs)):
        turned = len(runs) % 2 == 1
        first, second = run(turned), run(not turned)
        runs.append((second, first) if turned else (first, second))
    return runs


def added(runs, of=lambda side: side[0]):
    """What recording adds, in percent: the median of neighbouring turns."""
    return max(0.01, (statistics.median(of(recorded) / of(bare) for bare, recorded in runs) - 1) * 100)


def over(runs, of=lambda side: side[0]):
    return added(runs, of) > LIMIT


def plain_writer(turns, n, rounds, row):
    """bench/files: nothing but open, write and close, so that there is nothing that hides what is added. What the kernel accounts to the program itself, hooks and
    inotify's events in it, is little disturbed by what else runs; its wall time is."""
    def look(work):
        with open(os.path.join(work, "times.json")) as f:
            took = json.load(f)
        return took["wall_us"] / n, (took["user_us"] + took["sys_us"]) / n

    def run(recorded):
        return turns.run(["sh", "-c", '"$0" "$@" > times.json', os.path.join(turns.build, "bench", "files"), str(n), "100", "1000"], recorded, look)[3]
    runs = in_turns(run, rounds, over)
    bare, bare_cpu = (min(r[0][k] for r in runs) for k in (0, 1))
    name = "a plain C program that writes %d files of 1 KB" % n
    row("%s, added to its wall time (bare %.1f us a file), median of %d pairs" % (name, bare, len(runs)), "%", added(runs), limit=LIMIT, guard=GUARD)
    row("%s, added to its own CPU time (bare %.1f us a file), median of %d pairs" % (name, bare_cpu, len(runs)), "us a file",
        max(0.01, statistics.median(recorded[1] - bare[1] for bare, recorded in runs)))


def make_makefile(path, n):
    """A recipe for each hundred files: a shell that writes them, as generators of code do."""
    with open(path, "w") as f:
        f.write("all: %s\n" % " ".join("p%03d" % i for i in range(n // 100)))
        f.write("p%%:\n\t@mkdir $@; i=0; while [ $$i -lt 100 ]; do echo '%s' > $@/m$$i.c; i=$$((i+1)); done\n" % ("int f(int x) { return x + 1; } " * 10))


def make_sources(directory, n):
    """A build as most are: a tool is started for each of its files, and writes one."""
    os.mkdir(os.path.join(directory, "src"))
    for i in range(n):
        with open(os.path.join(directory, "src", "f%d.s" % i), "w") as f:
            f.write("\t.text\n\t.globl f%d\nf%d:\n\t.long %d\n" % (i, i, i))
    makefile = os.path.join(directory, "Makefile.as")
    with open(makefile, "w") as f:
        f.write("$(shell mkdir out)\nall: %s\nout/%%.o: %s/%%.s\n\tas -o $@ $<\n" % (" ".join("out/f%d.o" % i for i in range(n)), os.path.join(directory, "src")))
    return makefile


def is_missing(argv):
    """Why that cannot be run here; None: it can."""
    if argv[1:3] == ["-m", "pip"]:
        return "there is no pip" if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode else None
    return "there is no %s" % argv[0] if not shutil.which(argv[0]) or (argv[0] == "make" and not shutil.which("as")) else None


def measure(build, directory, env, quick, row, skipped, own_places):
    n, rounds, long_rounds = (10000, 5, 3) if quick else (100000, 7, 5)
    wheel, tar, makefile = (os.path.join(directory, name) for name in ("storm-1.0-py3-none-any.whl", "storm.tar", "Makefile"))
    make_wheel(wheel, n)
    make_tar(tar, n)
    make_makefile(makefile, n)
    sources = make_sources(directory, n // 20)
    subprocess.run(["tar", "xf", tar, "-C", directory], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-index", "--no-deps", "--no-compile", "--target", "site", wheel]
    builds = (("pip install of %d small files", n, pip, long_rounds), ("make -j2 of %d small files, a shell for each hundred", n, ["make", "-s", "-j2", "-f", makefile], rounds),
              ("make -j2 of %d small files, an assembler for each", n // 20, ["make", "-s", "-j2", "-f", sources], rounds),
              ("cp -r of %d small files", n, ["cp", "-r", os.path.join(directory, "storm"), "copy"], rounds), ("tar x of %d small files", n, ["tar", "xf", tar], rounds))
    with own_places(3 * n) as place:
        measure_builds(Turns(build, place, dict(env, PIP_ROOT_USER_ACTION="ignore")), builds, n, rounds, row, skipped)


def measure_builds(turns, builds, n, rounds, row, skipped):
    for title, files, argv, times in builds:
        name, missing = title % files, is_missing(argv)
        if missing:
            skipped.append("%s: %s" % (name, missing))
            continue
        runs = in_turns(lambda recorded: turns.run(argv, recorded), times, over)
        row("%s, added to its wall time (bare %.2f s), median of %d pairs" % (name, min(r[0][0] for r in runs), len(runs)), "%", added(runs), limit=LIMIT, guard=GUARD)
        row("%s, until vcr-record is done" % name, "s", min(r[1][1] - r[1][0] for r in runs))
        row("%s, CPU time of recording in all" % name, "us a file", min(r[1][2] - r[0][2] for r in runs) * 1e6 / files)
    plain_writer(turns, n, rounds, row)
