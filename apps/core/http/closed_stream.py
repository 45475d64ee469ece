"""An asynchronous stream that ends with its connection.

Django closes no generator of a stream: one that waits at its `yield` when the reader goes ends
when memory is tidied, and until then so does nothing that it holds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.http import StreamingHttpResponse


class ClosedStream(StreamingHttpResponse):
    """A response whose generator is closed as soon as nobody reads it any more."""

    def __init__(self, pieces: AsyncGenerator[bytes], *, content_type: str) -> None:
        super().__init__(pieces, content_type=content_type)
        self._pieces = pieces

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """Yield the pieces. Django's handler reads them this way, and closes it at the end."""
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                yield piece
