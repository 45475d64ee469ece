"""What differs between two versions, in words, and whether it needs new replicas."""

from __future__ import annotations

from typing import Any

import pytest

from apps.runs.planning import diff
from apps.runs.planning.diff import Difference, differences, needs_rollout
from apps.specs.parse import parse

NO_SECRETS: tuple[dict[str, Any], dict[str, Any]] = ({}, {})


def of(old: dict[str, Any], new: dict[str, Any], **more: Any) -> list[tuple[str, str, str, bool]]:
    found = differences(old, new, **{"secrets": NO_SECRETS, **more})
    return [(one.path, one.old, one.new, one.in_place) for one in found]


@pytest.mark.parametrize("key", sorted(diff.IN_PLACE - {"replicas"}))
def test_some_keys_change_in_place(key: str) -> None:
    seconds = key.endswith("_seconds")
    told = (key.removesuffix("_seconds"), "1s", "2s") if seconds else (key, "1", "2")

    assert of({key: 1}, {key: 2}) == [(*told, True)]


@pytest.mark.parametrize("key", ["commands", "image", "port", "python", "resources", "shell"])
def test_all_others_are_for_new_replicas(key: str) -> None:
    assert of({key: "1"}, {key: "2"}) == [(key, "1", "2", False)]


@pytest.mark.parametrize("key", ["name", "written", "env"])
def test_the_name_and_what_was_written_change_nothing(key: str) -> None:
    assert of({key: ["a"]}, {key: ["b"]}) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"port": 80}, {"port": 80}, []),
        ({"image": "a"}, {}, [("image", "a", "none", False)]),
        ({}, {"image": "a"}, [("image", "none", "a", False)]),
        ({"image": None}, {}, []),
        ({"image": None}, {"image": "a"}, [("image", "none", "a", False)]),
        ({"commands": []}, {"commands": ["a"]}, [("commands", "none", "a", False)]),
        ({"resources": "a"}, {"resources": {}}, [("resources", "a", "none", False)]),
        ({"auth": True}, {"auth": False}, [("auth", "true", "false", True)]),
        ({"port": 1}, {"port": 0}, [("port", "1", "0", False)]),
        ({"image": ""}, {"image": "a"}, [("image", "", "a", False)]),
        ({"image": "grün"}, {"image": ["blå"]}, [("image", "grün", "[blå]", False)]),
    ],
)
def test_writes_both_values(old: Any, new: Any, found: Any) -> None:
    assert of(old, new) == found


def test_names_the_keys_inside_that_changed_and_no_others() -> None:
    old = {"resources": {"cpu": {"min": 1, "max": 4}, "disk": None, "gpu": "A100"}}
    new = {"resources": {"cpu": {"min": 2, "max": 4}, "disk": "10GB", "memory": "1GB"}}

    assert of(old, new) == [
        ("resources.cpu", "1..4", "2..4", False),
        ("resources.disk", "none", "10GB", False),
        ("resources.gpu", "A100", "none", False),
        ("resources.memory", "none", "1GB", False),
    ]


def test_what_was_no_mapping_before_is_told_whole() -> None:
    assert of({"model": "a"}, {"model": {"name": "a"}}) == [("model", "a", "{name: a}", True)]


def parsed(text: str) -> dict[str, Any]:
    service = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"
    return parse(service + text).to_json()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "replicas: 1..4\nscaling: {metric: rps, target: 10}",
            "replicas: 1..4\nscaling: {metric: rps, target: 20, scale_down_delay: 90s}",
            ["scaling.scale_down_delay: 5m -> 90s", "scaling.target: 10 -> 20"],
        ),
        (
            "",
            "replicas: 1..4\nscaling: {metric: rps, target: 2.5}",
            [
                "replicas: 1 -> 1..4",
                "scaling.metric: none -> rps",
                "scaling.scale_down_delay: none -> 5m",
                "scaling.scale_up_delay: none -> 0s",
                "scaling.target: none -> 2.5",
                "scaling.window: none -> 1m",
            ],
        ),
        ("stop_duration: 10s", "stop_duration: 2m", ["stop_duration: 10s -> 2m"]),
        ("max_duration: 2h", "max_duration: off", ["max_duration: 2h -> none"]),
        (
            "resources: {memory: 8GB.., cpu: 2}",
            "resources: {memory: 512MB..1.5GB, cpu: 'arm:4..'}",
            ["resources.cpu: 2 -> arm:4..", "resources.memory: 8GB.. -> 0.5GB..1.5GB"],
        ),
        (
            "resources: {gpu: 'A100:80GB:2'}",
            "resources: {gpu: 'H100,A100:1..4'}",
            ["resources.gpu: A100:80GB:2 -> H100,A100:1..4"],
        ),
        ("", "resources: {gpu: 24GB}", ["resources.gpu: none -> 24GB:1"]),
        (
            "rate_limits: [{prefix: /v1/, rps: 10}]",
            "rate_limits: [{prefix: /v1/, rps: 20}]",
            [
                "rate_limits: {prefix: /v1/, rps: 10, burst: 0, key: {type: ip_address}}"
                " -> {prefix: /v1/, rps: 20, burst: 0, key: {type: ip_address}}"
            ],
        ),
        ("", "tags: {team: a}", ["tags.team: none -> a"]),
        ("tags: {team: a}", "", ["tags.team: a -> none"]),
        ("backends: [aws]", "backends: [aws, local]", ["backends: none -> local"]),
        ("hold: {timeout: 1m}", "hold: {max_memory: 1GB}",
         ["hold.max_memory: 64MB -> 1GB", "hold.timeout: 1m -> 10m"]),
    ],
)  # fmt: skip
def test_tells_it_in_the_words_of_the_file(old: str, new: str, told: list[str]) -> None:
    found = differences(parsed(old), parsed(new), secrets=NO_SECRETS)

    assert [f"{one.path}: {one.old} -> {one.new}" for one in found] == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (["a", "b"], ["a", "c"], [("b", "c")]),
        (["a"], ["a", "b"], [("none", "b")]),
        (["a", "b"], ["b"], [("a", "none")]),
        (["a", "b"], ["b", "a"], [("none", "b"), ("b", "none")]),
        (None, ["a"], [("none", "a")]),
        (["a"], [], [("a", "none")]),
        (["a", "b"], ["x", "y", "z"], [("a", "x"), ("b", "y"), ("none", "z")]),
    ],
)
def test_a_list_is_told_item_by_item(old: Any, new: Any, told: list[tuple[str, str]]) -> None:
    found = of({"commands": old}, {"commands": new})

    assert found == [("commands", *pair, False) for pair in told]


