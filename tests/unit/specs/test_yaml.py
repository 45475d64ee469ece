"""The text itself: size, characters, syntax, keys, anchors; and where things stand in it."""

from __future__ import annotations

import pytest

from apps.specs.errors import SpecError
from apps.specs.parse import decode, parse
from apps.specs.yaml.events import MAX_BYTES
from tests.unit.specs.tables import place, service

_LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_MERGES = "e: &e {}\nb: &b {<<: [" + "*e," * 24_000 + "*e]}\nc: {<<: [" + "*b," * 24_000 + "*b]}\n"

REFUSED = [
    ("¦", "the configuration is empty"),
    ("¦# only a comment\n", "the configuration is empty"),
    ("¦~", "the configuration is empty"),
    ("¦- a", "expected a mapping of keys such as type and commands, found a list"),
    ("¦abc", 'found "abc"'),
    ("type: ¦task\nnodes: 2\nports: [1]", "`type: task` is not supported: expected service"),
    ("type: ¦dev-environment\nide: vscode", "`type: dev-environment` is not supported"),
    ("type: ¦gateway", "`type: gateway` is not supported"),
    ("¦commands: [a]\nport: 1", "required key type is missing"),
    ("¦type: service\ncommands: [a]", "required key port is missing"),
    ("¦type: service\nport: 1", "expected commands or image"),
    (service("env:\n¦\tA: x"), "a tab: YAML is indented with spaces only"),
    (service("a: 1\n") + "¦---\n", "a second document begins"),
    (service("name: ab¦\0"), "the control character U+0000"),
    (service("name: ab¦\x1b[0m"), "the control character U+001B"),
    (service("name: ab¦\udcff"), "not UTF-8 text"),
    (service("name: a: b").replace("a: b", "a¦: b"), "text that holds one needs quotes"),
    (service("x: ¦*nothing"), "there is no anchor &nothing"),
    (service("x: &x [¦*x]"), "the anchor &x contains itself"),
    (service("x: &x {<<: ¦*x}"), "the anchor &x contains itself"),
    (service("x: ¦!!python/object:os.system {}"), "the tag"),
    (service("x: ¦!!binary abc"), "the tag"),
    (service("x: " + "[" * 49 + "¦" + "[" * 900), "nested more than 50 levels deep"),
    (service("x:\n" + "- a\n" * 9_997 + "- ¦a\n" + "- a\n" * 9), "more than 10,000 values"),
    (
        _LAUGHS.replace("a: &a [x", "a: &a [¦x", 1).replace("¦x,x,x", "x,x,¦x", 1),
        "its aliases expand to more than 10,000 values",
    ),
    ("¦" + "#" * 1_300_000, "configuration is 1.3 MB; at most 1 MB"),
    ("¦" + "é" * 500_001, "configuration is 1.1 MB; at most 1 MB"),
]


@pytest.mark.parametrize(("marked", "says"), REFUSED)
def test_refuses_a_text_with_one_clear_sentence(marked: str, says: str) -> None:
    text, line, column = place(marked)

    with pytest.raises(SpecError) as refused:
        parse(text)

    first = refused.value.problems[0]
    assert says in first.message
    assert (first.line, first.column) == (line, column)
    assert "\n" not in first.message


@pytest.mark.parametrize("text", [_MERGES, "? " * 490_000, "- " * 490_000, "{" * 990_000])
def test_stops_early_at_texts_made_to_be_slow(text: str) -> None:
    with pytest.raises(SpecError, match="more than"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + service(""),
        "--- \n" + service("") + "...\n",
        "%YAML 1.1\n---\n" + service(""),
        service("").replace("\n", "\r\n"),
        '{"type": "service", "commands": ["a"], "port": 8000}',
        service("").ljust(MAX_BYTES - 2, "\n") + "#\n",
    ],
)
def test_reads_texts_of_every_make(text: str) -> None:
    assert parse(text).port.container_port == 8000


def test_counts_lines_as_editors_do() -> None:
    text = "type: service # é💥\r\nname: 'a\u2028'\r\ncommands: ['💥💥', 3]\rport: x\n"

    with pytest.raises(SpecError) as refused:
        parse(text)

    assert [(p.line, p.column) for p in refused.value.problems] == [(2, 7), (3, 18), (4, 7)]


