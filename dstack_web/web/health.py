"""Is the process there, are its parts there, and the figures of both for Prometheus."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from apps.accounts.access import TokenAuth
from apps.backends import identity
from apps.core.errors import AppError
from apps.core.http.bearer import token_of
from apps.core.http.error_answers import answer
from apps.core.models import Stateful
from apps.instances.models import Instance
from apps.runs.models import Replica, Run
from apps.telemetry.metrics import prometheus

TIMEOUT_SECONDS = 1.0
# Repeated labels shrink to a tenth at any level.
GZIP_LEVEL = 1
MODELS: dict[str, type[Stateful]] = {"runs": Run, "replicas": Replica, "instances": Instance}


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """What this process needs answers: 200, or 503 that names what is away."""
    parts = {"database": _database_answers(), "broker": _broker_answers()}
    words = {name: "ok" if there else "away" for name, there in parts.items()}
    status = 200 if all(parts.values()) else 503
    if parts["database"] and _are_clouds_held():
        # No reason to send nobody here: all but clouds works.
        words["clouds"] = "held: see the page Backends"
    return JsonResponse({"status": "ok" if status == 200 else "not ready", **words}, status=status)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Figures for Prometheus, with the token of DSTACK_METRICS_TOKEN or of a global admin.

    That a caller is on this host means nothing: services run here, too.
    """
    try:
        if not _may_scrape(request):
            TokenAuth()(request).require_global_admin()
    except AppError as error:
        return answer(error.status, error.message, code=error.code)
    content = ("\n".join(_lines()) + "\n").encode()
    response = HttpResponse(content, content_type="text/plain; version=0.0.4; charset=utf-8")
    patch_vary_headers(response, ["Accept-Encoding"])
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.content = gzip.compress(content, GZIP_LEVEL, mtime=0)
        response["Content-Encoding"] = "gzip"
    return response


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _are_clouds_held() -> bool:
    try:
        return bool(identity.why_held())
    except DatabaseError:
        return False


def _broker_answers() -> bool:
    url = settings.REDIS_URL.replace("redis+socket://", "unix://")
    limits = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    client = redis.Redis.from_url(url, **limits)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def _may_scrape(request: HttpRequest) -> bool:
    wanted = settings.DSTACK_METRICS_TOKEN
    return bool(wanted) and constant_time_compare(token_of(request), wanted)


def _lines() -> Iterator[str]:
    for name, model in MODELS.items():
        yield f"# HELP dstack_{name} Number of {name} by state."
        yield f"# TYPE dstack_{name} gauge"
        counts = dict(model._default_manager.values_list("state").annotate(Count("pk")))
        for state in model.state_machine.states:
            yield f'dstack_{name}{{state="{state}"}} {counts.get(state, 0)}'
    yield "# HELP dstack_sweep_lag_seconds How long the longest waiting row is overdue."
    yield "# TYPE dstack_sweep_lag_seconds gauge"
    now = timezone.now()
    for model in MODELS.values():
        due = model._default_manager.aggregate(at=Min("next_check_at"))["at"]
        lag = max((now - due).total_seconds(), 0.0) if due else 0.0
        yield f'dstack_sweep_lag_seconds{{machine="{model.state_machine.name}"}} {lag:.3f}'
    yield from prometheus.lines(at=now)
