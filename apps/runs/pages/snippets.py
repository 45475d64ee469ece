"""How to call a service, as text to copy. Pure.

Without a token, each reads it from the environment in its own language's way, so that what is
pasted works once `TOKEN` is exported.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

VARIABLE = "TOKEN"
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


def _quoted(text: str) -> str:
    """A string of Python, of JavaScript and of JSON."""
    return json.dumps(text, ensure_ascii=False)
