"""What the gate adds to a call while it records: one client asks a TLS server on loopback an 8 KB request for a 4 KB answer, in turns over a connection that is
recorded and over one that is not; both are kept. The figure is the median of the differences between neighbours, the least of the turns: other programs share the
cores. The server answers at once, or after a pause that is still short for a model.
Beside it, in the same turns: nginx (one worker, TLS on both sides, connections kept, no buffering) in the gate's place, which keeps nothing. It is the floor: two more
wake-ups, and the bytes decrypted and encrypted once more."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = """
import socket, ssl, sys, threading, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
body = sys.argv[2].encode()
def serve(s):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s = context.wrap_socket(s, server_side=True)
    data = b""
    while True:
        while b"\\r\\n\\r\\n" not in data:
            part = s.recv(65536)
            if not part: return
            data += part
        head, data = data.split(b"\\r\\n\\r\\n", 1)
        fields = dict(l.lower().split(b": ", 1) for l in head.split(b"\\r\\n")[1:])
        n = int(fields[b"content-length"])
        while len(data) < n: data += s.recv(65536)
        data = data[n:]
        pause = float(fields.get(b"x-pause", b"0"))
        if pause: time.sleep(pause)
        s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[l.getsockname()[1] for l in listeners], flush=True)
def accept(l):
    while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
threading.Thread(target=accept, args=(listeners[0],), daemon=True).start()
accept(listeners[1])
"""
CLIENT = """
import http.client, json, ssl, sys, time
n, pause = int(sys.argv[3]), sys.argv[4]
both = [http.client.HTTPSConnection("localhost", int(p), context=ssl.create_default_context()) for p in sys.argv[1:3]]
def ask(c, path, i):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "%d " % i + "y" * 8100}]})
    begin = time.perf_counter()
    c.request("POST", path, body, {"Content-Type": "application/json", "X-Pause": pause})
    c.getresponse().read()
    return time.perf_counter() - begin
added, bare = [], []
for i in range(n + 20):
    there, direct = ask(both[0], "/v1/chat/completions", i), ask(both[1], "/other", i)
    if i >= 20:
        added.append(there - direct)
        bare.append(direct)
    time.sleep(0.005)
print(json.dumps({"added_ms": sorted(added)[n // 2] * 1e3, "direct_ms": sorted(bare)[n // 2] * 1e3}))
"""
NGINX = """
worker_processes 1; daemon off; pid %(dir)s/nginx.pid; error_log %(dir)s/nginx.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %(dir)s; proxy_temp_path %(dir)s; fastcgi_temp_path %(dir)s; uwsgi_temp_path %(dir)s; scgi_temp_path %(dir)s;
	client_body_buffer_size 64k; keepalive_requests 1000000;
	upstream there { server 127.0.0.1:%(there)s; keepalive 4; }
	server {
		listen 127.0.0.1:%(port)d ssl;
		ssl_certificate %(leaf)s; ssl_certificate_key %(leaf)s;
		location / { proxy_pass https://there; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; }
	}
}
"""
ANSWER = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 3900}}]})


@contextlib.contextmanager
def nginx(directory, leaf, there):
    """Its port; None without it."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not program:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    conf = os.path.join(directory, "nginx.conf")
    with open(conf, "w") as f:
        f.write(NGINX % {"dir": directory, "leaf": leaf, "port": port, "there": there})
    process = subprocess.Popen([program, "-c", conf, "-p", directory], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield str(port)
    finally:
        process.terminate()
        process.wait()


def measure(build, directory, env, quick, row, skipped):
    sys.path.insert(0, os.path.join(HERE, "..", "tests", "agents"))
    import modelserver
    ca, leaf = modelserver.make_ca(directory)
    work = os.path.join(directory, "work")
    os.makedirs(os.path.join(work, ".git"))
    server = subprocess.Popen([sys.executable, "-c", SERVER, leaf, ANSWER], stdout=subprocess.PIPE, text=True)
    try:
        ports = server.stdout.readline().split()
        env = dict(env, SSL_CERT_FILE=ca, VCR_MODEL_HOSTS="localhost:" + ports[0])
        n, turns = (60, 3) if quick else (300, 5)
        with nginx(directory, leaf, ports[1]) as other:
            for what, pause in (("a server that answers after 10 ms", "0.01"), ("a server that answers at once", "0")):
                got = {"gate": [], "tap": [], "nginx": []}
                for _ in range(turns):
                    for lane in got:
                        to = [other, ports[1]] if lane == "nginx" else ports
                        argv = [] if lane == "nginx" else [os.path.join(build, "vcr-record"), "-q", "--lane", lane, "--"]
                        if to[0]:
                            argv += ["/usr/bin/python3", "-c", CLIENT, *to, str(n), pause]
                            got[lane].append(json.loads(subprocess.check_output(argv, cwd=work, env=env, text=True)))
                least = {lane: min(got[lane], key=lambda r: r["added_ms"]) for lane in got if got[lane]}
                # A machine on which nginx itself, which keeps nothing, adds as much is measured by nginx.
                limit = max(0.3, 1.5 * least["nginx"]["added_ms"]) if "nginx" in least else 0.3
                for lane, who, limit in (("gate", "the gate", limit), ("tap", "the tap", None), ("nginx", "nginx in the gate's place, keeping nothing,", None)):
                    if lane in least:
                        row("%s adds to a call of %s (direct: %.2f)" % (who, what, least[lane]["direct_ms"]), "ms", least[lane]["added_ms"], limit=limit, guard=3)
    finally:
        server.terminate()
        server.wait()
