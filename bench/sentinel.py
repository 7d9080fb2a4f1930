"""sentinel.py — vcr-sentinel scan beside radon cc and lizard on the same Python files, in turns: CPU time of all threads. A scan of files that have not changed
beside one that reads them. What a judge takes for a file, and for one that was edited. What the agent's own thread pays for being judged."""
import json
import os
import random
import statistics
import subprocess
import sys
import time

SCRIPT = "import sys, runpy; sys.argv = [sys.argv[1]] + sys.stdin.read().split('\\0'); runpy.run_module(sys.argv[0], run_name='__main__')"


def python_files(python, most):
    """Of the standard library and of the packages of an environment, evenly taken, none beyond 300 KB."""
    say = "import sysconfig; print(sysconfig.get_path('stdlib')); print(sysconfig.get_path('purelib'))"
    found = set()
    for top in subprocess.check_output([python, "-c", say], text=True).splitlines():
        for at, dirs, names in os.walk(top):
            dirs[:] = sorted(d for d in dirs if d not in ("__pycache__", "test", "site-packages"))
            found.update(os.path.join(at, n) for n in names if n.endswith(".py") and os.path.getsize(os.path.join(at, n)) < 300000)
    found = sorted(found)
    random.Random(7).shuffle(found)
    return sorted(found[:most])


def cpu(argv, words="", env=None, cwd=None):
    """(CPU seconds of the process and its threads, what it printed)"""
    read, write = os.pipe()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=write, stderr=subprocess.DEVNULL, env=env, cwd=cwd) as child, os.fdopen(read, "rb") as out:
        os.close(write)
        child.stdin.write(words.encode())
        child.stdin.close()
        said = out.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
    return usage.ru_utime + usage.ru_stime, said


def wall(argv, env):
    begin = time.perf_counter()
    cpu(argv, env=env)
    return time.perf_counter() - begin


def faster(walls):
    """By how much the second of each pair was, the median."""
    return statistics.median(one / two for one, two in walls)


def summary(said):
    return json.loads(said.splitlines()[-1])


def scans(build, directory, env, quick, row, skipped, judges, tries):
    """Everything is read by each: the rivals have it in the page cache too."""
    many = python_files(os.environ.get("RIVAL_PYTHON") or judges or sys.executable, 1500 if quick else 3000)
    files = many[::4] if quick else many
    scan = [os.path.join(build, "vcr-sentinel"), "scan", "--json"]
    first = summary(cpu([*scan, "--no-cache", *files[:20]], env=env)[1])
    if not first.get("files"):
        skipped.append("vcr-sentinel scan: there are no grammars; scripts/grammars fetches them")
        return False
    took = {"ours": [], "radon": [], "lizard": []}
    for _ in range(3):
        took["ours"].append(cpu([*scan, "--no-cache", *files], env=env)[0])
        if judges:
            took["radon"].append(cpu([judges, "-c", SCRIPT, "radon"], "\0".join(["cc", *files]), env)[0])
            took["ours"].append(cpu([*scan, "--no-cache", *files], env=env)[0])
            took["lizard"].append(cpu([judges, "-c", SCRIPT, "lizard"], "\0".join(files), env)[0])
    ours = min(took["ours"])
    row("vcr-sentinel scan of %d Python files, CPU time of all threads" % len(files), "s", ours)
    if judges:
        row("… beside radon cc", "s", ours, min(took["radon"]), "radon cc", limit=2, guard=1.7)
        row("… beside lizard", "s", ours, min(took["lizard"]), "lizard", limit=2.2, guard=1.9)
    else:
        skipped.append("vcr-sentinel scan beside radon and lizard: JUDGES_PYTHON is not set (scripts/agents-env tests/agents/judges.txt)")
    cores, walls = min(2, len(os.sched_getaffinity(0))), []  # a container may be allowed fewer than it sees
    # In pairs: on a machine that is busy one thread gets less of a processor as well, and two get twice as much as one.
    for _ in tries(3, 9, lambda: faster(walls) >= 0.75 * cores):
        walls.append([wall([*scan, "--no-cache", "-J", str(n), *many], env) for n in (1, cores)])
    row("… of %d on %d processors, wall time beside that on one, median of %d pairs" % (len(many), cores, len(walls)), "s", min(two for _, two in walls),
        faster(walls) * min(two for _, two in walls), "on one", limit=0.75 * cores, guard=0.3 * cores)
    kept_env = dict(env, XDG_CACHE_HOME=os.path.join(directory, "cache"))
    read = cpu([*scan, *many], env=kept_env)[0]
    kept = min(cpu([*scan, *many], env=kept_env)[0] for _ in range(10))
    row("… of %d when none has changed since the last time, beside reading them" % len(many), "s", kept, read, "the first time", limit=50)
    return True


