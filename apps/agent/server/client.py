"""The agent's calls to the server: one kept connection per thread, a time-out on each call."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import threading
import typing
import urllib.parse
from pathlib import Path

from apps.agent import wire
from apps.agent.config import Config
from apps.agent.server.contact import Contact

CALL_SECONDS = 30.0
# A poll is answered when its time is over; the rest is for the way.
POLL_EXTRA_SECONDS = 10.0
ANSWER_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
ERROR_CHARACTERS = 200


class ServerAway(Exception):
    """No sensible answer: it is down, unreachable or in trouble. Try again."""


class Refused(Exception):
    """The server does not want this agent (401, 403, 404); it may change its mind, but for 410."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Safe to use from several threads, each with a kept connection of its own."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.contact = Contact()
        self._kept = threading.local()
        self._open: dict[int, http.client.HTTPConnection] = {}

    def replace(self, config: Config) -> None:
        """Go on with another configuration; calls under way fail and retry."""
        self.config = config
        for connection in list(self._open.values()):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def assignment(self, *, since: int, wait_seconds: float) -> wire.Assignment:
        """Return what should run. Raise ServerAway and Refused, as all do."""
        answer = self._call(
            "GET",
            f"/api/agent/assignment?since={since}&wait={wait_seconds:g}",
            timeout=wait_seconds + POLL_EXTRA_SECONDS,
        )
        assignment = _parsed(wire.Assignment, answer)
        self.contact.program_sha256 = assignment.program_sha256
        return assignment

    def enrol(self, asked: wire.Enrolment) -> wire.Enrolled:
        return _parsed(wire.Enrolled, self._call("POST", "/api/agent/enrol", body=asked))

    def report(self, report: wire.Report, *, timeout: float = CALL_SECONDS) -> wire.Receipt:
        answer = self._call("POST", "/api/agent/report", body=report, timeout=timeout)
        return _parsed(wire.Receipt, answer)

    def logs(self, batch: wire.LogBatch) -> wire.LogReceipt:
        return _parsed(wire.LogReceipt, self._call("POST", "/api/agent/logs", body=batch))

    def usage(self, batch: wire.UsageBatch) -> None:
        self._call("POST", "/api/agent/usage", body=batch)

    def fetch(self, *, blob: str, target: Path, check: typing.Callable[[], None]) -> None:
        """Download an upload and compare its SHA-256; it overwrites `target`.

        `check` is called for each chunk; what it raises ends the download.
        """
        path = f"/api/agent/blobs/{urllib.parse.quote(blob, safe='')}"
        if self._download(path, target, check) != blob.lower():
            raise ServerAway("the upload arrived damaged")

    def program(self, *, sha256: str, target: Path) -> None:
        """Download the server's agent and compare its SHA-256; it overwrites `target`."""
        self._announced("/api/agent/agent.pyz", sha256, target)

    def gateway_wheel(self, *, sha256: str, target: Path) -> None:
        """Download the server's gateway and compare its SHA-256; it overwrites `target`."""
        self._announced("/api/agent/gateway.whl", sha256, target)

    def _announced(self, path: str, sha256: str, target: Path) -> None:
        if self._download(path, target, lambda: None) != sha256:
            raise ServerAway("it is not the one that was announced")

    def _download(self, path: str, target: Path, check: typing.Callable[[], None]) -> str:
        """Return the SHA-256 of what was written to `target`."""
        try:
            connection = self._connect(CALL_SECONDS)
        except OSError as error:
            raise ServerAway(_words(error)) from error
        try:
            connection.request("GET", self._path(path), headers=self._headers())
            answer = connection.getresponse()
            _refuse(answer.status, answer.read(ERROR_CHARACTERS) if answer.status != 200 else b"")
            digest = hashlib.sha256()
            with target.open("wb") as file:
                while True:
                    check()
                    chunk = answer.read(CHUNK_BYTES)
                    if not chunk:
                        break
                    digest.update(chunk)
                    file.write(chunk)
        except (OSError, http.client.HTTPException) as error:
            raise ServerAway(_words(error)) from error
        finally:
            connection.close()
        return digest.hexdigest()

    def close(self) -> None:
        """Close the connection of the calling thread."""
        connection = getattr(self._kept, "connection", None)
        self._kept.connection = None
        if connection is not None:
            connection.close()

    def _call(
        self, method: str, path: str, *, body: object = None, timeout: float = CALL_SECONDS
    ) -> bytes:
        data = None if body is None else json.dumps(wire.to_json(body)).encode()
        try:
            return self._ask(method, path, data, timeout)
        except (ConnectionError, http.client.RemoteDisconnected) as error:
            if not self._was_kept:
                raise ServerAway(_words(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServerAway(_words(error)) from error
        # The server closed a kept connection meanwhile: every call may be sent twice.
        try:
            return self._ask(method, path, data, timeout)
        except (OSError, http.client.HTTPException) as error:
            raise ServerAway(_words(error)) from error

    def _ask(self, method: str, path: str, data: typing.Optional[bytes], timeout: float) -> bytes:
        connection = self._connection(timeout)
        try:
            connection.request(method, self._path(path), body=data, headers=self._headers())
            answer = connection.getresponse()
            content = answer.read(ANSWER_BYTES)
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.will_close:
            self.close()
        if answer.status == 401:
            self.contact.refused()
        if answer.status == 410:
            self.contact.over()
        _refuse(answer.status, content)
        self.contact.answered()
        return content

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        kept: typing.Optional[http.client.HTTPConnection] = getattr(self._kept, "connection", None)
        if kept is not None and getattr(self._kept, "url", None) != self.config.url:
            self.close()
            kept = None
        self._kept.was_kept = kept is not None
        if kept is None:
            kept = self._connect(timeout)
            self._kept.connection, self._kept.url = kept, self.config.url
            self._open[threading.get_ident()] = kept
        kept.timeout = timeout
        if kept.sock is not None:
            kept.sock.settimeout(timeout)
        return kept

    @property
    def _was_kept(self) -> bool:
        return bool(getattr(self._kept, "was_kept", False))

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        """Raise OSError where the authority cannot be used."""
        url = urllib.parse.urlsplit(self.config.url)
        host = url.hostname or ""
        if url.scheme != "https":
            return http.client.HTTPConnection(host, url.port, timeout=timeout)
        # With one of its own, those of the host are not trusted.
        known_by = ssl.create_default_context(cadata=self.config.authority or None)
        return http.client.HTTPSConnection(host, url.port, timeout=timeout, context=known_by)

    def _path(self, path: str) -> str:
        return urllib.parse.urlsplit(self.config.url).path.rstrip("/") + path

    def _headers(self) -> dict[str, str]:
        token = self.config.token
        return {
            **({"Authorization": f"Bearer {token}"} if token else {}),
            "Content-Type": "application/json",
            "User-Agent": f"dstack-agent/{wire.WIRE_VERSION}",
        }


def _refuse(status: int, content: bytes) -> None:
    if status in (401, 403, 404, 410):
        raise Refused(status, f"the server answered {status}: {_text(content)}")
    if status != 200:
        raise ServerAway(f"the server answered {status}: {_text(content)}")


def _text(content: bytes) -> str:
    text = content[:ERROR_CHARACTERS].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(content)["error"]["message"])
    return " ".join(text.split())


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message} (see DSTACK_AGENT_CA)"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


T = typing.TypeVar("T")


def _parsed(kind: type[T], content: bytes) -> T:
    try:
        return wire.from_json(kind, json.loads(content))
    except ValueError as error:
        raise ServerAway(f"the server's answer makes no sense: {error}") from error
