"""Google's libraries, imported with the first call: no process that asks no cloud waits for them.

Whatever they raise is named here too, so that no other module imports them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from apps.backends.base import ErrorKind, ProviderError, Scope


@cache
def compute() -> Any:
    return _imported("google.cloud.compute_v1")


@cache
def exceptions() -> Any:
    return _imported("google.api_core.exceptions")


@cache
def auth() -> Any:
    return _imported("google.auth")


@cache
def auth_exceptions() -> Any:
    return _imported("google.auth.exceptions")


@cache
def transport_exceptions() -> Any:
    return _imported("requests.exceptions")


def session_of(credentials: Any) -> Any:
    """Return a session for the APIs that the library of machines does not know."""
    return _imported("google.auth.transport.requests").AuthorizedSession(credentials)


def anonymous() -> Any:
    return _imported("google.auth.credentials").AnonymousCredentials()


def service_account(info: dict[str, Any], scopes: list[str]) -> Any:
    made = _imported("google.oauth2.service_account").Credentials
    return made.from_service_account_info(info, scopes=scopes)


def errors() -> tuple[type[Exception], ...]:
    """Return all that a call may raise which is a fault of the cloud or of the way there."""
    unreadable = _imported("google.protobuf.json_format").ParseError
    return (
        exceptions().GoogleAPIError,
        auth_exceptions().GoogleAuthError,
        transport_exceptions().RequestException,
        unreadable,
    )


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ProviderError(
            f"This server has no library for Google Cloud ({error}): "
            "install it with `pip install 'dstack-web[gcp]'`.",
            kind=ErrorKind.SETUP,
            scope=Scope.BACKEND,
        ) from None
