"""The one mechanism of all sections: a field reads what people write and stores what it means.

`Form(read, schema)` annotates a field. On input the value goes through `read`, which returns the
meaning or raises Misfit; a mapping that `read` returns untouched is read by the field's own model.
Stored specs (`Section.load`) skip `read`: what is stored is the meaning already. The schema tells
editors which input is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from apps.specs.errors import Misfit, Path, Step

JsonSchema = dict[str, Any]
T = TypeVar("T")

# Stands in a schema's "anyOf" for the schema of the field's own model.
OWN: JsonSchema = {"$own": True}
_STORED = {"stored": True}


@dataclass(frozen=True)
class Form:
    """How a field is read, and the JSON Schema of what it accepts."""

    read: Callable[[Any], Any]
    schema: JsonSchema

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_before_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchema:
        own = handler(schema)
        if handler.mode != "validation":
            return own
        return {key: _with_own(value, own) for key, value in self.schema.items()}

    def _validate(self, value: Any, info: ValidationInfo) -> Any:
        if is_stored(info) or isinstance(value, BaseModel):
            return value
        return self.read(value)


def _with_own(value: Any, own: JsonSchema) -> Any:
    if value is OWN:
        return own
    if isinstance(value, list):
        return [_with_own(item, own) for item in value]
    return value


def is_stored(info: ValidationInfo) -> bool:
    """Tell whether a stored spec is being loaded, not input read."""
    return info.context is _STORED


class Section(BaseModel):
    """A mapping of the configuration: unknown keys are refused, keys without a value ignored."""

    # Keys of other tools (see `foreign`) -> what to do instead.
    foreign: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_keys(cls, data: Any, info: ValidationInfo) -> Any:
        if is_stored(info) or not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def load(cls, values: Mapping[str, object]) -> Self:
        """Build a section from meanings under their field names.

        Keys that this version does not know are left out, so that an older server reads what a
        newer one stored. Raise pydantic.ValidationError.
        """
        return cls.model_validate(
            dict(values), context=_STORED, by_alias=False, by_name=True, extra="ignore"
        )

    @classmethod
    def of(cls, **values: object) -> Self:
        """Build a section from meanings given as arguments."""
        return cls.load(values)


class Parts:
    """Reads the parts of a value and gathers what is wrong with them, under their steps."""

    def __init__(self) -> None:
        self._problems: list[tuple[Path, str]] = []

    def read(self, step: Step, reader: Callable[[Any], T], value: Any) -> T | None:
        """Read one part, or keep what is wrong with it and return None."""
        try:
            return reader(value)
        except Misfit as misfit:
            self._problems += [((step, *path), message) for path, message in misfit.problems]
            return None

    def refuse(self, step: Step, message: str) -> None:
        self._problems.append(((step,), message))

    def done(self) -> None:
        """Raise Misfit when a part was wrong."""
        if self._problems:
            raise Misfit(below=self._problems)
