"""A container engine's HTTP API over its unix socket: calls, streams, and what its errors mean."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import typing
import urllib.parse

from apps.agent import wire

DEFAULT_SOCKET = "/var/run/docker.sock"
CALL_SECONDS = 60.0
# What this code was written for; engines speak a range of versions.
API_VERSION = (1, 41)
# Another engine of this machine takes ports of the same range, dozens in a row.
PORT_ATTEMPTS, PORT_TAKEN = 10, "address already in use"


class EngineAway(Exception):
    """No engine answers; the text says where and why."""


class EngineRefused(Exception):
    """The engine answered with an error; the text is the engine's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: typing.Optional[float]) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One engine; safe to use from several threads (each call has its own connection)."""

    def __init__(self, address: typing.Optional[str] = None) -> None:
        self.address = address or os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"
        self._version: typing.Optional[str] = None

    def call(
        self,
        method: str,
        path: str,
        *,
        query: typing.Optional[dict[str, typing.Any]] = None,
        body: typing.Any = None,
        timeout: float = CALL_SECONDS,
    ) -> typing.Any:
        """Return the parsed answer (None if empty).

        Raise EngineAway and EngineRefused.
        """
        data = None if body is None else json.dumps(body).encode()
        with self._asked(method, path, query=query, data=data, timeout=timeout) as answer:
            content = self._read(answer)
        return json.loads(content) if content else None

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: typing.Optional[dict[str, typing.Any]] = None,
        headers: typing.Optional[dict[str, str]] = None,
        timeout: typing.Optional[float] = None,
    ) -> typing.Iterator[typing.Iterator[bytes]]:
        """Give the pieces of an answer as they come; no time-out by default."""
        with self._asked(method, path, query=query, headers=headers, timeout=timeout) as answer:
            yield self._pieces(answer)

    def send(
        self, path: str, *, query: dict[str, typing.Any], data: typing.Iterable[bytes]
    ) -> None:
        """PUT a tar archive, in pieces."""
        headers = {"Content-Type": "application/x-tar"}
        with self._asked("PUT", path, query=query, data=data, headers=headers) as answer:
            self._read(answer)

    def start(self, container: str) -> None:
        """Start it, on other ports where those that the engine tried are taken; it tries ten."""
        for left in reversed(range(PORT_ATTEMPTS)):
            try:
                self.call("POST", f"/containers/{container}/start")
                return
            except EngineRefused as error:
                if not left or PORT_TAKEN not in str(error):
                    raise

    def has_init(self) -> bool:
        """Tell whether the engine can put a first process of its own before a container's.

        Raise EngineAway and EngineRefused.
        """
        commit = (self.call("GET", "/info").get("InitCommit") or {}).get("ID")
        return commit not in (None, "", "N/A")

    def _pieces(self, answer: http.client.HTTPResponse) -> typing.Iterator[bytes]:
        while True:
            try:
                piece = answer.read1(65536)
            except (OSError, http.client.HTTPException) as error:
                raise EngineAway(f"the container engine hung up: {error}") from error
            if not piece:
                return
            yield piece

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            return answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineAway(f"the container engine hung up: {error}") from error

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        *,
        query: typing.Optional[dict[str, typing.Any]] = None,
        data: typing.Union[bytes, typing.Iterable[bytes], None] = None,
        headers: typing.Optional[dict[str, str]] = None,
        timeout: typing.Optional[float] = CALL_SECONDS,
    ) -> typing.Iterator[http.client.HTTPResponse]:
        url = self._prefix() + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        connection = _Connection(self._socket(), timeout)
        try:
            answer = self._answer(connection, method, url, data, headers or {})
            yield answer
        finally:
            connection.close()

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        url: str,
        data: typing.Union[bytes, typing.Iterable[bytes], None],
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        try:
            connection.request(
                method, url, body=data, headers={"Content-Type": "application/json", **headers}
            )
            answer = connection.getresponse()
            content = answer.read() if answer.status >= 400 else b""
        except (OSError, http.client.HTTPException) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise EngineAway(f"no container engine answers at {self.address}: {words}") from error
        if answer.status >= 400:
            raise EngineRefused(answer.status, _message(content))
        return answer

    def _socket(self) -> str:
        scheme, _, path = self.address.partition("://")
        if scheme != "unix" or not path:
            raise EngineAway(
                f"DOCKER_HOST is {self.address}: the agent speaks only to a unix socket (unix://...)"
            )
        return path

    def _prefix(self) -> str:
        """The newest version that both sides speak."""
        if self._version is None:
            connection = _Connection(self._socket(), CALL_SECONDS)
            with contextlib.closing(connection):
                about = json.loads(self._answer(connection, "GET", "/version", None, {}).read())
            newest = _numbers(about.get("ApiVersion", "1.41"))
            oldest = _numbers(about.get("MinAPIVersion", "1.12"))
            self._version = "/v{}.{}".format(*max(oldest, min(newest, API_VERSION)))
        return self._version


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def _message(content: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(content)["message"])
    return content.decode("utf-8", "replace").strip()


NOT_FOUND = re.compile(r'exec: "?([^":]+)"?: (executable file not found|stat .*no such file)')
NOT_RUNNABLE = re.compile(r'exec: "?([^":]+)"?: permission denied')
NOT_A_PROGRAM = "exec format error"


def plain(message: str, spec: wire.WorkloadSpec) -> str:
    """Shorten what an engine says when a container does not start, and say what to do."""
    found, barred = NOT_FOUND.search(message), NOT_RUNNABLE.search(message)
    if found and spec.commands and spec.entrypoint is None and found[1] == spec.shell:
        return (
            f"the image has no shell to run `commands` ({spec.shell} was not found in it): give a "
            "program as `entrypoint:`, or leave `commands` out for the image's own command"
        )
    if found:
        return f"command not found: {found[1]} (is it in the image, and on its PATH?)"
    if barred:
        return f"the command cannot be run: {barred[1]} is not executable"
    if NOT_A_PROGRAM in message:
        return "the image is for another kind of processor, or its program is a script without #!"
    if "No command specified" in message:
        return "the image has no command of its own: give `commands` or `entrypoint`"
    return message.replace(": unknown", "").rpartition("container process: ")[2]
