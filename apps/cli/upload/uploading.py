"""A working folder to the server: packed, and sent only when the server does not have it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.cli.errors import CliError, Refused
from apps.cli.http.client import Client
from apps.cli.render.console import clean, warn
from apps.cli.render.progress import bar
from apps.cli.upload.archive import Archive, pack
from apps.cli.upload.collecting import Collection, collect
from apps.core.archive.ignore import in_words

LIMIT_VARIABLE = "DSTACK_UPLOAD_LIMIT_MB"
LIMIT_MB = 512
# The upload itself is not too large then.
OVER_QUOTA = "over_quota"
_CHUNK = 256 * 1024
_MOST_WARNINGS = 10


def upload(client: Client, folder: Path, *, without: Path | None = None) -> dict[str, Any]:
    """Bring a folder to the server and return what a plan says of it: the hash of what is in it,
    and what was left out.

    `without`, the service's own file, is no part of it.
    Raise CliError for what cannot be packed and for what is too large.
    """
    limit_bytes = limit_mb(os.environ) * 2**20
    collection = collect(folder, without=without)
    with tempfile.TemporaryFile() as file:
        with bar("Packing", total_bytes=collection.total_bytes) as on_bytes:
            archive = pack(collection, file, on_bytes=on_bytes, limit_bytes=limit_bytes)
        _warn(collection)
        if not _is_known(client, archive):
            _send(client, archive, collection)
        return {"upload": archive.hash, "left_out": in_words(collection.left_out)}


def limit_mb(environ: Mapping[str, str]) -> int:
    """Return the largest archive in MB: the server's own limit may differ."""
    text = environ.get(LIMIT_VARIABLE) or str(LIMIT_MB)
    if not text.isdecimal() or not 0 < int(text) < 10**6:
        raise CliError(f"{LIMIT_VARIABLE} is {text!r}: set it to a number of megabytes.")
    return int(text)


def _is_known(client: Client, archive: Archive) -> bool:
    try:
        client.send("HEAD", client.within("uploads", archive.hash))
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return False
    return True


def _send(client: Client, archive: Archive, collection: Collection) -> None:
    headers = {"Content-Type": "application/gzip", "Content-Length": str(archive.size_bytes)}
    try:
        with bar("Uploading", total_bytes=archive.size_bytes) as on_bytes:
            content = _chunks(archive, on_bytes)
            answer = client.send("POST", client.within("uploads"), content=content, headers=headers)
    except Refused as refusal:
        if refusal.status != 413 or refusal.code == OVER_QUOTA:
            raise
        raise CliError(
            f"{refusal.message} Leave files out with .dstackignore; the biggest are:",
            notes=collection.biggest(),
        ) from refusal
    if answer.get("hash") != archive.hash:
        raise CliError("The upload arrived damaged; run again.")


def _chunks(archive: Archive, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := archive.file.read(_CHUNK):
        yield chunk
        on_bytes(len(chunk))


def _warn(collection: Collection) -> None:
    for line in collection.warnings[:_MOST_WARNINGS]:
        warn(clean(line))
    if len(collection.warnings) > _MOST_WARNINGS:
        warn(f"and {len(collection.warnings) - _MOST_WARNINGS} more")
