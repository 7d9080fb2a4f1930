#!/usr/bin/python3
"""A model that refuses the connection: the program hears what it hears without us, and the session holds a failed call."""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, Place, done, ok
import tapkit

CLIENTS = {
    "a blocking client": "import http.client\nhttp.client.HTTPConnection('localhost', port).request('POST', '/v1/chat/completions', '{}')",
    "a client with a time limit": "import http.client\nhttp.client.HTTPConnection('localhost', port, timeout=9).request('POST', '/v1/chat/completions', '{}')",
    "an asynchronous client": "import asyncio\nasyncio.run(asyncio.wait_for(asyncio.open_connection('localhost', port), 9))",
    "a thread of a client": "import threading, http.client\nout = []\ndef go():\n try: http.client.HTTPConnection('127.0.0.1', port).request('POST', '/', '{}')\n"
                            " except OSError as e: out.append(e)\nt = threading.Thread(target=go); t.start(); t.join()\nraise out[0]",
}
AGENT = "import sys\nport = int(sys.argv[1])\ntry:\n exec(sys.argv[2])\nexcept OSError as e:\n print(type(e).__name__)\n"

with socket.socket() as s:  # a port that nobody listens at
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    for title, code in CLIENTS.items():
        place = Place()
        place.env.update(VCR_COLLECTOR=os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector")), VCR_SHIM=tapkit.SHIM,
                         VCR_MODEL_HOSTS="localhost:%d,127.0.0.1:%d" % (port, port))
        command = ["/usr/bin/python3", "-c", AGENT, str(port), code]
        plain = subprocess.run(command, env=place.env, stdout=subprocess.PIPE, text=True).stdout
        status, out, err = place.run("vcr-record", "-q", "--", *command)
        calls = place.json("vcr-log", "last", "--json", "--errors")
        ok(status == 0 and out == plain and plain and [c["type"] for c in calls] == ["error"] and "refused" in str(calls[0]), "%s that is refused has made one failed call" % title,
           plain, out, err, calls)
    shown = place.run("vcr-show", "call:0")[1]
    ok("no connection to 127.0.0.1:%d: refused" % port in shown, "and the words for it name the host", shown)
    place = Place()
    place.env.update(VCR_COLLECTOR=os.environ.get("VCR_COLLECTOR", os.path.join(BUILD, "vcr-collector")), VCR_SHIM=tapkit.SHIM)
    place.run("vcr-record", "-q", "--", *command)
    ok(place.json("vcr-log", "last", "--json", "--errors") == [], "a host that is no model's may refuse what it likes")
done()
