"""Machines of a project over HTTP: which there are, how one stands, ending one."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from apps.accounts import access as accounts
from apps.core.http import paging
from apps.instances import ending
from apps.instances.listing import queries
from apps.instances.listing.schemas import InstanceDetail, InstanceList, InstanceOut

router = Router()

ALL = "/projects/{project}/instances"
ONE = ALL + "/{instance}"


@router.get(ALL, response=InstanceList, summary="List instances")
def list_instances(
    request: HttpRequest,
    project: str,
    ended: bool = False,
    limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Those that have not ended, newest first; with `ended`, all."""
    access = accounts.of(request)
    where = access.project(project)
    found = queries.instances_of(where, ended=ended)
    page = paging.page(found, by="-id", limit=limit, cursor=cursor)
    unknown = queries.unknown_machines(access, where)
    return {
        "items": [queries.instance_json(each) for each in queries.shown(where, page.rows)],
        "next_cursor": page.next_cursor,
        "unknown_machines": [queries.unknown_json(each) for each in unknown],
    }


@router.get(ONE, response=InstanceDetail, summary="Show an instance")
def show_instance(request: HttpRequest, project: str, instance: str) -> dict[str, Any]:
    where = accounts.of(request).project(project)
    (row,) = queries.shown(where, [queries.find(where, instance)])
    return queries.detail_json(row)


@router.delete(ONE, response=InstanceOut, summary="Terminate an instance")
def terminate_instance(request: HttpRequest, project: str, instance: str) -> dict[str, Any]:
    """End it; replicas that run there are replaced at once. Refused (409) for the server's own."""
    access = accounts.of(request)
    where = access.project(project)
    found = queries.find(where, instance)
    ending.terminate(found, access=access, at=timezone.now())
    (row,) = queries.shown(where, [found])
    return queries.instance_json(row)
