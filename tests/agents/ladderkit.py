"""ladderkit.py — an agent's own requests, as they were recorded, each changed in one thing and asked of the recording: on which rung must it be found?

The requests are the agents' whole ones: what they put into system texts, tools and results, not what we believe that they put there."""
import json
import os
import re
import sys
import uuid

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit
from agentkit import ok

LEAST = 60  # pairs, of all agents
TITLE = "%s: of its own requests, each with %s, every one is %s"
BEGINS = rb"(?:(?<![0-9A-Za-z_])|(?<=\\[nrt]))"  # no middle of a word; a line's end is two characters in JSON
DATE, DAY = re.compile(BEGINS + rb"20\d\d-(?:0[1-9]|1[0-2])-[0-3]\d\b"), re.compile(BEGINS + rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, [A-Z][a-z]+ \d{1,2}, 20\d\d\b")
UUID = re.compile(BEGINS + rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
BILLING = re.compile(BEGINS + rb"cch=[0-9a-f]+")


def turned(value):
    return {k: turned(value[k]) for k in reversed(list(value))} if isinstance(value, dict) else [turned(v) for v in value] if isinstance(value, list) else value


def other_uuids(raw):
    return UUID.sub(lambda m: str(uuid.uuid5(uuid.NAMESPACE_URL, m.group().decode())).encode(), raw)


def other_dates(raw):
    return DAY.sub(b"Tuesday, May 6, 2031", DATE.sub(b"2031-05-06", raw))


def changed(**members):
    """The same with other parameters; gemini has its own names for them."""
    return lambda body: dict(body, **members["gemini"]) if "contents" in body else dict(body, **members["others"])


def parameter(name, value, gemini=None):
    def change(body):
        if "contents" in body:
            return dict(body, generationConfig=dict(body.get("generationConfig") or {}, **{gemini or name: value}))
        return dict(body, **{name: value})
    return change


def other_system(body):
    """One word more in the first text that is the system's."""
    def more(parts):
        return [dict(parts[0], text=parts[0]["text"] + " Always.")] + parts[1:]
    if "systemInstruction" in body:
        return dict(body, systemInstruction=dict(body["systemInstruction"], parts=more(body["systemInstruction"]["parts"])))
    if isinstance(body.get("system"), list):
        return dict(body, system=body["system"][:-1] + more(body["system"][-1:]))
    for key in ("system", "instructions"):
        if isinstance(body.get(key), str):
            return dict(body, **{key: body[key] + " Always."})
    first = body["messages"][0] if body.get("messages") and body["messages"][0]["role"] in ("system", "developer") else None
    if not first:
        return dict(body, systemInstruction={"parts": [{"text": "Always."}]}) if "contents" in body else dict(body, system="Always.")
    return dict(body, messages=[dict(first, content=first["content"] + " Always." if isinstance(first["content"], str) else more(first["content"]))] + body["messages"][1:])


def other_tools(body):
    """The first tool described otherwise; one where there is none."""
    tools = json.loads(json.dumps(body.get("tools") or []))
    at = tools[0]["functionDeclarations"][0] if tools and "functionDeclarations" in tools[0] else tools[0].get("function", tools[0]) if tools else None
    if at is None:
        return dict(body, tools=[{"name": "bash", "input_schema": {"type": "object"}}])
    at["description"] = at.get("description", "") + " Always."
    return dict(body, tools=tools)


def other_model(body):
    return dict(body, model="another-" + body["model"]) if "model" in body else dict(body, x_model="another")


# What is changed, how, whether the change is of bytes or of the JSON, and the rung.
RUN = (("nothing changed", bytes, True, "exact"), ("members in another order", turned, False, "canonical"), ("only the date changed", other_dates, True, "normalised"),
       ("only UUIDs changed", other_uuids, True, "normalised"), ("only the billing line changed", lambda raw: BILLING.sub(b"cch=fffff", raw), True, "normalised"))
MEANS = (("another tool_choice", changed(gemini={"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}, others={"tool_choice": "none"})), ("another temperature", parameter("temperature", 0.77)),
         ("another seed", parameter("seed", 4711)), ("another response_format", parameter("response_format", {"type": "json_object"}, "responseMimeType")), ("another system text", other_system),
         ("other tools", other_tools), ("another model", other_model), ("an unknown field", lambda body: dict(body, x_new=None)))
PLACES = (("only the working directory changed", ("cwd",)), ("only the home changed", ("home",)), ("both directories changed", ("cwd", "home")))


class There:
    """Where vcr-replay is started: in that directory, with that home."""

    def __init__(self, place, cwd, home):
        self.dir, self.home, self.vcr_dir = cwd, home, os.path.join(place.work, ".vcr")
        self.env = dict(place.record, HOME=home)
        os.makedirs(cwd, exist_ok=True)
        os.makedirs(home, exist_ok=True)


def ask(gate, session, call, live, rung):
    """Is it found on that rung, and is its own answer what comes? None: as it should be."""
    v = session.vcr(call)
    status, _, body = gate.post(live, path=v["path"], method=v["method"])
    event = gate.event()
    while event["event"] not in ("served", "missed"):
        event = gate.event()
    found = event.get("words") if event["event"] == "served" else None
    return None if found == rung and (status == 400) == (rung is None) else (v["path"], found, status, body[:600])


def climb(name, session, place):
    """Ask everything; how many pairs there were. place: where it was not recorded."""
    was = next(l["data"] for l in session.lines if l["type"] == "vcr.context")
    calls = [c for c in session.calls() if c["frame_type"] == "llm" and session.vcr(c).get("protocol") != "websocket" and session.body(c, "request").startswith(b"{")]
    pairs = 0

    def all_of(gate, what, change, raw, rung):
        bodies = [session.body(c, "request") for c in calls]
        lives = [change(b) if raw else json.dumps(change(json.loads(b))).encode() for b in bodies]
        asked = [(c, live) for c, b, live in zip(calls, bodies, lives) if rung in (None, "exact") or live != b]
        wrong = [w for w in (ask(gate, session, c, live, rung) for c, live in asked) if w]
        if asked:
            ok(not wrong, TITLE % (name, what, rung or "a miss"), *wrong[:3])
        return len(asked)

    with gatekit.Gate(There(place, was["cwd"], was["home"]), session.path) as gate:
        pairs += sum(all_of(gate, *run) for run in RUN)
        pairs += sum(all_of(gate, what, change, False, None) for what, change in MEANS)
    for what, which in PLACES:
        now = {k: os.path.join(place.top, "else", "where", k) for k in which}
        with gatekit.Gate(There(place, now.get("cwd", was["cwd"]), now.get("home", was["home"])), session.path) as gate:
            def moved(raw):
                for k in which:
                    raw = raw.replace(was[k].encode(), now[k].encode())
                return raw
            pairs += all_of(gate, what, moved, True, "normalised")
    return pairs
