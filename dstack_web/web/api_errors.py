"""Errors as the API sends them, always: in the shape of `apps.core.http.error_answers`.

Inside a route ninja's handlers make them; `answer_in_json` makes the ones that arise around the
routes (no such route, wrong method, bad host, an exception in a middleware).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from apps.core import errors
from apps.core.errors import AppError, Detail
from apps.core.http.error_answers import answer, answer_of, answer_of_away
from apps.core.stores import database, disk
from apps.core.transition import Stale

logger = logging.getLogger(__name__)

PREFIX = "/api/"
GetResponse = Callable[[HttpRequest], HttpResponseBase]
Handler = Callable[[HttpRequest, Any], HttpResponse]


def add_handlers(api: NinjaAPI) -> None:
    """Make `api` answer every exception in the one shape."""
    for kind, handler in _handlers().items():
        api.add_exception_handler(kind, handler)


def _handlers() -> dict[type[Exception], Handler]:
    return {
        AppError: _app_error,
        ValidationError: _validation_error,
        HttpError: _http_error,
        Http404: lambda _, exc: answer(404, str(exc) or "Not found."),
        PermissionDenied: lambda _, exc: answer(403, "Not allowed."),
        Stale: _stale,
        RequestDataTooBig: _too_big,
        UnreadablePostError: lambda _, exc: answer(400, "The body broke off."),
        OperationalError: _database_away,
        InterfaceError: _database_away,
        OSError: _outside,
        Exception: _bug,
    }


def _app_error(request: HttpRequest, exc: AppError) -> HttpResponse:
    return answer_of(exc)


def _validation_error(request: HttpRequest, exc: ValidationError) -> HttpResponse:
    details = _each_place_once([_detail(error["loc"], error["msg"]) for error in exc.errors])
    words = [f"{detail.path}: {detail.message}" for detail in details]
    return answer(
        422, f"The request is not valid: {'; '.join(words)}", code="invalid", details=details
    )


def _detail(loc: Sequence[str | int], message: str) -> Detail:
    # ("body", name of the route's argument, field, ...) or ("query", field): the person knows the
    # fields only.
    fields = loc[2:] if loc[0] == "body" else loc[1:]
    path = ".".join(str(part) for part in fields) or str(loc[0])
    return Detail(path, message.removeprefix("Value error, "))


def _each_place_once(details: Sequence[Detail]) -> list[Detail]:
    """A value of several types is wrong once, however many types it is not of."""
    told: dict[str, list[str]] = {}
    for each in details:
        told.setdefault(each.path, []).append(each.message)
    return [Detail(path, " or ".join(messages)) for path, messages in told.items()]


def _http_error(request: HttpRequest, exc: HttpError) -> HttpResponse:
    if isinstance(exc.__cause__, AppError):
        return _app_error(request, exc.__cause__)
    if isinstance(exc, AuthenticationError):
        return _app_error(request, errors.NotSignedIn("Send a token: 'Authorization: Bearer ...'."))
    return answer(exc.status_code, exc.message)


def _stale(request: HttpRequest, exc: Stale) -> HttpResponse:
    return answer(409, "It changed while you were looking: look again and repeat.")


def _too_big(request: HttpRequest, exc: RequestDataTooBig) -> HttpResponse:
    return answer(413, "The body is too large for this route.")


def _database_away(request: HttpRequest, exc: Exception) -> HttpResponse:
    logger.warning("%s %s: %s", request.method, request.path, exc)
    database.drop_dead_connections()
    return answer_of_away(exc)


def _outside(request: HttpRequest, exc: Exception) -> HttpResponse:
    full = disk.refusal(exc)
    if full is None:
        return _bug(request, exc)
    logger.error("%s %s: %s", request.method, request.path, exc)
    return _app_error(request, full)


def _bug(request: HttpRequest, exc: Exception) -> HttpResponse:
    reference = secrets.token_hex(4)
    logger.error("%s: %s %s", reference, request.method, request.path, exc_info=exc)
    return answer(500, f"Something went wrong on the server; its log has it as {reference}.")


@sync_and_async_middleware
def answer_in_json(get_response: GetResponse) -> Callable[[HttpRequest], object]:
    """A middleware, the outermost: errors below /api/ are JSON, wherever they come from.

    It also refuses NUL in addresses, which PostgreSQL has no text for, on all pages.
    """
    if iscoroutinefunction(get_response):
        awaited: Callable[[HttpRequest], Awaitable[HttpResponseBase]] = get_response

        async def async_middleware(request: HttpRequest) -> HttpResponseBase:
            return _refused(request) or _in_json(request, await awaited(request))

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponseBase:
        return _refused(request) or _in_json(request, get_response(request))

    return middleware


def _refused(request: HttpRequest) -> HttpResponse | None:
    if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
        return answer(400, "The address holds a NUL character (%00), which nothing here accepts.")
    return None


def _in_json(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code < 400 or not f"{request.path}/".startswith(PREFIX):
        return response
    if response.headers.get("Content-Type", "").startswith("application/json"):
        return response
    replaced = answer(response.status_code, _words(request, response))
    if "Allow" in response.headers:
        replaced["Allow"] = response.headers["Allow"]
    return replaced


def _words(request: HttpRequest, response: HttpResponseBase) -> str:
    where = f"{request.method} {request.path[:200]}"
    words = {
        404: f"There is no route {where}; see /api/docs.",
        405: f"{where} is not possible here; use {response.headers.get('Allow', '')}.",
        413: "The body is too large for this route.",
        500: "Something went wrong on the server; see its log.",
        507: f"A disk of the server is full. {disk.AFTER}",
    }
    return words.get(response.status_code, f"The server refused {where}.")
