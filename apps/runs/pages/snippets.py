"""How to call a service, as text to copy. Pure.

Without a token, each reads it from the environment in its own language's way, so that what is
pasted works once `TOKEN` is exported.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

VARIABLE = "TOKEN"
# Stands for a key that only the page knows.
KEY = "dsk_s_the_key_that_was_just_made"
# A shell takes no longer argument; a body that is longer comes by its input.
MOST_ARGUMENT_BYTES = 100_000
QUESTION = "Say hello."


@dataclass(frozen=True)
class Snippet:
    key: str
    title: str
    code: str


def of_service(*, url: str, code_url: str, token: str | None, needs_token: bool) -> list[Snippet]:
    """Return how to call a service; `token` None reads it from the environment.

    `code_url` is for programs: names below `localhost` resolve in browsers and curl, not in Python
    and Node.
    """
    if needs_token:
        curl = f"curl -H {_curl_header(token)} {shlex.quote(url)}"
        python = [*_imports(token, "import httpx")]
        python += [f'headers = {{"Authorization": {_bearer_in_python(token)}}}']
        python += [f"print(httpx.get({_quoted(code_url)}, headers=headers).text)"]
        javascript = [f"const headers = {{ Authorization: {_bearer_in_javascript(token)} }};"]
        javascript += [f"const answer = await fetch({_quoted(code_url)}, {{ headers }});"]
    else:
        curl = f"curl {shlex.quote(url)}"
        python = ["import httpx", "", f"print(httpx.get({_quoted(code_url)}).text)"]
        javascript = [f"const answer = await fetch({_quoted(code_url)});"]
    javascript += ["console.log(await answer.text());"]
    return [
        Snippet("curl", "curl", curl),
        Snippet("python", "Python", "\n".join(python)),
        Snippet("js", "JavaScript", "\n".join(javascript)),
    ]


def of_model(*, base_url: str, model: str, token: str | None) -> list[Snippet]:
    """Return how to ask a model by the OpenAI API."""
    message = f'[{{"role": "user", "content": {_quoted(QUESTION)}}}]'
    body = f'{{"model": {_quoted(model)}, "messages": {message}}}'
    python_key = f'os.environ["{VARIABLE}"]' if token is None else _quoted(token)
    javascript_key = f"process.env.{VARIABLE}" if token is None else _quoted(token)
    python = [
        *_imports(token, "from openai import OpenAI"),
        f"client = OpenAI(base_url={_quoted(base_url)}, api_key={python_key})",
        "answer = client.chat.completions.create(",
        f"    model={_quoted(model)},",
        f"    messages={message},",
        ")",
        "print(answer.choices[0].message.content)",
    ]
    javascript = [
        'import OpenAI from "openai";',
        "",
        f"const client = new OpenAI({{ baseURL: {_quoted(base_url)}, apiKey: {javascript_key} }});",
        "const answer = await client.chat.completions.create({",
        f"  model: {_quoted(model)},",
        f'  messages: [{{ role: "user", content: {_quoted(QUESTION)} }}],',
        "});",
        "console.log(answer.choices[0].message.content);",
    ]
    curl = [
        f"curl {shlex.quote(base_url + '/chat/completions')} \\",
        f"  -H {_curl_header(token)} \\",
        "  -H 'Content-Type: application/json' \\",
        f"  -d {shlex.quote(body)}",
    ]
    return [
        Snippet("python", "Python", "\n".join(python)),
        Snippet("js", "JavaScript", "\n".join(javascript)),
        Snippet("curl", "curl", "\n".join(curl)),
    ]


def of_call(*, base_url: str, call: Mapping[str, Any], token: str | None) -> list[Snippet]:
    """Return how to make exactly this call of a chat, which is streamed, and print its text."""
    python_key = f'os.environ["{VARIABLE}"]' if token is None else _quoted(token)
    javascript_key = f"process.env.{VARIABLE}" if token is None else _quoted(token)
    python = [
        *_imports(token, "from openai import OpenAI"),
        f"client = OpenAI(base_url={_quoted(base_url)}, api_key={python_key})",
        "stream = client.chat.completions.create(",
        *(f"    {name}={_literal(value, indent=4)}," for name, value in call.items()),
        ")",
        "for chunk in stream:",
        "    if chunk.choices:",
        '        print(chunk.choices[0].delta.content or "", end="", flush=True)',
        "print()",
    ]
    javascript = [
        'import OpenAI from "openai";',
        "",
        f"const client = new OpenAI({{ baseURL: {_quoted(base_url)}, apiKey: {javascript_key} }});",
        "const stream = await client.chat.completions.create({",
        *(f"  {name}: {_lines(value, _quoted, indent=2)}," for name, value in call.items()),
        "});",
        "for await (const chunk of stream) {",
        '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");',
        "}",
    ]
    return [
        Snippet("python", "Python", "\n".join(python)),
        Snippet("js", "JavaScript", "\n".join(javascript)),
        Snippet("curl", "curl", _curl_of(base_url, _quoted(call), token)),
    ]


def _curl_of(base_url: str, body: str, token: str | None) -> str:
    is_long = len(body.encode()) > MOST_ARGUMENT_BYTES
    # JSON has no line of its own that could end it.
    data = f"--data-binary @- <<'BODY'\n{body}\nBODY" if is_long else f"-d {shlex.quote(body)}"
    head = [
        f"curl -N {shlex.quote(base_url + '/chat/completions')} \\",
        f"  -H {_curl_header(token)} \\",
        "  -H 'Content-Type: application/json' \\",
    ]
    return "\n".join([*head, f"  {data}"])


def _literal(value: Any, *, indent: int = 0) -> str:
    """A value of JSON in Python's words, with strings as the other languages write them."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_quoted(key)}: {_literal(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return _lines(value, _literal, indent=indent)
    return _quoted(value) if isinstance(value, str) else repr(value)


def _lines(value: Any, written: Callable[[Any], str], *, indent: int) -> str:
    """A list with an item a line, such as the messages of a chat; anything else as it is."""
    if not isinstance(value, list):
        return written(value)
    step, end = " " * 2 * indent, " " * indent
    return "\n".join(["[", *(f"{step}{written(item)}," for item in value), f"{end}]"])


def _curl_header(token: str | None) -> str:
    # Double quotes, since within single ones the shell would send the variable's name.
    if token is None:
        return f'"Authorization: Bearer ${VARIABLE}"'
    return shlex.quote(f"Authorization: Bearer {token}")


def _imports(token: str | None, library: str) -> list[str]:
    return ["import os", "", library, ""] if token is None else [library, ""]


def _bearer_in_python(token: str | None) -> str:
    return f'"Bearer " + os.environ["{VARIABLE}"]' if token is None else _quoted(f"Bearer {token}")


def _bearer_in_javascript(token: str | None) -> str:
    return f'"Bearer " + process.env.{VARIABLE}' if token is None else _quoted(f"Bearer {token}")


def _quoted(text: Any) -> str:
    """A string of Python, of JavaScript and of JSON; any other value in JSON's words."""
    return json.dumps(text, ensure_ascii=False)
