"""The limits of the house: a file or a function that outgrows them is to be split."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FUNCTION = 50
MOST_MODULES = 15
LONGEST_FILE = {".py": 400, ".html": 150, ".js": 150, ".css": 250, ".cfg": 120}
LONGEST_RULE = 160


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def long_functions(source: str) -> list[str]:
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        f"{node.name} has {length} lines"
        for node in functions
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]


FILES = [path for path in tracked_files() if path.exists()]


@pytest.mark.parametrize("suffix", LONGEST_FILE)
def test_no_file_is_longer_than_its_kind_may_be(suffix: str) -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for path in FILES
        if path.suffix == suffix
    }

    too_long = {path: n for path, n in lengths.items() if n > LONGEST_FILE[suffix]}

    assert too_long == {}


def test_no_line_of_rules_is_longer_than_one_can_read() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}": len(line)
        for path in FILES
        if path.suffix == ".cfg"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > LONGEST_RULE
    }

    assert found == {}


def test_no_function_is_longer_than_fifty_lines() -> None:
    found = {
        str(path.relative_to(ROOT)): long_functions(path.read_text())
        for path in FILES
        if path.suffix == ".py"
    }

    assert {path: functions for path, functions in found.items() if functions} == {}


# Each test stands alone, so that a folder of many is as easy to read; migrations only grow.
FOLDERS = sorted(
    {path.parent for path in FILES if path.suffix == ".py" and "migrations" not in path.parts}
)
ROOMS = [path for path in FOLDERS if path != ROOT and "tests" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize("folder", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_has_few_modules_and_says_what_it_holds(folder: Path) -> None:
    modules = [path.name for path in FILES if path.parent == folder and path.suffix == ".py"]
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""

    assert len(modules) <= MOST_MODULES
    assert len(re.findall(r"\.(?:\s|$)", said)) >= 2, (
        "`__init__` says what the folder holds and who may call it"
    )


def test_the_count_sees_a_long_function() -> None:
    source = "def long():\n" + "    x = 1\n" * LONGEST_FUNCTION

    assert long_functions(source) == ["long has 51 lines"]
