"""The body of a request that a machine sends: bounded, and read by its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest
from pydantic import ValidationError

from apps.core.errors import Invalid, TooLarge

T = TypeVar("T")

NOT_JSON = "The body is not JSON."
HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def read(request: HttpRequest, *, most_bytes: int, what: str) -> bytes:
    """Read the body; `what` names it to the sender, such as "A batch of lines". Raise TooLarge."""
    body: bytes = request.read(most_bytes + 1)
    if len(body) > most_bytes:
        raise TooLarge(f"{what} has {most_bytes // 2**20} MB at most.")
    return body


def parsed(body: bytes) -> Any:
    """Parse JSON; half a character, which nothing can store, is a question mark. Raise Invalid."""
    try:
        found = json.loads(body)
        if HALF.search(body):
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Invalid(NOT_JSON) from error
    return found


def validated(body: bytes, validate: Callable[[bytes], T]) -> T:
    """Read a body with a validator of pydantic, such as `Model.model_validate_json`.

    Raise Invalid with the first thing that is wrong.
    """
    try:
        return validate(body)
    except ValidationError as error:
        raise Invalid(words(error)) from error


def words(error: ValidationError) -> str:
    """Say where the first thing that is wrong lies, and what."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}"
