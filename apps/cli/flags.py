"""Options of commands, declared once as fields of dataclasses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from apps.cli.completion import suggestions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="NAME",
        help="The project (DSTACK_PROJECT).",
        autocompletion=suggestions.projects,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The name of the run.", autocompletion=suggestions.runs),
]


def takes(kind: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Give a command one argument, a dataclass, whose fields are its options."""
    hints = get_type_hints(kind, include_extras=True)
    parameters = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if one.default is MISSING else one.default,
            annotation=hints[one.name],
        )
        for one in fields(kind)
    ]

    def decorate(command: Callable[[T], None]) -> Callable[..., None]:
        def with_options(**values: Any) -> None:
            command(kind(**values))

        with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return with_options

    return decorate
