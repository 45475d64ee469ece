"""The errors that a person may see. Everything else is a bug and propagates.

AppError                  400
+-- Invalid               422   with details: path, line, column, message
+-- NotSignedIn           401
+-- Forbidden             403   what one sees but may not do
+-- NotFound              404   what is not there, or what one may not see
+-- Conflict              409   the world changed since the person looked
+-- Gone                  410   what was there, and will not be again
+-- TooLarge              413
|   +-- OverQuota         413   not too large by itself, but with all that is kept already
+-- TooManyRequests       429   with Retry-After
+-- Unavailable           503   a part of the server is away; try again
+-- DiskFull              507   of the server; whoever runs it must free some space
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Detail:
    """One problem of an input: where it is (path, 1-based line and column) and what is wrong."""

    path: str
    message: str
    line: int | None = None
    column: int | None = None


class AppError(Exception):
    """An error whose text is for the person: what is wrong, where, and what to do."""

    code = "bad_request"
    status = 400

    def __init__(self, message: str, *, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = list(details)


class Invalid(AppError):
    code = "invalid"
    status = 422


class NotSignedIn(AppError):
    code = "not_signed_in"
    status = 401


class Forbidden(AppError):
    code = "forbidden"
    status = 403


class NotFound(AppError):
    code = "not_found"
    status = 404


class Conflict(AppError):
    code = "conflict"
    status = 409


class Gone(AppError):
    code = "gone"
    status = 410


class TooLarge(AppError):
    code = "too_large"
    status = 413


class OverQuota(TooLarge):
    code = "over_quota"


class TooManyRequests(AppError):
    """`retry_after_seconds` is when it is worth another try."""

    code = "too_many_requests"
    status = 429
    retry_after_seconds = 2


class Unavailable(AppError):
    code = "unavailable"
    status = 503


class DiskFull(AppError):
    code = "disk_full"
    status = 507
