"""States belong to the app whose rows have them: the core knows how one changes, none by name."""

from __future__ import annotations

import ast
from pathlib import Path

from django.apps import apps

from apps.core.models import Stateful
from apps.gateways.states import CERTIFICATE

ROOT = Path(__file__).parents[2]
MODELS = [model for model in apps.get_models() if issubclass(model, Stateful)]


def words(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    return {
        node.value
        for node in tree
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_each_machine_lies_in_the_app_of_its_rows() -> None:
    for model in MODELS:
        app = apps.get_app_config(model._meta.app_label).name
        text = Path(ROOT, *app.split("."), "states.py").read_text()
        assert f'"{model.state_machine.name}"' in text, model

    assert {model.state_machine.name for model in MODELS} == {
        "check",
        "run",
        "replica",
        "instance",
        "workload",
        "gateway",
        "host",
    }


def test_the_core_names_no_state() -> None:
    states = {state for model in MODELS for state in model.state_machine.states} | set(CERTIFICATE)
    named = {path.name: words(path) & states for path in (ROOT / "apps/core").rglob("*.py")}

    assert {name: found for name, found in named.items() if found} == {}


def test_the_styles_name_no_state() -> None:
    """They know tones, and each machine says which of its states has which."""
    styles = (ROOT / "static" / "css").glob("*.css")

    assert [path.name for path in styles if "[data-state" in path.read_text()] == []
