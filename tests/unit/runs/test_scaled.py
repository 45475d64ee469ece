"""The text that one starts from after a service was scaled by hand."""

from __future__ import annotations

import pytest

from apps.core import crypto
from apps.runs.models import Run
from apps.runs.scale import manual_scale
from apps.specs.parse import parse

HEAD = "type: service\ncommands: [serve]\nport: 8000\n"
SCALES = "scaling: {metric: rps, target: 10}\n"


def run_of(text: str, least: int, most: int) -> Run:
    spec = {**parse(text).to_json(), "replicas": {"min": least, "max": most}}
    return Run(name="hello", configuration=crypto.encrypt(text), spec=spec, desired_replicas=least)


@pytest.mark.parametrize(
    ("text", "span", "shown"),
    [
        (HEAD, (3, 3), HEAD + "\nreplicas: 3\n"),
        (HEAD.rstrip(), (3, 3), HEAD + "\nreplicas: 3\n"),
        (HEAD + "replicas: 1\n", (3, 3), HEAD + "replicas: 3\n"),
        (HEAD + "replicas: 1  # two later\n", (0, 0), HEAD + "replicas: 0  # two later\n"),
        (HEAD + "replicas:   '2'\n", (3, 3), HEAD + "replicas:   3\n"),
        ("replicas: 1\n" + HEAD, (4, 4), "replicas: 4\n" + HEAD),
        (HEAD + "'replicas': 1\n", (4, 4), HEAD + "'replicas': 4\n"),
        (HEAD + "replicas:\n  1\n", (4, 4), HEAD + "replicas:\n  4\n"),
        (HEAD + SCALES + "replicas: 1..4\n", (2, 6), HEAD + SCALES + "replicas: 2..6\n"),
        (
            "{type: service, commands: [serve], port: 8000, replicas: 1}",
            (3, 3),
            "{type: service, commands: [serve], port: 8000, replicas: 3}",
        ),
        (
            HEAD + "env: {REPLICAS: 'replicas: 1'}\nreplicas: 1\n",
            (3, 3),
            HEAD + "env: {REPLICAS: 'replicas: 1'}\nreplicas: 3\n",
        ),
        (HEAD.replace("\n", "\r\n") + "replicas: 1\r\n", (3, 3), None),
    ],
)
def test_the_text_says_what_runs(text: str, span: tuple[int, int], shown: str | None) -> None:
    found = manual_scale.text_of(run_of(text, *span))

    replicas = parse(found).replicas
    assert (replicas.min, replicas.max) == span
    assert found == (shown or found)


@pytest.mark.parametrize(
    "text",
    [
        # No place of its own: the text is left alone, and the plan warns.
        "{type: service, commands: [serve], port: 8000}",
        "env: {A: &n '2'}\n" + HEAD + "replicas: *n\n",
    ],
)
def test_a_text_that_cannot_be_edited_is_left_alone(text: str) -> None:
    assert manual_scale.text_of(run_of(text, 3, 3)) == text


@pytest.mark.parametrize("text", [HEAD, HEAD + "replicas: 1\n"])
def test_a_service_that_nobody_scaled_keeps_its_text(text: str) -> None:
    run = run_of(text, 1, 1)

    assert manual_scale.text_of(run) == text
    assert manual_scale.since(run) is None
    assert manual_scale.warning(run, (5, 5)) == ""


def test_an_old_file_that_cannot_be_read_any_more_is_left_alone() -> None:
    run = run_of(HEAD, 3, 3)
    run.configuration = crypto.encrypt("type: [")

    assert manual_scale.text_of(run) == "type: ["
    assert manual_scale.warning(run, (1, 1)) == ""


def test_warns_of_what_would_be_undone() -> None:
    run = run_of(HEAD, 3, 3)

    assert manual_scale.warning(run, (3, 3)) == ""
    assert manual_scale.warning(run, (1, 1)) == (
        "hello was scaled to 3 replicas since its file was last deployed; this changes it back "
        "to 1. Write `replicas: 3` to keep it."
    )
