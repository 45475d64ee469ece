"""The routes that agents and gateways call.

They are plain async views, since a long poll must hold neither a thread nor a database connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from apps.core.errors import AppError
from apps.core.http.error_answers import answer_of, answer_of_away
from apps.core.stores import database
from apps.core.threads import in_thread

logger = logging.getLogger(__name__)

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def internal_route(method: str) -> Callable[[View], View]:
    """Make an async view answer `method` only, and errors in the API's one shape.

    The view itself asks whose token it is.
    """

    def decorate(view: View) -> View:
        guarded: View = csrf_exempt(require_http_methods([method])(_answers_errors(view)))
        return guarded

    return decorate


def _answers_errors(view: View) -> View:
    @wraps(view)
    async def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        try:
            return await view(request, **kwargs)
        except AppError as error:
            return answer_of(error)
        except database.AWAY as error:
            logger.warning("%s: %s", request.path, error)
            await in_thread(database.drop_dead_connections)
            return answer_of_away(error)

    return wrapped
