#!/usr/bin/python3
"""What counts as the same request: shapes of real agents' requests, recorded in one place and time and asked in another, each with the rung that it must be found on."""
import copy
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
from gatekit import ANTHROPIC, GEMINI, OPENAI, clikit, Gate, Recording, done, json, ok

RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
THERE = dict(cwd="/mnt/ann/proj", workspace="/mnt/ann/proj", home="/home/ann", tmp="/var/tmp/ann")
THEN = dict(THERE, day="2026-11-24", named="Tuesday, November 24, 2026", stamp="2026-11-24T10:00:00.123Z", uuid="123e4567-e89b-42d3-a456-426614174000", pid=4711, port=45123, took="0.12s",
            ls="Nov 24 10:02", commit="1a2b3c4", whole="1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d", cch="4f1ab", call="toolu_01A2b3C4d5E6f7G8h9J0", user="user_aa_session_bb", color="", item="msg_0a1b2c3d4e5f60718293")
NOW = dict(day="2027-01-02", named="Saturday, January 2, 2027", stamp="2027-01-02T23:59:59Z", uuid="00000000-1111-4222-8333-444444444444", pid=88, port=8081, took="31.5s",
           ls="Jan  2  2027", commit="feed123", whole="feed1235e6f708192a3b4c5d6e7f8091a2b3c4d5", cch="00fff", call="toolu_01ZzZzZzZzZzZzZzZ999", user="user_cc_session_dd", color="\x1b[32m", item="msg_ffff0000ffff0000ffff")
TOOL = {"name": "bash", "description": "Run a command.", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}


def chat(c, system, messages, **more):
    return OPENAI, dict({"model": "gpt-4o", "messages": [{"role": "system", "content": system}] + messages, "tools": [{"type": "function", "function": TOOL}]}, **more)


