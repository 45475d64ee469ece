"""Reading small files of a model's repository from a hub, with the token of a run.

The token goes to the hub's own host alone: a redirect to another one is followed without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import httpx

from apps.chat_templates.decide import (
    CONFIG,
    SPECIAL,
    TEMPLATE,
    TOOL_TEMPLATE,
    Source,
    Unreadable,
)
from apps.core.http import proxies

# The list of added tokens of some tokenizers takes megabytes.
MOST_BYTES = 16 * 2**20
MOST_REDIRECTS = 4
TIMEOUT_SECONDS = 10.0
ALL_SECONDS = 30.0
REDIRECTS = (301, 302, 303, 307, 308)


def read(hub_url: str, source: Source, *, token: str) -> dict[str, str]:
    """Return the texts of the repository's files that are there, by name.

    Raise Unreadable when the hub cannot be asked or does not let us; a file that is not there is
    left out.
    """
    reader = Reader(hub_url, source, token)
    files: dict[str, str] = {}
    with httpx.Client(
        timeout=TIMEOUT_SECONDS, follow_redirects=False, transport=proxies.Transport()
    ) as client:
        for name in (CONFIG, TEMPLATE, SPECIAL, TOOL_TEMPLATE):
            # Only those that have the one may have the other.
            if name == TOOL_TEMPLATE and TEMPLATE not in files:
                continue
            text = reader.file(client, name)
            if text is not None:
                files[name] = text
    if not files:
        raise Unreadable(f"{reader.where} has neither {TEMPLATE} nor {CONFIG}")
    return files


class Reader:
    """One reading of one repository, within a time for all of it."""

    def __init__(self, hub_url: str, source: Source, token: str) -> None:
        self.host = urlsplit(hub_url).netloc
        self.where = f"{source.name} at {self.host}"
        self._base = f"{hub_url}/{source.name}/resolve/{source.revision}/"
        self._token = token
        self._until = time.monotonic() + ALL_SECONDS

    def file(self, client: httpx.Client, name: str) -> str | None:
        """Return a file's text, None where there is no such file."""
        try:
            with self._answer(client, self._base + name) as answer:
                if answer.status_code == 404:
                    return None
                self._check(answer)
                return self._body(answer, name).decode()
        except UnicodeDecodeError:
            raise Unreadable(f"{name} of {self.where} is no text") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            raise Unreadable(f"{self.host} cannot be reached ({_brief(error)})") from None

    @contextmanager
    def _answer(self, client: httpx.Client, url: str) -> Iterator[httpx.Response]:
        for _ in range(MOST_REDIRECTS + 1):
            headers = {"Authorization": f"Bearer {self._token}"} if self._is_hub(url) else {}
            with client.stream("GET", url, headers=headers) as answer:
                if answer.status_code not in REDIRECTS:
                    yield answer
                    return
                url = self._next(url, answer.headers.get("Location", ""))
        raise Unreadable(f"{self.host} redirects without an end")

    def _is_hub(self, url: str) -> bool:
        base, asked = urlsplit(self._base), urlsplit(url)
        same = (base.scheme, base.netloc) == (asked.scheme, asked.netloc)
        return same and bool(self._token)

    def _next(self, url: str, location: str) -> str:
        there = urljoin(url, location)
        # Whoever listens between must not see more after a redirect than before.
        if urlsplit(there).scheme not in ("https", urlsplit(self._base).scheme) or not location:
            raise Unreadable(f"{self.host} redirects to where we do not go")
        return there

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code in (401, 403):
            mine = (
                "HF_TOKEN of the service may not read it"
                if self._token
                else "it needs HF_TOKEN in env"
            )
            raise Unreadable(
                f"{self.host} answered {answer.status_code} for {self.where.split()[0]}: "
                f"it does not exist, or {mine}"
            )
        if answer.status_code != 200:
            raise Unreadable(f"{self.host} answered {answer.status_code}")

    def _body(self, answer: httpx.Response, name: str) -> bytes:
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise Unreadable(f"{name} of {self.where} is longer than 16 MB")
            if time.monotonic() > self._until:
                raise Unreadable(f"{self.host} took longer than {ALL_SECONDS:g} s")
        return bytes(body)


def _brief(error: Exception) -> str:
    return str(error) or type(error).__name__
