"""caller.py COUNT LOG — a small agent of the standard library alone: COUNT calls one after the other, and a log that survives its death.

LOG gets "sent Q" when question Q has been handed over, "done Q HASH" when its answer was read to the end (HASH: SHA-256 of its bytes); the same
lines go to stdout. With TLS when $CALLER_TLS is set. Streams and JSON by turns."""
import hashlib
import http.client
import json
import os
import ssl
import sys
import urllib.parse


def main():
    count, log = int(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(line):
        os.write(log, line.encode() + b"\n")
        os.write(1, line.encode() + b"\n")
    url = urllib.parse.urlparse(os.environ["MODEL_HTTPS" if os.environ.get("CALLER_TLS") else "MODEL_HTTP"])
    if os.environ.get("CALLER_TLS"):
        conn = http.client.HTTPSConnection(url.hostname, url.port, context=ssl.create_default_context())
    else:
        conn = http.client.HTTPConnection(url.hostname, url.port)
    for q in range(1, count + 1):
        words = "What is %d? [[q=%d%s]]" % (q, q, " split=40" if q % 4 == 1 else "")
        body = json.dumps({"model": "gpt-4o-mini", "stream": q % 2 == 1, "messages": [{"role": "user", "content": words}]})
        conn.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json", "Authorization": "Bearer none"})
        say("sent %d" % q)
        answer = conn.getresponse().read()
        say("done %d %s" % (q, hashlib.sha256(answer).hexdigest()))
    print("%d calls" % count)


if __name__ == "__main__":
    main()
