"""Streams one chat completion with OpenAI's own client: `chat.py BASE_URL HOST MODEL`.

The key is read from OPENAI_API_KEY. Prints JSON: when it was asked, and of each chunk when it came
and what it said, in seconds. Runs in the virtual environment of the model server.
"""

from __future__ import annotations

import json
import sys
import time

import openai


def main(base_url: str, host: str, model: str) -> None:
    client = openai.OpenAI(
        base_url=base_url, default_headers={"Host": host}, max_retries=0, timeout=60
    )
    asked_at = time.monotonic()
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "what is the cat"}],
        max_tokens=100,
        stream=True,
    )
    chunks = [
        {"at": time.monotonic(), "text": chunk.choices[0].delta.content or ""}
        for chunk in stream
        if chunk.choices
    ]
    sys.stdout.write(json.dumps({"asked_at": asked_at, "chunks": chunks}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
