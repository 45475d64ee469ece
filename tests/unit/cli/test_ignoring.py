from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.cli.upload.collecting import collect
from apps.core.archive.ignore import in_words


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def kept(root: Path) -> list[str]:
    entries = collect(root).entries
    ignore_files = (".gitignore", ".dstackignore")
    return [e.path for e in entries if e.kind == "file" and not e.path.endswith(ignore_files)]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({".gitignore": "*.log", "a.log": "", "b/c.log": "", "b/d": ""}, ["b/d"]),
        ({".gitignore": "/a", "a": "", "b/a": ""}, ["b/a"]),
        ({".gitignore": "build/", "build/x": "", "src/build/x": "", "b": ""}, ["b"]),
        ({".gitignore": "build/", "build": ""}, ["build"]),
        ({".gitignore": "*\n!keep", "keep": "", "x": ""}, ["keep"]),
        ({".gitignore": "data/*\n!data/keep", "data/keep": "", "data/x": ""}, ["data/keep"]),
        ({".gitignore": "data/**\n!data/keep", "data/keep": "", "data/x": ""}, ["data/keep"]),
        ({".gitignore": "data/**/", "data/x": "", "data/y/z": ""}, ["data/x"]),
        ({".gitignore": "data/\n!data/keep", "data/keep": "", "b": ""}, ["b"]),
        ({".gitignore": "**/tmp/*.o", "tmp/a.o": "", "x/tmp/b.o": "", "c.o": ""}, ["c.o"]),
        ({".gitignore": "# no\n\n\\#yes", "# no": "", "#yes": ""}, ["# no"]),
        ({".gitignore": "a\r\nb\r\n", "a": "", "b": "", "c": ""}, ["c"]),
        ({".gitignore": "\ufeffa", "a": "", "c": ""}, ["c"]),
        ({"b/.gitignore": "/x", "x": "", "b/x": "", "b/c/x": ""}, ["b/c/x", "x"]),
        ({".gitignore": "*.log", "b/.gitignore": "!*.log", "a.log": "", "b/c.log": ""},
         ["b/c.log"]),
        ({".gitignore": "a", ".dstackignore": "!a\nb", "a": "", "b": "", "c": ""}, ["a", "c"]),
        ({".dstackignore": "*.bin", "b/a.bin": "", "c": ""}, ["c"]),
        ({".git/config": "", "sub/.git": "gitdir: x", "a": ""}, ["a"]),
        ({".gitignore": "!.git", ".git/config": "", "a": ""}, ["a"]),
        ({".gitignore": "[z-a]\n[", "a": ""}, ["a"]),
        ({".gitignore": "a b\nc\\ ", "a b": "", "c ": "", "c": ""}, ["c"]),
    ],
)  # fmt: skip
def test_leaves_out_what_the_files_say(
    tmp_path: Path, files: dict[str, str], names: list[str]
) -> None:
    lay_out(tmp_path, files)

    assert kept(tmp_path) == names


REST = {"venv/bin/python": "", "web/node_modules/x/a.js": "", "a.py": "", ".DS_Store": ""}


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({}, ["a.py"]),
        ({"src/__pycache__/a.pyc": "", ".tox/py/a": "", ".idea/a.xml": ""}, ["a.py"]),
        # Only folders are meant, whatever a file is called.
        ({"bin/venv": "a program"}, ["a.py", "bin/venv"]),
        ({".dstackignore": "!venv/"}, ["a.py", "venv/bin/python"]),
        ({".dstackignore": "!venv"}, ["a.py", "venv/bin/python"]),
        ({".dstackignore": "!/venv"}, ["a.py", "venv/bin/python"]),
        ({".dstackignore": "!node_modules/"}, ["a.py", "web/node_modules/x/a.js"]),
        ({".dstackignore": "!/node_modules/"}, ["a.py"]),
        ({"web/.dstackignore": "!/node_modules/"}, ["a.py", "web/node_modules/x/a.js"]),
        ({".dstackignore": "!.DS_Store"}, [".DS_Store", "a.py"]),
        ({".dstackignore": "!venv/\nvenv/"}, ["a.py"]),
        ({".gitignore": "venv/", ".dstackignore": "!venv/"}, ["a.py", "venv/bin/python"]),
        # Git's own list does not speak of uploads, and a list of exceptions names nothing.
        ({".gitignore": "!venv/"}, ["a.py"]),
        ({".dstackignore": "*\n!*/\n!*.py\n!python"}, ["a.py"]),
        ({".dstackignore": "*\n!*/\n!**\n!venv/"}, ["a.py", "venv/bin/python"]),
    ],
)
def test_leaves_out_what_every_machine_makes_anew(
    tmp_path: Path, files: dict[str, str], names: list[str]
) -> None:
    lay_out(tmp_path, {**REST, **files})

    assert kept(tmp_path) == names


