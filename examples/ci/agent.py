#!/usr/bin/env python3
"""A small agent: it asks a model for the files of a task, one after the other, and writes them. Nothing in it knows of vcr."""
import json
import os
import sys
import urllib.request

URL = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/chat/completions"


def ask(messages):
    request = urllib.request.Request(URL, json.dumps({"model": "gpt-4o-mini", "temperature": 0, "messages": messages}).encode(),
                                     {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ.get("OPENAI_API_KEY", "none")})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


messages = [{"role": "system", "content": 'Answer with {"path":…,"text":…} for the next file, or {"done":true}.'}, {"role": "user", "content": sys.argv[1]}]
while not (step := json.loads(ask(messages))).get("done"):
    with open(step["path"], "w") as f:
        f.write(step["text"])
    print("wrote", step["path"])
    messages += [{"role": "assistant", "content": json.dumps(step)}, {"role": "user", "content": "next"}]
