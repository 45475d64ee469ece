"""Which model a request body names. Works on bytes that may be a mapped file of any length. Pure.

A whole parse of 100 MB of JSON would cost seconds and gigabytes; here strings are skipped at the
speed of a regular expression, and what is found is the last `model` of the outermost object, as a
JSON parser would have it.
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
BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
LONGEST_NAME = 4096
# Parsed only to say what is wrong with it, so never at the cost of others' time.
MOST_PARSED_BYTES = 1_000_000


class NotJson(ValueError):
    """The body is no JSON object."""


def in_json(body: Body) -> str | None:
    """This function will return the `model` of a JSON object, None when it names none.

    Raises NotJson when the body is not an object at all. A body that is broken beyond its model is
    left to the service, which answers it in its own words.
    """
    depth, model = 0, None
    for token in TOKEN.finditer(body):
        text = token[0]
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and len(text) <= 40 and _is_model(text):
            model = _value(body, token.end(), model)
    if model is None and not _is_object(body):
        raise NotJson
    return model


def _is_model(text: bytes) -> bool:
    if text == b'"model"':
        return True
    return b"\\" in text and NAMES_MODEL.fullmatch(text) is not None and _decode(text) == "model"


def _value(body: Body, start: int, before: str | None) -> str | None:
    """The string after `"model":`; a value that follows no colon is a value itself, not a key."""
    colon = COLON.match(body, start)
    if colon is None:
        return before
    found = VALUE.match(body, colon.end())
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
        return isinstance(json.loads(body[:]), dict)
    except (ValueError, RecursionError):
        return False


def in_form(body: Body, content_type: str) -> str | None:
    """This function will return the field `model` of a multipart form, None when there is none."""
    boundary = BOUNDARY.search(content_type)
    if boundary is None:
        return None
    mark = re.escape(b"--" + boundary[1].encode())
    header = rb"(?:[^\r\n]{1,1000}\r\n){0,10}?"
    part = re.compile(
        mark
        + rb"\r\n"
        + header
        + rb'content-disposition:[^\r\n]{0,200};\s*name="?model"?\s*(?:;[^\r\n]{0,200})?\r\n'
        + header
        + rb"\r\n([^\r\n]{0,4096})\r\n"
        + mark,
        re.IGNORECASE,
    )
    found = part.search(body)
    return found[1].decode(errors="replace") if found else None
