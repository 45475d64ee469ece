"""Microsoft's libraries, imported with the first call: who asks no cloud waits for none of them.

Whatever they raise is named here too, so that no other module imports them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from apps.backends.base import ErrorKind, ProviderError, Scope


@cache
def compute() -> Any:
    return _imported("azure.mgmt.compute")


@cache
def network() -> Any:
    return _imported("azure.mgmt.network")


@cache
def resources() -> Any:
    return _imported("azure.mgmt.resource.resources")


@cache
def identity() -> Any:
    return _imported("azure.identity")


@cache
def exceptions() -> Any:
    return _imported("azure.core.exceptions")


def get(path: str, **params: str) -> Any:
    """Return a request for what the libraries know no method for."""
    return _imported("azure.core.rest").HttpRequest("GET", path, params=params)


def if_missing() -> Any:
    """Return what has a PUT refused where the resource is there already."""
    return _imported("azure.core").MatchConditions.IfMissing


def no_authentication() -> Any:
    return _imported("azure.core.pipeline.policies").SansIOHTTPPolicy()


def errors() -> tuple[type[Exception], ...]:
    """Return all that a call may raise which is a fault of the cloud or of the way there."""
    return (exceptions().AzureError,)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ProviderError(
            f"This server has no library for Azure ({error}): "
            "install it with `pip install 'dstack-web[azure]'`.",
            kind=ErrorKind.SETUP,
            scope=Scope.BACKEND,
        ) from None