def test_keys_inside_of_one_in_place_are_in_place() -> None:
    assert of({"model": {"name": "a"}}, {"model": {"name": "b"}}) == [
        ("model.name", "a", "b", True)
    ]


@pytest.mark.parametrize(
    ("replicas", "words"),
    [
        ({"min": 2, "max": 2}, "2"),
        ({"min": 0, "max": 4}, "0..4"),
        ({"min": None, "max": 4}, "0..4"),
        ({"min": None, "max": 0}, "0"),
        ({"min": 1, "max": 2}, "1..2"),
        (None, "none"),
    ],
)
def test_writes_replicas_as_people_do(replicas: Any, words: str) -> None:
    old = {"replicas": {"min": 7, "max": 7}}

    assert of(old, {"replicas": replicas}) == [("replicas", "7", words, True)]
    assert of({"replicas": replicas}, old) == [("replicas", words, "7", True)]


@pytest.mark.parametrize(
    ("old", "new", "is_told"),
    [
        ([], [], False),
        (["probes"], [], True),
        ([], ["probes"], True),
        (["port"], ["image"], False),
        (None, ["probes"], True),
        (None, None, False),
    ],
)
def test_probes_count_where_a_person_wrote_them(old: Any, new: Any, is_told: bool) -> None:
    before = {"probes": [{"url": "/a?key=secret"}], "written": old}
    after = {"probes": [{"url": "/b?key=secret"}], "written": new}
    told = [("probes", "(before)", "(changed)", False)]

    assert of(before, after) == (told if is_told else [])


def test_only_probes_must_have_been_written() -> None:
    assert of({"port": 1, "written": []}, {"port": 2, "written": []}) != []


def test_never_shows_what_may_hold_a_key() -> None:
    old, new = {"registry_auth": {"username": "a"}}, {"registry_auth": {"username": "b"}}

    assert of(old, new) == [("registry_auth", "(before)", "(changed)", False)]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"A": "1"}, {"A": "1"}, []),
        ({}, {"A": "1"}, [("env.A", "none", "(set)", False)]),
        ({"A": "1"}, {}, [("env.A", "(set)", "none", False)]),
        ({"A": "1"}, {"A": "2"}, [("env.A", "(before)", "(changed)", False)]),
        ({"A": ""}, {}, [("env.A", "(set)", "none", False)]),
        (None, {"A": ""}, [("env.A", "none", "(set)", False)]),
    ],
)
def test_names_variables_and_shows_no_value(before: Any, after: Any, found: Any) -> None:
    assert of({}, {}, secrets=({"env": before}, {"env": after})) == found
    assert of({}, {}, secrets=({"env": before}, {"env": before})) == []


@pytest.mark.parametrize(
    ("old", "new", "is_told"),
    [
        ("a", "b", True),
        (None, "b", True),
        ("a", None, True),
        ("a", "a", False),
        (None, None, False),
    ],
)
def test_tells_of_another_password(old: str | None, new: str | None, is_told: bool) -> None:
    secrets = ({"registry_password": old}, {"registry_password": new})
    told = [("registry_auth.password", "(before)", "(changed)", False)]

    assert of({}, {}, secrets=secrets) == (told if is_told else [])


@pytest.mark.parametrize(
    ("uploads", "found"),
    [
        ((None, None), []),
        (("a" * 64, "a" * 64), []),
        (("a" * 64, "b" * 64), [("files", "a" * 12, "b" * 12, False)]),
        ((None, "b" * 64), [("files", "none", "b" * 12, False)]),
        (("a" * 64, None), [("files", "a" * 12, "none", False)]),
    ],
)
def test_names_files_by_the_begin_of_their_hash(uploads: Any, found: Any) -> None:
    assert of({}, {}, uploads=uploads) == found


@pytest.mark.parametrize(("size", "shown"), [(200, "x" * 200), (201, "x" * 200 + "…")])
def test_cuts_long_values(size: int, shown: str) -> None:
    assert of({"image": "a"}, {"image": "x" * size}) == [("image", "a", shown, False)]


def test_all_that_changed_stands_in_the_order_of_its_path() -> None:
    old = {"port": 1, "auth": True}
    new = {"port": 2, "auth": False}
    secrets: Any = ({}, {"env": {"Z": "1", "B": "1"}})
    found = of(old, new, secrets=secrets, uploads=(None, "a" * 64))

    assert [path for path, *_ in found] == ["auth", "env.B", "env.Z", "files", "port"]


@pytest.mark.parametrize(
    ("in_place", "needs"),
    [([], False), ([True], False), ([False], True), ([True, False], True), ([True, True], False)],
)
def test_a_rollout_is_needed_for_anything_that_is_not_in_place(
    in_place: list[bool], needs: bool
) -> None:
    found = [Difference("x", "1", "2", in_place=one) for one in in_place]

    assert needs_rollout(found) is needs
