"""supervise.py — a git repository with 10 commits, alone, under vcr-record and under vcr-record --supervise, in turns."""
import os
import subprocess
import sys

SCRIPT = """
set -e
rm -rf r; mkdir r; cd r
git init -q .; git config user.email a@example.com; git config user.name a
for i in 1 2 3 4 5 6 7 8 9 10; do echo $i > f$i; git add f$i; git commit -qm "commit $i"; done
"""
TIMED = "import subprocess, sys, time; began = time.monotonic(); subprocess.run(['/bin/sh', '-c', sys.argv[1]], check=True); print((time.monotonic() - began) * 1000)"


def measure(build, directory, env, quick, row, skipped):
    record = os.path.join(build, "vcr-record")
    ways = {"bare": [], "recorded": [record, "-q", "--"], "supervised": [record, "-q", "--supervise", "--"]}
    if subprocess.run([*ways["supervised"], "/bin/true"], cwd=directory, env=env, stderr=subprocess.DEVNULL).returncode == 125:
        skipped.append("git under --supervise: the kernel refuses it")
        return
    work = os.path.join(directory, "work")
    os.makedirs(work)
    took = {way: [] for way in ways}
    for _ in range(5 if quick else 15):
        for way, argv in ways.items():
            took[way].append(float(subprocess.check_output([*argv, sys.executable, "-c", TIMED, SCRIPT], cwd=work, env=env, text=True)))
    for way, limit in (("recorded", None), ("supervised", 1.6)):
        row("git init and 10 commits, %s, beside bare: least %.0f ms against %.0f" % (way, min(took[way]), min(took["bare"])), "times", min(took[way]) / min(took["bare"]), limit=limit)
