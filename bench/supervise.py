"""supervise.py — a git repository with 10 commits, alone, under vcr-record and under vcr-record --supervise, in turns."""
import os
import shutil
import subprocess
import sys

SCRIPT = """
set -e
mkdir r; cd r
git init -q .; git config user.email a@example.com; git config user.name a
for i in 1 2 3 4 5 6 7 8 9 10; do echo $i > f$i; git add f$i; git commit -qm "commit $i"; done
"""
TIMED = "import subprocess, sys, time; began = time.monotonic(); subprocess.run(['/bin/sh', '-c', sys.argv[1]], check=True); print((time.monotonic() - began) * 1000)"
LIMIT = 1.6


def middle(values):
    return sorted(values)[len(values) // 2]


def measure(build, directory, env, quick, row, skipped, tries):
    """The least of each way counts: what else a machine does only adds to it. One that is busy gets more turns (tries in bench/run), all ways alike. Each
    begins in an empty directory, the first turn is for the caches, and no way is always the first of its turn."""
    record = os.path.join(build, "vcr-record")
    ways = {"bare": [], "recorded": [record, "-q", "--"], "supervised": [record, "-q", "--supervise", "--"]}
    if subprocess.run([*ways["supervised"], "/bin/true"], cwd=directory, env=env, stderr=subprocess.DEVNULL).returncode == 125:
        skipped.append("git under --supervise: the kernel refuses it")
        return
    work = os.path.join(directory, "work")
    os.makedirs(work)

    def once(way):
        shutil.rmtree(os.path.join(work, "r"), ignore_errors=True)
        return float(subprocess.check_output([*ways[way], sys.executable, "-c", TIMED, SCRIPT], cwd=work, env=env, text=True))

    for way in ways:
        once(way)
    took = {way: [] for way in ways}
    for turn in tries(5 if quick else 15, 40, lambda: min(took["supervised"]) / min(took["bare"]) <= LIMIT):
        for k in range(len(ways)):
            way = list(ways)[(turn + k) % len(ways)]
            took[way].append(once(way))
    for way, limit in (("recorded", None), ("supervised", LIMIT)):
        ratios = [a / b for a, b in zip(took[way], took["bare"])]
        row("git init and 10 commits, %s, beside bare: least %.0f ms against %.0f of %d turns (median of neighbours: %.2f times)" %
            (way, min(took[way]), min(took["bare"]), len(ratios), middle(ratios)), "times", min(took[way]) / min(took["bare"]), limit=limit)
