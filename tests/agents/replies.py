"""replies.py — what a scripted model says, in the words of each provider: as JSON and as a stream of events.

A Reply is neutral; `render(api, reply)` gives the bytes of the JSON answer, `stream(api, reply)` the list of byte strings that a
streaming answer is made of. Nothing here is random: the same reply gives the same bytes."""
import json
from dataclasses import dataclass, field


@dataclass
class Reply:
    text: str
    model: str
    tools: list = field(default_factory=list)  # (id, name, arguments as a dict; OpenAI responses: or as a text, for a custom tool)
    tokens_in: int = 10
    tokens_out: int = 5
    number: str = "0"
    do: dict = field(default_factory=dict)  # modelserver.py's directives

    def stop(self, api):
        """The provider's own word for why it stopped."""
        done, tool = {"openai.chat": ("stop", "tool_calls"), "openai.responses": ("completed", "completed"),
                      "anthropic.messages": ("end_turn", "tool_use"), "gemini.generate": ("STOP", "STOP")}.get(api, (None, None))
        return tool if self.tools else done


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def pieces(text, n=7):
    return [text[i:i + n] for i in range(0, len(text), n)]


def event(value, name=None):
    return (b"event: %s\n" % name.encode() if name else b"") + b"data: " + dump(value) + b"\n\n"


# ---- OpenAI chat completions ----

def chat_usage(r):
    return {"prompt_tokens": r.tokens_in, "completion_tokens": r.tokens_out, "total_tokens": r.tokens_in + r.tokens_out}


def chat_calls(r, index=False):
    out = []
    for i, (ident, name, arguments) in enumerate(r.tools):
        call = {"id": ident, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        out.append(dict({"index": i}, **call) if index else call)
    return out


def chat(r):
    message = {"role": "assistant", "content": r.text}
    if r.tools:
        message["tool_calls"] = chat_calls(r)
    return {"id": "chatcmpl-" + r.number, "object": "chat.completion", "created": 1700000000, "model": r.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": r.stop("openai.chat")}], "usage": chat_usage(r)}


def chat_stream(r):
    def chunk(delta, finish=None, **more):
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        return event(dict({"id": "chatcmpl-" + r.number, "object": "chat.completion.chunk", "created": 1700000000, "model": r.model, "choices": choices}, **more))
    out = [chunk({"role": "assistant", "content": ""})] + [chunk({"content": p}) for p in pieces(r.text)]
    for call in chat_calls(r, True):
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = ""
        out.append(chunk({"tool_calls": [call]}))
        out += [chunk({"tool_calls": [{"index": call["index"], "function": {"arguments": p}}]}) for p in pieces(arguments)]
    return out + [chunk({}, r.stop("openai.chat")), chunk(None, usage=chat_usage(r)), b"data: [DONE]\n\n"]


# ---- OpenAI responses ----

def responses_item(r, text=None):
    return {"id": "msg_" + r.number, "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": r.text if text is None else text, "annotations": []}]}


