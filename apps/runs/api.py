"""The API of runs: plan, submit, update, roll back, look, stop, scale, delete, upload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Status

from apps.accounts import access as accounts
from apps.accounts.models import Project
from apps.core.errors import Conflict
from apps.core.http import paging
from apps.instances.states import WORKLOAD
from apps.offers import queries as offers
from apps.runs import queries, services, states
from apps.runs.files import stored, uploads
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from apps.runs.rollout import history
from apps.runs.rollout import versions as updates
from apps.runs.schemas import (
    EventList,
    PlanIn,
    PlanOut,
    RollbackIn,
    RunList,
    RunOut,
    ScaleIn,
    ScalePlanOut,
    StopIn,
    SubmitIn,
    UploadList,
    UploadOut,
    VersionList,
)

router = Router()
CHUNK_BYTES = 256 * 1024


def _project(request: HttpRequest, name: str) -> Project:
    return accounts.of(request).project(name)


def _run(request: HttpRequest, project: str, name: str) -> Run:
    return queries.find_run(_project(request, project), name)


def _asked(body: PlanIn) -> PlanRequest:
    return PlanRequest(**body.dict(exclude={"plan_id", "left_out"}))


@router.post("/projects/{project}/runs/plan", response=PlanOut)
def plan(request: HttpRequest, project: str, body: PlanIn) -> dict[str, Any]:
    access = accounts.of(request)
    found = services.plan(access=access, project=_project(request, project), request=_asked(body))
    return {
        "plan_id": found.plan_id,
        "name": found.name,
        "project": project,
        "user": access.actor,
        "action": found.action,
        "rollout": found.rollout,
        "differences": [asdict(one) for one in found.differences],
        "current": queries.run_json(found.current) if found.current else None,
        "spec": services.without_secrets(found.spec),
        "offers": [offers.offer_json(offer) for offer in found.offers],
        "total_offers": found.total_offers,
        "max_price_usd_per_hour": found.max_price_usd_per_hour,
        "url": found.url,
        "model_url": found.model_url,
        "shell": found.shell,
        "warnings": list(found.warnings),
        "left_out": body.left_out,
    }


@router.post("/projects/{project}/runs", response={201: RunOut})
def submit(request: HttpRequest, project: str, body: SubmitIn) -> Status[dict[str, Any]]:
    run = services.submit(
        access=accounts.of(request),
        project=_project(request, project),
        request=_asked(body),
        plan_id=body.plan_id,
    )
    return Status(201, queries.run_json(run))


@router.patch("/projects/{project}/runs/{name}", response=RunOut)
def update(request: HttpRequest, project: str, name: str, body: SubmitIn) -> dict[str, Any]:
    """The next version of a run: the same as submitting under its name, which must be active."""
    found = _run(request, project, name)
    if found.state not in queries.ACTIVE_RUNS:
        raise Conflict(f"{name} is {found.state}: run it again instead.")
    asked = replace(_asked(body), name=name)
    run = services.submit(
        access=accounts.of(request), project=found.project, request=asked, plan_id=body.plan_id
    )
    return queries.run_json(run)


@router.get("/projects/{project}/runs/{name}/versions", response=VersionList)
def versions(request: HttpRequest, project: str, name: str) -> dict[str, Any]:
    """The run's versions, newest first, each with what it changed."""
    return {"items": [asdict(one) for one in history.of(_run(request, project, name))]}


@router.post("/projects/{project}/runs/{name}/rollback", response=RunOut)
def rollback(request: HttpRequest, project: str, name: str, body: RollbackIn) -> dict[str, Any]:
    found = _run(request, project, name)
    run = updates.rollback(access=accounts.of(request), run=found, to=body.to)
    return queries.run_json(run)


