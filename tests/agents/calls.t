#!/usr/bin/python3
"""Real client packages ask a model everything that can go well or wrong; their sessions hold what was said, byte for byte."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "agents"))
import agentkit
import callcheck
import clients

RUNS = [(n, w) for n in ("openai", "responses", "anthropic", "genai", "httpx") for w in ("sync", "async")]
RUNS += [("requests", "sync"), ("aiohttp", "async"), ("requests", "sync plain"), ("aiohttp", "async plain")]
HOW = {"preload": "LD_PRELOAD", "record": "vcr-record"}
NAMES = ["%s %s under %s" % (name, words, HOW[how]) for how in HOW for name, words in RUNS]
agentkit.need_agents(*["%s: %s" % (n, p) for n in NAMES for p in callcheck.PROMISES])
# Some versions of Python (3.10 to 3.11.2) tell OpenSSL to take the end of the bytes for the end of TLS: then a cut is a close, to them and to us.
CUTS_ARE_HEARD = not subprocess.run([agentkit.AGENTS_PYTHON, "-c", "import ssl, sys; sys.exit(bool(ssl.create_default_context().options & ssl.OP_IGNORE_UNEXPECTED_EOF))"]).returncode

first = 100
for how in HOW:
    for name, words in RUNS:
        callcheck.check("%s %s under %s" % (name, words, HOW[how]), (agentkit.AGENTS_PYTHON, agentkit.CLIENTS, name, str(first)), words, how, name in clients.SDKS,
                        cuts_are_heard=CUTS_ARE_HEARD)
        first += 100
agentkit.done()
