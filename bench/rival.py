"""What ai-agent-vcr needs for the same work. Usage: rival.py record|open|chat ARGS; prints one JSON object.

record N DIR      N calls of record_llm_call (8 KB request, 4 KB answer): in memory, flushed per frame, fsynced per frame; microseconds
make FRAMES DIR   write a session of FRAMES frames with two 3.6 KB states each; prints its path
open PATH INDEX   seconds of VCRPlayer.load + goto_frame
chat FILE DIR     record the turns of FILE (JSON lines of [user, assistant]) with complete messages; prints bytes on disk
"""
import json
import os
import pathlib
import statistics
import sys
import time

from agent_vcr import VCRPlayer, VCRRecorder

WORDS = ["state", "tool", "write", "the", "file", "of", "result", "a", "branch", "test"]


def text(size, seed):
    out, length = [], 0
    while length < size:
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        word = WORDS[(seed >> 20) % 10] if (seed >> 16) % 7 else f"{seed & 0xFFFF:x}"
        out.append(word)
        length += len(word) + 1
    return " ".join(out)[:size]


def one_way(n, directory, buffer_size, fsync):
    recorder = VCRRecorder(output_dir=directory, buffer_size=buffer_size)
    session = recorder.start_session()
    path = os.path.join(directory, session.session_id + ".vcr")
    took, cpu = [], time.process_time()
    for k in range(n):
        messages = [{"role": "system", "content": f"You are call {k}."}, {"role": "user", "content": text(7700, k)}]
        response = {"choices": [{"message": {"role": "assistant", "content": text(3500, k + 7)}}]}
        begin, begin_cpu = time.perf_counter(), time.process_time()
        recorder.record_llm_call("gpt-4o", messages, response, 1700, 800, 12.0, 0.01)
        if fsync:
            fd = os.open(path, os.O_WRONLY)
            os.fsync(fd)
            os.close(fd)
        took.append((time.perf_counter() - begin) * 1e6)
        cpu_us = (time.process_time() - begin_cpu) * 1e6
        took[-1] = (took[-1], cpu_us)
    wall = sorted(t for t, _ in took)
    return {"min_us": wall[0], "median_us": statistics.median(wall), "mean_us": statistics.fmean(wall),
            "cpu_us": statistics.fmean(c for _, c in took)}


def record(n, directory):
    n = int(n)
    return {"memory": one_way(n, directory, 10**9, False), "flushed": one_way(n, directory, 1, False),
            "fsynced": one_way(min(n, 300), directory, 1, True)}


def make(frames, directory):
    recorder = VCRRecorder(output_dir=directory, buffer_size=1000)
    recorder.start_session("frames")
    for k in range(int(frames)):
        recorder.record_step("node%d" % (k % 9), {"k": k, "text": text(3600, k)}, {"k": k + 1, "text": text(3600, k + 1)})
    return {"path": str(recorder.save())}


def open_(path, index):
    begin = time.perf_counter()
    player = VCRPlayer.load(path)
    state = player.goto_frame(int(index))
    return {"seconds": time.perf_counter() - begin, "keys": len(state)}


def chat(turns, directory):
    recorder = VCRRecorder(output_dir=directory, buffer_size=1)
    recorder.start_session("chat")
    messages = [{"role": "system", "content": "You are a helpful assistant."}]
    for line in pathlib.Path(turns).read_text().splitlines():
        user, assistant = json.loads(line)
        messages.append({"role": "user", "content": user})
        recorder.record_llm_call("gpt-4o", list(messages), {"content": assistant}, 1, 1, 1.0)
        messages.append({"role": "assistant", "content": assistant})
    return {"bytes": os.path.getsize(recorder.save())}


if __name__ == "__main__":
    verb = {"record": record, "make": make, "open": open_, "chat": chat}[sys.argv[1]]
    print(json.dumps(verb(*sys.argv[2:])))
