"""Messages of the wire as JSON and back: dataclasses of plain values, lists and each other.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import dataclasses
import typing

T = typing.TypeVar("T")


def to_json(message: typing.Any) -> dict[str, typing.Any]:
    return dataclasses.asdict(message)


def from_json(kind: type[T], data: typing.Any) -> T:
    """Build `kind`; unknown fields are ignored. Raise ValueError with the path of a wrong one."""
    return typing.cast(T, _build(kind, data, kind.__name__))


def _build(kind: typing.Any, data: typing.Any, path: str) -> typing.Any:
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, _of(dict, data, path, "an object"), path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return None if data is None else _build(arguments[0], data, path)
    if origin is list:
        items = _of(list, data, path, "a list")
        return [_build(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(items)]
    if origin is tuple:
        items = _of((list, tuple), data, path, "a list")
        return tuple(_build(k, item, path) for k, item in zip(arguments, items))
    if origin is dict:
        pairs = _of(dict, data, path, "an object")
        return {str(k): _build(arguments[1], v, f"{path}.{k}") for k, v in pairs.items()}
    return _scalar(kind, data, path)


def _of(kind: typing.Any, data: typing.Any, path: str, wanted: str) -> typing.Any:
    if not isinstance(data, kind):
        raise ValueError(f"{path}: expected {wanted}, found {type(data).__name__}")
    return data


def _build_dataclass(kind: typing.Any, data: dict[str, typing.Any], path: str) -> typing.Any:
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    values = {
        name: _build(hints[name], value, f"{path}.{name}")
        for name, value in data.items()
        if name in known
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error


def _scalar(kind: typing.Any, data: typing.Any, path: str) -> typing.Any:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(data, kind) and isinstance(data, bool) == (kind is bool):
        return data
    raise ValueError(f"{path}: expected {kind.__name__}, found {type(data).__name__}")
