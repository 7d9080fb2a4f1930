"""clients.py CLIENT FIRST [WORDS…] — one real client asks the model server everything in ASKS, and says what it heard, a line of JSON each.

Runs in the environment of scripts/agents-env. CLIENT: openai, responses, anthropic, genai, httpx, requests, aiohttp; FIRST: the number of its
first question. The server is in $MODEL_HTTPS, $MODEL_HTTP; its CA in $SSL_CERT_FILE and $REQUESTS_CA_BUNDLE; $MODEL_REPLAYED says that there is none. WORDS choose: sync, async, plain
(HTTP without TLS), crowd=N (N questions at once: threads, or tasks with async)."""
import asyncio
import codecs
import concurrent.futures
import json
import os
import sys
import urllib.request

WAIT = "wait={q}-{style}"
# (stream?, directives). A stream that waits is released by the client when it has heard something.
ASKS = [(False, ""), (True, ""), (False, "tool=edit"), (True, "tool=edit"), (False, "gzip"), (True, "gzip"), (False, "deflate"), (True, "deflate"),
        (False, "chunked"), (True, "split=5"), (False, "split=97"), (False, "chunked gzip split=11"), (False, "size=200000"), (True, "size=30000"),
        (True, "after=2 " + WAIT), (False, "status=429"), (True, "status=429"), (False, "status=500"), (False, "malformed"),
        (True, "after=1 abort=reset " + WAIT), (True, "utf8 abort=cut"), (False, "utf8 abort=cut"), (True, "after=4 abort=close"),
        (False, "never " + WAIT)]
TIMEOUT = 1.0  # for the question whose answer never comes; everything else waits as long as it takes
PATIENCE = 90
KEY = "sk-test-0123456789abcdefghijklmnopqrstuvwxyz"


def release(name):
    if "MODEL_REPLAYED" in os.environ:
        return  # there is no model server: what it waited for is in the recording
    urllib.request.urlopen(urllib.request.Request(os.environ["MODEL_HTTP"] + "/control/release/" + name, b"", method="POST")).read()


class Heard:
    """Collects a stream's text, or its bytes; at the first sign of life it releases the server's wait (unless that is for a crowd)."""

    def __init__(self, do):
        self.pieces, self.name = [], next((w[5:] for w in do.split() if w.startswith("wait=") and " of=" not in do), None)
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, text):
        self.pieces.append(self.decoder.decode(text) if isinstance(text, bytes) else text or "")
        if self.name:
            release(self.name)
            self.name = None

    @property
    def text(self):
        return "".join(self.pieces)


def prompt(q, do):
    return "Question %d, please. [[q=%d %s]]" % (q, q, do)


def timeout_of(do):
    return TIMEOUT if do.startswith("never") else PATIENCE


class OpenAI:
    def __init__(self, base, asynchronous):
        import openai
        kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        self.client = kind(base_url=base + "/v1", api_key=KEY, max_retries=0)

    def begin(self, q, stream, do):
        return self.client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": prompt(q, do)}], stream=stream,
                                                   timeout=timeout_of(do), **({"stream_options": {"include_usage": True}} if stream else {}))

    def whole(self, r):
        return r.choices[0].message.content

    def piece(self, r):
        return r.choices[0].delta.content if r.choices else ""


class Responses(OpenAI):
    def begin(self, q, stream, do):
        return self.client.responses.create(model="gpt-4.1", input=prompt(q, do), stream=stream, timeout=timeout_of(do))

    def whole(self, r):
        return r.output_text

    def piece(self, r):
        return r.delta if r.type == "response.output_text.delta" else ""


class Anthropic:
    def __init__(self, base, asynchronous):
        import anthropic
        kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        self.client = kind(base_url=base, api_key=KEY, max_retries=0)

    def begin(self, q, stream, do):
        return self.client.messages.create(model="claude-sonnet-4-6", max_tokens=1000, messages=[{"role": "user", "content": prompt(q, do)}], stream=stream,
                                           timeout=timeout_of(do))

    def whole(self, r):
        return r.content[0].text

    def piece(self, r):
        return r.delta.text if r.type == "content_block_delta" and r.delta.type == "text_delta" else ""


class GenAI:
    def __init__(self, base, asynchronous):
        from google import genai
        self.genai, self.base, self.asynchronous = genai, base, asynchronous
        self.of = {}

    def models(self, do):
        ms = int(timeout_of(do) * 1000)
        if ms not in self.of:
            client = self.genai.Client(api_key=KEY, http_options=self.genai.types.HttpOptions(base_url=self.base, timeout=ms))
            self.of[ms] = (client, client.aio.models if self.asynchronous else client.models)
        return self.of[ms][1]

    def begin(self, q, stream, do):
        models = self.models(do)
        return (models.generate_content_stream if stream else models.generate_content)(model="gemini-2.5-flash", contents=prompt(q, do))

    def whole(self, r):
        return r.candidates[0].content.parts[0].text

    def piece(self, r):
        parts = r.candidates[0].content.parts or []
        return "".join(p.text or "" for p in parts)


SDKS = {"openai": OpenAI, "responses": Responses, "anthropic": Anthropic, "genai": GenAI}


