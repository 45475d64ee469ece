"""Texts of a megabyte, each of one kind, that a reader may spend long on.

Each is made when it is wanted: all of them together are 200 MB, which every worker of a test run
would make and keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from apps.specs.yaml.events import MAX_BYTES

HEAD = "type: service\nport: 80\n"
SERVICE = f"{HEAD}commands: [x]\n"


Text = Callable[[], str]
FIRST_NUMBER = 100_000


def filled(head: str, unit: str, tail: str = "", *, most: int = MAX_BYTES) -> Text:
    """Make a text of `unit` again and again between head and tail, as often as fits."""
    return partial(_filled, head, unit, tail, most)


def numbered(head: str, unit: str, tail: str = "", *, most: int = MAX_BYTES) -> Text:
    """Make a text of `unit`, with a number for `#`, again and again between head and tail."""
    return partial(_numbered, head, unit, tail, most)


def _filled(head: str, unit: str, tail: str, most: int) -> str:
    room = most - len((head + tail).encode())
    return head + unit * (room // len(unit.encode())) + tail


def _numbered(head: str, unit: str, tail: str, most: int) -> str:
    # Numbers of one length, so that the size need not be added up.
    room = most - len((head + tail).encode())
    count = room // len(unit.replace("#", str(FIRST_NUMBER)).encode())
    numbers = map(str, range(FIRST_NUMBER, FIRST_NUMBER + count))
    return head + "".join(unit.replace("#", number) for number in numbers) + tail


def inside(unit: str) -> Iterator[tuple[str, Text]]:
    """The same text wherever a long one may stand."""
    yield "value of env", filled(f"{SERVICE}env:\n  A: '", unit, "'")
    yield "command", filled(f"{HEAD}commands:\n  - '", unit, "'")
    yield "literal command", filled(f"{HEAD}commands:\n  - |\n    ", unit)
    yield "entrypoint", filled(f"{SERVICE}entrypoint: '", unit, "'")
    yield "name", filled(f"{SERVICE}name: '", unit, "'")
    yield "key", filled(f"{SERVICE}'", unit, "': 1")
    yield "model", filled(f"{SERVICE}model: '", unit, "'")
    yield "image", filled(f"{SERVICE}image: '", unit, "'")
    yield "gpu", filled(f"{SERVICE}resources:\n  gpu: '", unit, "'")
    yield "memory", filled(f"{SERVICE}resources:\n  memory: '", unit, "'")
    yield "replicas", filled(f"{SERVICE}replicas: '", unit, "'")
    yield "type", filled("type: '", unit, "'")
    yield "path of a probe", filled(f"{SERVICE}probes:\n  - type: http\n    url: '", unit, "'")
    yield "schedule", filled(f"{SERVICE}schedule:\n  cron: '", unit, "'")
    yield "idle_duration", filled(f"{SERVICE}idle_duration: '", unit, "'")


# Each of these is read in its own way: by a shell, as a word that is told back, in parts. Where a
# unit may begin a reference it is tried as a value of env, too, and references in all places.
OFTEN = ("literal command", "key", "gpu")
UNITS = {
    "references": "${{ ",
    "whole references": "${{ env.A }}",
    "escaped references": "$${{ ",
    "dollars": "$",
    "digits": "1",
    "dots": ".",
    "spaces": " ",
    "commas": "1,",
    "colons": "a:",
    "slashes": "../",
    "stars": "*",
    "open braces": "{",
    "parentheses": "(",
    "substitutions": "$(",
    "backticks": "`",
    "quotes": '"',
    "pipes": "a|",
    "semicolons": "a;",
    "here documents": "<<A ",
    "letters": "a",
    "wide letters": "\U0001f600",
    "combining": "a\u0301",
    "dashes": "-",
}
# What may begin a reference, and what a name may be made of.
UNITS_OF_WORDS = ("$", "{", "1", "a", "-", "\U0001f600")

YAML: dict[str, Text] = {
    "comments": filled(SERVICE, "# a\n"),
    "one long comment": filled(f"{SERVICE}#", "a"),
    "empty lines": filled(SERVICE, "\n"),
    "carriage returns": filled(SERVICE, "\r"),
    "tabs": filled(SERVICE, "\t"),
    "flow lists": filled("a: ", "["),
    "flow lists side by side": filled(f"{HEAD}commands: [", "[],", "x]"),
    "flow mappings": filled("a: ", "{"),
    "flow keys": filled("a: {", "a,", "b: 1}"),
    "block lists": filled("", "- "),
    "commands": filled(f"{HEAD}commands:\n", "- a\n"),
    "commands with an error": filled(f"{HEAD}commands:\n", "- (\n"),
    "commands of lists": filled(f"{HEAD}commands:\n", "- [a]\n"),
    "list of env": filled(f"{SERVICE}env:\n", "- A\n"),
    "list of different env": numbered(f"{SERVICE}env:\n", "- A#=b\n"),
    "mapping of env": numbered(f"{SERVICE}env:\n", "  A#: b\n"),
    "bad names of env": numbered(f"{SERVICE}env:\n", "  '#': b\n"),
    "env without values": numbered(f"{SERVICE}env:\n", "  A#:\n"),
    "references in env": numbered(f"{SERVICE}env:\n", "  A#: ${{ x\n"),
    "references in commands": filled(f"{HEAD}commands:\n", "- ${{ x\n"),
    "unknown keys": numbered(SERVICE, "a#: 1\n"),
    "long unknown keys": numbered(SERVICE, f"{'a' * 1000}#: 1\n"),
    "the same key": filled(SERVICE, "a: 1\n"),
    "notes": numbered(SERVICE, "x-#: 1\n"),
    "deep keys": lambda: "".join(f"{' ' * depth}a:\n" for depth in range(1400)),
    "aliases": filled("a: &a [1]\nb: [", "*a,", "1]"),
    "anchors": numbered("a: [", "&a# 1,", "1]"),
    "anchors of anchors": lambda: "\n".join(
        ["a0: &a0 [1,1,1,1,1,1,1,1,1]"]
        + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    ),
    "merges": filled("a: &a {b: 1}\nc:\n  <<: [", "*a,", "*a]"),
    "merges in a row": numbered("a0: &a0 {b: 1}\n", "c#: &b# {<<: *a0}\n"),
    "plain words": filled(f"{SERVICE}a: ", "b "),
    "a plain scalar on many lines": filled(f"{SERVICE}a: b\n", "  b\n"),
    "a quoted scalar on many lines": filled(f"{SERVICE}a: '", "b\n  ", "'"),
    "quotes": filled(f"{SERVICE}a: ", "'"),
    "double quotes": filled(f"{SERVICE}a: ", '""'),
    "escapes": filled(f'{SERVICE}a: "', "\\u0041", '"'),
    "an open quote": filled(f"{SERVICE}a: '", "b"),
    "colons": filled(f"{SERVICE}a: ", "b: "),
    "question marks": filled("", "? "),
    "ampersands": filled("a: ", "&"),
    "exclamation marks": filled("a: ", "!"),
    "tags": filled("a: [", "!x 1,", "1]"),
    "documents": filled("", "---\n"),
    "directives": filled("", "%A b\n"),
    "percents": filled("", "%"),
    "numbers": filled(f"{SERVICE}a: [", "1,", "1]"),
    "floats": filled(f"{SERVICE}a: [", "1.5,", "1]"),
    "probes": filled(f"{SERVICE}probes:\n", "- type: http\n"),
    "probes of text": filled(f"{SERVICE}probes:\n", "- /a\n"),
    "ports": filled(f"{SERVICE}ports:\n", "- 80\n"),
    "volumes": numbered(f"{SERVICE}volumes:\n", "- /a#:/b#\n"),
    "files": numbered(f"{SERVICE}files:\n", "- /a#:/b#\n"),
    "rate limits": numbered(f"{SERVICE}rate_limits:\n", "- {prefix: /#, rps: 1}\n"),
    "backends": filled(f"{SERVICE}backends:\n", "- aws\n"),
    "regions": numbered(f"{SERVICE}regions:\n", "- a#\n"),
    "groups": numbered(f"{SERVICE}groups:\n", "- {name: a#, replicas: 1}\n"),
    "replicas as a list": filled(f"{SERVICE}replicas:\n", "- {}\n"),
    "cards": filled(f"{SERVICE}resources:\n  gpu:\n    name: [", "A100,", "H100]"),
    "old numbers": filled(f"{SERVICE}a: [", "010,", "1]"),
    "byte order marks": filled("", "\ufeff"),
    "next lines": filled(SERVICE, "\x85"),
}


SHORT: dict[str, Text] = {
    # As many values as a file may have, in what costs most for each.
    "replicas as a list": filled(f"{SERVICE}replicas:\n", "- {}\n", most=49_000),
    "groups": numbered(f"{SERVICE}groups:\n", "- {name: a#, replicas: 1}\n", most=49_000),
    "merges in a row": numbered("a0: &a0 {b: 1}\n", "c#: &b# {<<: *a0}\n", most=49_000),
    "mapping of env": numbered(f"{SERVICE}env:\n", "  A#: b\n", most=49_000),
    "bad names of env": numbered(f"{SERVICE}env:\n", "  '#': b\n", most=49_000),
    "references in commands": filled(f"{HEAD}commands:\n", "- ${{ x\n", most=75_000),
    "different references": numbered(f"{HEAD}commands:\n- '", "${{ env.A# }}"),
    "rate limits": numbered(f"{SERVICE}rate_limits:\n", "- {prefix: /#, rps: 1}\n", most=49_000),
    "commands with an error": numbered(f"{HEAD}commands:\n", "- echo # (\n", most=49_000),
}


def kinds() -> dict[str, dict[str, Text]]:
    """Return the texts by what they are; those of a unit by where it stands."""
    found = {name: {"": text} for name, text in YAML.items()}
    for name, text in SHORT.items():
        found.setdefault(name, {})["short"] = text
    for name, unit in UNITS.items():
        texts = dict(inside(unit.replace("'", "''")))
        more = ("value of env", "name") if unit in UNITS_OF_WORDS else ()
        places = texts if "references" in name else (*OFTEN, *more)
        found[f"{name} everywhere"] = {place: texts[place] for place in places}
    return found
