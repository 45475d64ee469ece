"""Whether the OpenAPI document names what a route answered."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import Any

from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve


@lru_cache(maxsize=1)
def paths() -> dict[str, dict[str, Any]]:
    # Read where Django is set up; unit tests import this file, too.
    api = import_module("dstack_web.api").api
    found: dict[str, dict[str, Any]] = api.get_openapi_schema()["paths"]
    return found


def is_missing(method: str, path: str, response: HttpResponseBase) -> bool:
    """Tell whether a documented operation gave an answer of which its document says nothing."""
    try:
        route = resolve(path).route
    except (Resolver404, UnicodeDecodeError):
        return False
    operations = paths().get("/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route), {})
    operation = operations.get(method.lower())
    return operation is not None and str(response.status_code) not in map(
        str, operation["responses"]
    )
