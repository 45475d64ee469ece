"""Where in an input something is wrong, as whoever wrote the input counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Step = str | int


def written(model: type[BaseModel], loc: Sequence[Step]) -> tuple[Step, ...]:
    """Return the path of an error of a model without the types of unions, which pydantic puts
    between its keys: `creds.secret_key` instead of `creds.access_key.secret_key`."""
    return tuple(_steps(model, deque(loc)))


def _steps(shape: Any, left: deque[Step]) -> Iterator[Step]:
    while left:
        shape = _bare(shape)
        step = left.popleft()
        if len(arms := _arms(shape)) > 1:
            shape = next((arm for arm in arms if _is_called(arm, step)), None)
            continue
        yield step
        shape = _below(shape, step)


def _bare(shape: Any) -> Any:
    """The type itself, without what is noted of it and without that it may be null."""
    if get_origin(shape) is Annotated:
        return _bare(get_args(shape)[0])
    arms = _arms(shape)
    return _bare(arms[0]) if len(arms) == 1 else shape


def _arms(shape: Any) -> list[Any]:
    if get_origin(shape) not in (Union, UnionType):
        return []
    return [arm for arm in get_args(shape) if arm is not NoneType]


def _is_called(arm: Any, label: Step) -> bool:
    """Tell whether pydantic calls the type so: by the value that chooses it, or by its name."""
    arm = _bare(arm)
    if not _is_model(arm):
        return str(label).startswith(getattr(get_origin(arm) or arm, "__name__", ""))
    chosen = (get_args(each.annotation) for each in arm.model_fields.values() if _is_tag(each))
    return label == arm.__name__ or any(label in tags for tags in chosen)


def _is_tag(field: Any) -> bool:
    return get_origin(field.annotation) is Literal


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, BaseModel)


def _below(shape: Any, step: Step) -> Any:
    """The type of what stands at a step; None where nothing is known of it."""
    if _is_model(shape):
        fields = shape.model_fields
        named = (field for name, field in fields.items() if step in (name, field.alias))
        return getattr(next(named, None), "annotation", None)
    origin, inside = get_origin(shape), get_args(shape)
    if not inside or not isinstance(origin, type):
        return None
    return inside[-1] if issubclass(origin, Mapping) else inside[0]
