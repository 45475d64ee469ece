"""Asks for chats with the clients of others: `openai_clients.py BASE_URL HOST MODEL`.

Runs in the virtual environment of the model server (`tests.e2e.model.tools`); the key is read from
OPENAI_API_KEY. Prints JSON: of each client, the text that it got and why it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import openai
from huggingface_hub import InferenceClient  # type: ignore[import-not-found]

HI = [{"role": "user", "content": "hi"}]


def main(base_url: str, host: str, model: str) -> dict[str, Any]:
    settings: Any = {"base_url": base_url, "default_headers": {"Host": host}, "max_retries": 0}
    asked: Any = {"model": model, "messages": HI}
    client = openai.OpenAI(**settings)
    return {
        "whole": of_whole(client.chat.completions.create(**asked)),
        "stream": of_stream(client.chat.completions.create(**asked, stream=True)),
        "usage": usage(client, asked),
        "logprobs": logprobs(client, asked),
        "completion": client.completions.create(model=model, prompt="hi").choices[0].text,
        "models": [each.id for each in client.models.list()],
        "error": error(client, asked),
        "wrong key": refusal(lambda: openai.OpenAI(**settings, api_key="no").models.list()),
        "unknown model": refusal(lambda: client.chat.completions.create(**asked | {"model": "no"})),
        **asyncio.run(of_async(settings, asked)),
        **of_huggingface(base_url, host, model),
    }


def of_whole(answer: Any) -> list[str]:
    return [answer.choices[0].message.content, answer.choices[0].finish_reason]


def of_stream(chunks: Any) -> list[str]:
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    return ["".join(each.delta.content or "" for each in choices), choices[-1].finish_reason]


def usage(client: Any, asked: Any) -> list[int]:
    options = {"include_usage": True}
    *_, last = client.chat.completions.create(**asked, stream=True, stream_options=options)
    return [last.usage.prompt_tokens, last.usage.completion_tokens]


def logprobs(client: Any, asked: Any) -> list[str]:
    answer = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    return [token.token for token in answer.choices[0].logprobs.content]


def error(client: Any, asked: Any) -> list[Any]:
    try:
        client.chat.completions.create(**asked, logit_bias={"1": 5})
    except openai.BadRequestError as refused:
        said: Any = refused.body
        return [refused.status_code, refused.param, said["message"]]
    return []


def refusal(call: Callable[[], Any]) -> list[Any]:
    try:
        call()
    except openai.APIStatusError as refused:
        return [type(refused).__name__, refused.status_code, refused.code]
    return []


async def of_async(settings: Any, asked: Any) -> dict[str, Any]:
    async with openai.AsyncOpenAI(**settings) as client:
        whole = of_whole(await client.chat.completions.create(**asked))
        stream = await client.chat.completions.create(**asked, stream=True)
        chunks = [chunk async for chunk in stream]
    return {"async whole": whole, "async stream": of_stream(chunks)}


def of_huggingface(base_url: str, host: str, model: str) -> dict[str, Any]:
    key = os.environ["OPENAI_API_KEY"]
    client = InferenceClient(base_url=base_url, token=key, headers={"Host": host})
    whole = client.chat_completion(HI, model=model)
    chunks = client.chat_completion(HI, model=model, stream=True)
    return {"huggingface whole": of_whole(whole), "huggingface stream": of_stream(list(chunks))}


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:4]), sys.stdout)