def test_tells_what_it_left_out_unless_it_was_asked_to(tmp_path: Path) -> None:
    lay_out(tmp_path, {**REST, ".gitignore": "*.log\nvenv", "a.log": "", "b/__pycache__/x": ""})

    left_out = collect(tmp_path).left_out

    assert sorted(left_out) == [".DS_Store", "b/__pycache__", "venv", "web/node_modules"]


def test_names_what_was_left_out_once() -> None:
    paths = ["a/__pycache__", "venv", "__pycache__", *(f"x{n}/.tox" for n in range(3))]
    assert in_words(paths) == [".tox (3)", "__pycache__ (2)", "venv"]
    assert in_words(f"n{n}" for n in range(20))[-1] == "12 more"
    assert in_words([]) == []


def test_obeys_the_repository_around_the_folder(tmp_path: Path) -> None:
    lay_out(
        tmp_path, {".git/HEAD": "", ".gitignore": ".env\n/app/x", "app/.env": "", "app/x": "",
                   "app/y": "", "app/sub/.env": ""}
    )  # fmt: skip

    assert kept(tmp_path / "app") == ["y"]


def test_packs_a_folder_that_its_repository_ignores(tmp_path: Path) -> None:
    lay_out(tmp_path, {".git/HEAD": "", ".gitignore": "tmp/\n*.py", "tmp/app/a.py": ""})

    assert kept(tmp_path / "tmp" / "app") == ["a.py"]


def test_does_not_look_above_a_folder_outside_of_a_repository(tmp_path: Path) -> None:
    lay_out(tmp_path, {".gitignore": "*", "app/a": ""})

    assert kept(tmp_path / "app") == ["a"]


NAMES = ["a", "b", "ab", "a.log", "build", "x y"]
PATTERNS = st.lists(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "!", "!"]),
            st.sampled_from(["", "/", "**/", "a/", "build/"]),
            st.sampled_from(["a", "b", "*", "?", "*.log", "build", "**", "[ab]", "a*", "x\\ y"]),
            st.sampled_from(["", "/", "/*", "/**"]),
        ),
    ),
    max_size=5,
)
TREES = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), min_size=1, max_size=8)


def plant(root: Path, tree: list[list[str]]) -> None:
    for parts in tree:
        folder = root.joinpath(*parts[:-1])
        inside = all(not parent.is_file() for parent in [folder, *folder.parents])
        if inside and not root.joinpath(*parts).exists():
            folder.mkdir(parents=True, exist_ok=True)
            root.joinpath(*parts).write_text("")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the reference")
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tree=TREES, top=PATTERNS, below=PATTERNS)
def test_decides_as_git_does(
    tmp_path_factory: pytest.TempPathFactory,
    tree: list[list[str]],
    top: list[str],
    below: list[str],
) -> None:
    root = tmp_path_factory.mktemp("tree")
    plant(root, [["a", "b"], ["a", "build", "x y"], *tree])
    (root / ".gitignore").write_text("\n".join(top))
    (root / "a" / ".gitignore").write_text("\n".join(below))
    git = ["git", "-c", "core.excludesFile=/dev/null", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True, timeout=30)

    listed = subprocess.run(
        [*git, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"],
        capture_output=True, check=True, timeout=30, text=True,
    )  # fmt: skip

    reference = [name for name in listed.stdout.split("\0") if name]
    assert sorted(kept(root)) == sorted(n for n in reference if not n.endswith(".gitignore"))
    shutil.rmtree(root)