def claude_code(c):
    return ANTHROPIC, {
        "model": "claude-sonnet-4", "max_tokens": 32000, "stream": True, "metadata": {"user_id": c["user"]},
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330; cch=%(cch)s;" % c},
                   {"type": "text", "text": "You are a coding agent.\n<env>\nWorking directory: %(cwd)s\nPlatform: linux\nToday's date: %(day)s\n</env>" % c, "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "Bash", "description": "Executes a command.", "input_schema": TOOL["parameters"]}],
        "messages": [{"role": "user", "content": "fix the test"}, {"role": "assistant", "content": [{"type": "tool_use", "id": c["call"], "name": "Bash", "input": {"command": "ls %(cwd)s" % c}}]},
                     {"role": "user", "content": [{"type": "tool_result", "tool_use_id": c["call"], "content": "-rw-r--r-- 1 ann ann 42 %(ls)s a.py\n3 failed in %(took)s, see %(tmp)s/log" % c}]}]}


def codex(c):
    return RESPONSES, {
        "model": "gpt-5-codex", "instructions": "You are Codex.", "stream": True, "store": False, "prompt_cache_key": c["uuid"], "client_metadata": {"turn": c["uuid"]},
        "tools": [{"type": "function", "name": "shell", "parameters": TOOL["parameters"]}],
        "input": [{"type": "message", "role": "user", "id": c["item"], "content": [{"type": "input_text", "text": "<environment_context>\n  <cwd>%(cwd)s</cwd>\n  <current_date>%(day)s</current_date>\n</environment_context>" % c}]},
                  {"type": "function_call", "id": c["item"], "call_id": "call_1", "name": "shell", "arguments": "{\"command\":[\"cat\",\"%(cwd)s/a.py\"]}" % c},
                  {"type": "function_call_output", "call_id": "call_1", "output": "Exit code: 0\nWall time: %(took)s\nOutput:\n3 failed, see %(tmp)s/log" % c}]}


def gemini_cli(c):
    return GEMINI, {
        "systemInstruction": {"role": "user", "parts": [{"text": "You are an interactive CLI agent."}]}, "tools": [{"functionDeclarations": [TOOL]}], "generationConfig": {"temperature": 1},
        "contents": [{"role": "user", "parts": [{"text": "This is the Gemini CLI. Today's date is %(named)s. My working directory is: %(cwd)s. The temporary directory is: %(home)s/.gemini/tmp" % c}]},
                     {"role": "model", "parts": [{"functionCall": {"id": "bash-%(pid)s" % c, "name": "bash", "args": {"command": "ls"}}}]},
                     {"role": "user", "parts": [{"functionResponse": {"id": "bash-%(pid)s" % c, "name": "bash", "response": {"output": "Process Group PGID: %(pid)s\n3 failed" % c}}}]}]}


def opencode(c):
    return chat(c, "You are opencode.\n<env>\n  Working directory: %(cwd)s\n  Today's date: %(day)s\n</env>" % c,
                [{"role": "user", "content": "session %(uuid)s" % c}, {"role": "tool", "tool_call_id": "call_a", "content": "%(color)s3 failed" % c + ("\x1b[0m" if c["color"] else "")}], prompt_cache_key=c["uuid"])


def mini_swe(c):
    return chat(c, "You solve tasks with bash.", [{"role": "user", "content": "In %(cwd)s: mend the calculator; what is not to stay goes to %(tmp)s." % c}, {"role": "assistant", "content": "git commit -am x && git log"},
                {"role": "user", "content": "<output>\n[main %(commit)s] x\n 1 file changed\ncommit %(whole)s\nDate: %(named)s\nindex %(commit)s..9f8e7d6 100644\n3 failed in %(took)s\n</output>" % c}], temperature=0)


def pi(c):
    return ANTHROPIC, {"model": "claude-haiku", "max_tokens": 4096, "system": "You are pi. Current date: %(day)s. Current working directory: %(cwd)s" % c, "tools": [{"name": "bash", "input_schema": TOOL["parameters"]}],
                       "messages": [{"role": "user", "content": [{"type": "text", "text": "server on http://127.0.0.1:%(port)s/ of pid %(pid)s says 3 failed" % c}]}]}


def qwen(c):
    return chat(c, "You are Qwen Code. My home is %(home)s." % c, [{"role": "user", "content": "read %(home)s/notes and %(cwd)s/a.py at %(stamp)s: 3 failed" % c}], metadata={"sessionId": c["uuid"]})


def sdk(c):
    return OPENAI, {"model": "gpt-4o-mini", "temperature": 0.2, "seed": 7, "messages": [{"role": "developer", "content": "Answer in JSON."}, {"role": "user", "content": "request %(uuid)s of %(stamp)s: 3 failed" % c}],
                    "response_format": {"type": "json_object"}}


def embeddings(c):
    return EMBEDDINGS, {"model": "text-embedding-3-small", "input": ["3 failed in %(cwd)s on %(day)s" % c], "encoding_format": "float"}


SHAPES = (claude_code, codex, gemini_cli, opencode, mini_swe, pi, qwen, sdk, embeddings)


def marked(path, body, n):
    """Each pair is a conversation of its own."""
    key = "messages" if "messages" in body else "contents" if "contents" in body else "input"
    body = copy.deepcopy(body)
    first = body[key][0]
    mark = "pair %d. " % n
    if isinstance(first, str):
        body[key][0] = mark + first
    elif "parts" in first:
        first["parts"].insert(0, {"text": mark})
    elif isinstance(first["content"], str):
        first["content"] = mark + first["content"]
    else:
        first["content"].insert(0, {"type": "input_text" if key == "input" else "text", "text": mark})
    return path, body


def turned(value):
    return {k: turned(value[k]) for k in reversed(list(value))} if isinstance(value, dict) else [turned(v) for v in value] if isinstance(value, list) else value


def with_field(body):
    """Another choice of tool, or what is nearest to it in that API."""
    if "generationConfig" in body:
        return dict(body, toolConfig={"functionCallingConfig": {"mode": "NONE"}})
    return dict(body, tool_choice="none") if "tools" in body else dict(body, dimensions=64) if "encoding_format" in body else dict(body, seed=8)


def replaced(value, old, new):
    return json.loads(json.dumps(value).replace(old, new))


def system_changed(body):
    for old, new in (("You are ", "You were "), ("You solve", "You break"), ("Answer in JSON", "Answer in XML"), ("text-embedding-3-small", "text-embedding-3-large")):
        if old in json.dumps(body):
            return replaced(body, old, new)
    raise AssertionError(body)


def chosen_otherwise(body, key, value, gemini):
    """One parameter with another value, under the name that it has in that API."""
    return dict(body, generationConfig=dict(body["generationConfig"], **gemini)) if "generationConfig" in body else dict(body, **{key: value})


def other_tools(body):
    for old, new in (("Run a command.", "Run two commands."), ("Executes a command.", "Executes two."), ('"command"', '"line"')):
        if "tools" in body and old in json.dumps(body["tools"]):
            return dict(body, tools=replaced(body["tools"], old, new))
    return dict(body, tools=[{"type": "function", "function": TOOL}])


def listed(body):
    return "messages" if "messages" in body else "contents" if "contents" in body else "input"


def one_item_more(body):
    return dict(body, **{listed(body): body[listed(body)] + body[listed(body)][-1:]})


def role_changed(body):
    """What the last one said is somebody else's word; where there are no roles, another kind of input."""
    last = body[listed(body)][-1]
    other = [last] if isinstance(last, str) else dict(last, role="model" if "parts" in last else "assistant")
    return dict(body, **{listed(body): body[listed(body)][:-1] + [other]})


def format_changed(body):
    return dict(body, text={"format": {"type": "json_object"}}) if "instructions" in body else chosen_otherwise(body, "response_format", {"type": "text"}, {"responseMimeType": "application/json"})


# name, (recorded body, live body) from what they are then and now, the rung
VARIANTS = (
    ("the same", lambda then, same, now: (then, same), "exact"),
    ("members in another order, other white space", lambda then, same, now: (then, json.dumps(turned(same), indent=1).encode()), "canonical"),
    ("only what differs from run to run", lambda then, same, now: (then, now), "normalised"),
    ("all that and the order of members", lambda then, same, now: (then, json.dumps(turned(now)).encode()), "normalised"),
    ("another choice of tool or parameter", lambda then, same, now: (then, with_field(now)), None),
    ("another system text, or model", lambda then, same, now: (then, system_changed(now)), None),
    ("another model", lambda then, same, now: (then, dict(now, model="other")), None),
    ("another result", lambda then, same, now: (then, replaced(now, "3 failed", "2 failed")), "structural"),
    ("another temperature", lambda then, same, now: (then, chosen_otherwise(now, "temperature", 0.77, {"temperature": 0.77})), None),
    ("another seed", lambda then, same, now: (then, chosen_otherwise(now, "seed", 99, {"seed": 99})), None),
    ("another response format", lambda then, same, now: (then, format_changed(now)), None),
    ("other tools", lambda then, same, now: (then, other_tools(now)), None),
    ("one item more", lambda then, same, now: (then, one_item_more(now)), None),
    ("another role", lambda then, same, now: (then, role_changed(now)), None),
    ("an unknown field more", lambda then, same, now: (then, dict(now, x_new=None)), None),
)
RUNGS = ("exact", "canonical", "normalised", "structural")
APIS = {RESPONSES: "openai.responses", EMBEDDINGS: "openai.embeddings", OPENAI: "openai.chat", ANTHROPIC: "anthropic.messages", GEMINI: "gemini.generate"}
place = clikit.Place()
here = dict(NOW, cwd=place.dir, workspace=place.dir, home=place.home, tmp=os.path.join(place.dir, "tmp"))
os.mkdir(here["tmp"])
place.env["TMPDIR"] = here["tmp"]
rec = Recording(place)
rec.lines.append({"type": "vcr.context", "data": THERE})
pairs = []
for shape in SHAPES:
    for what, make, rung in VARIANTS:
        n = len(pairs)
        (path, then), (_, same), (_, now) = (marked(*shape(c), n) for c in (THEN, THEN, here))
        recorded, live = make(then, same, now)
        rec.call(recorded, b'{"n":%d}' % n, path=path, api=APIS[path])
        pairs.append((shape.__name__, what, None if rung == "structural" and shape is embeddings else rung, path, live))
rec.write()


def asked(strict, *options):
    """Every pair, where a request may differ as far as that rung says."""
    with Gate(place, "rec", "--vcr-dir", place.vcr_dir, *options) as gate:
        for n, (shape, what, rung, path, live) in enumerate(pairs):
            want = rung if rung in RUNGS[:RUNGS.index(strict) + 1] else None
            status, _, body = gate.post(live, path=path)
            event = gate.event()
            found = event.get("words") if event["event"] == "served" else None
            good = (status, body) == (200, b'{"n":%d}' % n) and found == want if want else status == 400 and event["event"] == "missed"
            ok(good, "%s%s: %s is %s" % (shape, " and --strict=" + strict if options else "", what, want or "a miss"), status, body, event)
    return gate


asked("normalised")
for rung in RUNGS:
    gate = asked(rung, "--strict=" + rung)
last = json.loads(gate.out.splitlines()[-1])
missed, found = sum(not p[2] for p in pairs), {r: sum(p[2] == r for p in pairs) for r in RUNGS}
ok({r: last["rungs"][r] for r in RUNGS} == found and last["rungs"]["missed"] == missed, "at the end it is said how many were found on which rung", last, found)
ok(all("%d " % found[r] in gate.err and "(%s)" % r in gate.err for r in RUNGS), "people are told too", gate.err)
asked("canonical", "--match=canonical")

# ---- One thing at a time ----

SINGLES = (("the date", ("day", "named", "stamp")), ("the working directory", ("cwd", "workspace")), ("the home", ("home",)), ("the temporary directory", ("tmp",)), ("a UUID", ("uuid",)),
           ("the billing line", ("cch",)), ("the user's id", ("user",)))
for what, keys in SINGLES:
    there = dict(here, **{k: THEN[k] for k in keys})
    name = "only-" + keys[0]
    rec, lives = Recording(place, name), []
    rec.lines.append({"type": "vcr.context", "data": {k: there[k] for k in THERE}})
    for shape in SHAPES:
        (path, then), (_, now) = (marked(*shape(c), len(lives)) for c in (there, here))
        if then != now:
            rec.call(then, b'{"n":%d}' % len(lives), path=path, api=APIS[path])
            lives.append((shape.__name__, path, now))
    rec.write()
    with Gate(place, name, "--vcr-dir", place.vcr_dir) as gate:
        for n, (shape, path, now) in enumerate(lives):
            missed = gate.post(with_field(now), path=path)[0]
            status, _, body = gate.post(now, path=path)
            events = [gate.event() for _ in range(2)]
            ok((missed, status, body, events[1].get("words")) == (400, 200, b'{"n":%d}' % n, "normalised"), "%s: only %s is another: normalised, and with another choice of tool or parameter a miss" % (shape, what), missed, status, body, events)
    ok(lives, "%s stands in what agents ask" % what)
ok(len(pairs) >= 60, "sixty pairs and more were asked", len(pairs))
done()
