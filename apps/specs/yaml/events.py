"""YAML text -> a tree of nodes with their positions.

The tree is built from PyYAML's event stream, which is lazy and does not recurse: a file that is
nested too deeply or holds too much is refused at the event where it passes the limit, before it
costs memory or stack. Aliases share the node of their anchor; how often they are used is counted
later, when the tree is expanded (`apps.specs.yaml.tree`).
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from apps.specs.errors import SpecError, SpecProblem

MAX_BYTES = 1_000_000
# Reading as many takes a tenth of a second; a service has some hundreds.
MAX_NODES = 10_000
MAX_DEPTH = 50

# libyaml's parser where PyYAML was built with it: ten times faster on a file at the limit.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Mark:
    """A place in the text, counted from 1."""

    line: int
    column: int


@dataclass(eq=False)
class Node:
    """A scalar (`text`), a list (`items`) or a mapping (`pairs`, in file order).

    The lines of a `literal` scalar (`|`) are lines of the file, from the one after its mark on.
    """

    mark: Mark
    kind: str
    text: str = ""
    plain: bool = False
    literal: bool = False
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)


def compose(text: str) -> Node | None:
    """Return the tree of the one document in the text, None if it is empty.

    Raise SpecError when the text is too large, not text, or not one YAML document.
    """
    _check_size(text)
    text = text.removeprefix("\ufeff")
    lines = _Lines(text)
    _check_characters(text, lines)
    try:
        return _Composer(lines).compose(yaml.parse(text, Loader=LOADER))
    except yaml.MarkedYAMLError as error:
        raise _refuse(lines.mark(_error_index(error)), _syntax_message(error, text)) from error
    except yaml.YAMLError as error:
        raise _refuse(Mark(1, 1), f"not valid YAML: {_one_line(str(error))}") from error


class _Lines:
    """Index -> line and column; lines end where editors end them: \\n, \\r\\n and \\r."""

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self._starts = [0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", text))]

    def mark(self, index: int) -> Mark:
        index = min(index, self.length)
        line = bisect.bisect_right(self._starts, index)
        return Mark(line, index - self._starts[line - 1] + 1)


class _Composer:
    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._anchors: dict[str, Node] = {}
        self._open: list[tuple[Node, str | None, list[Node]]] = []
        self._unfinished: set[str] = set()
        self._count = 0

    def compose(self, events: Iterator[yaml.Event]) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a second document begins: a file holds one service")
            if isinstance(event, yaml.NodeEvent):
                self._limit(event)
            node = self._node(event)
            if node is not None and not self._open:
                root = node
        return root

    def _limit(self, event: yaml.Event) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise self._refuse(event, f"more than {MAX_NODES:,} values")

    def _node(self, event: yaml.Event) -> Node | None:
        """The node that this event completes, if it completes one."""
        if isinstance(event, yaml.ScalarEvent):
            return self._finish(self._scalar(event), event.anchor)
        if isinstance(event, yaml.AliasEvent):
            return self._finish(self._alias(event), None)
        if isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor, children = self._open.pop()
            if node.kind == "list":
                node.items = children
            else:
                node.pairs = list(zip(children[::2], children[1::2], strict=True))
            return self._finish(node, anchor)
        return None

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        if event.tag not in (None, "!"):
            raise self._refuse(event, f"the tag {event.tag!r} is not supported: remove it")
        if len(self._open) >= MAX_DEPTH:
            raise self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
        if event.anchor:
            self._unfinished.add(event.anchor)
        self._open.append((Node(self._mark(event), kind), event.anchor, []))

    def _finish(self, node: Node, anchor: str | None) -> Node:
        if anchor:
            self._unfinished.discard(anchor)
            self._anchors[anchor] = node
        if self._open:
            self._open[-1][2].append(node)
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._refuse(event, f"the tag {event.tag!r} is not supported: remove it")
        # implicit[0]: written without quotes and without a tag, so its type is what it looks like.
        literal = event.style == "|"
        return Node(self._mark(event), "scalar", event.value, event.implicit[0], literal)

    def _alias(self, event: yaml.AliasEvent) -> Node:
        name = event.anchor or ""
        if name in self._unfinished:
            raise self._refuse(event, f"the anchor &{name} contains itself")
        if name not in self._anchors:
            raise self._refuse(event, f"there is no anchor &{name} before this *{name}")
        return self._anchors[name]

    def _mark(self, event: yaml.Event) -> Mark:
        mark = event.start_mark
        return self._lines.mark(mark.index if mark else 0)

    def _refuse(self, event: yaml.Event, message: str) -> SpecError:
        return _refuse(self._mark(event), message)


def _check_size(text: str) -> None:
    size = len(text) if len(text) > 4 * MAX_BYTES else len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        shown = max(size / 1e6, 1.1)
        raise _refuse(Mark(1, 1), f"configuration is {shown:.1f} MB; at most 1 MB")


def _check_characters(text: str, lines: _Lines) -> None:
    found = re.search("[\ud800-\udfff]", text)
    if found:
        raise _refuse(lines.mark(found.start()), "not UTF-8 text: save the file as UTF-8")
    found = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if found:
        code = f"U+{ord(found.group()):04X}"
        raise _refuse(lines.mark(found.start()), f"the control character {code}: remove it")


def _error_index(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.index if mark else 0


def _syntax_message(error: yaml.MarkedYAMLError, text: str) -> str:
    index = _error_index(error)
    line = text[text.rfind("\n", 0, index) + 1 :].split("\n", 1)[0]
    if "\t" in line[: len(line) - len(line.lstrip())] or text[index : index + 1] == "\t":
        return "a tab: YAML is indented with spaces only"
    problem = _one_line(error.problem or error.context or "cannot be read")
    if "mapping values are not allowed" in problem:
        return "not valid YAML: a second `: ` on the line; text that holds one needs quotes"
    if error.context_mark and error.problem_mark and error.problem:
        begun = error.context_mark.line + 1
        if begun != error.problem_mark.line + 1:
            problem += f" ({_one_line(error.context or 'within what')} begun on line {begun})"
    return f"not valid YAML: {problem}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _refuse(mark: Mark, message: str) -> SpecError:
    return SpecError([SpecProblem("", mark.line, mark.column, message)])
