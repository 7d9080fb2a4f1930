"""player.py — ai-agent-vcr at work, for rival.t. Prints one JSON object.

play PATH DIR   load PATH and run every method that VCRPlayer has; the states that it shows
golden DIR TASK  replay the golden run of that task in DIR/golden, list them, invalidate it
write DIR       sessions of every kind that the package writes: plain, forked, resumed, golden, diff_mode, with typed values, from async
"""
import asyncio
import datetime
import enum
import inspect
import json
import os
import sys

from agent_vcr import VCRPlayer, VCRRecorder
from agent_vcr.golden_cache import GoldenRunCache
from agent_vcr.models import ResumeConfig, ResumeMode
from pydantic import BaseModel


def play(path, directory):
    player = VCRPlayer.load(path)
    used, n = {"load"}, len(player.frames)

    def call(method, *args, **kw):
        used.add(method)
        return getattr(player, method)(*args, **kw)

    by_id = VCRPlayer.load_by_id(os.path.basename(path)[:-4], os.path.dirname(path))
    used.add("load_by_id")
    assert len(by_id.frames) == n
    call("get_current_state")
    for k in range(n):
        assert call("goto_frame", k) == call("get_output_state", k) == call("export_state", k) == call("get_current_state")
        assert call("compare_frames", 0, k) is not None
        assert call("get_frame", k).node_name in call("list_nodes")
        assert call("get_node_executions", call("get_frame", k).node_name)
        call("goto_time", call("get_frame", k).timestamp.isoformat())
        call("goto_time", call("get_frame", k).timestamp)
    for node in call("list_nodes"):
        call("get_state_at_node", node)
    for mode in ResumeMode:
        for k in (0, n - 1):
            config = ResumeConfig(from_frame=k, mode=mode, state_overrides={"x": 1}, inject_mocks={"m": 2}, new_session_id="resumed-%s-%d" % (mode.value, k))
            call("resume", lambda state: {"done": True}, config, VCRRecorder(output_dir=directory))
    whole = json.loads(json.dumps(call("to_dict"), default=str))
    out = dict(frames=n, inputs=[call("get_input_state", k) for k in range(n)], outputs=[call("get_output_state", k) for k in range(n)], tokens=call("get_total_tokens"),
               cost=call("get_total_cost"), latency=call("get_total_latency"), errors=len(call("get_errors")), nodes=[f["node_name"] for f in whole["frames"]],
               session=whole["session"])
    methods = {name for name, _ in inspect.getmembers(VCRPlayer, callable) if not name.startswith("_")}
    out["unused"] = sorted(methods - used)
    return out


class Color(enum.Enum):
    RED = "red"


class Point(BaseModel):
    x: int = 3


def record(recorder):
    recorder.record_step("plan", {"a": 1, "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)}, {"a": 2, "p": Point(), "c": Color.RED, "nan": float("nan")})
    recorder.record_llm_call("gpt-4o", [{"role": "user", "content": "Grüße 😀"}], {"content": "Hallo"}, 10, 5, 12.5, 0.25)
    recorder.record_tool_call("bash", {"cmd": "ls"}, ["a", "b"], 3.0)
    recorder.record_tool_call("bash", {"cmd": "xx"}, None, 3.0, error="not found")
    recorder.record_error("act", {"a": 3}, ValueError("boom"), 1.0)
    recorder.record_step("plan", {"a": 4}, {"a": 5, "deep": {"b": [1, {"c": None}]}})


async def record_async(directory):
    from agent_vcr.async_recorder import AsyncVCRRecorder
    recorder = AsyncVCRRecorder(output_dir=directory)
    await recorder.start_session("async")
    await recorder.record_step("one", {"k": 1}, {"k": 2})
    await recorder.save()


def write(directory):
    plain = VCRRecorder(output_dir=directory)
    plain.start_session("plain", tags=["t1", "t2"], metadata={"who": "me"})
    record(plain)
    forked = plain.fork(2, "forked", {"a": 9})
    plain.save()
    forked.record_step("after", {"a": 9}, {"a": 10})
    forked.save()
    player = VCRPlayer.load(os.path.join(directory, "plain.vcr"))
    player.resume(lambda state: dict(state, resumed=True), ResumeConfig(from_frame=1, new_session_id="resumed"), VCRRecorder(output_dir=directory))
    diff = VCRRecorder(output_dir=directory, diff_mode=True)
    diff.start_session("diff")
    record(diff)
    diff.save()
    cache = GoldenRunCache(os.path.join(directory, "golden"))
    fingerprint = cache.save_golden_run("a task", plain, ["gold"])
    asyncio.run(record_async(directory))
    cache.save_golden_run("gone", plain)
    cache.invalidate("gone")
    return {"fingerprint": fingerprint, "golden": os.path.join(directory, "golden", fingerprint + ".vcr"), "frames": [json.loads(f.model_dump_json()) for f in plain.frames]}


def golden(directory, task):
    cache = GoldenRunCache(os.path.join(directory, "golden"))
    outputs, ledger = cache.replay(task)
    return {"outputs": outputs, "ledger": ledger.summary(), "listed": cache.list_golden_runs(), "invalidated": cache.invalidate(task)}


if __name__ == "__main__":
    print(json.dumps({"play": play, "write": write, "golden": golden}[sys.argv[1]](*sys.argv[2:]), default=str))
