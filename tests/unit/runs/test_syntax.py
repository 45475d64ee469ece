"""What real shells refuse is refused beforehand, at its line; what would run never is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from apps.runs.planning import shell_syntax
from apps.specs import parse
from apps.specs.commands import Script
from apps.specs.errors import SpecError, SpecProblem
from tests.programs import require_program


@pytest.fixture(autouse=True)
def shells() -> None:
    require_program("bash", package="bash")
    require_program("dash", package="dash")


def refused(*items: str, shell: str | None = None, image: bool = False) -> list[tuple[int, int]]:
    found = shell_syntax.unreadable(Script(items, shell, image))
    return [(one.item, one.line) for one in found]


def problems(text: str) -> list[SpecProblem]:
    with pytest.raises(SpecError) as caught:
        parse.parse(text, read_by_shell=shell_syntax.unreadable)
    return caught.value.problems


@pytest.mark.parametrize(
    ("item", "line", "says"),
    [
        ("if true; then", 1, "unexpected end of file; each item is a command of its own"),
        ("fi", 1, "syntax error near unexpected token `fi'"),
        ("echo a\nfi\necho b", 2, "syntax error near unexpected token `fi'"),
        ("for i in 1 2; do\necho $i", 2, "unexpected end of file"),
        ("case x in\na) echo", 2, "unexpected end of file"),
        ("f() {", 1, "unexpected end of file"),
        ("echo 'a", 1, "while looking for matching `''"),
        ('echo "a\nb', 1, "while looking for matching `\"'"),
        ("echo `a", 1, "while looking for matching"),
        ("echo $(a", 1, "while looking for matching `)'"),
        ("echo ${a", 1, "while looking for matching `}'"),
        ("echo a &&", 1, "unexpected end of file"),
        ("echo a |", 1, "unexpected end of file"),
        ("&& echo a", 1, "near unexpected token `&&'"),
        ("echo a & && echo b", 1, "near unexpected token `&&'"),
        ("echo )", 1, "near unexpected token `)'"),
        ("echo a > ", 1, "near unexpected token `newline'"),
        ("[[ a == b", 1, "`]]'"),
        ("done", 1, "near unexpected token `done'"),
        ("}", 1, "near unexpected token `}'"),
        ("echo ü '→", 1, "while looking for matching `''"),
        ("cat <<EOF\na\nEOF\nfi", 4, "near unexpected token `fi'"),
    ],
)
def test_refuses_what_bash_cannot_read(item: str, line: int, says: str) -> None:
    (found,) = shell_syntax.unreadable(Script(("echo a", item, "echo b")))

    assert (found.item, found.line) == (1, line)
    assert found.message.startswith("bash cannot read it: ")
    assert says in found.message


@pytest.mark.parametrize(
    "items",
    [
        ["echo a"],
        ["# nothing"],
        ["sleep 1 &", "wait"],
        ["cat <<EOF\na\nEOF"],
        ["cat <<EOF\na"],
        ["echo a \\"],
        ["if true; then\necho\nfi"],
        ["a || b", "exit 0", "exec c"],
        ["f() { echo; }; f", "f+() { :; }"],
        ["a=(1 2)", "cat <(b) <<< c", "[[ a =~ (b|c) ]]"],
        ["shopt -s extglob", "rm -r !(keep|me)"],
        ["shopt -s extglob\nrm -r !(keep|me)"],
        ["case $x in +([0-9])) echo;; esac"],
        ["! (false)", "! true"],
        ["shopt -s expand_aliases", "alias begin='if true; then' end=fi", "begin\necho a\nend"],
        ["set -o posix", "alias begin='if true; then' end=fi", "begin\necho a\nend"],
        ["echo ${{ x }}", "echo é → 日本 🐍"],
        ["for ((i = 0; i < 2; i++)); do :; done", "select x in a; do break; done"],
        ["function f { :; }", "coproc cat", "time -p true"],
        ["echo $(case x in x) echo a;; esac)"],
        ["python3 - <<'EOF'\nprint('it''s')\nif x: (\nEOF"],
        ["x" * 100_000],
        ["$(" * 60_000],
        ["  ", "\n"],
    ],
)
def test_refuses_nothing_that_runs(items: list[str]) -> None:
    assert refused(*items) == []


@pytest.mark.parametrize(
    ("shell", "image", "item", "expected"),
    [
        ("bash", False, "a=(1 2)", []),
        ("/usr/bin/bash", True, "fi", [(0, 1)]),
        ("sh", False, "fi", [(0, 1)]),
        ("sh", False, "echo a\ncat <(b)\n", [(0, 2)]),
        ("sh", False, "alias begin='if true; then' end=fi\nbegin\nend", []),
        ("sh", True, "fi", [(0, 1)]),
        # the `sh` of the image may be a bash or a busybox
        ("sh", True, "function f { :; }", []),
        ("sh", True, "a=(1 2)", []),
        ("/bin/dash", True, "a=(1 2)", [(0, 1)]),
        ("/bin/zsh", False, "if true { fi", []),
        ("/usr/bin/fish", False, "if true; echo; end", []),
        ("/usr/bin/python3", True, "print(", []),
    ],
)
def test_asks_the_shell_that_will_read_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    shell: str,
    image: bool,
    item: str,
    expected: list[tuple[int, int]],
) -> None:
    for name, program in (("sh", "dash"), ("dash", "dash"), ("bash", "bash")):
        (tmp_path / name).symlink_to(require_program(program, package=program))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert refused(item, shell=shell, image=image) == expected


def test_refuses_nothing_where_there_is_no_bash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sh").symlink_to(require_program("dash", package="dash"))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert refused("fi") == []
    assert refused("fi", shell="sh", image=True) == []
    assert refused("fi", shell="sh") == [(0, 1)]


def test_runs_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    items = [f"touch {made}", f"$(touch {made})", f"set +n\ntouch {made}", f"exec > {made}"]

    assert refused(*items, f"echo `touch {made}`; fi") == [(4, 1)]
    assert not made.exists()


def test_says_it_briefly() -> None:
    (found,) = shell_syntax.unreadable(Script((f"echo ({'x' * 100_000} y)",)))

    assert "syntax error near unexpected token" in found.message
    assert len(found.message) < 300


def test_gives_up_on_what_takes_too_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bash").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bash").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(shell_syntax, "MOST_SECONDS", 0.1)

    assert refused("some text that is not remembered", "fi # nor is this") == []


TEXT = """\
type: service
commands:
  - echo fine
  - |
    if true; then
      echo fine
    done
  - "echo 'a"
  - >-
    echo a;
    fi
  - "echo\\n)"
