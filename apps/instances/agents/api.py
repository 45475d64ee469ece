"""The agent's routes: what should be, what is. See `apps.agent.wire` for the messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TypeVar

from django.core.files.storage import default_storage
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.utils import timezone

from apps.agent import wire
from apps.core.errors import Invalid, NotFound, TooLarge
from apps.core.http import bodies
from apps.core.http.client_address import client_address
from apps.core.http.internal_routes import internal_route
from apps.core.http.long_poll import long_poll, since
from apps.core.threads import in_thread
from apps.instances import states
from apps.instances.agents import assignments, reports, tries
from apps.instances.agents.access import instance_of
from apps.instances.boot import enrolment, program
from apps.instances.boot.gateway_wheel import wheel as gateway_wheel_of_server
from apps.instances.models import GATEWAY, Instance

CHUNK_BYTES = 256 * 1024
ENROLMENT_BYTES = 4096

Said = TypeVar("Said")


@internal_route("GET")
async def assignment(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    known = since(request)
    answer = await long_poll(
        request,
        f"instance:{instance.pk}",
        has_news=lambda: _revision(instance) != known,
        answer=partial(assignments.assignment, instance=instance),
    )
    return JsonResponse(wire.to_json(answer))


def _revision(instance: Instance) -> int:
    return Instance.objects.values_list("revision", flat=True).get(pk=instance.pk)


@internal_route("POST")
async def report(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    try:
        said = wire.from_json(wire.Report, bodies.parsed(request.body))
    except ValueError as error:
        raise Invalid(str(error)) from error
    receipt = await in_thread(reports.take, instance=instance, report=said, at=timezone.now())
    return JsonResponse(wire.to_json(receipt))


@internal_route("POST")
async def enrol(request: HttpRequest) -> HttpResponseBase:
    """An agent calls it before it has a token."""
    answer = await in_thread(_enrolled, _said(request, wire.Enrolment), client_address(request))
    return JsonResponse(wire.to_json(answer))


@internal_route("POST")
async def boot_step(request: HttpRequest) -> HttpResponseBase:
    """A machine calls it before it has an agent."""
    await in_thread(_stepped, _said(request, wire.BootStep), client_address(request))
    return HttpResponse(status=204)


def _said(request: HttpRequest, kind: type[Said]) -> Said:
    body = request.read(ENROLMENT_BYTES + 1)
    if len(body) > ENROLMENT_BYTES:
        raise TooLarge(f"An enrolment has {ENROLMENT_BYTES} bytes at most.")
    try:
        return wire.from_json(kind, bodies.parsed(body))
    except ValueError as error:
        raise Invalid(str(error)) from error


def _stepped(told: wire.BootStep, address: str) -> None:
    with tries.counted(address):
        enrolment.note_step(told=told, at=timezone.now())


def _enrolled(asked: wire.Enrolment, address: str) -> wire.Enrolled:
    with tries.counted(address):
        return enrolment.enrol(asked=asked, at=timezone.now())


@internal_route("GET")
async def agent_program(request: HttpRequest) -> HttpResponseBase:
    """The agent itself, for a machine that boots: nothing in it is secret."""
    return _file(request, await in_thread(program.program), "application/zip")


@internal_route("GET")
async def gateway_wheel(request: HttpRequest) -> HttpResponseBase:
    """The gateway of this very server, for an instance that has one to run."""
    instance = await in_thread(instance_of, request)
    if not await in_thread(_runs_a_gateway, instance):
        raise NotFound("No workload of this instance is a gateway.")
    return _file(request, await in_thread(gateway_wheel_of_server), "application/zip")


def _runs_a_gateway(instance: Instance) -> bool:
    unfinished = instance.workloads.exclude(state=states.EXITED)
    return unfinished.filter(owner_kind=GATEWAY).exists()


def _file(request: HttpRequest, found: program.Program, content_type: str) -> HttpResponse:
    """Answer with a file whose version is its SHA-256, or say that it is known."""
    etag = f'"{found.sha256}"'
    known = [
        each.strip().removeprefix("W/")
        for each in request.headers.get("If-None-Match", "").split(",")
    ]
    is_known = etag in known or "*" in known
    answer = HttpResponse(
        b"" if is_known else found.content,
        status=304 if is_known else 200,
        content_type=content_type,
    )
    answer["ETag"], answer["Cache-Control"] = etag, "no-cache"
    return answer


@internal_route("GET")
async def blob(request: HttpRequest, *, digest: str) -> HttpResponseBase:
    """An agent fetches only the uploads of its own workloads."""
    instance = await in_thread(instance_of, request)
    found = await in_thread(_blob, instance, digest)
    if found is None:
        raise NotFound("No workload of this instance has that upload.")
    return StreamingHttpResponse(_chunks(found), content_type="application/gzip")


def _blob(instance: Instance, digest: str) -> str | None:
    unfinished = instance.workloads.exclude(state=states.EXITED)
    return unfinished.filter(upload_hash=digest).values_list("upload_blob", flat=True).first()


async def _chunks(blob: str) -> AsyncIterator[bytes]:
    """An archive may be larger than our memory; a synchronous iterator would be read whole."""
    file = await in_thread(default_storage.open, blob, "rb")
    try:
        while chunk := await in_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        await in_thread(file.close)
