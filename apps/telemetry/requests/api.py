"""Single requests of a run over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema

from apps.accounts import access as accounts
from apps.runs import queries as runs
from apps.telemetry.requests import queries
from apps.telemetry.requests.queries import Served, Wanted

router = Router()

MOST_ROWS = 500


class RequestOut(Schema):
    """One request, over `at`. Never its query, its body or its token.

    `status` is 499 where the caller left before an answer. `ended` says who broke off: "caller",
    "replica", "timeout" or "gateway"; empty where it came to its end. `key` is the name of the
    caller's key. It stands for `weight` requests.
    """

    at: datetime
    request_id: str
    method: str
    path: str
    status: int
    ended: str
    key: str
    replica: int | None
    held_ms: float
    first_byte_ms: float | None
    total_ms: float
    tokens_in: int | None
    tokens_out: int | None
    weight: int


class RequestsOut(Schema):
    """`kept` is false where the server keeps no single requests; `one_in` says of how many one is
    listed."""

    kept: bool
    one_in: int
    items: list[RequestOut]


class RequestQuery(Schema):
    """`status`: a class of answers, or what failed; `request_id`: the one that the caller was told;
    `order`: newest first, or the slowest of the last hour."""

    order: Literal["newest", "slowest"] = "newest"
    status: Literal["", "2xx", "3xx", "4xx", "5xx", "failed"] = ""
    request_id: Annotated[str, Query(max_length=128)] = ""
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100


@router.get(
    "/projects/{project}/runs/{name}/requests",
    response=RequestsOut,
    summary="Single requests of a run",
)
def requests(
    request: HttpRequest, project: str, name: str, asked: Annotated[RequestQuery, Query()]
) -> dict[str, Any]:
    """Of the newest run of that name: the newest or the slowest requests that its gateway told."""
    run = runs.find_run(accounts.of(request).project(project), name)
    wanted = Wanted(asked.order, asked.status, asked.request_id)
    found = queries.find(run=run, wanted=wanted, limit=asked.limit, at=timezone.now())
    return {
        "kept": queries.is_on(),
        "one_in": queries.one_in(run),
        "items": [_out(each) for each in found],
    }


def _out(served: Served) -> dict[str, Any]:
    row = served.row
    own = {
        name: getattr(row, name)
        for name in RequestOut.model_fields
        if name not in ("key", "replica")
    }
    return {**own, "key": served.key, "replica": row.replica_num}
