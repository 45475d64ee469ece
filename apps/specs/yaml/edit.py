"""Changed values in a YAML text that is otherwise left as a person wrote it. Pure.

Only what is written out where it stands is changed: what an alias or a merge brings is refused,
since the same text would change elsewhere too. Who calls it compares what both texts mean.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from apps.specs.yaml.events import LOADER
from apps.specs.yaml.tree import Plain, WrittenFloat, WrittenInt, read, scalar

Keys = tuple[str, ...]
Pair = tuple[yaml.Node, yaml.Node]
# No line is folded: a command stays one line.
ENDLESS = 2**31 - 1


class CannotEdit(ValueError):
    """A text in which a value has no place of its own."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _as_written(dumper: yaml.SafeDumper, value: Any) -> yaml.ScalarNode:
    # 3.10 is to stay 3.10, and 1e-5 no 1.0e-05: plain, whatever YAML 1.1 takes it for.
    tag = dumper.resolve(yaml.ScalarNode, value.source, (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(tag, value.source)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if isinstance(scalar(value), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(WrittenInt, _as_written)
_Dumper.add_representer(WrittenFloat, _as_written)
_Dumper.add_representer(str, _text)


def with_values(text: str, changes: Mapping[Keys, Plain]) -> str:
    """Return the text with other values of some keys; None takes a key out.

    Raise CannotEdit where one of them has no place of its own.
    """
    for keys, value in changes.items():
        text = _with_value(text, keys, value)
    return text


def rewritten(text: str, changes: Mapping[Keys, Plain]) -> str:
    """Return the same change of what the text means, written anew, without its comments."""
    data = read(text).data
    if not isinstance(data, dict):
        raise CannotEdit("it is no mapping of keys")
    for keys, value in changes.items():
        _put(data, keys, value)
    return _dumped(data)


def _put(data: dict[str, Plain], keys: Keys, value: Plain) -> None:
    key, *below = keys
    if below:
        inner = data.get(key)
        inner = inner if isinstance(inner, dict) else {}
        _put(inner, tuple(below), value)
        # What holds nothing any more goes too.
        value = inner or None
    if value is None:
        data.pop(key, None)
    else:
        data[key] = value


def _dumped(data: Plain) -> str:
    dumped: str = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=ENDLESS,
    )
    return dumped


def _inline(value: Plain) -> str:
    dumped: str = yaml.dump(
        [value], Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=ENDLESS
    )
    return dumped.strip()[1:-1]


def _with_value(text: str, keys: Keys, value: Plain) -> str:
    node = _root(text)
    for depth, key in enumerate(keys[:-1]):
        pair = _find(node, key)
        if pair is None or _is_null(pair[1]):
            return (
                text if value is None else _set(text, node, key, _nested(keys[depth + 1 :], value))
            )
        _require_here(text, pair)
        node = _mapping(pair[1])
    if value is not None:
        return _set(text, node, keys[-1], value)
    if len(keys) > 1 and all(pair[0].value == keys[-1] for pair in node.value):
        return _with_value(text, keys[:-1], None)
    return _without(text, node, keys[-1])


def _root(text: str) -> yaml.MappingNode:
    try:
        return _mapping(yaml.compose(text, Loader=LOADER))
    except yaml.YAMLError as error:
        raise CannotEdit("it is no YAML") from error


def _mapping(node: yaml.Node | None) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise CannotEdit("there is no mapping where one is needed")
    return node


def _nested(keys: Keys, value: Plain) -> Plain:
    for key in reversed(keys):
        value = {key: value}
    return value


def _find(node: yaml.MappingNode, key: str) -> Pair | None:
    return next((pair for pair in node.value if pair[0].value == key), None)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == ""


def _require_here(text: str, pair: Pair) -> None:
    """Raise unless the value stands behind its key: an alias stands where its anchor is."""
    between = text[_stop(text, pair[0]) : pair[1].start_mark.index]
    bare = [line.partition("#")[0].strip() for line in between.splitlines()]
    if pair[1].start_mark.index < pair[0].end_mark.index or "".join(bare) != ":":
        raise CannotEdit(f"{pair[0].value} has no value of its own")


def _stop(text: str, node: yaml.Node) -> int:
    """Where a node ends; the parser puts the end of a block behind blank lines and comments."""
    children: Sequence[yaml.Node] = ()
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        children = last if isinstance(last, tuple) else (last,)
    if not children:
        end = node.end_mark.index
        return node.start_mark.index + len(text[node.start_mark.index : end].rstrip())
    # A value that is an alias ends before its key does.
    return max(_stop(text, child) for child in children)


def _line_end(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _set(text: str, node: yaml.MappingNode, key: str, value: Plain) -> str:
    pair = _find(node, key)
    if node.flow_style:
        return _in_braces(text, node, key, value)
    if pair is None:
        return _added(text, node, key, value)
    return _replaced(text, node, pair, value)


def _in_braces(text: str, node: yaml.MappingNode, key: str, value: Plain) -> str:
    """`{a: 1, b: 2}` with one pair changed, added or (None) taken out."""
    parts = []
    for pair in node.value:
        _require_here(text, pair)
        if pair[0].value != key:
            parts.append(text[pair[0].start_mark.index : _stop(text, pair[1])])
        elif value is not None:
            parts.append(
                f"{text[pair[0].start_mark.index : _stop(text, pair[0])]}: {_inline(value)}"
            )
    if value is not None and _find(node, key) is None:
        parts.append(f"{key}: {_inline(value)}")
    begin, end = node.start_mark.index, node.end_mark.index
    return f"{text[:begin]}{{{', '.join(parts)}}}{text[end:]}"


def _added(text: str, node: yaml.MappingNode, key: str, value: Plain) -> str:
    """A new pair behind the last one of a block; at the top a blank line goes before it where
    the text has some between its keys."""
    last = node.value[-1]
    stop = _line_end(text, max(_stop(text, part) for part in last))
    indent = " " * node.start_mark.column
    lines = textwrap.indent(_dumped({key: value}), indent)
    above, below = text[:stop], text[stop:]
    if not above.endswith("\n"):
        above += "\n"
    blank = "\n" if not indent and "\n\n" in text.strip() else ""
    return f"{above}{blank}{lines}{below}"


def _replaced(text: str, node: yaml.MappingNode, pair: Pair, value: Plain) -> str:
    _require_here(text, pair)
    key_end = _stop(text, pair[0])
    colon = text.index(":", key_end) + 1
    old, end = pair[1], max(_stop(text, pair[1]), colon)
    if isinstance(value, dict | list):
        lines = textwrap.indent(
            _dumped({"key": value}).partition("\n")[2], " " * node.start_mark.column
        )
        return f"{text[:colon]}\n{lines.rstrip()}{text[end:]}"
    block = isinstance(old, yaml.CollectionNode) and not old.flow_style
    if block or _is_null(old):
        return f"{text[:colon]} {_inline(value)}{text[end:]}"
    return f"{text[: old.start_mark.index]}{_inline(value)}{text[end:]}"


def _without(text: str, node: yaml.MappingNode, key: str) -> str:
    pair = _find(node, key)
    if pair is None:
        return text
    if node.flow_style:
        return _in_braces(text, node, key, None)
    if len(node.value) == 1:
        raise CannotEdit(f"{key} is the only key there")
    begin = text.rfind("\n", 0, pair[0].start_mark.index) + 1
    if text[begin : pair[0].start_mark.index].strip():
        raise CannotEdit(f"{key} has no line of its own")
    stop = _line_end(text, max(_stop(text, part) for part in pair))
    return text[:begin] + text[stop:]
