"""Requests that are wrong in seeded, random ways, and what a reader of the answers must see."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from tests.integration.gateway.harness import ALICE, BOB

# Each test's share of the suite; longer by hand.
SECONDS = float(os.environ.get("FUZZ_SECONDS", "4"))
SEED = int(os.environ.get("FUZZ_SEED", "20261125"))
AT_ONCE = 24
QUIET_SECONDS = 0.05
MOST_SECONDS = 3.0

METHODS = ("GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "get", "P@ST", "")
PATHS = (
    "/v1/chat/completions",
    "/chat/completions",
    "/",
    "/v1/models",
    "//evil.test/x",
    "/../../x",
    "/%00%ff?a=%zz",
    "http://hello.localhost/x",
    "*",
    "@evil.test/",
    "?x=1",
    "/x HTTP/1.1\r\nX-Dstack-Key: k-1",
    "/" + "a" * 9000,
    "/services/p1/hello/x",
)
VERSIONS = (
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "http/1.1",
    "HTTP/1.1 x",
    "",
)
ENDS = ("\r\n",) * 12 + ("\n", "\r", "\r\r\n", "\n\r", "\x00\r\n")
WORDS = (
    "Bearer {t}",
    '"Bearer {t}"',
    "bearer   {t}",
    "Bearer",
    "Bearer \x00{t}",
    "Bearer {t}\t",
    "Basic {t}",
    "Bearer {t}, Bearer {t}",
    "Bearer " + "x" * 6000,
    "Bearer \xff\xfe",
    "Bearer {t}; DROP",
    "",
)
FRAMINGS = (
    "Content-Length: {n}",
    "Content-Length: {n}",
    "Content-Length: {n}",
    "Content-Length: {n}\r\nContent-Length: {n}",
    "Content-Length: {n}\r\nContent-Length: 0",
    "Content-Length: 0\r\nContent-Length: {n}",
    "Content-Length: +{n}",
    "Content-Length: {n}, {n}",
    "Content-Length: 99999999999999999999",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding : chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding\r\n: chunked",
    "TRANSFER-ENCODING: CHUNKED",
    "Connection: Content-Length\r\nContent-Length: {n}",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "Expect: 100-continue\r\nContent-Length: {n}",
    "",
)
EXTRAS = (
    "X-Dstack-Key: {k}",
    "X-Dstack-Slot: s1",
    "x-dstack-endpoint: e-hello",
    "Connection: X-Dstack-Key, X-Forwarded-For",
    "Connection: keep-alive, close, upgrade",
    "Upgrade: h2c\r\nHTTP2-Settings: AA",
    "Host: gateway.localhost",
    "Cookie: " + "a=b;" * 500,
    "Trailer: X-Dstack-Key",
    "TE: trailers, deflate;q=0",
    "Content-Encoding: gzip",
    "Content-Type: multipart/form-data; boundary=",
    "Content-Type: multipart/form-data; boundary=b",
    "Accept: text/html",
    "X-\xe9: \xe9",
    ": empty",
    "no colon",
    "Range: bytes=0-0,1-1",
)
SIZES = ("{n:x}", "{n:X}", "0{n:x}", "{n:x};ext=1", "{n:x} ", "-1", "0x{n:x}", "{n:x}\n", "g", "")


def smuggled(key_id: str) -> bytes:
    """What must never be read as a request: it has no token, but says what only HAProxy says."""
    body = json.dumps({"model": "echo", "smuggled": 1}).encode()
    return (
        b"POST /v1/smuggled HTTP/1.1\r\nHost: gateway.localhost\r\nX-Dstack-Key: %s\r\n"
        b"X-Dstack-Slot: s1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    ) % (key_id.encode(), len(body), body)


@dataclass
class Maker:
    """Makes one wrong request after the other."""

    chance: random.Random
    key_id: str
    models: tuple[str, ...] = ("echo", "chat", "none")

    def odd(self, usual: tuple[str, ...], all_: tuple[str, ...]) -> str:
        """Mostly the usual, else whole requests would hardly ever come through."""
        return self.chance.choice(all_ if self.chance.random() < 0.12 else usual)

    def request(self, *, host: str | None = None) -> bytes:
        pick = self.chance.choice
        body = self.body()
        words = (
            self.odd(("POST",), METHODS),
            self.odd(PATHS[:3], PATHS),
            self.odd(VERSIONS[:1], VERSIONS),
        )
        line = " ".join(words)
        token = pick((ALICE, BOB, "dsk_u_nobody"))
        headers = [
            f"Host: {host or pick(('hello.localhost', 'gateway.localhost', 'localhost'))}",
            f"Authorization: {self.odd(WORDS[:1], WORDS).replace('{t}', token)}",
            *(f"Authentication: Bearer {ALICE}" for _ in range(pick((0, 1)))),
            *(pick(EXTRAS).replace("{k}", self.key_id) for _ in range(pick((0, 0, 1, 2)))),
        ]
        length = len(body) + int(self.odd(("0",), ("0", "-1", "1", "40")))
        usual = ("Content-Length: {n}", "Transfer-Encoding: chunked")
        framing = self.odd(usual, FRAMINGS).replace("{n}", str(length))
        if framing:
            headers.insert(self.chance.randrange(len(headers) + 1), framing)
        head = "".join(f"{each}{self.odd(ENDS[:1], ENDS)}" for each in (line, *headers)) + "\r\n"
        if "chunked" in framing.lower():
            body = self.chunked(body)
        return self.scratched(head.encode("latin-1") + body) + smuggled(self.key_id)

    def body(self) -> bytes:
        pick = self.chance.choice
        model = pick(self.models)
        large = {"messages": [{"role": "user", "content": "x" * pick((1, 100, 20_000))}]}
        good = json.dumps({**large, "model": model, "stream": pick((True, False))}).encode()
        return bytes(
            pick(
                (
                    good,
                    good,
                    good,
                    good[:-1],
                    good + smuggled(self.key_id),
                    b"[" * 5000,
                    b'{"model": {"model": "echo"}}',
                    b'{"model": 1e999}',
                    b'{"model": "\\ud800"}',
                    b'{"model": "' + b"m" * 20_000 + b'"}',
                    b"\xef\xbb\xbf" + good,
                    b'{"model": "echo", "model": "chat"}',
                    b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\necho\r\n--b--\r\n",
                    b"--b\r\n\r\n--b",
                    b"\x00" * 100,
                    b"",
                )
            )
        )

    def chunked(self, body: bytes) -> bytes:
        pick, text = self.chance.choice, b""
        while body:
            size = min(len(body), pick((1, 7, 300, 20_000)))
            if len(text) > 40_000:
                size = len(body)
            shown = self.odd(SIZES[:1], SIZES).replace("{n:x}", f"{size:x}")
            text += shown.replace("{n:X}", f"{size:X}").encode() + b"\r\n" + body[:size]
            text += self.odd(("\r\n",), ("", "\n", "\r\n\r\n")).encode()
            body = body[size:]
        return text + pick(
            (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-Dstack-Key: k\r\n\r\n", b"0\r\n", b"")
        )

    def scratched(self, text: bytes) -> bytes:
        """Now and then some bytes are others, gone, or there twice."""
        if self.chance.random() < 0.8:
            return text
        scratched = bytearray(text)
        for _ in range(self.chance.choice((1, 1, 2, 8))):
            at = self.chance.randrange(min(len(scratched), 600) or 1)
            deed = self.chance.choice(("other", "gone", "twice"))
            if deed == "other":
                scratched[at : at + 1] = bytes([self.chance.randrange(256)])
            elif deed == "gone":
                del scratched[at : at + self.chance.choice((1, 1, 5))]
            else:
                scratched[at:at] = scratched[at : at + 20]
        return bytes(scratched)


@dataclass
class Seen:
    """The answers to a campaign, by status; `wrong` are those that nobody can read."""

    statuses: dict[int, int] = field(default_factory=dict)
    wrong: list[bytes] = field(default_factory=list)
    count: int = 0

    def take(self, sent: bytes, got: bytes) -> None:
        self.count += 1
        try:
            for status in statuses_of(got):
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if status == 500:
                    self.wrong.append(sent[:400] + b" -> " + got[:1200])
        except ValueError:
            self.wrong.append(sent[:400] + b" -> " + got[:1200])


def statuses_of(text: bytes) -> Iterator[int]:
    """Read answers one after the other; the last one may be cut off.

    Raise ValueError for bytes that are no answer.
    """
    while text:
        if not text.startswith(b"HTTP/"):
            raise ValueError("no answer")
        head, found, text = text.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        yield status
        if not found:
            return
        headers = head.lower().split(b"\r\n")[1:]
        length = [int(h.split(b":")[1]) for h in headers if h.startswith(b"content-length:")]
        if status < 200 or status in (204, 304):
            continue
        if b"transfer-encoding: chunked" in headers:
            text = after_chunks(text)
        elif length:
            # An answer to HEAD has the length and no body.
            text = text if text.startswith(b"HTTP/") else text[length[0] :]
        else:
            return


def after_chunks(text: bytes) -> bytes:
    while text:
        size, _, text = text.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"x", 16)
        if length == 0:
            return text.removeprefix(b"\r\n")
        if len(text) >= length + 2 and text[length : length + 2] != b"\r\n":
            raise ValueError("a chunk without an end")
        text = text[length + 2 :]
    return text


Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def campaign(connect: Connect, make: Callable[[], bytes]) -> Seen:
    """Send requests, some at once, for `SECONDS`."""
    seen, end = Seen(), time.monotonic() + SECONDS

    async def worker() -> None:
        while time.monotonic() < end:
            sent = make()
            seen.take(sent, await exchanged(connect, sent))

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return seen


async def exchanged(connect: Connect, sent: bytes) -> bytes:
    """What comes back until the other side closes, or has been quiet for a moment."""
    reader, writer = await connect()
    try:
        writer.write(sent)
        return b"".join([piece async for piece in pieces(reader)])
    except OSError:
        return b""
    finally:
        writer.close()


async def pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    end = time.monotonic() + MOST_SECONDS
    wait = MOST_SECONDS / 6
    while time.monotonic() < end:
        try:
            async with asyncio.timeout(wait):
                piece = await reader.read(65_536)
        except TimeoutError:
            return
        if not piece:
            return
        yield piece
        wait = QUIET_SECONDS
