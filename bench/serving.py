"""What a replay server costs before and while it serves: finding a request's recorded call (bench/match), the start on a session of 2,000 calls, a thousand
streams that are held open, and opening a session of 1 GB."""
import contextlib
import hashlib
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import time

PATH = "/v1/chat/completions"
WHEN = "2026-11-24T10:%02d:%02d.%06d+00:00"


def lines_of(n, request_bytes, answer_bytes, **more):
    """A session of n calls as vcr records it, keys stored; each its own request and answer."""
    def body(text):
        sha = hashlib.sha256(text.encode()).hexdigest()
        return sha[:16], {"type": "vcr.body", "data": {"ref": sha[:16], "size": len(text), "sha256": sha, "enc": "text", "text": text}}
    yield {"type": "session", "data": {"session_id": "bench", "created_at": WHEN % (0, 0, 0), "updated_at": WHEN % (0, 0, 0), "metadata": {}, "tags": []}}
    for i in range(n):
        request, response = (body(json.dumps({"n": "%s %d" % (kind, i), "content": kind[0] * size})) for kind, size in (("request", request_bytes), ("answer", answer_bytes)))
        key = hashlib.sha256(b"%d" % i).hexdigest()
        vcr = dict({"format": 1, "seq": i, "api": "openai.chat", "scheme": "https", "method": "POST", "path": PATH, "host": "api.openai.com", "status": 200, "complete": True, "items": 0,
                    "request_bytes": request_bytes, "k0": key, "k1": key, "request": request[0], "response": response[0], "response_headers": {"Content-Type": "application/json"}}, **more)
        yield request[1]
        yield response[1]
        yield {"type": "frame", "data": {"frame_id": "f%d" % i, "session_id": "bench", "timestamp": WHEN % (i // 60000 % 60, i // 1000 % 60, i % 1000), "frame_type": "llm", "node_name": "llm:m",
                                         "input_state": {}, "output_state": {}, "metadata": {"custom": {"vcr": vcr}}, "state_diff": None}}
    yield {"type": "vcr.end", "data": {"frames": n}}


def write(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def cpu_ms(pid):
    """What a process's threads have had of the processors."""
    return sum(int(open("/proc/%d/task/%s/schedstat" % (pid, t)).read().split()[0]) for t in os.listdir("/proc/%d/task" % pid)) / 1e6


@contextlib.contextmanager
def serving(build, session, directory, env):
    """(process, what it says when it is ready, milliseconds until then)"""
    began = time.perf_counter()
    process = subprocess.Popen([os.path.join(build, "vcr"), "replay", "--json", "-q", session], stdout=subprocess.PIPE, text=True, cwd=directory, env=env)
    try:
        ready = process.stdout.readline()
        yield process, json.loads(ready), (time.perf_counter() - began) * 1e3
    finally:
        process.terminate()
        process.communicate()


def measure_match(build, quick, row):
    calls = 10000
    best = min((json.loads(subprocess.check_output([os.path.join(build, "bench", "match"), str(calls), "20", "400"])) for _ in range(2 if quick else 4)), key=lambda r: r["normalised"]["mean_us"])
    for rung in ("exact", "canonical", "normalised"):
        row("finding the recorded call of a 4 KB request among %d, %s" % (calls, rung), "ms", best[rung]["mean_us"] / 1e3, limit=0.2, guard=1)
    row("… the slowest of them, normalised", "ms", best["normalised"]["worst_us"] / 1e3)


def measure_start(build, directory, env, quick, row):
    path = os.path.join(directory, ".vcr", "start.vcr")
    write(path, lines_of(2000, 8000, 4000))
    took, cpu = [], []
    for _ in range(5 if quick else 15):
        with serving(build, path, directory, env) as (process, _, ms):
            cpu.append(cpu_ms(process.pid))
            took.append(ms)
    row("vcr replay serves a session of 2,000 calls, 8 KB and 4 KB, after (best; %.0f ms of CPU time)" % min(cpu), "ms", min(took), limit=50, guard=150)


def rss_mb(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) / 1024


def measure_idle(build, directory, env, row, skipped):
    streams = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        skipped.append("a thousand idle streams: RLIMIT_NOFILE is %d" % hard)
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    request = json.dumps({"model": "m", "messages": [{"role": "user", "content": "wait"}], "stream": True})
    sha = hashlib.sha256(request.encode()).hexdigest()
    first = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    path, more = os.path.join(directory, ".vcr", "idle.vcr"), {"failure": "aborted", "complete": False, "total_ms": 3600e3, "response_headers": {"Content-Type": "text/event-stream"}}
    lines = list(lines_of(1, 1, 1, request=sha[:16], response="first", **more))
    vcr = lines[3]["data"]["metadata"]["custom"]["vcr"]
    del vcr["k0"], vcr["k1"]  # they follow from the request
    for ref, text in ((sha[:16], request), ("first", first)):
        lines.insert(1, {"type": "vcr.body", "data": {"ref": ref, "size": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest(), "enc": "text", "text": text}})
    write(path, lines)
    with serving(build, path, directory, env) as (process, ready, _), contextlib.ExitStack() as stack:
        context = ssl.create_default_context(cafile=ready["ca"])
        head = ("POST %s HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (PATH, len(request))).encode()
        before = rss_mb(process.pid)
        for _ in range(streams):
            s = stack.enter_context(context.wrap_socket(socket.create_connection(("127.0.0.1", ready["port"])), server_hostname="api.openai.com"))
            s.sendall(head + request.encode())
            got = b""
            while b"data:" not in got:
                piece = s.recv(65536)
                if not piece:
                    raise ValueError("a stream ended: %r" % got)
                got += piece
        row("a thousand streams over TLS that are held open: memory of the server (%.0f MB before)" % before, "MB", rss_mb(process.pid), limit=60)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def show_last(build, path, frame, env):
    """(milliseconds, what it says, milliseconds of CPU time) of vcr show as a whole command."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([os.path.join(build, "vcr"), "show", "--json", path, str(frame)], stdout=subprocess.PIPE, env=env, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (time.perf_counter() - began) * 1e3, said, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def peak_mb(argv, env):
    """What a command takes at most. By a small parent: a child counts what its parent had when it was forked."""
    run = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=-3, check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    return int(subprocess.run([sys.executable, "-S", "-c", run, *argv], stdout=subprocess.PIPE, env=env, check=True).stdout) / 1024


def forget(*paths):
    """What is in memory of these files is written out and dropped: the next reader has it from the disk."""
    for path in paths:
        with open(path, "rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_large(build, directory, env, quick, row, sizes):
    """The last frame of 1 GB (100 MB with --quick): the first time, when the file is read and leaves an index; by that index; and by it when nothing of either file is in memory."""
    path, cache = os.path.join(directory, ".vcr", "large.vcr"), os.path.join(directory, "cache")
    calls = (100 if quick else 1000) * 2**20 // (sum(sizes) + 1600)  # and its frame
    env = dict(env, XDG_CACHE_HOME=cache)
    write(path, lines_of(calls, *sizes))
    size = os.path.getsize(path) / 2**20
    first, said, _ = show_last(build, path, calls - 1, env)
    index = [os.path.join(at, n) for at, _, names in os.walk(cache) for n in names]
    again = [show_last(build, path, calls - 1, env) for _ in range(7)]
    memory = peak_mb([os.path.join(build, "vcr"), "show", "--json", path, str(calls - 1)], env)
    cold = []
    for _ in range(3):
        forget(path, *index)
        cold.append(show_last(build, path, calls - 1, env))
    for name in (path, *index):
        os.unlink(name)
    if any(words != said for _, words, _ in again + cold) or not index:
        raise ValueError("vcr show says something else by an index")
    row("a session of %.0f MB, %d calls: open it for the first time and show the last frame, whole command" % (size, calls), "ms", first)
    for how, runs in ("", again), (", neither it nor the session in memory", cold):
        row("… by its index%s (best; %.0f ms of CPU time)" % (how, min(cpu for _, _, cpu in runs)), "ms", min(ms for ms, _, _ in runs), limit=100, guard=300)
    row("… its memory", "MB", memory, limit=50)


def measure(build, directory, env, quick, row, skipped):
    measure_match(build, quick, row)
    measure_start(build, directory, env, quick, row)
    measure_idle(build, directory, env, row, skipped)
    for sizes in (390000, 10000), (8000, 4000):
        measure_large(build, directory, env, quick, row, sizes)
