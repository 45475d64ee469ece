"""Calls that wait for a commit, and whose failure undoes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

from django.db import transaction

P = ParamSpec("P")


def after_commit(call: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call once the transaction is committed; an error is logged, and the next call is made.

    Django's own `robust` does so with a function only: of a `partial` it cannot write the name, and
    raises that instead.
    """

    def called() -> None:
        call(*args, **kwargs)

    transaction.on_commit(called, robust=True)
