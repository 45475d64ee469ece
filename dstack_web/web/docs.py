"""The user documentation: Markdown files beside the templates, rendered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import nh3
from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from apps.specs.schema import service_schema
from dstack_web.settings import data_path
from dstack_web.variables import tables

# The order in which the pages are listed.
NAMES = (
    "start",
    "services",
    "deploy",
    "endpoints",
    "hold",
    "cli",
    "api",
    "tokens",
    "first-cloud",
    "aws",
    "gcp",
    "azure",
    "tensordock",
    "hosts",
    "costs",
    "gateways",
    "tls",
    "tunnels",
    "running",
    "settings",
    "isolation",
    "reach",
    "performance",
    "glossary",
)
FIRST = NAMES[0]


@dataclass(frozen=True)
class Doc:
    """`parts` are the second-level headings: (anchor, text)."""

    name: str
    title: str
    html: SafeString
    parts: Sequence[tuple[str, str]]


@lru_cache(maxsize=1)
def every() -> Sequence[Doc]:
    return [_read(name) for name in NAMES]


def find(name: str) -> Doc | None:
    return next((doc for doc in every() if doc.name == name), None)


def _read(name: str) -> Doc:
    folder = data_path("templates", "_templates")
    markdown = MarkdownIt("commonmark").enable("table")
    text = with_own_addresses((folder / "docs" / f"{name}.md").read_text())
    for mark, made in MADE.items():
        text = text.replace(mark, made()) if mark in text else text
    tokens = markdown.parse(text)
    parts = _anchored(tokens)
    html = markdown.renderer.render(tokens, markdown.options, {})
    # The files are ours; cleaning keeps a slip in one of them harmless.
    clean = nh3.clean(html, attributes={**nh3.ALLOWED_ATTRIBUTES, "h2": {"id"}})
    title = tokens[1].content
    return Doc(name, title, mark_safe(clean), parts)


def with_own_addresses(text: str) -> str:
    """Return a page with this server's addresses where it has those of a first start."""
    own = text.replace("http://127.0.0.1:3000", settings.DSTACK_PUBLIC_URL)
    return own.replace("localhost:8080", f"localhost:{settings.DSTACK_GATEWAY_PORT}")


def _keys() -> str:
    properties = service_schema()["properties"]
    rows = [f"| `{key}` | {about.get('description', '')} |" for key, about in properties.items()]
    return "\n".join(["| key | meaning |", "|---|---|", *rows])


# Where a page wants a table that is made from what reads the values.
MADE = {
    "<!-- keys -->": _keys,
    "<!-- settings -->": tables.public,
    "<!-- internal settings -->": tables.internal,
    "<!-- variables of a service -->": tables.for_services,
}


def _anchored(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    parts = []
    for token, following in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.tag == "h2":
            text = following.content.replace("`", "")
            anchor = "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
            token.attrSet("id", anchor)
            parts.append((anchor, text))
    return parts
