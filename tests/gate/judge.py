#!/usr/bin/python3
"""A judge for tests (lib/judge.h): a line "BAD word" is a finding, "WORSE word" a blocker, "OWN word" one if blockers block. "allow WORD" in sentinel.conf allows it. "DIE" in a file kills it, "WAIT" makes it wait for the file $JUDGE_WAITS."""
import json
import os
import re
import signal
import sys
import time

said, stream = {}, open(0, "rb", closefd=False)
hello = json.loads(stream.readline())
assert hello["judge"] == 1 and os.path.isabs(hello["workspace"])
conf, baseline = (stream.read(hello[k]) if hello.get(k) is not None else b"" if k in hello else None for k in ("conf", "baseline"))
if conf is None:
    conf = open(hello["config"], "rb").read() if os.path.exists(hello["config"]) else b""
while True:
    line = stream.readline()
    if not line:
        break
    q = json.loads(line)
    before, after = (stream.read(q[k]) if q.get(k) is not None else None for k in ("before", "after"))
    if b"DIE" in (after or b""):
        os.kill(os.getpid(), signal.SIGSEGV)
    while b"WAIT" in (after or b"") and not os.path.exists(os.environ["JUDGE_WAITS"]):
        time.sleep(0.005)
    if not q["path"].endswith(".py"):
        out = {"id": q["id"], "skipped": "not Python"}
    else:
        was = re.findall(rb"^(?:BAD|WORSE|OWN) \w+", before or b"", re.M)
        found = {}
        for n, text in enumerate((after or b"").split(b"\n"), 1):
            m = re.match(rb"(BAD|WORSE|OWN) (\w+)", text)
            if m and (m[1] != b"OWN" or hello["blocks"]) and b"allow %s\n" % m[2] not in conf:
                key = "bad:%s:%s" % (q["path"], m[2].decode())
                found[key] = {"key": key, "rule": "bad", "severity": "blocker" if m[1] != b"BAD" else "critical", "path": q["path"], "line": n, "name": m[2].decode(),
                              "message": "'%s' is bad" % m[2].decode(), "state": "old" if m[0] in was else "new"}
        gone = [v for k, v in said.get(q["path"], {}).items() if k not in found]
        said[q["path"]] = found
        out = {"id": q["id"], "passed": not found, "violations": list(found.values()), "corrected": gone, "metrics": {"lines": (after or b"").count(b"\n")}}
    sys.stdout.write(json.dumps(out) + "\n")
    sys.stdout.flush()
    if b"WAIT" in (after or b""):
        open(os.environ["JUDGE_WAITS"] + ".done", "w").close()