port: 8000
"""


def test_names_the_line_of_the_file() -> None:
    found = [(one.path, one.line, one.column) for one in problems(TEXT)]

    assert found == [
        ("commands[1]", 7, 1),
        ("commands[2]", 8, 5),
        ("commands[3]", 9, 5),
        ("commands[4]", 12, 5),
    ]
    assert problems(TEXT)[3].message.endswith("`)' (line 2 of it)")


def test_names_it_together_with_other_problems() -> None:
    found = problems("type: service\nresorces: 1\ncommands: [fi, 1]\nport: 0\n")

    assert [one.line for one in found] == [2, 3, 3, 4]


@pytest.mark.parametrize(
    "keys",
    [
        "entrypoint: cowsay\ncommands: ['fi']",
        "commands: [echo]\nimage: a",
        "commands:\n  - &a |\n    echo $$\n  - *a",
    ],
)
def test_leaves_alone_what_no_shell_reads(keys: str) -> None:
    parse.parse(f"type: service\nport: 1\n{keys}\n", read_by_shell=shell_syntax.unreadable)


def test_finds_an_alias_of_a_wrong_item_at_its_anchor() -> None:
    text = "type: service\nport: 1\ncommands:\n  - &a |\n    echo\n    fi\n  - *a\n"

    assert [(one.path, one.line) for one in problems(text)] == [
        ("commands[0]", 6),
        ("commands[1]", 6),
    ]


@pytest.mark.parametrize(
    "item", ["echo a", "fi", "a | b", "a |", "{", "(a)", "((a", "x=$(", "'", "a;;", "\\"]
)
def test_agrees_with_bash(item: str) -> None:
    asked = subprocess.run(["bash", "-n"], input=item, text=True, capture_output=True, check=False)

    assert bool(refused(item)) == bool(asked.returncode)


def test_says_no_more_than_anybody_reads() -> None:
    found = list(shell_syntax.unreadable(Script(("echo (",) * 50)))

    assert [one.item for one in found] == list(range(10))
