"""The list of variables and the code that reads them agree: names, readers, defaults, bounds."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import annotated_types
import pytest
import yaml
from pydantic_core import PydanticUndefined

from apps.agent import main as agent
from apps.agent.docker import shared
from apps.cli.upload import uploading
from dstack_web.variables.every import ALL, BY_NAME, FOR_SERVICES
from dstack_web.variables.variable import Kind, Part
from gateway import config as gateway

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"\b(?:DSTACK|GATEWAY)_[A-Z0-9_]*[A-Z0-9]\b|\b(?:DATABASE|REDIS)_URL\b")
READ_BY_TEXT = re.compile(r"\$\{(\w+)")
PLACES = ("apps", "gateway", "dstack_web", "manage.py", "Makefile", "Dockerfile", "compose*.yaml")
# They hand on what others read, and are the list.
PASS_ON = (
    "dstack_web/embedded/children.py",
    "dstack_web/embedded/watch.py",
    "dstack_web/variables/",
)
# The first that fits.
READERS = {
    "compose": Part.COMPOSE,
    "apps/agent/": Part.AGENT,
    "apps/cli/": Part.CLI,
    "gateway/": Part.GATEWAY,
    "dstack_web/front/": Part.FRONT,
    "dstack_web/embedded/": Part.START,
    "dstack_web/": Part.SERVER,
    "apps/": Part.SERVER,
}


def sources() -> list[str]:
    argv = ["git", "ls-files", "-z", "--", *PLACES]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts(tree: ast.AST) -> list[ast.Constant]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def names_in(path: str) -> set[str]:
    """Every variable that is named in a file; of a program, in its texts."""
    text = (ROOT / path).read_text()
    if not path.endswith(".py"):
        return set(NAME.findall(text))
    return {name for node in texts(ast.parse(text)) for name in NAME.findall(str(node.value))}


def reads_in(path: str) -> set[str]:
    """Every variable that a file reads: a text of its own that is no key of what is written."""
    text = (ROOT / path).read_text()
    if not path.endswith(".py"):
        return {name for name in READ_BY_TEXT.findall(text) if NAME.fullmatch(name)}
    tree = ast.parse(text)
    written = {
        id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys if key
    }
    found = (str(node.value) for node in texts(tree) if id(node) not in written)
    return {name for name in found if NAME.fullmatch(name)}


def readers() -> dict[str, set[Part]]:
    found: dict[str, set[Part]] = defaultdict(set)
    for path in sources():
        part = next((part for start, part in READERS.items() if path.startswith(start)), None)
        if part and not path.startswith(PASS_ON):
            for name in reads_in(path):
                found[name].add(part)
    return found


def test_every_variable_that_is_named_is_in_the_list() -> None:
    listed = {row.name for row in (*ALL, *FOR_SERVICES)}

    unlisted = {path: left for path in sources() if (left := names_in(path) - listed)}

    assert unlisted == {}


def test_every_variable_of_the_list_is_read_by_the_parts_that_it_names() -> None:
    found = readers()

    assert {row.name: found[row.name] for row in ALL} == {row.name: {*row.parts} for row in ALL}


def test_what_is_read_is_told_from_what_is_written(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text('a = {"DSTACK_A": b.get("DSTACK_B"), "DSTACK_C": "DSTACK_D"}\n')

    assert reads_in(str(source)) == {"DSTACK_B", "DSTACK_D"}
    assert names_in(str(source)) == {"DSTACK_A", "DSTACK_B", "DSTACK_C", "DSTACK_D"}


@pytest.mark.parametrize(("field", "name"), gateway.VARIABLES.items())
def test_the_gateway_has_the_defaults_and_bounds_of_the_list(field: str, name: str) -> None:
    about, row = gateway.Config.model_fields[field], BY_NAME[name]
    default = about.default
    bounds = {type(rule): rule for rule in about.metadata}

    if isinstance(default, list):
        assert ",".join(default) == row.default
    else:
        assert str("" if default in (None, PydanticUndefined) else default) == row.default
    if row.kind is Kind.WHOLE:
        assert bounds[annotated_types.Ge].ge == row.least
        assert bounds[annotated_types.Le].le == row.most


def test_the_agent_has_the_defaults_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in ALL:
        monkeypatch.delenv(row.name, raising=False)

    found = agent._arguments().parse_args([])

    assert found.home == BY_NAME["DSTACK_AGENT_HOME"].default
    assert found.network == BY_NAME["DSTACK_AGENT_NETWORK"].default
    assert float(BY_NAME["DSTACK_IMAGES_DISK_PERCENT"].default) == shared.DEFAULT_PERCENT


def test_the_command_line_has_the_defaults_of_the_list() -> None:
    row = BY_NAME["DSTACK_UPLOAD_LIMIT_MB"]

    assert uploading.limit_mb({}) == int(row.default)
    assert uploading.limit_mb({row.name: str(row.most)}) == row.most


def test_compose_has_the_defaults_of_the_list() -> None:
    text = (ROOT / "compose.yaml").read_text()
    given = [pair for pair in re.findall(r"\$\{(\w+):-([^}]*)\}", text) if pair[0] in BY_NAME]

    differ = {name: default for name, default in given if default != BY_NAME[name].default}

    assert {name for name, _ in given} > {"DSTACK_PORT", "DSTACK_BIND", "DSTACK_GATEWAY_DOMAIN"}
    # They are off, or made of others, where none is set.
    assert differ == {
        "DSTACK_GATEWAY_TLS_PORT": "",
        "DSTACK_GATEWAY_SSH_PORT": "",
        "DSTACK_PUBLIC_URL": "http://127.0.0.1:3000",
    }


def test_compose_hands_the_server_nothing_that_is_not_in_the_list() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    handed = {name for service in services.values() for name in service.get("environment", {})}

    assert {name for name in handed if name.startswith("DSTACK_")} <= set(BY_NAME)
