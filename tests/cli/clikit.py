"""clikit.py — for tests of the tools: a private directory with a .vcr, session files written line by line, and the tools run there."""
import atexit
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid

SOURCE = os.environ.get("srcdir", os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
sys.path.insert(0, os.path.join(SOURCE, "tests", "shim"))
from tapkit import BUILD, done, ok, skip  # noqa: E402,F401

BEGAN = datetime.datetime(2026, 11, 24, 10, 0, 0, tzinfo=datetime.timezone.utc)


def vcr(format=1, **more):
    """metadata.custom of a frame that vcr itself recorded."""
    return {"vcr": dict(format=format, **more)}


def frame(n, kind, node, state=None, result=None, parent=None, custom=None, **metadata):
    """One frame; n seconds after the session began."""
    meta = dict(model=None, latency_ms=0.0, tokens_used=None, tokens_input=None, tokens_output=None, cost_usd=None, error_type=None, error_message=None,
                custom=custom or {})
    meta.update(metadata)
    return {"type": "frame", "data": {
        "frame_id": str(uuid.UUID(int=n + 1)), "session_id": "s", "parent_frame_id": str(uuid.UUID(int=parent + 1)) if parent is not None else None,
        "timestamp": (BEGAN + datetime.timedelta(seconds=n)).isoformat(timespec="microseconds"), "frame_type": kind, "node_name": node,
        "input_state": state or {}, "output_state": result or {}, "metadata": meta, "state_diff": None}}


def header(name, began=BEGAN, **more):
    data = dict(session_id=name, parent_session_id=None, forked_from_frame=None, created_at=began.isoformat(), updated_at=began.isoformat(), metadata={},
                tags=[], frame_count=0, total_tokens=0, total_cost_usd=0.0)
    data.update(more)
    return {"type": "session", "data": data}


def chat(n, messages, answer, after=None, omitted=0, kind="llm", **metadata):
    """A chat completion as vcr records it: with `after`, the first `omitted` messages are left out."""
    state = {"model": "gpt-4o", "temperature": 0.5, "messages": messages}
    if after is not None:
        state["_vcr"] = {"after": str(uuid.UUID(int=after + 1)), "omitted": {"messages": omitted}}
    exchange = vcr(host="api.example.com", scheme="https", method="POST", path="/v1/chat/completions", status=200, program="python3", pid=7)
    return frame(n, kind, "llm:gpt-4o", state, {"response": answer} if answer else {}, parent=after, custom=exchange, model="gpt-4o", **metadata)


def said(text=None, **call):
    message = {"role": "assistant", "content": text}
    if call:
        message["tool_calls"] = [{"id": "c1", "type": "function", "function": {"name": name, "arguments": json.dumps(a)}} for name, a in call.items()]
    return {"choices": [{"index": 0, "message": message}]}


END = {"type": "vcr.end", "data": {"frames": 0}}


def sanitized():
    """Is vcr built with ASan, whose own memory would be measured?"""
    return b"libasan" in subprocess.run(["ldd", os.path.join(BUILD, "vcr")], stdout=subprocess.PIPE).stdout


class Place:
    def __init__(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="vcr-cli-test."))
        self.run_dir = tempfile.mkdtemp(prefix="vcr-cli-test.", dir="/dev/shm")
        self.vcr_dir = os.path.join(self.dir, ".vcr")
        self.env = {k: v for k, v in os.environ.items() if k == "VCR_GRAMMARS" or not k.startswith(("VCR_", "LD_", "XDG_"))}
        self.home = os.path.join(self.dir, "home")
        os.mkdir(self.home)
        self.env.update(HOME=self.home, XDG_RUNTIME_DIR=self.run_dir, VCR_COLLECTOR="/nonexistent/vcr-collector", TZ="UTC", LC_ALL="C.UTF-8", TERM="xterm")
        for d in (self.dir, self.run_dir):
            atexit.register(shutil.rmtree, d, True)

    def path(self, name):
        return os.path.join(self.vcr_dir, name + ".vcr")

    def write(self, name, *lines, raw=b"", mode="wb"):
        """Lines (objects, or bytes as they are) of a session file; returns its path."""
        os.makedirs(self.vcr_dir, exist_ok=True)
        with open(self.path(name), mode) as f:
            for line in lines:
                f.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
            f.write(raw)
        return self.path(name)

    def run(self, *argv, **options):
        """(status, stdout, stderr) as text; stdout=FILE and env={…} may be given."""
        env = dict(self.env, **options.pop("env", {}))
        options.setdefault("stdout", subprocess.PIPE)
        r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:]], cwd=options.pop("cwd", self.dir), env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           timeout=120, **options)
        return r.returncode, (r.stdout or b"").decode(errors="surrogateescape"), r.stderr.decode(errors="surrogateescape")

    def json(self, *argv, **options):
        status, out, err = self.run(*argv, **options)
        return [json.loads(line) for line in out.splitlines()]
