"""Bodies whose model HAProxy did not see: kept whole, on disk once they are long, up to a limit."""

from __future__ import annotations

import asyncio
import mmap
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO

from aiohttp import web

from gateway.openai import forms, names

MOST_BYTES = 100 * 1024 * 1024
IN_MEMORY_BYTES = 256 * 1024
PIECE_BYTES = 256 * 1024
BEGIN_BYTES = 64
# Longer forms are read in a thread: a small one may be slow to read.
FORM_AT_ONCE_BYTES = 16 * 1024
# 100 MB of files take a tenth of a second.
MOST_FORM_SECONDS = 3.0
# Of one key at a time, so that nobody fills the disk or takes the place of others.
MOST_BYTES_OF_KEY = 1024 * 1024 * 1024


class TooLarge(Exception):
    """The body is longer than `MOST_BYTES`."""


class TooMany(Exception):
    """The key has `MOST_BYTES_OF_KEY` under way already."""


class Bodies:
    """Receives bodies, and knows how much of whom is under way."""

    def __init__(
        self, *, most_bytes: int = MOST_BYTES, most_bytes_of_key: int = MOST_BYTES_OF_KEY
    ) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_of_key = most_bytes_of_key
        self._bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def receive(self, request: web.BaseRequest, *, of: str) -> AsyncIterator[ReceivedBody]:
        """Read a request's body, of the key `of`, to its end.

        Raise TooLarge and TooMany.
        """
        if (request.content_length or 0) > self._most_bytes:
            raise TooLarge
        length = 0
        try:
            with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=".") as file:
                async for piece in request.content.iter_any():
                    length += len(piece)
                    self._bytes[of] += len(piece)
                    if length > self._most_bytes:
                        raise TooLarge
                    if self._bytes[of] > self._most_bytes_of_key:
                        raise TooMany
                    file.write(piece)
                yield ReceivedBody(file, length)
        finally:
            self._bytes[of] -= length
            if not self._bytes[of]:
                del self._bytes[of]


class ReceivedBody:
    """A body that was received."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self.length = length

    async def model(self, content_type: str) -> str | None:
        """Return the model that the body names. Raise `names.NotJson` and `forms.BadForm`."""
        if self.length == 0:
            return None
        if is_form(content_type, self._begin()):
            if self.length <= FORM_AT_ONCE_BYTES:
                return forms.model(self._read(), content_type)
            return await asyncio.to_thread(self._in_form, content_type)
        if self.length <= IN_MEMORY_BYTES:
            self._file.seek(0)
            return names.in_json(self._file.read())
        return await asyncio.to_thread(self._in_json)

    def _begin(self) -> bytes:
        self._file.seek(0)
        return self._file.read(BEGIN_BYTES)

    def _in_json(self) -> str | None:
        with mapped(self._file) as body:
            return names.in_json(body)

    def _in_form(self, content_type: str) -> str | None:
        return forms.model(with_deadline(self._read()), content_type)

    def _read(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body again, piece by piece."""
        for piece in self._read():
            yield piece


@contextmanager
def mapped(file: IO[bytes]) -> Iterator[mmap.mmap]:
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        yield body


def is_form(content_type: str, begin: bytes) -> bool:
    """Tell whether a body is a form, by its type and its first bytes.

    curl says of JSON too that it is urlencoded, unless it is told what it sends.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return not begin.lstrip().startswith(b"{")
    return kind.startswith("multipart/")


def with_deadline(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give pieces on as long as this thread has not worked on them for too long.

    Raise forms.BadForm then: some forms are made to be read byte by byte.
    """
    until = time.thread_time() + MOST_FORM_SECONDS
    for piece in pieces:
        if time.thread_time() > until:
            raise forms.BadForm("The form takes too long to read.")
        yield piece