def sdk_ask(sdk, q, stream, do):
    heard = Heard(do)
    r = sdk.begin(q, stream, do)
    if not stream:
        return sdk.whole(r)
    for event in r:
        heard.add(sdk.piece(event))
    return heard.text


async def sdk_ask_async(sdk, q, stream, do):
    heard = Heard(do)
    r = await sdk.begin(q, stream, do)
    if not stream:
        return sdk.whole(r)
    async for event in r:
        heard.add(sdk.piece(event))
    return heard.text


# ---- Clients that know nothing of models: they post the JSON and return the bytes they got, whatever ended them ----

def body(q, stream, do):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt(q, do)}], "stream": stream}


class Httpx:
    def __init__(self, base, asynchronous):
        import httpx
        self.url = base + "/v1/chat/completions"
        self.client = (httpx.AsyncClient if asynchronous else httpx.Client)(headers={"Authorization": "Bearer " + KEY}, limits=httpx.Limits(max_connections=200))

    def ask(self, q, stream, do):
        heard = Heard(do)
        with self.client.stream("POST", self.url, json=body(q, stream, do), timeout=timeout_of(do)) as r:
            for piece in r.iter_text():
                heard.add(piece)
        return heard.text

    async def ask_async(self, q, stream, do):
        heard = Heard(do)
        async with self.client.stream("POST", self.url, json=body(q, stream, do), timeout=timeout_of(do)) as r:
            async for piece in r.aiter_text():
                heard.add(piece)
        return heard.text


class Requests:
    def __init__(self, base, asynchronous):
        import requests
        self.url, self.session = base + "/v1/chat/completions", requests.Session()
        self.session.headers["Authorization"] = "Bearer " + KEY

    def ask(self, q, stream, do):
        heard = Heard(do)
        with self.session.post(self.url, json=body(q, stream, do), stream=stream, timeout=timeout_of(do)) as r:
            if not stream:
                return r.content.decode()
            for piece in r.iter_content(chunk_size=None):
                heard.add(piece)
        return heard.text


class Aiohttp:
    def __init__(self, base, asynchronous):
        self.url, self.session = base + "/v1/chat/completions", None

    async def ask_async(self, q, stream, do):
        import aiohttp
        import ssl
        heard = Heard(do)
        if not self.session:
            self.session = aiohttp.ClientSession(headers={"Authorization": "Bearer " + KEY},
                                                 connector=aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context()))
        async with self.session.post(self.url, json=body(q, stream, do), timeout=aiohttp.ClientTimeout(timeout_of(do))) as r:
            async for piece in r.content.iter_any():
                heard.add(piece)
        return heard.text


RAW = {"httpx": Httpx, "requests": Requests, "aiohttp": Aiohttp}


def asker(name, base, asynchronous):
    """A function (q, stream, do) -> text, or a coroutine function."""
    if name in SDKS:
        sdk = SDKS[name](base, asynchronous)
        plain, coroutine = lambda *a: sdk_ask(sdk, *a), lambda *a: sdk_ask_async(sdk, *a)
        return coroutine if asynchronous else plain
    raw = RAW[name](base, asynchronous)
    return raw.ask_async if asynchronous else raw.ask


def say(q, text, error=None):
    print(json.dumps({"q": q, "text": text, "error": type(error).__name__ if error else None}), flush=True)


def fill(do, q, style):
    return do.format(q=q, style=style)


def all_sync(ask, first):
    for i, (stream, do) in enumerate(ASKS):
        try:
            say(first + i, ask(first + i, stream, fill(do, first + i, "s")))
        except Exception as e:
            say(first + i, None, e)


async def finish(ask):
    """aiohttp's session wants to be closed."""
    session = getattr(getattr(ask, "__self__", None), "session", None)
    if session:
        await session.close()


async def all_async(name, base, first):
    ask = asker(name, base, True)
    for i, (stream, do) in enumerate(ASKS):
        try:
            say(first + i, await ask(first + i, stream, fill(do, first + i, "a")))
        except Exception as e:
            say(first + i, None, e)
    await finish(ask)


async def crowd_async(name, base, first, n):
    ask = asker(name, base, True)

    async def one(i):
        say(first + i, await ask(first + i, True, "after=2 wait=crowd of=%d" % n))
    await asyncio.gather(*(one(i) for i in range(n)))
    await finish(ask)


def crowd_threads(ask, first, n, each=5):
    def one(i):
        for k in range(each):
            q = first + i * each + k
            say(q, ask(q, k % 2 == 0, ""))
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        list(pool.map(one, range(n)))


def main():
    name, first, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    base = os.environ["MODEL_HTTP" if "plain" in words else "MODEL_HTTPS"]
    n = next((int(w[6:]) for w in words if w.startswith("crowd=")), 0)
    asynchronous = "async" in words
    if n and asynchronous:
        asyncio.run(crowd_async(name, base, first, n))
    elif n:
        crowd_threads(asker(name, base, False), first, n)
    elif asynchronous:
        asyncio.run(all_async(name, base, first))
    else:
        all_sync(asker(name, base, False), first)


if __name__ == "__main__":
    main()
