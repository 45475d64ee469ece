"""A tree of nodes -> plain values, with the place of every key and value.

Scalars are typed as YAML 1.2 does (no octal `010`, no base-60 `22:22`, no dates), and with the
yes/no/on/off of YAML 1.1, which people still write. Numbers remember how they were written, so
that `3.10` is not 3.1. A key without a value counts as a key that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from apps.specs.errors import Path, SpecError, SpecProblem, path_text
from apps.specs.yaml.events import MAX_DEPTH, MAX_NODES, Mark, Node, compose

Plain: TypeAlias = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {
    form: value
    for value, words in ((True, ("true", "yes", "on")), (False, ("false", "no", "off")))
    for word in words
    for form in (word, word.capitalize(), word.upper())
}
# 18 digits: what is longer cannot be meant as a number here, and huge ints are slow to read.
_INT = re.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+)")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class WrittenInt(int):
    """A whole number that remembers how it was written."""

    source: str


class WrittenFloat(float):
    """A number with a fraction that remembers how it was written."""

    source: str


@dataclass
class Document:
    """The plain value of a text, and where each of its keys and values stands."""

    data: Plain
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    # Texts whose lines are lines of the file, from the one after the mark on.
    literals: dict[Path, Mark] = field(default_factory=dict)
    # Repeated and unusable keys: what is left of the file can be read all the same.
    problems: list[SpecProblem] = field(default_factory=list)

    def problem(
        self, path: Path, message: str, *, at_key: bool = False, line: int | None = None
    ) -> SpecProblem:
        """Place a message: at the path, else at what encloses it; `line` is one of the value's."""
        mark = self._mark(path, at_key=at_key)
        if line is not None and path in self.literals:
            mark = Mark(self.literals[path].line + line, 1)
        elif line is not None and line > 1:
            message = f"{message} (line {line} of it)"
        return SpecProblem(
            path_text(path), mark.line if mark else None, mark.column if mark else None, message
        )

    def refusal(self, path: Path, message: str) -> SpecError:
        """Return the error of a text of which nothing else can be read for this one problem."""
        problem = self.problem(path, message)
        if problem.line is None:
            problem = SpecProblem(problem.path, 1, 1, message)
        return SpecError([problem])

    def _mark(self, path: Path, *, at_key: bool) -> Mark | None:
        if at_key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return None


def read(text: str) -> Document:
    """Read a YAML text into plain values with places.

    Raise SpecError with the first problem of the syntax, behind which nothing can be read.
    """
    root = compose(text)
    document = Document(None)
    if root is None:
        return document
    expansion = _Expansion(document)
    document.data = expansion.plain(root, ())
    document.problems = list(expansion.problems)
    return document


def without_notes(keys: dict[str, Plain]) -> dict[str, Plain]:
    """Leave out the keys `x-...` at the top: they hold what anchors and merges take from there."""
    return {key: value for key, value in keys.items() if not key.startswith("x-")}


def in_order(problems: Iterable[SpecProblem]) -> list[SpecProblem]:
    """Return problems in file order, each once."""
    return sorted(
        dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0)
    )


class _Expansion:
    def __init__(self, document: Document) -> None:
        self.problems: dict[SpecProblem, None] = {}
        self._document = document
        self._count = 0

    def plain(self, node: Node, path: Path) -> Plain:
        self._count += 1
        if self._count > MAX_NODES:
            raise self._fatal(node, f"its aliases expand to more than {MAX_NODES:,} values")
        if len(path) > MAX_DEPTH:
            raise self._fatal(node, f"its aliases nest more than {MAX_DEPTH} levels deep")
        self._document.values[path] = node.mark
        if node.literal:
            self._document.literals[path] = node.mark
        if node.kind == "mapping":
            return self._mapping(node, path)
        if node.kind == "list":
            return [self.plain(item, (*path, at)) for at, item in enumerate(node.items)]
        return self._scalar(node, path)

    def _scalar(self, node: Node, path: Path) -> Plain:
        if re.search("[\x00\ud800-\udfff]", node.text):
            self._complain(node, path, "holds a character that cannot be passed on (NUL or half)")
        return scalar(node.text) if node.plain else node.text

    def _mapping(self, node: Node, path: Path) -> Plain:
        values: dict[str, Plain] = {}
        for key, value in self._pairs(node, path):
            step = (*path, key.text)
            self._document.keys[step] = key.mark
            values[key.text] = self.plain(value, step)
        return values

    def _pairs(self, node: Node, path: Path) -> list[tuple[Node, Node]]:
        """The pairs of a mapping, each key once, own keys before merged ones."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        seen: dict[str, Node] = {}
        for key, value in node.pairs:
            if key.kind != "scalar" or (key.plain and key.text in _NULLS):
                self._complain(key, path, "a key must be plain text")
            elif key.text in seen:
                first = seen[key.text].mark.line
                self._complain(
                    key, (*path, key.text), f"the key {key.text!r} is already on line {first}"
                )
            else:
                seen[key.text] = key
                if key.text == "<<" and key.plain:
                    self._merge(value, path, merged)
                else:
                    own[key.text] = (key, value)
        return list({**merged, **own}.values())

    def _merge(self, value: Node, path: Path, merged: dict[str, tuple[Node, Node]]) -> None:
        """Add what `<<` brings: of several mappings the first one that has a key wins."""
        if len(path) > MAX_DEPTH:
            raise self._fatal(value, f"its aliases nest more than {MAX_DEPTH} levels deep")
        for source in value.items if value.kind == "list" else [value]:
            if source.kind != "mapping":
                self._complain(value, (*path, "<<"), "`<<` takes a mapping or a list of mappings")
                return
            self._count += 1 + len(source.pairs)
            if self._count > MAX_NODES:
                raise self._fatal(value, f"its aliases expand to more than {MAX_NODES:,} values")
            for key, item in self._pairs(source, (*path, "<<")):
                merged.setdefault(key.text, (key, item))

    def _complain(self, node: Node, path: Path, message: str) -> None:
        # A dict: an anchor used twice shows the same problem twice.
        self.problems[SpecProblem(path_text(path), node.mark.line, node.mark.column, message)] = (
            None
        )

    def _fatal(self, node: Node, message: str) -> SpecError:
        return SpecError([SpecProblem("", node.mark.line, node.mark.column, message)])


def scalar(text: str) -> Plain:
    """Return what an unquoted scalar means."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        whole = WrittenInt(int(text, 0 if text[:2] in ("0x", "0o") else 10))
        whole.source = text
        return whole
    if _FLOAT.fullmatch(text) and len(text) < 40:
        number = WrittenFloat(text)
        number.source = text
        return number
    if _SPECIAL.fullmatch(text):
        special = WrittenFloat(text.replace(".", ""))
        special.source = text
        return special
    return text


def written(value: int | float) -> str:
    """Return a number as it was written."""
    return getattr(value, "source", None) or str(value)
