"""How to call a service, as text to copy. Pure."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

PLACE = "$TOKEN"
QUESTION = "Say hello."


@dataclass(frozen=True)
class Snippet:
    key: str
    title: str
    code: str


def of_service(*, url: str, code_url: str, token: str | None, needs_token: bool) -> list[Snippet]:
    """This function will return how to call a service; `token` None leaves a place for one.

    `code_url` is for programs: names below `localhost` resolve in browsers and curl, not in Python
    and Node.
    """
    header = f"Bearer {token or PLACE}"
    if needs_token:
        curl = f'curl -H "Authorization: {header}" {url}'
        python = [f'headers = {{"Authorization": "{header}"}}', f'url = "{code_url}"']
        python += ["print(httpx.get(url, headers=headers).text)"]
        javascript = [f'const headers = {{ Authorization: "{header}" }};']
        javascript += [f'const answer = await fetch("{code_url}", {{ headers }});']
    else:
        curl = f"curl {url}"
        python = [f'print(httpx.get("{code_url}").text)']
        javascript = [f'const answer = await fetch("{code_url}");']
    javascript += ["console.log(await answer.text());"]
    return [
        Snippet("curl", "curl", curl),
        Snippet("python", "Python", "\n".join(["import httpx", "", *python])),
        Snippet("js", "JavaScript", "\n".join(javascript)),
    ]


def of_model(*, base_url: str, model: str, token: str | None) -> list[Snippet]:
    """This function will return how to ask a model by the OpenAI API."""
    shown, named = token or PLACE, json.dumps(model, ensure_ascii=False)
    message = f'[{{"role": "user", "content": "{QUESTION}"}}]'
    body = f'{{"model": {named}, "messages": {message}}}'
    python = [
        "from openai import OpenAI",
        "",
        f'client = OpenAI(base_url="{base_url}", api_key="{shown}")',
        "answer = client.chat.completions.create(",
        f"    model={named},",
        f"    messages={message},",
        ")",
        "print(answer.choices[0].message.content)",
    ]
    javascript = [
        'import OpenAI from "openai";',
        "",
        f'const client = new OpenAI({{ baseURL: "{base_url}", apiKey: "{shown}" }});',
        "const answer = await client.chat.completions.create({",
        f"  model: {named},",
        f'  messages: [{{ role: "user", content: "{QUESTION}" }}],',
        "});",
        "console.log(answer.choices[0].message.content);",
    ]
    curl = [
        f"curl {base_url}/chat/completions \\",
        f'  -H "Authorization: Bearer {shown}" \\',
        "  -H 'Content-Type: application/json' \\",
        f"  -d {shlex.quote(body)}",
    ]
    return [
        Snippet("python", "Python", "\n".join(python)),
        Snippet("js", "JavaScript", "\n".join(javascript)),
        Snippet("curl", "curl", "\n".join(curl)),
    ]
