"""What the page on held requests names is what the gateway has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.haproxy import config

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "templates" / "docs" / "hold.md").read_text()
MODULES = sorted({*re.findall(r"`(gateway/[\w/.]+)`", PAGE)})
PARTS = sorted({*re.findall(r"\b([Ff]rontend|[Bb]ackend) `(\w+)`", PAGE)})
SHAPE = config.Shape(bind=("127.0.0.1",), port=8080, slots=1, threads=1)


@pytest.mark.parametrize("module", MODULES)
def test_each_module_is_there(module: str) -> None:
    assert (ROOT / module).is_file()


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_each_frontend_and_backend_is_there(kind: str, name: str) -> None:
    text = config.render(shape=SHAPE, servers=())

    assert re.search(rf"^{kind.lower()} {name}\b", text, re.MULTILINE)


def test_names_what_holds_and_hands_on() -> None:
    held_in = {path.name for path in (ROOT / "gateway" / "hold").glob("*.py")} - {"__init__.py"}
    named = {Path(each).name for each in MODULES if each.startswith("gateway/hold/")}

    assert named == held_in
    assert {name for _, name in PARTS} >= {"services", "waiting", "sidecar", "release"}