def test_merges_anchors_and_lets_own_keys_win() -> None:
    text = service(
        "resources: &base {cpu: 2, memory: 4GB}\n"
        "groups: [{image: a, resources: {<<: *base, cpu: 8}}]"
    ).replace("resources: &base", "env: {A: &x 1}\nresources: &base")

    with pytest.raises(SpecError) as refused:
        parse(text, not_yet={})

    assert [p.path for p in refused.value.problems] == ["groups[0].resources"]


def test_repeats_an_alias_where_it_is_used() -> None:
    spec = parse(service("env: {A: &v x y, B: *v}\nbackends: &b [aws]\nregions: *b"))

    assert spec.env == {"A": "x y", "B": "x y"}
    assert spec.regions == ["aws"]


def test_prefers_own_keys_then_the_first_merged_mapping() -> None:
    spec = parse(service("tags: &a {x: one, y: one}\nenv: {<<: [*a, {y: two, z: two}], z: own}\n"))

    assert spec.env == {"x": "one", "y": "one", "z": "own"}


NOTES = """\
x-env: &env
  A: "1"
  B: &two "2"
x-more: &more {B: more, C: "3"}
x-commands: &commands [prepare, serve]
x-scaling: &scaling {metric: rps, target: 10}
x-command: &command |
  if true; then
    echo
  fi
x-unused: [1, {any: thing}, ~, *two]
x-: empty
"""


def test_takes_notes_at_the_top_for_anchors_and_merges() -> None:
    spec = parse(
        NOTES + "type: service\nport: 1\ncommands: *commands\nreplicas: 1..2\n"
        "env: {<<: [*env, *more], D: *two}\nscaling: {<<: *scaling, target: 5}\n"
    )

    assert spec.commands == ["prepare", "serve"]
    assert spec.env == {"A": "1", "B": "2", "C": "3", "D": "2"}
    assert spec.scaling is not None and spec.scaling.target == 5
    assert not any(key.startswith("x-") for key in spec.written)


def test_takes_a_whole_service_from_a_note() -> None:
    text = "x-base: &base {type: service, port: 1, commands: [a]}\n<<: *base\nport: 2\n"

    assert parse(text).port.container_port == 2


def test_takes_one_command_from_a_note() -> None:
    spec = parse(NOTES + "type: service\nport: 1\ncommands: [*command, 'serve']\n")

    assert spec.commands == ["if true; then\n  echo\nfi\n", "serve"]


def test_takes_no_notes_further_inside() -> None:
    with pytest.raises(SpecError, match='unknown key "x-a"'):
        parse(service("resources: {x-a: 1}"))


def test_names_a_problem_of_a_note_where_it_stands() -> None:
    with pytest.raises(SpecError) as refused:
        parse("x-r: &r\n  cpu: none\ntype: service\nport: 1\ncommands: [a]\nresources: *r\n")

    assert [(p.path, p.line) for p in refused.value.problems] == [("resources.cpu", 2)]


def test_refuses_a_note_that_is_no_yaml() -> None:
    with pytest.raises(SpecError, match="the key 'a' is already on line 2"):
        parse(service("x-a:\n  a: 1\n  a: 2"))


def test_refuses_a_merge_of_something_else() -> None:
    with pytest.raises(SpecError, match="`<<` takes a mapping or a list of mappings"):
        parse(service("env: {<<: 3, A: b}"))


@pytest.mark.parametrize("key", ["? [a]\n: b", "~: b", "? {a: b}\n: c"])
def test_refuses_keys_that_are_not_text(key: str) -> None:
    with pytest.raises(SpecError, match="a key must be plain text"):
        parse(service(key))


def test_decodes_utf8_with_a_byte_order_mark() -> None:
    assert decode("\ufefftype: é".encode()) == "type: é"


def test_says_where_bytes_are_not_utf8() -> None:
    with pytest.raises(SpecError) as refused:
        decode(b"type: service\nname: a\xff")

    problem = refused.value.problems[0]
    assert (problem.line, problem.column) == (2, 8)
    assert "save the file as UTF-8" in problem.message


def test_refuses_to_decode_more_than_the_limit() -> None:
    with pytest.raises(SpecError, match=r"configuration is 1\.3 MB; at most 1 MB"):
        decode(b"#" * 1_300_000)
