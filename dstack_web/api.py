"""The API: one line per router. `apps/<app>/api.py` exports `router` with whole paths below /api.

Every route needs a full user token; a router for agents or gateways brings its own `auth`.
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser

from apps.accounts.access import TokenAuth
from apps.accounts.api import router as accounts
from apps.autoscaling.api import router as autoscaling
from apps.backends.api.project import router as backends
from apps.backends.api.server import router as server_backends
from apps.core.errors import AppError
from apps.gateways.api import router as certificates
from apps.gateways.machines.api import router as gateways
from apps.hosts.api import router as hosts
from apps.instances.costs.api import router as costs
from apps.instances.listing.api import router as instances
from apps.offers.api import router as offers
from apps.runs.api import router as runs
from apps.telemetry.gateways.api import router as gateways_telemetry
from apps.telemetry.logs.api import router as telemetry
from apps.telemetry.metrics.api import router as metrics
from apps.telemetry.requests.api import router as requests
from dstack_web.api_document import DocumentedAPI
from dstack_web.web.api_errors import add_handlers
from dstack_web.web.specs_api import router as specs


class StrictParser(Parser):
    """JSON bodies in UTF-8 without the values that no database or client can hold."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            text = request.body.decode()
            found = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        except UnicodeDecodeError as error:
            raise AppError(f"The body is not UTF-8: byte {error.start} is wrong.") from error
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise AppError(f"The body is not JSON: {error.msg} at {where}.") from error
        except (RecursionError, ValueError) as error:
            raise AppError(f"The body cannot be read: {str(error)[:200]}.") from error
        # Only an escape can smuggle in NUL or half a surrogate pair; both have no UTF-8 text.
        if "\\u" in text:
            _refuse_unstorable(found)
        return found


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number[:20]} is not a number that can be kept")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        _refuse(number)
    return value


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise AppError("A text of the body holds NUL or half a surrogate pair: leave it out.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)


api = DocumentedAPI(
    title="dstack-web",
    version=version("dstack-web"),
    description=(
        "Put any model or web application on a public, authenticated, autoscaled endpoint. "
        "Requests need a token of yours, also from a browser that is signed in: "
        "**Authorize** takes it."
    ),
    urls_namespace="api",
    auth=TokenAuth(),
    parser=StrictParser(),
)
add_handlers(api)

api.add_router("", accounts, tags=["accounts"])
api.add_router("", specs, tags=["specs"])
api.add_router("", backends, tags=["backends"])
api.add_router("", server_backends, tags=["backends"])
api.add_router("", hosts, tags=["backends"])
api.add_router("", instances, tags=["instances"])
api.add_router("", offers, tags=["offers"])
api.add_router("", costs, tags=["accounts"])
api.add_router("", runs, tags=["runs"])
api.add_router("", telemetry, tags=["runs"])
api.add_router("", metrics, tags=["runs"])
api.add_router("", requests, tags=["runs"])
api.add_router("", autoscaling, tags=["runs"])
api.add_router("", gateways, tags=["gateways"])
api.add_router("", certificates, tags=["gateways"])
api.add_router("", gateways_telemetry, tags=["gateways"])
