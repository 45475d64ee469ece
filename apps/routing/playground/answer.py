"""A model's answer on its way to the page: events, each as it comes.

It is asked after the view has answered, so that whoever waits for a model that sleeps holds neither
a thread nor a database connection; where the page goes, the call ends at the gateway and the
replica too. The page gets

- `waiting` {"asleep"}: every few seconds until the answer begins,
- `began` {}: then the model's own events, as they are,
- `failed` {"message"}: instead, or where it breaks off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import httpx

from apps.accounts.access import Access
from apps.core.errors import AppError
from apps.core.threads import in_thread
from apps.routing.playground import chat_keys, destination
from apps.routing.playground.destination import Destination
from apps.runs import states
from apps.runs.models import Replica, Run

MOST_SECONDS = 1800.0
MOST_BYTES = 16 * 2**20
MOST_ERROR_BYTES = 2**20
MOST_AT_ONCE = 8
# The page hears early why it waits, then every few seconds.
FIRST_SECONDS, WAITING_SECONDS = 0.3, 2.0
RECHECK_SECONDS = 60.0
# How long a key that was just made may be unknown at its gateway.
NEW_KEY_SECONDS, NEW_KEY_STEP = 6.0, 0.1
STREAM = "text/event-stream"

under_way: Counter[int] = Counter()


@dataclass(frozen=True)
class Call:
    """Whose call it is, of which model, to where, and with what."""

    access: Access
    project: str
    run: Run
    destination: Destination
    key: str
    body: bytes


class Failed(Exception):
    """The answer ends here; the text is for the person."""


async def events(call: Call) -> AsyncGenerator[bytes]:
    """Ask the model, and yield what the page gets."""
    user = call.access.user.pk
    if under_way[user] >= MOST_AT_ONCE:
        yield _event("failed", message=f"You have {MOST_AT_ONCE} answers under way: stop one.")
        return
    under_way[user] += 1
    try:
        async with contextlib.aclosing(_asked(call)) as pieces:
            async for piece in pieces:
                yield piece
    except (Failed, AppError) as error:
        yield b"\n\n" + _event("failed", message=str(error))
    except httpx.HTTPError as error:
        yield b"\n\n" + _event("failed", message=_words(error, call))
    except TimeoutError:
        minutes = round(MOST_SECONDS / 60)
        yield b"\n\n" + _event("failed", message=f"The answer took more than {minutes} minutes.")
    finally:
        under_way[user] -= 1


async def _asked(call: Call) -> AsyncGenerator[bytes]:
    end = time.monotonic() + MOST_SECONDS
    # No proxy of the server's environment lies between it and its gateways.
    limits = httpx.Timeout(None, connect=10)
    trusted = await _trusted(call.destination.scheme)
    async with httpx.AsyncClient(verify=trusted, trust_env=False, timeout=limits) as client:
        request = _request(client, call, await destination.address_of(call.destination))
        answers = _answers(client, request, call, end=end)
        async with contextlib.aclosing(answers):
            async for answer in answers:
                if isinstance(answer, bytes):
                    yield answer
                    continue
                async with contextlib.aclosing(_passed_on(answer, call, end=end)) as pieces:
                    async for piece in pieces:
                        yield piece


async def _trusted(scheme: str) -> ssl.SSLContext:
    """Whose certificates count. To read them takes a tenth of a second, in which a web process
    would serve nobody else; without TLS none is asked for."""
    if scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return await in_thread(ssl.create_default_context)


def _request(client: httpx.AsyncClient, call: Call, address: str) -> httpx.Request:
    where = call.destination
    host = f"[{address}]" if ":" in address else address
    return client.build_request(
        "POST",
        f"{where.scheme}://{host}:{where.port}{destination.PATH}",
        content=call.body,
        headers={
            "Host": where.host,
            "Authorization": f"Bearer {call.key}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        },
        extensions={"sni_hostname": where.host} if where.scheme == "https" else {},
    )


async def _answers(
    client: httpx.AsyncClient, request: httpx.Request, call: Call, *, end: float
) -> AsyncGenerator[bytes | httpx.Response]:
    """Notes while the answer does not begin, then the answer."""
    known_at = time.monotonic() + NEW_KEY_SECONDS
    is_published = False
    while True:
        sending = asyncio.create_task(client.send(request, stream=True))
        try:
            patience = FIRST_SECONDS
            while not (await asyncio.wait([sending], timeout=patience))[0]:
                if time.monotonic() > end:
                    raise TimeoutError
                patience = WAITING_SECONDS
                yield _event("waiting", asleep=await in_thread(_is_asleep, call.run.pk))
            answer = sending.result()
        finally:
            await _ended(sending)
        try:
            if answer.status_code != 401 or time.monotonic() > known_at:
                yield answer
                return
        finally:
            await answer.aclose()
        # The gateway learns of a new key in the time of a message, if it was told of it at all.
        if not is_published:
            await in_thread(chat_keys.publish, call.run)
            is_published = True
        await asyncio.sleep(NEW_KEY_STEP)


async def _ended(sending: asyncio.Task[httpx.Response]) -> None:
    """End a call that nobody waits for any more."""
    if not sending.done():
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await (await sending).aclose()


async def _passed_on(answer: httpx.Response, call: Call, *, end: float) -> AsyncGenerator[bytes]:
    """Pass a stream on as it is. Raise Failed for all that is none."""
    if answer.status_code != 200:
        raise Failed(reason(answer.status_code, await _whole(answer, end=end)))
    if not answer.headers.get("Content-Type", "").lower().startswith(STREAM):
        # A model that does not stream says all at once; the page reads both.
        yield _event("began") + b"data: " + _on_one_line(await _whole(answer, end=end)) + b"\n\n"
        return
    yield _event("began")
    size, checked_at = 0, time.monotonic()
    async for piece in _pieces(answer, end=end):
        size += len(piece)
        if size > MOST_BYTES:
            raise Failed(f"The answer is longer than {MOST_BYTES // 2**20} MB.")
        yield piece
        if time.monotonic() - checked_at > RECHECK_SECONDS:
            checked_at = time.monotonic()
            await in_thread(_require_access, call)


async def _pieces(answer: httpx.Response, *, end: float) -> AsyncIterator[bytes]:
    pieces = answer.aiter_raw()
    while True:
        async with asyncio.timeout(max(end - time.monotonic(), 0)):
            piece = await anext(pieces, None)
        if piece is None:
            return
        yield piece


async def _whole(answer: httpx.Response, *, end: float) -> bytes:
    body = b""
    async for piece in _pieces(answer, end=end):
        body += piece
        if len(body) > MOST_ERROR_BYTES:
            raise Failed("The model answered with no stream, and more than the page can show.")
    return body


def _is_asleep(run_id: UUID) -> bool:
    return not Replica.objects.filter(run=run_id, state=states.RUNNING).exists()


def _require_access(call: Call) -> None:
    call.access.refreshed().project(call.project)


def _on_one_line(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body)).encode()
    except (ValueError, RecursionError):
        raise Failed("The model's answer is neither a stream nor JSON.") from None


def reason(status: int, body: bytes) -> str:
    """One sentence of an answer that is an error."""
    try:
        said = json.loads(body)
        found = said.get("error", said) if isinstance(said, dict) else said
        message = found.get("message") or found.get("detail") if isinstance(found, dict) else found
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, str) and message.strip():
        return " ".join(message.split())[:500]
    return f"The service answered {status}. See its logs."


def _words(error: httpx.HTTPError, call: Call) -> str:
    name = call.destination.gateway
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"This server does not trust the certificate that gateway {name} shows."
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"Gateway {name} does not answer this server."
    return "The answer broke off. See the logs of the service."


def _event(name: str, **said: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(said)}\n\n".encode()
