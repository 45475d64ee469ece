"""The API over HTTP: one sentence for everything that can go wrong between here and an answer."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from apps.cli.errors import CliError, Problem, Refused, Unreachable
from apps.cli.http.config import Remote
from apps.cli.render.console import clean
from apps.core.http import proxies

# A plan asks clouds for prices, which takes them seconds.
TIMEOUT = httpx.Timeout(60, connect=10)
PAGE = 200
Param = str | int | float | list[str] | None
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def address(*segments: str) -> str:
    """Join names into a path below /api; what cannot be a name is refused."""
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise CliError(
                f"{clean(segment)[:60]!r} is not a name: use letters, digits and hyphens."
            )
    return "/api/" + "/".join(segments)


# A number of the operating system's in front of its words.
ERRNO = re.compile(r"^\[Errno -?\d+\] ")


@dataclass(frozen=True)
class Client:
    """One server, seen with one token; `project` is the one that commands act on."""

    url: str
    project: str
    token: str = field(repr=False)
    http: httpx.Client = field(repr=False)

    def within(self, *segments: str) -> str:
        """Return a path below the project."""
        return address("projects", self.project, *segments)

    def get(self, path: str, **params: Param) -> Any:
        return self.send("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any], **params: Param) -> Any:
        return self.send("POST", path, params=params, json=body)

    def delete(self, path: str) -> None:
        self.send("DELETE", path)

    def items(self, path: str, **params: Param) -> Iterator[dict[str, Any]]:
        """Yield all of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **{"limit": PAGE, **params}, cursor=cursor)
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise Unreachable(f"{self.url} does not answer like a dstack server.")
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor or not page["items"]:
                return

    def send(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, **more: Any
    ) -> Any:
        """Send a request and return its JSON, None where there is none.

        Raise Refused when the server says no, Unreachable when there is no server.
        """
        given = {key: value for key, value in (params or {}).items() if value is not None}
        with self.explained():
            response = self.http.request(method, path, params=given, **more)
        self.check(response)
        if response.status_code == 204 or method == "HEAD":
            return None
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger(response) from error

    @contextmanager
    def stream(
        self, path: str, params: Mapping[str, Any], *, timeout: httpx.Timeout
    ) -> Iterator[httpx.Response]:
        """Open an answer that comes line by line."""
        given = {key: value for key, value in params.items() if value is not None}
        with (
            self.explained(),
            self.http.stream("GET", path, params=given, timeout=timeout) as response,
        ):
            if response.status_code >= 300:
                response.read()
            self.check(response)
            yield response

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn failures of the network into Unreachable."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise Unreachable(
                f"{self.url} did not answer in time{self._through}; try again."
            ) from error
        except httpx.ConnectError as error:
            raise Unreachable(_no_connection(self.url, error, self._through)) from error
        except UnicodeEncodeError as error:
            raise CliError(f"{clean(error.object)[:60]!r} is not UTF-8 text.") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            reason = ERRNO.sub("", clean(error)[:200]).rstrip(".") or type(error).__name__
            raise Unreachable(
                f"The connection to {self.url}{self._through} broke: {reason}."
            ) from error

    @property
    def _through(self) -> str:
        """Where the environment leads requests through a proxy, that a person should know."""
        proxy = proxies.choose(self.url)
        return f" through the proxy {proxy.place} of {proxy.variable}" if proxy else ""

    def check(self, response: httpx.Response) -> None:
        """Raise what an answer that is no success means."""
        if response.is_success:
            return
        if response.request.method == "HEAD":
            # Its answer has no body that could say more.
            raise Refused(
                f"{self.url} answers {response.status_code}.", status=response.status_code
            )
        if response.is_redirect:
            target = clean(response.headers.get("Location", ""))[:200]
            raise Unreachable(
                f"{self.url} redirects to {target}: use the server's own address as the URL."
            )
        try:
            error = response.json()["error"]
            message, code = str(error["message"]), str(error.get("code", ""))
            problems = [_problem(detail) for detail in error.get("details") or []]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._stranger(response) from error
        if response.status_code == 503:
            raise Unreachable(clean(message))
        if response.status_code == 401:
            message += " Save a valid token with: dstack config --url URL --project P --token T."
        raise Refused(clean(message), status=response.status_code, code=code, problems=problems)

    def _stranger(self, response: httpx.Response) -> Unreachable:
        answer = f"{response.status_code} {response.reason_phrase}".strip()
        if response.status_code in (502, 503, 504):
            return Unreachable(
                f"{self.url} is not available ({answer}{self._through}); try again in a moment."
            )
        return Unreachable(
            f"{self.url} does not answer like a dstack server ({answer}{self._through}): "
            "check the URL."
        )


@contextmanager
def connect(remote: Remote, *, timeout: httpx.Timeout = TIMEOUT) -> Iterator[Client]:
    """Open a client for a project and close it afterwards."""
    headers = {"Authorization": f"Bearer {remote.token}", "Accept": "application/json"}
    transport = proxies.Transport()
    try:
        # Proxies and certificate files of the environment are read here.
        transport.open(remote.url)
        http = httpx.Client(
            base_url=remote.url, headers=headers, timeout=timeout, transport=transport
        )
    except proxies.ProxyProblem as problem:
        raise CliError(f"{clean(problem)}.") from problem
    except (httpx.InvalidURL, ValueError, OSError) as error:
        raise CliError(f"No connection to {remote.url} can be made: {clean(error)}.") from error
    with http:
        yield Client(remote.url, remote.name, remote.token, http)


def _problem(detail: Mapping[str, Any]) -> Problem:
    return Problem(
        clean(detail.get("path") or ""),
        detail.get("line"),
        detail.get("column"),
        clean(detail.get("message") or ""),
    )


def _no_connection(url: str, error: httpx.ConnectError, through: str) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate of {url} is not valid: {cause.verify_message}."
        if isinstance(cause, ssl.SSLError):
            return f"{url} does not speak TLS: use http:// or another port."
        cause = cause.__cause__ or cause.__context__
    reason = ERRNO.sub("", clean(error)[:200])
    if through:
        return f"No server answers at {url}{through} ({reason}): is the proxy right?"
    return f"No server answers at {url} ({reason}): is it running, and is the URL right?"