def responses(r, status="completed", output=True):
    items = [responses_item(r)] if r.text else []
    items += [{"id": "ctc_" + i, "type": "custom_tool_call", "status": "completed", "call_id": i, "name": name, "input": a} if isinstance(a, str) else
              {"id": "fc_" + i, "type": "function_call", "status": "completed", "call_id": i, "name": name, "arguments": json.dumps(a)} for i, name, a in r.tools]
    usage = {"input_tokens": r.tokens_in, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": r.tokens_out,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": r.tokens_in + r.tokens_out}
    return {"id": "resp_" + r.number, "object": "response", "created_at": 1700000000, "status": status, "model": r.model, "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "output": items if output else [], "parallel_tool_calls": True,
            "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage if output else None}


def responses_stream(r):
    out, n = [], 0

    def say(kind, **more):
        nonlocal n
        out.append(event(dict({"type": kind, "sequence_number": n}, **more), kind))
        n += 1
    say("response.created", response=responses(r, "in_progress", False))
    for at, item in enumerate(responses(r)["output"]):
        begun = dict(item, status="in_progress", **{"message": {"content": []}, "custom_tool_call": {"input": ""}}.get(item["type"], {"arguments": ""}))
        say("response.output_item.added", output_index=at, item=begun)
        if item["type"] == "message":
            part = {"type": "output_text", "text": "", "annotations": []}
            place = {"item_id": item["id"], "output_index": at, "content_index": 0}
            say("response.content_part.added", part=part, **place)
            for p in pieces(r.text):
                say("response.output_text.delta", delta=p, logprobs=[], **place)
            say("response.output_text.done", text=r.text, logprobs=[], **place)
            say("response.content_part.done", part=dict(part, text=r.text), **place)
        elif item["type"] == "custom_tool_call":
            place = {"item_id": item["id"], "output_index": at}
            for p in pieces(item["input"]):
                say("response.custom_tool_call_input.delta", delta=p, **place)
            say("response.custom_tool_call_input.done", input=item["input"], **place)
        else:
            place = {"item_id": item["id"], "output_index": at}
            for p in pieces(item["arguments"]):
                say("response.function_call_arguments.delta", delta=p, **place)
            say("response.function_call_arguments.done", name=item["name"], arguments=item["arguments"], **place)
        say("response.output_item.done", output_index=at, item=item)
    say("response.completed", response=responses(r))
    return out


# ---- Anthropic messages ----

def messages(r):
    content = [{"type": "text", "text": r.text}] if r.text else []
    content += [{"type": "tool_use", "id": i, "name": name, "input": a} for i, name, a in r.tools]
    return {"id": "msg_" + r.number, "type": "message", "role": "assistant", "model": r.model, "content": content,
            "stop_reason": r.stop("anthropic.messages"), "stop_sequence": None,
            "usage": {"input_tokens": r.tokens_in, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": r.tokens_out}}


def messages_stream(r):
    whole = messages(r)
    begun = dict(whole, content=[], stop_reason=None, usage=dict(whole["usage"], output_tokens=1))
    out = [event({"type": "message_start", "message": begun}, "message_start"), event({"type": "ping"}, "ping")]
    for at, block in enumerate(whole["content"]):
        text = block["type"] == "text"
        empty = dict(block, text="") if text else dict(block, input={})
        out.append(event({"type": "content_block_start", "index": at, "content_block": empty}, "content_block_start"))
        for p in pieces(block["text"] if text else json.dumps(block["input"])):
            delta = {"type": "text_delta", "text": p} if text else {"type": "input_json_delta", "partial_json": p}
            out.append(event({"type": "content_block_delta", "index": at, "delta": delta}, "content_block_delta"))
        out.append(event({"type": "content_block_stop", "index": at}, "content_block_stop"))
    out.append(event({"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
                      "usage": {"output_tokens": r.tokens_out}}, "message_delta"))
    return out + [event({"type": "message_stop"}, "message_stop")]


# ---- Gemini ----

def generate(r, text=None, last=True):
    parts = [{"text": r.text if text is None else text}] if r.text else []
    if last:
        parts += [{"functionCall": {"name": name, "args": a}} for i, name, a in r.tools]
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    usage = {"promptTokenCount": r.tokens_in, "totalTokenCount": r.tokens_in}
    if last:
        candidate["finishReason"] = r.stop("gemini.generate")
        usage = {"promptTokenCount": r.tokens_in, "candidatesTokenCount": r.tokens_out, "totalTokenCount": r.tokens_in + r.tokens_out}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": r.model, "responseId": "gen-" + r.number}


def generate_stream(r):
    texts = pieces(r.text, 11) or [""]
    return [b"data: " + dump(generate(r, t, i == len(texts) - 1)) + b"\r\n\r\n" for i, t in enumerate(texts)]


# ---- Embeddings ----

def embeddings(r):
    vector = [round(((int(r.number or 0) * 31 + k * 17) % 1000) / 1000 - 0.5, 3) for k in range(16)]
    return {"object": "list", "model": r.model, "data": [{"object": "embedding", "index": 0, "embedding": vector}],
            "usage": {"prompt_tokens": r.tokens_in, "total_tokens": r.tokens_in}}


RENDER = {"openai.chat": chat, "openai.responses": responses, "anthropic.messages": messages, "gemini.generate": generate, "openai.embeddings": embeddings}
STREAM = {"openai.chat": chat_stream, "openai.responses": responses_stream, "anthropic.messages": messages_stream, "gemini.generate": generate_stream}


def error(api, status, message):
    """An error in the provider's own envelope."""
    kind = {429: "rate_limit_error", 500: "api_error", 400: "invalid_request_error"}.get(status, "api_error")
    if api == "anthropic.messages":
        return {"type": "error", "error": {"type": kind, "message": message}}
    if api == "gemini.generate":
        return {"error": {"code": status, "message": message, "status": {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}.get(status, "INVALID_ARGUMENT")}}
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def render(api, reply):
    return dump(RENDER[api](reply))


def stream(api, reply):
    return STREAM[api](reply)
