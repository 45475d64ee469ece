"""Any YAML or JSON text as plain keys and values, for what is no service.

What is wrong is said without the text: it may hold secrets.
"""

from __future__ import annotations

from typing import Any

from apps.specs import parse
from apps.specs.errors import SpecError, SpecProblem
from apps.specs.yaml import tree


def mapping(data: bytes) -> dict[str, Any]:
    """Return the keys and values of a text. Raise SpecError with one problem."""
    found = value(data)
    if not isinstance(found, dict):
        raise _problem("must have keys and values, such as `regions: [us-east-1]`")
    return found


def value(data: bytes) -> Any:
    """Return the value of a text. Raise SpecError with one problem."""
    try:
        document = tree.read(parse.decode(data))
        problems = document.problems
    except SpecError as error:
        problems = error.problems
    if problems:
        where = f": line {problems[0].line} is wrong" if problems[0].line else ""
        raise _problem(f"is no YAML or JSON that can be read{where}")
    return _plain(document.data)


def _plain(found: Any) -> Any:
    """Numbers as they were written: an account of 012345678901 is text, and only text."""
    if isinstance(found, dict):
        return {str(key): _plain(item) for key, item in found.items()}
    if isinstance(found, list):
        return [_plain(item) for item in found]
    return getattr(found, "source", found)


def _problem(message: str) -> SpecError:
    return SpecError([SpecProblem("", None, None, message)])
