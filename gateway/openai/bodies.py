"""Bodies whose model HAProxy did not see: kept whole, on disk once they are long, up to a limit."""

from __future__ import annotations

import asyncio
import mmap
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO

from aiohttp import web

from gateway.openai import names

MOST_BYTES = 100 * 1024 * 1024
IN_MEMORY_BYTES = 256 * 1024
PIECE_BYTES = 256 * 1024
# Of one key at a time, so that nobody fills the disk or takes the place of others.
MOST_BYTES_OF_KEY = 1024 * 1024 * 1024


class TooLarge(Exception):
    """The body is longer than `MOST_BYTES`."""


class TooMany(Exception):
    """The key has `MOST_BYTES_OF_KEY` under way already."""


class Bodies:
    """Takes bodies in, and knows how much of whom is under way."""

    def __init__(
        self, *, most_bytes: int = MOST_BYTES, most_bytes_of_key: int = MOST_BYTES_OF_KEY
    ) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_of_key = most_bytes_of_key
        self._bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def taken(self, request: web.BaseRequest, *, of: str) -> AsyncIterator[Taken]:
        """This function will read a request's body, of the key `of`, to its end.

        Raises TooLarge and TooMany.
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
                yield Taken(file, length)
        finally:
            self._bytes[of] -= length
            if not self._bytes[of]:
                del self._bytes[of]


class Taken:
    """A body that was taken in."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self.length = length

    async def model(self, content_type: str) -> str | None:
        """This function will find the model that the body names. Raises `names.NotJson`."""
        if self.length == 0:
            return None
        if self.length <= IN_MEMORY_BYTES:
            self._file.seek(0)
            return find(self._file.read(), content_type)
        return await asyncio.to_thread(self._find_in_file, content_type)

    def _find_in_file(self, content_type: str) -> str | None:
        with mapped(self._file) as body:
            return find(body, content_type)

    async def pieces(self) -> AsyncIterator[bytes]:
        """This function will give the body again, piece by piece."""
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece


@contextmanager
def mapped(file: IO[bytes]) -> Iterator[mmap.mmap]:
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        yield body


def find(body: names.Body, content_type: str) -> str | None:
    if content_type.lower().startswith("multipart/"):
        return names.in_form(body, content_type)
    return names.in_json(body)
