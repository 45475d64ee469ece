"""Images of a container engine: pulled unless they are there, with progress and clear errors."""

from __future__ import annotations

import base64
import json
import math
import re
import typing

from apps.agent.engine import Engine, EngineRefused
from apps.agent.executor import Check, PrepareFailed, Say

# Names that are not of this form would become part of a call to the engine.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,400}")
Auth = tuple[typing.Optional[str], typing.Optional[str]]  # username, password


def have(
    engine: Engine, image: str, *, auth: Auth, say: Say, check: Check
) -> dict[str, typing.Any]:
    """This function will return what the engine knows of the image, pulled if it must be.

    Raises PrepareFailed, EngineAway, EngineRefused and what `check` raises.
    """
    if not image:
        raise PrepareFailed("there is no image to run: give `image`")
    if not NAME.fullmatch(image) or ".." in image:
        raise PrepareFailed(f"{image!r} is not the name of an image")
    try:
        return _inspect(engine, image)
    except EngineRefused as error:
        if error.status != 404:
            raise
    say("pulling image")
    _pull(engine, image, auth=auth, say=say, check=check)
    return _inspect(engine, image)


def _inspect(engine: Engine, image: str) -> dict[str, typing.Any]:
    found: dict[str, typing.Any] = engine.call("GET", f"/images/{image}/json")
    return found


def _pull(engine: Engine, image: str, *, auth: Auth, say: Say, check: Check) -> None:
    name, tag = reference(image)
    query = {"fromImage": name, **({"tag": tag} if tag else {})}
    headers = registry_auth(image, *auth)
    progress = Progress()
    try:
        with engine.stream("POST", "/images/create", query=query, headers=headers) as pieces:
            for step in json_lines(pieces):
                check()
                if "error" in step:
                    raise PrepareFailed(cannot_pull(image, step["error"]))
                said = progress.note(step)
                if said:
                    say(said)
    except EngineRefused as error:
        raise PrepareFailed(cannot_pull(image, str(error))) from error


class Progress:
    """Adds up what the engine tells of a pull: many layers, each with its own bytes."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._said = ""

    def note(self, step: dict[str, typing.Any]) -> typing.Optional[str]:
        """This function will return what to tell, or None if that was told already."""
        detail = step.get("progressDetail") or {}
        if step.get("status") == "Downloading" and detail.get("total"):
            self._layers[str(step.get("id"))] = (detail["current"], detail["total"])
        done = sum(current for current, _ in self._layers.values())
        total = sum(size for _, size in self._layers.values())
        said = f"pulling image {_gigabytes(done)}/{_gigabytes(total)} GB" if total else ""
        if said in ("", self._said):
            return None
        self._said = said
        return said


def _gigabytes(count: int) -> str:
    # Rounded up, so that a small image does not stay at 0.0.
    return f"{math.ceil(count / 1e8) / 10:.1f}"


def json_lines(pieces: typing.Iterable[bytes]) -> typing.Iterator[dict[str, typing.Any]]:
    """This function will yield the objects of a stream with one per line."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())
    if rest.strip():
        yield json.loads(rest)


def cannot_pull(image: str, message: str) -> str:
    """This function will say why an image cannot be had."""
    missing = ("not found", "does not exist", "manifest unknown", "access denied")
    if any(words in message for words in missing):
        return (
            f"image {image} does not exist, or its registry wants `registry_auth` "
            f"(the engine said: {message})"
        )
    return f"image {image} cannot be pulled: {message}"


def reference(image: str) -> tuple[str, str]:
    """This function will split an image's name into repository and tag; a digest stays with it."""
    if "@" in image:
        return image, ""
    name, colon, tag = image.rpartition(":")
    # A colon before the last slash is a registry's port.
    return (name, tag) if colon and "/" not in tag else (image, "latest")


def registry_auth(
    image: str, username: typing.Optional[str], password: typing.Optional[str]
) -> dict[str, str]:
    """This function will return the header that lets the engine pull from a private registry."""
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
