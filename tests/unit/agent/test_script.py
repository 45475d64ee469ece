"""The program of `commands`, run by real shells as processes and containers are given it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker import create
from apps.agent.host.home import Home
from apps.agent.processes.process import command
from apps.specs.errors import Misfit
from apps.specs.sections.container import read_commands
from tests.programs import require_program

# Items, what they print, and with which code the shell ends: the same in every shell.
CASES: list[tuple[list[str], str, int]] = [
    (["echo a", "echo b"], "a\nb\n", 0),
    (["echo a"], "a\n", 0),
    # the next only if the one before succeeded
    (["false", "echo no"], "", 1),
    (["(exit 7)", "echo no"], "", 7),
    (["false", "test -d nothing || echo made", "echo served"], "", 1),
    (["true || false", "echo b"], "b\n", 0),
    (["false || echo a", "echo b"], "a\nb\n", 0),
    (["echo a; false", "echo no"], "a\n", 1),
    (["! true", "echo no"], "", 1),
    (["! false", "echo b"], "b\n", 0),
    (["false | true", "echo b"], "b\n", 0),
    (["echo a", "false"], "a\n", 1),
    (["false && true", "echo no"], "", 1),
    # text that does not end where its item ends
    (["sleep 0.01 > log 2>&1 &", "echo b"], "b\n", 0),
    (["sleep 0.01 &", "wait $!", "echo b"], "b\n", 0),
    (["(sleep 0; exit 3) &", "wait $!", "echo no"], "", 3),
    (["echo a  # only once", "echo b"], "a\nb\n", 0),
    (["# nothing", "echo b"], "b\n", 0),
    (["# 'nothing", "echo b"], "b\n", 0),
    (["echo a;", "echo b"], "a\nb\n", 0),
    (["cat <<EOF\na\nEOF", "echo b"], "a\nb\n", 0),
    (["cat <<EOF\na\nEOF\n", "echo b"], "a\nb\n", 0),
    (["cat <<'EOF' > f\n$HOME\n`x`\nEOF", "cat f"], "$HOME\n`x`\n", 0),
    (["cat <<-EOF\n\ta\n\tEOF", "echo b"], "a\nb\n", 0),
    (["cat <<A <<B\na\nA\nb\nB", "echo c"], "b\nc\n", 0),
    (["if true; then\n  echo a\nfi", "echo b"], "a\nb\n", 0),
    (["if true; then\n  echo a\nfi\n\n\n", "echo b"], "a\nb\n", 0),
    (["for i in 1 2; do\necho $i\ndone", "echo b"], "1\n2\nb\n", 0),
    (["case x in\nx) echo a;;\nesac", "echo b"], "a\nb\n", 0),
    (["while false; do :; done", "echo b"], "b\n", 0),
    (["{ echo a\n}", "echo b"], "a\nb\n", 0),
    (["f() {\n  echo $1\n}", "f b"], "b\n", 0),
    (["echo a \\\n  b", "echo c"], "a b\nc\n", 0),
    (["echo a \\", "echo b"], "a\nb\n", 0),
    (["echo a \\\\", "echo b"], "a \\\nb\n", 0),
    (["echo a \\\n", "echo b"], "a\nb\n", 0),
    (["echo a \\\n\\\n", "echo b"], "a\nb\n", 0),
    (["echo a  # b \\", "echo b"], "a\nb\n", 0),
    (["echo a", "echo b \\"], "a\nb\n", 0),
    (["echo a\necho b", "echo c"], "a\nb\nc\n", 0),
    (["echo a\nfalse\necho b", "echo c"], "a\nb\nc\n", 0),
    (["true \\\n&& echo a", "echo b"], "a\nb\n", 0),
    (["true &&\necho a", "echo b"], "a\nb\n", 0),
    # one shell: what an item leaves is there for the next
    (["export A=1", "sh -c 'echo $A'"], "1\n", 0),
    (["A=1", "echo $A"], "1\n", 0),
    (["mkdir -p d", "cd d", "basename $PWD"], "d\n", 0),
    (["umask 027", "umask"], "0027\n", 0),
    (["set -- a b", "echo $2 $#"], "b 2\n", 0),
    (["set -f", "echo *"], "*\n", 0),
    (["exec 3>&1 > log 2>&1", "echo a", "cat log >&3"], "a\n", 0),
    (["alias say='echo a'", "unalias say", "echo b"], "b\n", 0),
    # the person's own traps and options
    (["trap 'echo end' EXIT", "echo a"], "a\nend\n", 0),
    (["trap 'echo end $?' EXIT", "(exit 4)", "echo no"], "end 4\n", 4),
    (["set -e", "echo a\nfalse\necho no", "echo no"], "a\n", 1),
    (["set -e; false; echo no", "echo no"], "", 1),
    (["set -e", "false || echo a", "echo b"], "a\nb\n", 0),
    (["set -e", "if false; then :; fi", "echo b"], "b\n", 0),
    (["set -u", "echo ${A:-a}", "echo b"], "a\nb\n", 0),
    (["set -eu", "f() { echo a; return 0; }", "f", "echo b"], "a\nb\n", 0),
    # an end that was meant
    (["exit 0", "echo no"], "", 0),
    (["exit 3", "echo no"], "", 3),
    (["test -f nothing || exit 5", "echo no"], "", 5),
    (["echo a; exit", "echo no"], "a\n", 0),
    (["exec echo a", "echo no"], "a\n", 0),
    (["echo a", "exec echo b"], "a\nb\n", 0),
    # what the person's text sees of the shell
    (["true", "echo $? $#"], "0 0\n", 0),
    (['echo "[$1]"'], "[]\n", 0),
    (["true", 'echo "[$1][$@]"'], "[][]\n", 0),
    # text of any kind
    (["echo 'a b'  \"c  d\"", "echo e"], "a b c  d\ne\n", 0),
    (["echo 'it'\\''s' \"'\"", "echo b"], "it's '\nb\n", 0),
    (["printf '%s\\n' '$HOME' '`x`' '\\'", "echo b"], "$HOME\n`x`\n\\\nb\n", 0),
    (['echo "$(echo "a \'b\'")"', "echo c"], "a 'b'\nc\n", 0),
    (["echo é → 日本 🐍", "echo ü"], "é → 日本 🐍\nü\n", 0),
    (["printf '%s|' 'a\nb' \"c\nd\"", "echo e"], "a\nb|c\nd|e\n", 0),
    (["  echo a  ", "\techo b"], "a\nb\n", 0),
    (["echo $((1 + 2))", "echo b"], "3\nb\n", 0),
    (["echo a && echo b", "echo c || echo d"], "a\nb\nc\n", 0),
    (["echo a > f; echo b>>f", "cat < f | cat 2>&1; echo 'c|d'"], "a\nb\nc|d\n", 0),
    (["echo a ;", "echo 2>&1 b"], "a\nb\n", 0),
    (["echo {} [x] %1 ~x =y", "echo !"], "{} [x] %1 ~x =y\n!\n", 0),
    (["echo -n a", "echo b"], "ab\n", 0),
    (["nosuchcommand --flag 2>/dev/null", "echo no"], "", 127),
    (["./none 2>/dev/null", "echo no"], "", 127),
]
ONLY_BASH: list[tuple[list[str], str, int]] = [
    (["source ./v", "echo b"], "sourced\nb\n", 0),
    (["[[ a == a* ]]", "echo b"], "b\n", 0),
    (["[[ a == b ]]", "echo no"], "", 1),
    (["a=(1 2)", "echo ${a[1]}"], "2\n", 0),
    (["shopt -s extglob", "echo !(v|sub)"], "!(v|sub)\n", 0),
    (["cat <(echo a)", "echo b"], "a\nb\n", 0),
    (["set -o pipefail", "false | true", "echo no"], "", 1),
    (["trap 'echo failed' ERR", "false", "echo no"], "failed\n", 1),
    (["trap 'echo failed' ERR", "true && false", "echo no"], "failed\n", 1),
    (["mkdir -p d", "echo $_"], "d\n", 0),
    (["false | true", "echo ${PIPESTATUS[0]}"], "1\n", 0),
    (["for ((i = 0; i < 2; i++)); do echo $i; done", "echo b"], "0\n1\nb\n", 0),
    (["shopt -s expand_aliases", "alias say='echo a'", "say"], "a\n", 0),
    (["echo $0", "echo $BASH_SUBSHELL"], "bash\n0\n", 0),
    (["echo $'it\\'s'", "echo b"], "it's\nb\n", 0),
    (["cat <<< a", "echo b"], "a\nb\n", 0),
    (["cat <<EOF 2>/dev/null\na", "echo b"], "a\nb\n", 0),
    (["coproc cat", "echo b"], "b\n", 0),
]


def spec(commands: list[str], **fields: Any) -> wire.WorkloadSpec:
    return wire.WorkloadSpec(id="w", name="w", image="i", commands=commands, **fields)


def as_container(given: wire.WorkloadSpec) -> list[str]:
    home = Home(Path("/home"), Path("/base"), "home-id", False, 0)
    argv: list[str] = create.description(given, home=home, image={})["Entrypoint"]
    return argv


RUNTIMES: dict[str, Callable[[wire.WorkloadSpec], list[str]]] = {
    "process": command,
    "container": as_container,
}


@pytest.fixture
def shells(tmp_path: Path) -> Path:
    """A folder of shells by name: bash, dash, and the ash of busybox."""
    folder = tmp_path / "shells"
    folder.mkdir()
    for name, program in (("bash", "bash"), ("dash", "dash"), ("ash", "busybox")):
        package = "busybox-static" if program == "busybox" else program
        (folder / name).symlink_to(require_program(program, package=package))
    return folder


def run(argv: list[str], folder: Path, *, path: str | None = None) -> tuple[str, int]:
    work = folder / "work"
    (work / "sub").mkdir(parents=True)
    (work / "v").write_text("echo sourced\n")
    env = {"PATH": path or os.environ["PATH"], "HOME": str(work), "LANG": "C.UTF-8"}
    done = subprocess.run(
        argv,
        cwd=work,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    return done.stdout.decode(), done.returncode


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("shell", ["bash", "dash", "ash"])
@pytest.mark.parametrize(("items", "printed", "code"), CASES)
def test_runs_each_item_as_a_command_of_its_own(
    tmp_path: Path,
    shells: Path,
    runtime: str,
    shell: str,
    items: list[str],
    printed: str,
    code: int,
) -> None:
    argv = RUNTIMES[runtime](spec(items, shell=str(shells / shell)))

    assert run(argv, tmp_path) == (printed, code)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("items", "printed", "code"), ONLY_BASH)
def test_runs_bash_where_no_shell_is_written(
    tmp_path: Path, runtime: str, items: list[str], printed: str, code: int
) -> None:
    argv = RUNTIMES[runtime](spec(items, prefers_bash=True))

    assert run(argv, tmp_path) == (printed, code)


def test_runs_sh_in_an_image_without_bash(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to(require_program("dash", package="dash"))
    argv = as_container(spec(["echo $0", "echo $BASH_VERSION-"], prefers_bash=True))

    assert run(argv, tmp_path, path=str(tmp_path / "bin")) == ("sh\n-\n", 0)


def test_runs_sh_on_a_host_without_bash(tmp_path: Path) -> None:
    given = spec(["echo a"], prefers_bash=True)

    assert command(given, path=str(tmp_path)) == ["sh", "-c", "echo a"]
    assert command(given)[0] == "bash"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_takes_a_script_of_100_kb(tmp_path: Path, runtime: str) -> None:
    long = "\n".join(f"X={n} # {'x' * 80}" for n in range(1100))

    assert run(RUNTIMES[runtime](spec([long, "echo $X"])), tmp_path) == ("1099\n", 0)


@pytest.mark.parametrize("item", ["'", "é", "x", '"\'"', "a b", "\\"])
@pytest.mark.parametrize("times", [1, 2, 700])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_stays_below_the_longest_argument(runtime: str, item: str, times: int) -> None:
    longest = 0
    for length in range(1_000, 131_072, 10_007):
        commands = [item * (length // times // len(item.encode()) or 1)] * times
        try:
            accepted = read_commands(commands)
        except Misfit:
            break
        argv = RUNTIMES[runtime](spec(accepted, prefers_bash=True))
        longest = max(map(len, map(str.encode, argv)))

    assert 20_000 < longest < 128 * 1024


@pytest.mark.parametrize(
    ("fields", "argv"),
    [
        ({"commands": ["a"]}, ["sh", "-c", "a"]),
        ({"commands": ["a"], "shell": "/bin/my sh"}, ["/bin/my sh", "-c", "a"]),
        ({"commands": ["a", "b"], "shell": "/bin/fish"}, ["/bin/fish", "-c", "a && b"]),
        ({"entrypoint": "python -m 'x y'"}, ["python", "-m", "x y"]),
        ({"entrypoint": "python", "commands": ["a b", "$C"]}, ["python", "a b", "$C"]),
    ],
)
def test_leaves_the_rest_as_it_is(fields: dict[str, Any], argv: list[str]) -> None:
    assert command(wire.WorkloadSpec(**{"id": "w", "name": "w", **fields})) == argv


def test_becomes_its_last_command() -> None:
    argv = command(spec(["true; true", "ps -o comm= -p $$"], prefers_bash=True))

    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)

    assert done.stdout == "ps\n"
