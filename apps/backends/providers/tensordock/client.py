"""Calls of TensorDock's API, and what in its answers is what.

Its examples contradict each other, and others who describe it: what an answer holds is looked for
under each of the shapes that are documented.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from apps.backends.providers.tensordock import errors

BASE = "https://dashboard.tensordock.com"
CONNECT_SECONDS, READ_SECONDS, CREATE_SECONDS = 5.0, 12.0, 25.0
# An answer is small; this is what a page of an error of some proxy is not larger than.
MOST_BYTES = 8 * 2**20
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)
# TensorDock says so of what is there no longer.
NOT_FOUND = 404


class Client:
    """`DSTACK_TENSORDOCK_ENDPOINT` says where an emulator is; then nothing else is called."""

    def __init__(self, api_key: str) -> None:
        self._key = api_key
        self._base = os.environ.get("DSTACK_TENSORDOCK_ENDPOINT", "").rstrip("/") or BASE

    def locations(self) -> list[Mapping[str, Any]]:
        """Return the places with their GPUs and prices."""
        return listed(self.call("GET", "locations"), "locations")

    def instances(self) -> list[Mapping[str, Any]]:
        """Return all machines of the account, each flat."""
        return [flat(row) for row in listed(self.call("GET", "instances"), "instances")]

    def instance(self, ref: str) -> Mapping[str, Any] | None:
        """Return a machine, None where there is none."""
        content = self.call("GET", f"instances/{ref}", or_none=True)
        return None if content is None else flat(content)

    def create(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {"data": {"type": "virtualmachine", "attributes": attributes}}
        return flat(self.call("POST", "instances", body, seconds=CREATE_SECONDS) or {})

    def delete(self, ref: str) -> None:
        self.call("DELETE", f"instances/{ref}", or_none=True)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        seconds: float = READ_SECONDS,
        or_none: bool = False,
    ) -> Any:
        """Return what the answer holds, None where there is no such thing and that is fine."""
        asked = f"{method} {path.partition('/')[0]}"
        try:
            answer = httpx.request(
                method,
                f"{self._base}/api/v2/{path}",
                json=body,
                headers={"Authorization": f"Bearer {self._key}", "Accept": "application/json"},
                timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Nothing of httpx goes on in the cause: a traceback would show what was sent.
            raise errors.silence(type(error).__name__, asked=asked) from None
        content = _content(answer)
        said = error_in(content)
        if answer.status_code == NOT_FOUND and or_none:
            return None
        if not answer.is_success or said is not None:
            raise errors.refusal(answer.status_code, said or "", asked=asked)
        if content is None and method != "DELETE":
            raise errors.silence("its answer is no JSON", asked=asked)
        return content


def _content(answer: httpx.Response) -> Any:
    if len(answer.content) > MOST_BYTES:
        return None
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def error_in(content: Any) -> str | None:
    """Return what an answer says went wrong, None where it says nothing of that kind.

    A refusal may come with 200.
    """
    for row in (content, content.get("data") if isinstance(content, dict) else None):
        if not isinstance(row, dict):
            continue
        for key in ("error", "errors"):
            if row.get(key):
                return _text(row[key]) or "an error"
        if row.get("success") is False or row.get("type") == "error":
            return _text(row.get("message")) or _text(row.get("attributes")) or "an error"
    return None


def _text(value: Any) -> str:
    """Return the words in an error, however deep they lie."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        keys = ("message", "detail", "title", "error")
        return next((text for key in keys if (text := _text(value.get(key)))), "")
    if isinstance(value, list):
        return "; ".join(filter(None, map(_text, value[:3])))
    return ""


def flat(row: Any) -> Mapping[str, Any]:
    """Return a thing with its attributes beside its id, whether wrapped in `data` or not."""
    found: dict[str, Any] = {}
    while isinstance(row, dict):
        found |= row
        inside = row.get("data") if isinstance(row.get("data"), dict) else row.get("attributes")
        row = inside if inside is not row else None
    return found


def listed(content: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the things of a list. Raise ProviderError where there is none at all."""
    for row in (content, content.get("data") if isinstance(content, dict) else None):
        if isinstance(row, dict) and isinstance(row.get(name), list):
            row = row[name]
        if isinstance(row, list):
            return [each for each in row if isinstance(each, dict)]
    raise errors.silence(f"its answer has no {name}", asked=f"GET {name}")


def id_of(row: Mapping[str, Any]) -> str:
    """Return the id of a thing, "" where it has none that can be called by."""
    said = str(row.get("id") or "")
    return said if ID.fullmatch(said) else ""


def first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first of the values that is there."""
    return next((row[name] for name in names if row.get(name) is not None), None)
