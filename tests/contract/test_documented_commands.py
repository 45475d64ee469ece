"""What the documentation tells people to type is there: each command, with each of its flags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from apps.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "templates" / "docs").glob("*.md"))]
# Its words up to the first that is none of a command, and what follows on the line.
TYPED = re.compile(r"(?:^|[`$(] *)dstack((?: [a-z][a-z-]*)+)([^`\n|]*)", re.MULTILINE)
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


@cache
def commands() -> dict[tuple[str, ...], set[str]]:
    """Return the flags of each command, by its words."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("dstack", [], resilient_parsing=True)
    return dict(_below(root, context, ()))


def _below(
    command: Any, context: Any, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
    yield words, flags | {"-h", "--help"}
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from _below(command.get_command(context, name), context, (*words, name))


def unknown(text: str) -> list[str]:
    """Return what a page tells people to type that is not there."""
    found = []
    for words, rest in TYPED.findall(text):
        named, known = tuple(words.split()), commands()
        length = next((n for n in range(len(named), 0, -1) if named[:n] in known), 0)
        if not length:
            found.append(f"dstack{words}")
            continue
        flags = FLAG.findall(" ".join((*named[length:], rest)))
        found += [f"{' '.join(named[:length])} {flag}" for flag in flags
                  if flag not in known[named[:length]]]  # fmt: skip
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_there(page: Path) -> None:
    assert unknown(page.read_text()) == []


def test_finds_what_is_not_there() -> None:
    text = (
        "`dstack nope`, `dstack run . --nope`, `dstack gateway create --domain D`\ndstack ps -q\n"
    )

    assert unknown(text) == ["dstack nope", "run --nope", "ps -q"]
    assert sum(len(TYPED.findall(page.read_text())) for page in PAGES) > 100