@router.get("/projects/{project}/runs", response=RunList)
def runs(
    request: HttpRequest,
    project: str,
    active: bool = False,
    limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The project's runs, newest first; with `active`, only those that are not over."""
    shown = queries.runs_of(_project(request, project))
    if active:
        shown = shown.exclude(state__in=states.RUN.final)
    page = paging.page(shown, by="-id", limit=limit, cursor=cursor)
    return {"items": queries.runs_json(page.rows), "next_cursor": page.next_cursor}


@router.get("/projects/{project}/runs/{name}", response=RunOut)
def run(request: HttpRequest, project: str, name: str) -> dict[str, Any]:
    return queries.run_json(_run(request, project, name))


@router.delete("/projects/{project}/runs/{name}", response={204: None})
def delete(request: HttpRequest, project: str, name: str) -> Status[None]:
    services.delete(access=accounts.of(request), run=_run(request, project, name))
    return Status(204, None)


@router.post("/projects/{project}/runs/{name}/stop", response=RunOut)
def stop(request: HttpRequest, project: str, name: str, body: StopIn) -> dict[str, Any]:
    found = _run(request, project, name)
    stopped = services.stop(access=accounts.of(request), run=found, abort=body.abort)
    return queries.run_json(stopped)


@router.post("/projects/{project}/runs/{name}/scale", response=RunOut)
def scale(request: HttpRequest, project: str, name: str, body: ScaleIn) -> dict[str, Any]:
    found = _run(request, project, name)
    scaled = services.scale(access=accounts.of(request), run=found, replicas=str(body.replicas))
    return queries.run_json(scaled)


@router.post("/projects/{project}/runs/{name}/scale/plan", response=ScalePlanOut)
def scale_plan(request: HttpRequest, project: str, name: str, body: ScaleIn) -> dict[str, Any]:
    """What `scale` would do, and what a person should know before: it changes nothing."""
    access, found = accounts.of(request), _run(request, project, name)
    asked = str(body.replicas)
    warnings = services.scale_warnings(access=access, run=found, replicas=asked)
    return {"before": found.desired_replicas, "replicas": asked, "warnings": warnings}


@router.get("/projects/{project}/runs/{name}/events", response=EventList)
def events_of_run(
    request: HttpRequest,
    project: str,
    name: str,
    limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> dict[str, Any]:
    found = queries.timeline(_run(request, project, name)).exclude(state_machine=WORKLOAD.name)
    return _events(paging.page(found, by="-id", limit=limit, cursor=cursor))


@router.get("/projects/{project}/events", response=EventList)
def events(
    request: HttpRequest,
    project: str,
    limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> dict[str, Any]:
    found = queries.events_of(_project(request, project)).exclude(state_machine=WORKLOAD.name)
    return _events(paging.page(found, by="-id", limit=limit, cursor=cursor))


def _events(page: paging.Page[Any]) -> dict[str, Any]:
    names = queries.names_of(page.rows)
    return page.as_json(lambda event: queries.event_json(event, names))


@router.post("/projects/{project}/uploads", response={201: UploadOut})
def upload(request: HttpRequest, project: str) -> Status[dict[str, Any]]:
    """The body is the archive (tar.gz); the answer's hash is of what it holds, whatever the times
    of its files: name it in a plan."""
    saved = uploads.save(project=_project(request, project), chunks=_chunks(request))
    return Status(201, {"hash": saved.hash, "size_bytes": saved.size_bytes})


def _chunks(request: HttpRequest) -> Iterator[bytes]:
    while chunk := request.read(CHUNK_BYTES):
        yield chunk


@router.api_operation(["GET", "HEAD"], "/projects/{project}/uploads/{digest}", response=UploadOut)
def upload_known(request: HttpRequest, project: str, digest: str) -> Any:
    found = uploads.find(project=_project(request, project), digest=digest)
    # Whoever asks for it is about to name it in a plan.
    uploads.touch(found)
    if request.method == "HEAD":
        return HttpResponse(headers={"Content-Length": "0"})
    return {"hash": found.hash, "size_bytes": found.size_bytes}


@router.get("/projects/{project}/uploads", response=UploadList)
def upload_list(
    request: HttpRequest,
    project: str,
    limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The project's uploads, newest first, each with the versions that need it."""
    where = _project(request, project)
    page = paging.page(where.uploads.all(), by="-id", limit=limit, cursor=cursor)
    needs = stored.needs(page.rows)
    return {
        **page.as_json(lambda upload: stored.as_json(upload, needs[upload.pk])),
        "used_bytes": stored.used_bytes(where),
        "quota_bytes": stored.quota_bytes(),
    }


@router.delete("/projects/{project}/uploads/{digest}", response={204: None})
def upload_delete(request: HttpRequest, project: str, digest: str) -> Status[None]:
    """Delete an upload that no version needs."""
    stored.delete(project=_project(request, project), digest=digest)
    return Status(204, None)
