"""Which model a JSON body names. Works on bytes that may be a mapped file of any length. Pure.

A whole parse of 100 MB of JSON would cost seconds and gigabytes; here strings are skipped at the
speed of a regular expression. Of two models in the outermost object the first decides: the service
that it names is the only one to see the body.
"""

from __future__ import annotations

import json
import mmap
import re

Body = bytes | mmap.mmap

STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
TOKEN = re.compile(STRING + rb"|[{}\[\]]", re.DOTALL)
COLON = re.compile(rb"\s*:\s*")
VALUE = re.compile(STRING, re.DOTALL)
NAMES_MODEL = re.compile(rb'"(?:m|\\u006[dD])(?:[^"\\]|\\.){4,24}"')
LONGEST_NAME = 4096
# Parsed only to say what is wrong with it, so never at the cost of others' time.
MOST_PARSED_BYTES = 1_000_000


class NotJson(ValueError):
    """The body is no JSON object in UTF-8."""


def in_json(body: Body) -> str | None:
    """Return the `model` of a JSON object, None when it names none.

    Raise NotJson when the body is not an object at all. A body that is broken beyond its model is
    left to the service, which answers it in its own words.
    """
    depth = 0
    for token in TOKEN.finditer(body):
        text = token[0]
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and len(text) <= 40 and _is_model(text):
            model = _value(body, token.end())
            if model is not None:
                return model
    if not _is_object(body):
        raise NotJson
    return None


def _is_model(text: bytes) -> bool:
    if text == b'"model"':
        return True
    return b"\\" in text and NAMES_MODEL.fullmatch(text) is not None and _decode(text) == "model"


def _value(body: Body, start: int) -> str | None:
    """Return the string after `"model":`. What no colon follows is a value itself, not a key."""
    colon = COLON.match(body, start)
    found = VALUE.match(body, colon.end()) if colon else None
    if found is None or len(found[0]) > LONGEST_NAME:
        return None
    return _decode(found[0])


def _decode(text: bytes) -> str | None:
    try:
        decoded: str = json.loads(text)
    except ValueError:
        return None
    return decoded


def _is_object(body: Body) -> bool:
    if len(body) > MOST_PARSED_BYTES:
        return body[:64].lstrip()[:1] == b"{"
    try:
        return isinstance(json.loads(body[:].decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False
