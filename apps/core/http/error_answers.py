"""Errors as every API here sends them: `{"error": {"code", "message", "details": [...]}}`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from django.http import JsonResponse

from apps.core.errors import AppError, Detail, TooManyRequests, Unavailable
from apps.core.stores import disk

CODES = {400: "bad_request", 401: "not_signed_in", 403: "forbidden", 404: "not_found"}
CODES |= {405: "method_not_allowed", 409: "conflict", 413: "too_large", 500: "internal"}
CODES |= {507: "disk_full"}
AWAY_SECONDS = 2


def answer(
    status: int, message: str, *, code: str = "", details: Sequence[Detail] = ()
) -> JsonResponse:
    error = {
        "code": code or CODES.get(status, "error"),
        "message": message,
        "details": [asdict(detail) for detail in details],
    }
    response = JsonResponse({"error": error}, status=status)
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="dstack-web"'
    return response


def answer_of(error: AppError) -> JsonResponse:
    """Return the answer that an error stands for."""
    response = answer(error.status, error.message, code=error.code, details=error.details)
    if isinstance(error, TooManyRequests):
        response["Retry-After"] = str(error.retry_after_seconds)
    return response


def answer_of_away(error: Exception) -> JsonResponse:
    """Return what to answer when the database is away, or its disk is full (`database.AWAY`)."""
    if full := disk.refusal(error):
        return answer_of(full)
    response = answer_of(Unavailable("The database is away; try again in a moment."))
    response["Retry-After"] = str(AWAY_SECONDS)
    return response
