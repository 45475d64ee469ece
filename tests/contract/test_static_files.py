"""Whatever a page loads has a name that changes with its content, what scripts and styles load too.

A browser keeps such a file for a year: a plain name in one would bring an old file to a new page.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from apps.core.models import Stateful

ROOT = Path(__file__).resolve().parents[2]
COLLECTED = Path(settings.STATIC_ROOT)
NAMES: dict[str, str] = json.loads((COLLECTED / "staticfiles.json").read_text())["paths"]
HASHED = re.compile(r".+\.[0-9a-f]{12}\.[a-z0-9]+")
NAMED = {
    ".js": r"""(?:\bfrom|\bimport) ?\(?["'](\.[^"']+)["']""",
    ".css": r"""url\(["']?(?!data:|#)([^"')]+)""",
}
SOURCES = sorted(name for name in NAMES if Path(name).suffix in NAMED)


def named_in(path: Path) -> list[str]:
    return re.findall(NAMED[path.suffix], path.read_text())


def test_each_own_file_has_its_copy() -> None:
    own = [*(ROOT / "static" / "js").iterdir(), *(ROOT / "static" / "css").iterdir()]

    assert {str(path.relative_to(ROOT / "static")) for path in own} <= set(NAMES)
    assert [name for name in NAMES.values() if not HASHED.fullmatch(name)] == []
    assert [name for name in NAMES.values() if not (COLLECTED / name).is_file()] == []


def test_the_sprite_has_the_icon_of_every_state() -> None:
    machines = [model.state_machine for model in apps.get_models() if issubclass(model, Stateful)]
    sprite = (COLLECTED / NAMES["vendor/icons.svg"]).read_text()
    wanted = {look.icon for machine in machines for look in machine.looks.values() if look.icon}

    assert wanted
    assert {icon for icon in wanted if f'id="{icon}"' not in sprite} == set()


@pytest.mark.parametrize("name", SOURCES)
def test_names_what_it_loads_by_hashed_names(name: str) -> None:
    copy = COLLECTED / NAMES[name]

    wanted = named_in(copy)

    assert len(wanted) == len(named_in(COLLECTED / name))
    assert [one for one in wanted if not HASHED.fullmatch(one)] == []
    assert [one for one in wanted if not (copy.parent / one).is_file()] == []


def test_finds_what_scripts_and_styles_load() -> None:
    assert len(named_in(COLLECTED / NAMES["js/files.js"])) == 3
    assert len(named_in(COLLECTED / NAMES["css/tokens.css"])) == 3
