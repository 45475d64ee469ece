"""What a caller is told when a request cannot be answered, in the shape of OpenAI's API."""

from __future__ import annotations

import json
from typing import Any

TYPES = {
    400: "invalid_request_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
# How TGI says that a request was not right for it (the rest is its own fault).
OVERLOADED = "overloaded"


class Refused(Exception):
    """The answer is an error: `status` and one sentence for the caller."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        retry_after_seconds: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "server_error")
        said = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": said}


def of_upstream(
    status: int, body: bytes | str, *, retry_after_seconds: str | None = None
) -> Refused:
    """Return what the caller is told of an error answer of the replica, or of
    the gateway in its place (nobody ready, too many waiting)."""
    message, code = _said(body)
    message = message or f"The model's server answered {status}."
    told = 400 if status in (400, 413, 422) else status if status in (429, 503, 504) else 502
    return Refused(message, status=told, code=code, retry_after_seconds=retry_after_seconds)


def in_stream(said: dict[str, Any]) -> Refused:
    """Return the error that TGI put into a stream, where the status is 200."""
    code = said.get("error_type")
    status = {"validation": 400, OVERLOADED: 429}.get(str(code), 502)
    return Refused(str(said["error"]), status=status, code=str(code) if code else None)


def _said(body: bytes | str) -> tuple[str, str | None]:
    """The message and code of TGI's shape, or of OpenAI's."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        code = error.get("code")
        return str(error.get("message") or ""), code if isinstance(code, str) else None
    code = said.get("error_type") if isinstance(said, dict) else None
    return str(error or ""), code if isinstance(code, str) else None
