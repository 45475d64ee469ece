"""Machines of a project over HTTP: which there are, how one stands, ending one."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from apps.accounts import access as accounts
from apps.core.http import paging
from apps.instances import caches, ending
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
        "items": [
            queries.instance_json(each) for each in queries.shown(where, page.rows, access=access)
        ],
        "next_cursor": page.next_cursor,
        "unknown_machines": [queries.unknown_json(each) for each in unknown],
    }


@router.get(ONE, response=InstanceDetail, summary="Show an instance")
def show_instance(request: HttpRequest, project: str, instance: str) -> dict[str, Any]:
    access = accounts.of(request)
    where = access.project(project)
    (row,) = queries.shown(where, [queries.find(where, instance)], access=access)
    return queries.detail_json(row)


@router.delete(ONE, response=InstanceOut, summary="Terminate an instance")
def terminate_instance(request: HttpRequest, project: str, instance: str) -> dict[str, Any]:
    """End it; replicas that run there are replaced at once. Refused (409) for the server's own."""
    access = accounts.of(request)
    where = access.project(project)
    found = queries.find(where, instance)
    ending.terminate(found, access=access, at=timezone.now())
    (row,) = queries.shown(where, [found], access=access)
    return queries.instance_json(row)


@router.delete(ONE + "/cache", response=InstanceOut, summary="Clear a project's model files")
def clear_cache(request: HttpRequest, project: str, instance: str) -> dict[str, Any]:
    """Have the instance remove the model files that it keeps for the project, whose admins may do
    that. Refused (409) while replicas of the project run there; 404 where there are none."""
    access = accounts.of(request)
    where = access.project(project)
    found = queries.find(where, instance)
    caches.clear(found, where, access=access)
    (row,) = queries.shown(where, [found], access=access)
    return queries.instance_json(row)
