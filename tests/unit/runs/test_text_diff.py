"""Unified diffs of a service's file, with the words that changed."""

from __future__ import annotations

import pytest

from apps.runs.planning import text_diff

OLD = "type: service\nname: a\nport: 8000\nimage: x:1\nenv:\n  - A=1\n  - B=2\n  - C=3\n"


def drawn(old: str, new: str) -> list[str]:
    """Each line with its sign, and what changed in it between brackets."""
    return [
        line.sign + "".join(f"[{p.text}]" if p.is_changed else p.text for p in line.parts)
        for line in text_diff.unified(old, new)
    ]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a\nb\n", "a\nb\n", []),
        ("", "", []),
        # How a line ends is no difference.
        ("a\r\nb", "a\nb\n", []),
        ("", "a: 1\n", ["+a: 1"]),
        ("a: 1\n", "", ["-a: 1"]),
        ("port: 8000\n", "port: 9000\n", ["-port: [8000]", "+port: [9000]"]),
        ("  - python app.py --x 1\n", "  - python app.py --x 1 --y 2\n",
         ["-  - python app.py --x 1", "+  - python app.py --x 1[ --y 2]"]),
        # What has little in common is no line that changed.
        ("image: vllm/vllm-openai\n", "commands:\n  - serve\n",
         ["-image: vllm/vllm-openai", "+commands:", "+  - serve"]),
        ("a: 1\nb: 2\n", "a: 3\nb: 4\n", ["-a: [1]", "-b: [2]", "+a: [3]", "+b: [4]"]),
    ],
)  # fmt: skip
def test_draws_what_went_and_what_came(old: str, new: str, lines: list[str]) -> None:
    assert drawn(old, new) == lines


def test_leaves_out_what_is_far_from_a_change() -> None:
    found = drawn(OLD, OLD.replace("C=3", "C=4"))

    assert found == ["⋯", " env:", "   - A=1", "   - B=2", "-  - C=[3]", "+  - C=[4]"]


def test_says_that_the_text_goes_on() -> None:
    found = drawn(OLD, OLD.replace("type: service", "type: task"))

    assert (found[0], found[-1]) == ("-type: [service]", "⋯")


def test_does_not_compare_what_is_too_long() -> None:
    assert text_diff.unified("a\n" * 3000, "b\n" * 3000) == []


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        # Every second line, or word, is the same: with the cube of it, this would take an hour.
        ("\n".join(f"x\nold{n}" for n in range(999)), "\n".join(f"x\nn{n}" for n in range(999)), 0),
        (" ".join(f"x o{n}" for n in range(1200)), " ".join(f"x n{n}" for n in range(1200)), 2),
        ("x " * 2_000_000, "x " * 1_999_999, 2),
    ],
)  # fmt: skip
def test_takes_no_longer_for_texts_that_are_made_to(old: str, new: str, lines: int) -> None:
    found = text_diff.unified(old, new)

    assert len(found) == lines
    assert not any(part.is_changed for line in found for part in line.parts)


def test_compares_texts_of_one_page_as_long_as_there_is_patience() -> None:
    patience = text_diff.Patience(left=20)

    assert text_diff.unified("a: 1\n", "b: 2\n", patience)
    assert not text_diff.unified("a\n" * 9, "b\n" + "a\n" * 9, patience)