def lines(n, edited=0):
    """n lines of Python, seven a function; edited: the condition of one of them."""
    return "".join("def f%d(a, b):\n    if a and b > %d:\n        for x in range(a):\n            b += x\n    return b\n\n\n" % (i, i + (edited if i == n // 14 else 0)) for i in range(n // 7))


def judged(build, directory, env, row):
    """The judge of a recording: the CPU time from a question to its answer, the least of six files."""
    work = os.path.join(directory, "judged")
    os.makedirs(work)
    with subprocess.Popen([os.path.join(build, "vcr-sentinel"), "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=work) as judge:
        def ask(path, before, after):
            def clock():
                with open("/proc/%d/schedstat" % judge.pid) as f:
                    return int(f.read().split()[0]) / 1e6
            begin, question = clock(), json.dumps({"id": 1, "path": path, "before": before and len(before), "after": len(after)})
            judge.stdin.write((question + "\n" + (before or "") + after).encode())
            judge.stdin.flush()
            if "metrics" not in json.loads(judge.stdout.readline()):
                raise ValueError("not measured")
            return clock() - begin
        judge.stdin.write(json.dumps({"judge": 1, "workspace": work, "config": os.path.join(work, "none")}).encode() + b"\n")
        ask("first.py", None, "x = 1\n")
        new = min(ask("new%d.py" % i, None, lines(1000)) for i in range(6))
        ask("old.py", lines(1000), lines(1000, 1))
        edited = min(ask("old.py", lines(1000), lines(1000, i)) for i in range(2, 8))
        judge.stdin.close()
    row("a judge: a new file of 1,000 lines, CPU time", "ms", new, limit=20, guard=60)
    row("… after one of its functions was edited, CPU time", "ms", edited, limit=5, guard=15)


def agents_thread(build, directory, env, quick, row):
    """A program that writes many Python files, each of which is judged: the CPU time of its own thread, recorded, judged and not, in turns; the least of each. The judge and
    the collector run beside it, and share caches and cores; that its own work is the same, tests/gate/sentinel-cost.t counts."""
    n, took = 1000 if quick else 4000, {"off": [], "observe": []}
    for i in range(4):
        for how in took:
            work = os.path.join(directory, "thread-%s%d" % (how, i))
            os.makedirs(work)
            said = subprocess.check_output([os.path.join(build, "vcr"), "record", "-q", "--burst=%d" % (2 * n), "--sentinel=" + how, "--", os.path.join(build, "bench", "files"), str(n), "100", "1000", "py"], cwd=work,
                                           env=dict(env, VCR_DIR=os.path.join(work, ".vcr")), stderr=subprocess.DEVNULL)
            used = json.loads(said)
            took[how].append((used["user_us"] + used["sys_us"]) / n)
    row("a program that writes %d Python files: its own CPU time a file when they are judged" % n, "us", min(took["observe"]), min(took["off"]), "not judged", limit=0.9, guard=0.4)


def measure(build, directory, env, quick, row, skipped, tries):
    if scans(build, directory, env, quick, row, skipped, os.environ.get("JUDGES_PYTHON"), tries):
        judged(build, directory, env, row)
        agents_thread(build, directory, env, quick, row)
