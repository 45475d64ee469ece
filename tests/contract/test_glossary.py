"""The glossary is sorted, complete for beginners, and names modules that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "templates" / "docs"
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| `([^|`]+)` \|$", re.MULTILINE)
ROWS = ROW.findall((DOCS / "glossary.md").read_text())
WORDS = [word for word, _, _ in ROWS]


def test_every_line_of_the_table_is_a_row() -> None:
    lines = [line for line in (DOCS / "glossary.md").read_text().splitlines() if line[:1] == "|"]

    assert len(ROWS) == len(lines) - 2
    assert len(ROWS) > 40


def test_it_is_sorted_and_has_no_word_twice() -> None:
    assert sorted(set(WORDS), key=str.casefold) == WORDS


@pytest.mark.parametrize(("word", "meaning", "module"), ROWS)
def test_a_row_is_a_sentence_and_a_module_that_is_there(
    word: str, meaning: str, module: str
) -> None:
    assert meaning[0].isupper()
    assert meaning.endswith(".")
    assert ". " not in meaning
    assert (ROOT / module).is_file()


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_used(word: str) -> None:
    places = ["apps", "gateway", "dstack_web", "templates", ":!templates/docs/glossary.md"]
    form = word.replace(" ", "[ _-]*")

    found = subprocess.run(
        ["git", "grep", "-qiE", form, "--", *places], cwd=ROOT, check=False, timeout=30
    )

    assert found.returncode == 0


def test_it_has_the_words_of_the_first_page() -> None:
    table = (DOCS / "start.md").read_text().partition("## The words")[2].partition("## ")[0]
    words = set(re.findall(r"^\| (\w+) \|", table, re.MULTILINE)) - {"word"}

    assert len(words) >= 8
    assert words <= set(WORDS)
