"""Pulling an image: what is told meanwhile, and what its errors mean."""

from __future__ import annotations

import base64
import json
import math
import re
import typing

from apps.agent.docker.engine import Engine, EngineRefused
from apps.agent.workloads.executor import Check, Say

# username, password
Auth = tuple[typing.Optional[str], typing.Optional[str]]
NO_LOGIN: Auth = (None, None)
UNKNOWN = re.compile(r"not found|does not exist|manifest unknown|repository name not known", re.I)
DENIED = re.compile(
    r"denied|unauthorized|authentication required|no basic auth credentials|incorrect username"
    r"|authorization failed|insufficient.scope",
    re.I,
)
# Of these the engine says "not found", too: it is the registry's host that was not.
NO_HOST = re.compile(r"no such host|lookup .* on|dial tcp|i/o timeout|connection refused", re.I)
TOO_MANY = re.compile(r"toomanyrequests|rate limit", re.I)


class PullFailed(Exception):
    """The image cannot be pulled; `is_answer` where the registry itself said no."""

    def __init__(self, image: str, message: str, auth: Auth) -> None:
        super().__init__(cannot_pull(image, message, auth))
        self.is_answer = is_answer(message)


def is_answer(message: str) -> bool:
    """Tell whether an engine's error is a registry's answer, not the want of one."""
    said = bool(UNKNOWN.search(message) or DENIED.search(message))
    return said and not NO_HOST.search(message)


def pull(engine: Engine, image: str, *, auth: Auth, say: Say, check: Check) -> None:
    """Pull an image, or find that it is the newest. Raise PullFailed, EngineAway, Cancelled."""
    name, tag = reference(image)
    query = {"fromImage": name, **({"tag": tag} if tag else {})}
    headers = registry_auth(image, *auth)
    progress = Progress()
    try:
        with engine.stream("POST", "/images/create", query=query, headers=headers) as pieces:
            for step in json_lines(pieces):
                check()
                if "error" in step:
                    raise PullFailed(image, step["error"], auth)
                said = progress.note(step)
                if said:
                    say(said)
    except EngineRefused as error:
        raise PullFailed(image, str(error), auth) from error


def ask(engine: Engine, image: str, *, auth: Auth) -> None:
    """Ask the registry for an image without pulling it. Raise PullFailed and EngineAway."""
    try:
        headers = registry_auth(image, *auth)
        with engine.stream("GET", f"/distribution/{image}/json", headers=headers) as pieces:
            for _ in pieces:
                pass
    except EngineRefused as error:
        raise PullFailed(image, str(error), auth) from error


class Progress:
    """Adds up what the engine tells of a pull: many layers, each with its own bytes."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._coming: set[str] = set()
        self._unpacks = False
        self._said = ""

    def note(self, step: dict[str, typing.Any]) -> typing.Optional[str]:
        """Return what to tell, or None if that was told already."""
        status, layer = str(step.get("status")), str(step.get("id"))
        detail = step.get("progressDetail") or {}
        if status in ("Pulling fs layer", "Waiting"):
            self._coming.add(layer)
        elif status == "Downloading" and detail.get("total"):
            self._layers[layer] = (detail["current"], detail["total"])
        elif status in ("Verifying Checksum", "Download complete", "Already exists"):
            self._arrived(layer)
        elif status in ("Extracting", "Pull complete"):
            self._arrived(layer)
            self._unpacks = True
        said = self._words()
        if said in ("", self._said):
            return None
        self._said = said
        return said

    def _arrived(self, layer: str) -> None:
        self._coming.discard(layer)
        if layer in self._layers:
            self._layers[layer] = (self._layers[layer][1],) * 2

    def _words(self) -> str:
        done = sum(current for current, _ in self._layers.values())
        total = sum(size for _, size in self._layers.values())
        if self._unpacks and done == total and not self._coming:
            size = f" of {_gigabytes(total)} GB" if total else ""
            return f"unpacking image{size}"
        return f"pulling image {_gigabytes(done)}/{_gigabytes(total)} GB" if total else ""


def _gigabytes(count: int) -> str:
    # Rounded up, so that a small image does not stay at 0.0.
    return f"{math.ceil(count / 1e8) / 10:.1f}"


def json_lines(pieces: typing.Iterable[bytes]) -> typing.Iterator[dict[str, typing.Any]]:
    """Yield the objects of a stream with one per line."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())
    if rest.strip():
        yield json.loads(rest)


def cannot_pull(image: str, message: str, auth: Auth) -> str:
    """Say why an image cannot be had, and what to do."""
    said = f"(the engine said: {message})"
    if TOO_MANY.search(message):
        return f"image {image}: its registry lets nobody pull more for now; a login may {said}"
    if not is_answer(message):
        return f"image {image} cannot be pulled: {message}"
    if auth != NO_LOGIN and DENIED.search(message):
        return (
            f"image {image} cannot be pulled: username or password refused, or they may not read "
            f"it, or it does not exist; see `registry_auth` {said}"
        )
    if auth != NO_LOGIN:
        return f"image {image} does not exist in its registry {said}"
    if DENIED.search(message) and not UNKNOWN.search(message):
        return f"image {image}: its registry wants a login: give `registry_auth` {said}"
    return f"image {image} does not exist, or its registry wants `registry_auth` {said}"


def reference(image: str) -> tuple[str, str]:
    """Split an image's name into repository and tag; a digest stays with the repository."""
    if "@" in image:
        return image, ""
    name, colon, tag = image.rpartition(":")
    # A colon before the last slash is a registry's port.
    return (name, tag) if colon and "/" not in tag else (image, "latest")


def registry_auth(
    image: str, username: typing.Optional[str], password: typing.Optional[str]
) -> dict[str, str]:
    """Return the header that lets the engine pull from a private registry."""
    if username is None and password is None:
        return {}
    host = image.split("/")[0] if "/" in image else ""
    named = "." in host or ":" in host or host == "localhost"
    auth = {
        "username": username or "",
        "password": password or "",
        "serveraddress": host if named else "https://index.docker.io/v1/",
    }
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()}
