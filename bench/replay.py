"""The replay server beside nginx and beside mitmproxy's server replay: one thread each, the same 8 KB POST over TLS, the same 4 KB answer.

wrk asks over 16 kept connections. nginx runs one worker and returns the answer from its configuration; mitmdump ($MITMDUMP, or in PATH) serves
a flow that it recorded of nginx. What is not installed is said, and its row left out. Runs of one second take turns; neighbours are compared."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time

PATH = "/v1/chat/completions"
ANSWER = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 3900}}]})
REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "y" * 8100}]})
SCRIPT = """wrk.method = "POST"
wrk.body = '%s'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-bench-0123456789abcdef0123"
done = function(summary, latency, requests)
  local e = summary.errors
  print(string.format("RESULT %%d %%f %%d", summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
"""
NGINX = """daemon off; master_process off; worker_processes 1; pid %(dir)s/nginx.pid; error_log %(dir)s/error.log;
events { worker_connections 512; }
http { access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k; client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/fcgi; uwsgi_temp_path %(dir)s/uwsgi; scgi_temp_path %(dir)s/scgi;
  server { listen 127.0.0.1:%(port)d ssl; ssl_certificate %(dir)s/cert.pem; ssl_certificate_key %(dir)s/key.pem;
    location / { default_type application/json; return 200 '%(answer)s'; } } }
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError("%s ended with %d" % (process.args[0], process.returncode))
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError("%s does not listen" % process.args[0])


@contextlib.contextmanager
def running(argv, port=None, **options):
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **options)
    try:
        if port:
            wait_for(port, process)
        yield process
    finally:
        process.terminate()
        process.wait()


def nginx(directory):
    port = free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.path.join(directory, "key.pem"), "-out",
                    os.path.join(directory, "cert.pem"), "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    conf = os.path.join(directory, "nginx.conf")
    with open(conf, "w") as f:
        f.write(NGINX % {"dir": directory, "port": port, "answer": ANSWER})
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return running([program, "-c", conf, "-p", directory], port, stderr=subprocess.DEVNULL), port


def write_session(path):
    """The call as vcr records it, without keys: they follow from the request."""
    def body(text):
        sha = hashlib.sha256(text.encode()).hexdigest()
        return sha[:16], {"type": "vcr.body", "data": {"ref": sha[:16], "size": len(text), "sha256": sha, "enc": "text", "text": text}}
    when = "2026-11-24T10:00:00.000000+00:00"
    request, response = body(REQUEST), body(ANSWER)
    vcr = {"format": 1, "seq": 1, "api": "openai.chat", "scheme": "https", "method": "POST", "path": PATH, "host": "api.openai.com", "status": 200, "complete": True,
           "request": request[0], "response": response[0], "response_headers": {"Content-Type": "application/json", "Content-Length": str(len(ANSWER))}}
    lines = [{"type": "session", "data": {"session_id": "bench", "created_at": when, "updated_at": when, "metadata": {}, "tags": []}}, request[1], response[1],
             {"type": "frame", "data": {"frame_id": "f", "session_id": "bench", "timestamp": when, "frame_type": "llm", "node_name": "llm:m", "input_state": {}, "output_state": {},
                                        "metadata": {"custom": {"vcr": vcr}}}}]
    os.makedirs(os.path.dirname(path))
    with open(path, "w") as f:
        f.writelines(json.dumps(line) + "\n" for line in lines)


@contextlib.contextmanager
def vcr(build, directory, env):
    session = os.path.join(directory, ".vcr", "bench.vcr")
    write_session(session)
    with running([os.path.join(build, "vcr"), "replay", "--json", "-q", session], stdout=subprocess.PIPE, text=True, cwd=directory, env=env) as process:
        ready = json.loads(process.stdout.readline())
        # what it says of each call goes where it costs nothing
        drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        yield "https://127.0.0.1:%d/vcr-%s/api.openai.com%s" % (ready["port"], ready["token"], PATH)
    drain.wait()


@contextlib.contextmanager
def mitmproxy(program, directory, upstream):
    """Record one flow of nginx, then serve it without it."""
    flow, port = os.path.join(directory, "flow"), free_port()
    common = [program, "-q", "--set", "confdir=" + directory, "--listen-host", "127.0.0.1", "--mode", "reverse:https://127.0.0.1:%d" % upstream, "--ssl-insecure"]
    post = ["curl", "-sk", "-o", os.devnull, "-H", "Content-Type: application/json", "-H", "Expect:", "-d", REQUEST]
    with running(common + ["--listen-port", str(port), "-w", flow], port, stdout=subprocess.DEVNULL):
        subprocess.run(post + ["https://127.0.0.1:%d%s" % (port, PATH)], check=True)
    port = free_port()
    with running(common + ["--listen-port", str(port), "--server-replay", flow, "--set", "server_replay_reuse=true", "--set", "server_replay_extra=kill",
                           "--set", "connection_strategy=lazy"], port, stdout=subprocess.DEVNULL):
        yield "https://127.0.0.1:%d%s" % (port, PATH)


def wrk(directory, url, seconds):
    """Answers per second."""
    script = os.path.join(directory, "post.lua")
    with open(script, "w") as f:
        f.write(SCRIPT % REQUEST)
    out = subprocess.run(["wrk", "-t1", "-c16", "-d%ds" % seconds, "--timeout", "10s", "-s", script, url], check=True, stdout=subprocess.PIPE, text=True).stdout
    n, duration, errors = re.search(r"RESULT (\d+) ([\d.]+) (\d+)", out).groups()
    if int(errors) or not int(n):
        raise ValueError("wrk: %s errors, %s answers of %s" % (errors, n, url))
    return int(n) / float(duration)


def measure(build, directory, env, quick, row, skipped):
    if not shutil.which("wrk") or not shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        skipped.append("replay server beside nginx: apt install nginx-light wrk")
        return
    rounds = 5 if quick else 15
    mitmdump = os.environ.get("MITMDUMP") or shutil.which("mitmdump")
    rates = {"vcr": [], "nginx": [], "mitmproxy": []}
    with contextlib.ExitStack() as stack:
        server, port = nginx(directory)
        stack.enter_context(server)
        urls = {"vcr": stack.enter_context(vcr(build, directory, env)), "nginx": "https://127.0.0.1:%d%s" % (port, PATH)}
        if mitmdump:
            urls["mitmproxy"] = stack.enter_context(mitmproxy(mitmdump, directory, port))
        for _ in range(rounds):
            for name, url in urls.items():
                rates[name].append(wrk(directory, url, 1))
    def against(name):
        """Our median, and the rival's rate by the median of the ratios of neighbouring runs, which met the same noise."""
        ours = sorted(rates["vcr"])[rounds // 2]
        return ours, ours / sorted(a / b for a, b in zip(rates["vcr"], rates[name]))[rounds // 2]
    row("replay server, one thread, 8 KB TLS POSTs, 4 KB answers", "/s", *against("nginx"), "nginx, one worker", limit=0.6, lower_is_better=False)
    if mitmdump:
        row("replay server beside mitmproxy's server replay", "/s", *against("mitmproxy"), "mitmdump --server-replay", limit=20, lower_is_better=False)
    else:
        skipped.append("replay server beside mitmproxy: MITMDUMP is not set (scripts/agents-env bench/requirements.txt)")
